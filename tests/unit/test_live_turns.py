"""An opened call: its turns have the times of their spans, and an open turn grows with the events."""

from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from exporter.exporters.live.messages import Turn
from exporter.exporters.live.turn_view import STAGE_NAMES
from exporter.tracing.sampling import SpanOptions
from exporter.tracing.turn_spans import STAGES
from tests.support.core import BEGINNING
from tests.support.live import LiveCore
from tests.support.samples import CALL

MICROSECOND = 1e-6


def play(core: LiveCore) -> None:
    """The sample call, as the platform sends it."""
    call = core.connect()
    for event in CALL:
        core.now += 0.4
        call.feed.consume(msgspec.json.encode(event), core.now)


def times_of(turn: Turn) -> dict[str, tuple[float, float | None]]:
    """When the turn and each of its stages began and ended."""
    return {"turn": (turn.start, turn.end)} | {stage.stage: (stage.start, stage.end) for stage in turn.stages}


def spans_of_turns(core: LiveCore) -> dict[int, dict[str, tuple[float, float]]]:
    """The same, by number of the turn, as the spans say it."""
    numbers = {
        span.span_id: attribute.value.int_value
        for span in core.spans
        for attribute in span.attributes
        if attribute.key == "agentstack.turn.number"
    }
    names = {name: name for name, _ in STAGES}
    found: dict[int, dict[str, tuple[float, float]]] = {number: {} for number in numbers.values()}
    for span in core.spans:
        kind = span.name.split(" ")[0]
        times = (span.start_time_unix_nano / 1e9, span.end_time_unix_nano / 1e9)
        if kind == "invoke_agent":
            found[numbers[span.span_id]]["turn"] = times
        elif kind in names and span.parent_span_id in numbers:
            found[numbers[span.parent_span_id]][kind] = times
    return found


def test_names_of_stages_are_those_of_spans() -> None:
    """The waterfall has a bar for each stage that has a span."""
    assert tuple(name for name, _ in STAGES) == STAGE_NAMES


def test_bars_are_where_the_spans_are() -> None:
    """Each turn, and each stage of it, begins and ends as its span does; no stage is missing and none is added."""
    core = LiveCore()
    call = core.call("as-1")
    for event in CALL:
        core.now += 0.4
        if not str(event.get("type")).startswith("session.") and "event" not in event:
            call.feed.consume(msgspec.json.encode(event), core.now)
    spans = spans_of_turns(core)
    turns = {turn.number: times_of(turn) for turn in core.detail().turns if turn.state == "counted" and turn.number}
    assert len(turns) >= 5
    for number, times in turns.items():
        assert number is not None
        assert times.keys() == spans[number].keys(), number
        for name, (start, end) in times.items():
            assert start == pytest.approx(spans[number][name][0], abs=MICROSECOND)
            assert end == pytest.approx(spans[number][name][1], abs=MICROSECOND)


@pytest.mark.parametrize("options", [None, SpanOptions(sampler="always_off")])
def test_times_are_the_same_without_spans(options: SpanOptions | None) -> None:
    """Where no spans are made, or none of this call, the same code works out the times."""
    traced, plain = LiveCore(), LiveCore(traced=options is not None, options=options)
    for core in (traced, plain):
        call = core.call("as-1")
        for number in range(1, 4):
            core.let_pass(8)
            call.turn(number, **measured(core.now))
    assert [times_of(turn) for turn in traced.detail().turns] == [times_of(turn) for turn in plain.detail().turns]


def measured(now: float, **more: Any) -> dict[str, Any]:
    """The fields of a turn that ended at ``now``."""
    return {
        "user_perceived_ms": 1200.0,
        "stt_delay_ms": 200.0,
        "turn_decision_ms": 300.0,
        "llm_ttft_ms": 500.0,
        "llm_duration_ms": 900.0,
        "tts_ttfb_ms": 250.0,
        "sdk_started_speaking_at": now - 6.0,
        "sdk_stopped_speaking_at": now - 4.0,
        **more,
    }


