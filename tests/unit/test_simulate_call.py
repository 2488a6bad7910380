"""One simulated call: what it says, in which forms, and that it says the same every time."""

import json
from collections.abc import Iterator
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from exporter.simulate.call import SESSION_ENDS, Call, event_name, plan_call
from exporter.simulate.profiles import FLEETS

DATA = Path(__file__).parent.parent / "data"
pytestmark = pytest.mark.xdist_group("simulated calls")  # one worker has the fleets that several tests look at

EVENTS: dict[str, dict[str, dict[str, Any]]] = json.loads((DATA / "events.json").read_text())["events"]
SIMULATED = {
    kind: {name for name, field in fields.items() if field.get("simulated", True)}
    for kind, fields in EVENTS.items()
    if not fields or any(field.get("simulated", True) for field in fields.values())
}
"""Events and fields of the protocol but for those whose entry in events.json says ``"simulated": false``."""
SAMPLES = [json.loads(line)["event"] for line in (DATA / "samples.jsonl").read_text().splitlines()]
STARTED_AT = 1_777_885_200.0
CALLS = 600
CLEAN = ("fast", "typical", "slow", "s2s", "outbound", "streaming", "healthy", "slow-llm", "hasty", "outage", "silent")
STREAMING = ("start", "media", "dtmf", "playedStream", "clearedAudio", "stop")
JSON_TYPES: dict[str, tuple[type, ...]] = {
    "string": (str,),
    "number": (int, float),
    "boolean": (bool,),
    "object": (dict,),
    "array": (list,),
    "any": (object,),
}


def calls(profile: str, count: int = 150) -> Iterator[Call]:
    return (plan_call(7, number, FLEETS[profile]) for number in range(count))


def events(profile: str, count: int = 150) -> Iterator[dict[str, Any]]:
    return (event for call in calls(profile, count) for _, event in call.steps(STARTED_AT))


def metrics(profile: str, count: int = 150) -> list[dict[str, Any]]:
    return [event for event in events(profile, count) if event_name(event) == "turn.metrics"]


def answered(profile: str) -> list[dict[str, Any]]:
    return [event for event in metrics(profile) if event.get("user_perceived_ms") is not None]


