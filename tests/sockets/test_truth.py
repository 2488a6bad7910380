"""A fleet of simulated calls against the real process: what it shows at the end follows from what was sent, to the last count."""

import math
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest

from exporter.compiled import BUILD
from exporter.metrics import inventory
from exporter.simulate.truth import Record, perceived_of, read_truth
from tests.support.daemon import Samples, daemon_process, program, total
from tests.support.reference_recorder import ReferenceHistogram, ReferenceRecorder, metrics_of
from tests.support.simulation import final_scrape, subdirectory

CALLS = 200
CURRENT = {("type", earlier): spec.name for spec in inventory.events() for earlier in spec.earlier_names}
KNOWN = {(str(spec.type.__struct_config__.tag_field), spec.name): spec.name for spec in inventory.events()} | CURRENT
STAND_INS = {
    "transcription_delay_s": ("agentstack_stt_delay_seconds", ("unknown", "unknown")),
    "turn_decision_s": ("agentstack_turn_decision_seconds", ("unknown", "unknown")),
    "llm_ttft_s": ("agentstack_llm_time_to_first_token_seconds", ("unknown", "unknown", "false")),
    "tts_ttfb_s": ("agentstack_tts_time_to_first_byte_seconds", ("unknown", "unknown", "false")),
    "realtime_ttft_s": ("agentstack_realtime_time_to_first_token_seconds", ("unknown", "unknown", "false")),
}
"""What turn.completed says in seconds of a turn that never gets metrics: the metric, and its labels after the agent's."""
IN_METRICS = {
    "transcription_delay_s": "stt_delay_ms",
    "turn_decision_s": "turn_decision_ms",
    "llm_ttft_s": "llm_ttft_ms",
    "tts_ttfb_s": "tts_ttfb_ms",
    "realtime_ttft_s": "realtime_ttft_ms",
}
NOT_FROM_FIELDS_ALONE = {"agentstack_session_duration_seconds"}
"""A call that is cut off lasts from its first event to its last, by the exporter's clock."""

pytestmark = pytest.mark.timeout(240)
TurnKey = tuple[str, Any]


def name_of(event: dict[str, Any]) -> str | None:
    """The current name of an event, or None for one that no generation of the protocol has."""
    tag = "type" if "type" in event else "event"
    return KNOWN.get((tag, event[tag]))


@dataclass
class Call:
    """One session on its way through the expectation."""

    agent: str | None = None
    answered_by: str = "unknown"
    begun: bool = False
    counted: dict[TurnKey, str] = field(default_factory=dict)
    waiting: dict[TurnKey, dict[str, Any]] = field(default_factory=dict)


class Expectation:
    """What a set of sent events comes to, by the words of the design and not by the code: one call, one event at a time."""

    def __init__(self, records: Iterable[Record]) -> None:
        self.fields = ReferenceRecorder(inventory.events())
        self.events: Counter[str] = Counter()
        self.outcomes: Counter[str] = Counter()
        self.turns: Counter[str] = Counter()
        self.calls: dict[str, Call] = {}
        for record in records:
            self._take(self.calls.setdefault(record.session, Call()), record.event)
        for call in self.calls.values():
            self._end(call)

    def _take(self, call: Call, event: dict[str, Any]) -> None:
        name = name_of(event)
        if name is None:
            self.outcomes["ignored"] += 1
            return
        if name == "session.started":
            call.agent = event.get("agent_id") or call.agent
            if call.begun:
                event = {**event, "audio_format": None}  # a call that comes back has not begun again
            call.begun = True
        if name == "turn.metrics":
            found = self._turn_metrics(call, event)
            if found is None:
                self.outcomes["ignored"] += 1
                return
            event = found
        elif name == "turn.completed":
            self._turn_completed(call, event)
        elif name == "voicemail.detected" and event.get("result") in ("human", "machine"):
            call.answered_by = event["result"]
        elif name in ("session.ended", "stop"):
            self._end(call)
        self.outcomes["processed"] += 1
        self.events[name] += 1
        tag = "type" if "type" in event else "event"
        self.fields.record({**event, tag: name}, call.agent, call.answered_by)

    def _turn_metrics(self, call: Call, event: dict[str, Any]) -> dict[str, Any] | None:
        key = (event.get("agent_tool_id") or "", event["turn_number"])
        before = call.counted.get(key)
        if before == "metrics":
            self.fields.values_of(event)  # what is refused of a report is counted whether or not it is the turn's second
            return None
        call.counted[key] = "metrics"
        completed = call.waiting.pop(key, {})
        if before is None:
            self.turns["with metrics"] += 1
            return event
        self.turns["late"] += 1
        readable = ReferenceRecorder(inventory.events()).values_of(event)
        stood_in = {IN_METRICS[name] for name in STAND_INS if completed.get(name)}
        return {name: value for name, value in event.items() if name not in stood_in or readable[name] is None}

    def _turn_completed(self, call: Call, event: dict[str, Any]) -> None:
        key = (event.get("agent_tool_id") or "", event["turn_number"])
        if key not in call.counted:
            call.waiting[key] = event

    def _end(self, call: Call) -> None:
        for key, event in call.waiting.items():
            if key in call.counted:
                continue
            call.counted[key] = "without"
            self.turns["without metrics"] += 1
            for name, (metric, labels) in STAND_INS.items():
                if event.get(name):
                    self._stand_in(metric, (call.agent or "unknown", *labels), event[name])

    def _stand_in(self, metric: str, labels: tuple[str, ...], value: float) -> None:
        spec = metrics_of(inventory.events())[metric]
        found = self.fields.histograms.setdefault((metric, labels), ReferenceHistogram(spec.bounds, spec.unit))
        found.observe(Decimal(repr(value)), exemplar=False)