def test_an_open_turn_grows_and_becomes_the_counted_one() -> None:
    """While the caller speaks, waits and hears the agent, the open turn has these stages; turn.metrics replaces it."""
    core = LiveCore()
    call = core.call()

    def stages() -> list[tuple[str, float, float | None]]:
        return [
            (stage.stage, round(stage.start - BEGINNING, 3), stage.end if stage.end is None else round(stage.end - BEGINNING, 3))
            for turn in core.detail().turns
            if turn.key == "open"
            for stage in turn.stages
        ]

    call.send("agent.state_changed", old_state="idle", new_state="listening")
    core.let_pass(1)
    call.send("user.speech_started")
    assert stages() == [("user_speech", 1.0, None)]
    core.let_pass(2)
    call.send("user.speech_stopped")
    assert stages() == [("user_speech", 1.0, 3.0), ("turn_detection", 3.0, None)]
    core.let_pass(0.5)
    call.send("user.turn_completed")
    assert stages() == [("user_speech", 1.0, 3.0), ("turn_detection", 3.0, 3.5), ("response", 3.5, None)]
    core.let_pass(4)
    assert [(mark.kind, mark.end) for mark in core.detail().marks] == [("dead_air", None)]
    call.send("agent.speech_started")
    call.send("agent.state_changed", old_state="thinking", new_state="speaking")
    assert stages()[2:] == [("response", 3.5, 7.5), ("agent_speech", 7.5, None)]
    core.let_pass(2)
    call.send("agent.state_changed", old_state="speaking", new_state="listening")
    assert stages()[3] == ("agent_speech", 7.5, 9.5)
    call.turn(1, user_perceived_ms=4500, sdk_started_speaking_at=BEGINNING + 1, sdk_stopped_speaking_at=BEGINNING + 3)
    assert [turn.key for turn in core.detail().turns] == ["1"]
    core.let_pass(1)
    call.send("user.speech_started")
    assert [turn.key for turn in core.detail().turns] == ["1", "open"]


@pytest.mark.parametrize(
    "stamp", ["0001-01-01T00:00:00Z", "0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-23:59", "1970-01-01T00:00:00Z"]
)
@pytest.mark.parametrize("traced", [True, False])
def test_a_time_that_makes_no_sense_moves_nothing(stamp: str, traced: bool) -> None:
    """A turn that goes on and marks are where they were received if their stamps make no sense, and the call's file can be written."""
    core = LiveCore(traced=traced)
    call = core.call()
    sensible = datetime.fromtimestamp(BEGINNING, UTC).isoformat()
    call.send("agent.state_changed", old_state="idle", new_state="listening", timestamp=sensible)
    core.let_pass(1)
    call.send("user.backchannel", transcript="yes", timestamp=stamp)
    call.send("interruption", timestamp=stamp)
    call.send("user.speech_started", timestamp=stamp)
    core.let_pass(2)
    call.send("user.speech_stopped", timestamp=stamp)
    call.send("user.turn_completed", timestamp=stamp)
    core.let_pass(1)
    detail = core.detail()
    times = [turn.start for turn in detail.turns] + [mark.at for mark in detail.marks]
    assert len(times) >= 2
    assert all(BEGINNING <= time <= core.now for time in times)
    assert "Turn open" in core.page()


def test_tools_and_marks_belong_to_their_call() -> None:
    """Tools are in the turn in which they ran; interruptions, backchannels and errors are marks."""
    core = LiveCore()
    play(core)
    detail = core.detail("as-7f3c")
    tools = {tool.name: tool.failed for turn in detail.turns for tool in turn.tools}
    assert tools == {"lookup_order": False, "crm.find": False, "crm.note": True}
    assert {"interruption", "backchannel", "false_interruption", "error"} <= {mark.kind for mark in detail.marks}


def test_a_turn_says_why_it_was_slow() -> None:
    """The sentence names the component, its model, its time and the wait; the parts add up to the wait."""
    core = LiveCore()
    core.call().turn(1, user_perceived_ms=2310, llm_ttft_ms=1650, stt_delay_ms=310, llm_model="gpt-4o")
    [turn] = core.detail().turns
    assert turn.why == "The LLM (gpt-4o) took 1.65 s of the 2.31 s that the caller waited."
    assert sum(part.seconds for part in turn.parts) == pytest.approx(2.31)


def test_a_turn_has_all_fields_of_its_metrics() -> None:
    """Every field that came is there with its value on the wire, except what was said."""
    core = LiveCore()
    play(core)
    sent = next(event for event in CALL if event.get("type") == "turn.metrics" and event.get("turn_number") == 2)
    [turn] = [turn for turn in core.detail("as-7f3c").turns if turn.number == 2]
    expected = {key: value for key, value in sent.items() if value is not None and key not in ("type", "user_text", "agent_text")}
    assert turn.fields.keys() == expected.keys()
    assert {key: turn.fields[key] for key in ("llm_ttft_ms", "llm_prompt_tokens") if key in expected} == {
        key: expected[key] for key in ("llm_ttft_ms", "llm_prompt_tokens") if key in expected
    }