def moment(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


def key_paths(value: Any, prefix: str = "") -> set[str]:
    """The names of an object and all objects in it."""
    if isinstance(value, list):
        return {path for item in value for path in key_paths(item, prefix + "[]")}
    if not isinstance(value, dict):
        return set()
    return {path for key, item in value.items() for path in {f"{prefix}.{key}", *key_paths(item, f"{prefix}.{key}")}}


@cache
def sent_by_the_default_fleet() -> set[tuple[str, str]]:
    """Every event type, with each of its fields that has a value somewhere."""
    return {(event_name(event), name) for event in events("mixed", CALLS) for name, value in event.items() if value is not None}


@cache
def shapes() -> dict[str, set[frozenset[str]]]:
    """The names in the events of all clean profiles, by event type."""
    found: dict[str, set[frozenset[str]]] = {}
    for profile in CLEAN:
        for event in events(profile, 60):
            found.setdefault(event_name(event), set()).add(frozenset(key_paths(event)))
    return found


def test_a_fleet_sends_every_event_type_of_the_protocol() -> None:
    """The default fleet leaves out no event type that the platform sends."""
    assert set(SIMULATED) - {kind for kind, _ in sent_by_the_default_fleet()} == set()


def test_a_fleet_sends_every_field_of_the_protocol_with_a_value() -> None:
    """The default fleet gives every field that the platform sends a value somewhere, all 105 of turn.metrics among them."""
    wanted = {(kind, name) for kind, fields in SIMULATED.items() if kind not in STREAMING for name in fields}
    assert wanted - sent_by_the_default_fleet() == set()
    assert sum(kind == "turn.metrics" for kind, _ in wanted) == 105


def test_earlier_generations_appear_in_the_messy_fleet() -> None:
    """Every sample of the first two generations has its like in the messy fleet."""
    sent = [event for event in events("messy", CALLS) if "type" in event]
    kinds = {event_name(event) for event in sent}
    earlier = {sample["type"] for sample in SAMPLES if "type" in sample} - set(EVENTS)
    assert earlier <= kinds
    second = next(sample for sample in SAMPLES if "tts_pipeline_ms" in sample)
    assert any(set(second) == set(event) for event in sent)


@pytest.mark.parametrize("profile", CLEAN)
def test_clean_profiles_send_only_known_fields_of_the_right_type(profile: str) -> None:
    """Outside the messy fleet every field is in the protocol, has its JSON type, and the obligatory ones are there."""
    for event in events(profile):
        kind = event_name(event)
        if kind in STREAMING:
            continue
        fields = EVENTS[kind]
        assert set(event) - {"type"} <= set(fields), kind
        for name, value in event.items():
            if name != "type" and value is not None:
                assert isinstance(value, JSON_TYPES[fields[name]["type"]]), (kind, name, value)
                assert isinstance(value, bool) == (fields[name]["type"] == "boolean") or fields[name]["type"] == "any"
        missing = {name for name, field in fields.items() if field.get("always") and event.get(name) is None}
        assert missing <= ({"trigger"} if kind == "user.turn_completed" else set()), kind


@pytest.mark.parametrize("kind", [*STREAMING, "tool.executed", "session.usage", "session.ended"])
def test_nested_events_have_the_shape_of_the_samples(kind: str) -> None:
    """Events with objects in them nest exactly as the samples do."""
    sample = next(sample for sample in SAMPLES if event_name(sample) == kind)
    alternatives = {".models[].audio_duration_s"}
    assert frozenset.union(*shapes()[kind]) - alternatives == key_paths(sample)


def test_same_seed_same_events() -> None:
    """A call depends on the seed, its number and the start, and on nothing that ran before it."""
    first = [list(call.steps(STARTED_AT)) for call in calls("mixed", 30)]
    assert [list(call.steps(STARTED_AT)) for call in reversed(list(calls("mixed", 30)))] == first[::-1]


def test_another_seed_other_events() -> None:
    """Seeds and numbers lead to different sessions."""
    identities = {plan_call(seed, number, FLEETS["mixed"]).session_id for seed in range(5) for number in range(50)}
    assert len(identities) == 250


def test_another_start_moves_only_time_stamps() -> None:
    """The pace of a call does not depend on when it starts."""
    call = plan_call(7, 3, FLEETS["typical"])
    early, late = list(call.steps(STARTED_AT)), list(call.steps(STARTED_AT + 3600))
    assert [(offset, event_name(event)) for offset, event in early] == [(offset, event_name(event)) for offset, event in late]
    for (_, before), (_, after) in zip(early, late, strict=True):
        if "timestamp" in before:
            assert moment(after["timestamp"]) - moment(before["timestamp"]) == pytest.approx(3600)


@pytest.mark.parametrize("profile", sorted(FLEETS))
def test_events_come_in_the_order_of_their_offsets(profile: str) -> None:
    """The first event is at 0 and no offset is smaller than the one before."""
    for call in calls(profile, 60):
        offsets = [offset for offset, _ in call.steps(STARTED_AT)]
        assert offsets[0] == 0
        assert offsets == sorted(offsets)


def test_event_time_stamps_are_the_moment_of_sending() -> None:
    """An event's own timestamp is the start of the call plus its offset, to the millisecond."""
    for call in calls("typical", 40):
        for offset, event in call.steps(STARTED_AT):
            if "timestamp" in event:
                assert moment(event["timestamp"]) == pytest.approx(STARTED_AT + offset, abs=0.0005)
                assert len(event["timestamp"]) == len("2026-05-04T09:00:00.120Z")


@pytest.mark.parametrize("profile", ["fast", "typical", "slow", "outbound"])
def test_perceived_latency_is_its_parts_and_a_rest(profile: str) -> None:
    """Endpointing is the longer of two stages; with callback, model and voice it explains all but network, tools and overlap."""
    rests = []
    for event in answered(profile):
        parts = [event.get(name) or 0 for name in ("turn_completed_callback_ms", "llm_ttft_ms", "tts_ttfb_ms")]
        stages = event.get("stt_delay_ms"), event.get("turn_decision_ms")
        if None not in stages and "tts_ttfb_ms" in event:
            rests.append(event["user_perceived_ms"] - max(s for s in stages if s is not None) - sum(parts))
    unexplained = sorted(rests)
    assert unexplained[0] < 0, "some generations begin before the turn is over"
    assert 20 < unexplained[len(unexplained) // 2] < 150
    assert unexplained[int(len(unexplained) * 0.1)] > 0, "and most do not"


def test_perceived_latency_of_speech_to_speech_holds_the_models_share() -> None:
    """A speech-to-speech turn has no cascade, and the model's first token is part of the wait."""
    turns = answered("s2s")
    assert turns
    for event in turns:
        assert event["pipeline"] == "s2s"
        assert event["realtime_ttft_ms"] + event.get("turn_decision_ms", 0) < event["user_perceived_ms"]
        assert not any(name.startswith(("llm_ttft", "tts_", "stt_")) for name in event)


@pytest.mark.parametrize("profile", ["typical", "s2s"])
def test_perceived_latency_is_the_gap_between_the_voices(profile: str) -> None:
    """From the caller's last word to the agent's first by the wall clock is exactly what the turn reports."""
    for event in answered(profile):
        gap = moment(event["agent_started_speaking_at"]) - moment(event["user_stopped_speaking_at"])
        assert round(gap * 1000) == event["user_perceived_ms"]


def test_turn_completed_repeats_turn_metrics_in_seconds() -> None:
    """Both reports on a turn agree."""
    for call in calls("typical", 40):
        reports: dict[Any, dict[str, Any]] = {}
        for _, event in call.steps(STARTED_AT):
            if event_name(event) in ("turn.completed", "turn.metrics"):
                reports.setdefault((event.get("agent_tool_id"), event["turn_number"]), {})[event_name(event)] = event
        for report in reports.values():
            if len(report) == 2 and report["turn.metrics"].get("llm_ttft_ms") and "llm_ttft_s" in report["turn.completed"]:
                assert report["turn.completed"]["llm_ttft_s"] * 1000 == pytest.approx(report["turn.metrics"]["llm_ttft_ms"])


def test_greetings_have_no_perceived_latency() -> None:
    """Where the agent speaks first nobody waited."""
    greetings = [event for event in metrics("typical") if event["agent_first"]]
    assert greetings
    assert all("user_perceived_ms" not in event for event in greetings)


def test_usage_only_grows() -> None:
    """``session.usage`` is cumulative: no amount of a model is ever less than before."""
    reports = 0
    for call in calls("mixed", 60):
        before: dict[Any, float] = {}
        for _, event in call.steps(STARTED_AT):
            if event_name(event) == "session.usage":
                reports += 1
                for entry in event["models"]:
                    for name, value in entry.items():
                        if isinstance(value, int | float):
                            key = (entry["type"], entry["provider"], entry.get("model"), name)
                            assert value >= before.get(key, 0)
                            before[key] = value
    assert reports > 60


def test_some_calls_are_cut_off_and_some_reports_come_after_the_end() -> None:
    """A call may lack its end, and ``turn.metrics`` may follow it."""
    scripts = [[event_name(event) for _, event in call.steps(STARTED_AT)] for call in calls("messy")]
    assert any(not set(script) & set(SESSION_ENDS) for script in scripts)
    assert any("turn.metrics" in script[script.index("session.ended") :] for script in scripts if "session.ended" in script)


def test_fixed_turns_are_an_upper_bound_on_what_the_caller_says() -> None:
    """``turns`` limits the caller's turns, and is reached unless the call ends early."""
    for number in range(40):
        call = plan_call(7, number, FLEETS["fast"], turns=4)
        said = [event for _, event in call.steps(STARTED_AT) if event_name(event) == "user.turn_completed"]
        assert 1 <= len(said) <= 4


def test_personal_data_is_plainly_invented() -> None:
    """Numbers come from the range reserved for fiction, addresses from the reserved domain."""
    for event in events("mixed"):
        for name in ("caller", "callee", "target"):
            if isinstance(event.get(name), str):
                assert "55501" in event[name]