def by_name(samples: Samples) -> dict[str, list[tuple[dict[str, str], float]]]:
    """The samples of each name: labels and value."""
    found: dict[str, list[tuple[dict[str, str], float]]] = {}
    for (name, labels), value in samples.items():
        found.setdefault(name, []).append((dict(labels), value))
    return found


def differences(expected: Expectation, samples: Samples) -> list[str]:
    """Every series of the metrics that events and their fields feed, where scrape and expectation differ."""
    shown = by_name(samples)
    wanted: dict[str, dict[tuple[str, ...], float]] = {}
    found: dict[str, dict[tuple[str, ...], float]] = {}
    for name, spec in metrics_of(inventory.events()).items():
        if name in NOT_FROM_FIELDS_ALONE:
            continue
        labels = spec.scraped_labels
        for sample in (f"{name}_count", f"{name}_sum", f"{name}_bucket") if spec.bounds else (name,):
            found[sample] = {
                (*(carried.get(label, "") for label in labels), *([repr(float(carried["le"]))] if "le" in carried else [])): value
                for carried, value in shown.get(sample, ())
            }
            wanted[sample] = {}
    for (name, values), number in expected.fields.numbers.items():
        wanted[name][values] = float(number)
    for (name, values), histogram in expected.fields.histograms.items():
        if name not in NOT_FROM_FIELDS_ALONE:
            wanted[f"{name}_count"][values] = sum(histogram.counts)
            wanted[f"{name}_sum"][values] = float(histogram.sum)
            for place, bound in enumerate((*histogram.bounds, math.inf)):
                wanted[f"{name}_bucket"][*values, repr(bound)] = sum(histogram.counts[: place + 1])
    return [problem for sample in wanted for problem in compared(sample, wanted[sample], found[sample])]


def compared(name: str, wanted: dict[tuple[str, ...], Any], found: dict[tuple[str, ...], float]) -> list[str]:
    """A line for each series that is missing, too much, or not equal to a billionth."""
    return [
        f"{name}{labels}: {found.get(labels)} where {wanted.get(labels)} was expected"
        for labels in wanted.keys() | found.keys()
        if not math.isclose(wanted.get(labels, math.nan), found.get(labels, math.nan), rel_tol=1e-9, abs_tol=0.0)
    ]


@pytest.mark.parametrize("profiles", [("mixed",), ("messy", "s2s", "outbound", "streaming")], ids="-".join)
async def test_the_page_equals_the_truth(tmp_path: Path, profiles: tuple[str, ...]) -> None:
    """Two hundred calls at once leave exactly the counters, buckets and sums that follow from what was sent."""
    samples, truth, summary = await final_scrape(tmp_path, calls=CALLS, profiles=profiles, seed=7)
    records = list(read_truth(truth))
    expected = Expectation(records)
    assert (summary["calls"], summary["failed"], summary["events"]) == (CALLS, 0, len(records))
    assert total(samples, "agentstack_exporter_frames_received_total") == len(records)
    for outcome in ("processed", "ignored", "rejected"):
        assert total(samples, "agentstack_exporter_frames_total", outcome=outcome) == expected.outcomes[outcome], outcome
    assert differences(expected, samples) == []
    for event, count in expected.events.items():
        assert total(samples, "agentstack_exporter_events_total", event=event) == count, event
    refused = by_name(samples).get("agentstack_exporter_values_refused_total", [])
    assert {(labels["field"], labels["reason"]): value for labels, value in refused if value} == expected.fields.refused
    assert total(samples, "agentstack_sessions_total") == total(samples, "agentstack_sessions_ended_total") == len(expected.calls)
    assert total(samples, "agentstack_session_duration_seconds_count") == len(expected.calls)
    assert total(samples, "agentstack_sessions_active") == 0
    turns = expected.turns
    assert total(samples, "agentstack_turns_total") == turns["with metrics"] + turns["without metrics"]
    assert total(samples, "agentstack_turns_without_metrics_total") == turns["without metrics"]
    assert total(samples, "agentstack_turn_metrics_late_total") == turns["late"]
    assert total(samples, "agentstack_user_perceived_latency_seconds_count") == len(perceived_of(records)) > CALLS


async def test_calls_that_are_cut_off(tmp_path: Path) -> None:
    """When the platform dies in mid-call, every frame it had sent counts and all its calls have ended as disconnected."""
    truth = tmp_path / "truth.jsonl"
    async with daemon_process(tmp_path, "--session-resume", "0") as daemon:
        arguments = ("--calls", "30", "--turns", "100", "--speed", "20", "--seed", "3", "--truth", str(truth), "--quiet")
        async with program(subdirectory(tmp_path, "platform"), "simulate", "--url", daemon.endpoints.ws, *arguments) as platform:
            await daemon.endpoints.reaches("agentstack_sessions_total", 30, within=30)
            await daemon.endpoints.reaches("agentstack_exporter_frames_received_total", 300, within=30)
            platform.process.terminate()
            await platform.ended()
            summary = msgspec.json.decode(platform.output)
        received = await daemon.endpoints.reaches("agentstack_exporter_frames_received_total", summary["events"])
        assert received == summary["events"] == len(list(read_truth(truth)))
        ended = "agentstack_sessions_ended_total"
        assert await daemon.endpoints.reaches(ended, 30) == 30
        assert await daemon.endpoints.total(ended, reason="disconnected") >= summary["cut_off"] > 0
        assert await daemon.endpoints.total("agentstack_exporter_build_info", build=BUILD) == 1  # compiled if the test is
