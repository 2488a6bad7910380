"""The real recorders against the reference, which interprets the declarations one by one."""

import json
import math
from collections.abc import Sequence
from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st

from exporter.metrics import inventory
from exporter.metrics.label_limits import LabelLimits
from exporter.metrics.snapshot import HistogramPoint, Snapshot
from exporter.pipeline.call_feed import CallFeed
from exporter.pipeline.diagnostics import NoDiagnostics
from exporter.pipeline.pipeline import Pipeline
from exporter.sessions.registry import SessionTimeouts
from tests.support.events import documents
from tests.support.reference_recorder import ReferenceHistogram, ReferenceRecorder, metrics_of

NOW = 1_777_885_200.0
ROOM = LabelLimits(agents=10_000, pairs=10_000, values=10_000, series=10_000_000)
SUBNORMAL = 1e-300
"""Numbers this small have lost digits when the JSON was read; no relative bound holds for them."""
FED = metrics_of(inventory.events())
SESSION_DURATION = "agentstack_session_duration_seconds"

agents = st.sampled_from((None, "", "agent-support", "+14155550100"))
judgements = st.sampled_from((None, "human", "machine"))
turns = st.tuples(agents, judgements, documents["turn.metrics"])
one_of_each = st.tuples(*(st.tuples(agents, judgements, document) for document in documents.values()))

Case = tuple[str | None, str | None, dict[str, Any]]


class LoudDiagnostics(NoDiagnostics):
    def internal_error(self, error: Exception) -> None:
        raise error


def in_own_call(event: dict[str, Any], number: int) -> dict[str, Any]:
    """The event with ids that no other case has: one that names the call of another would end this session, and go on with that."""
    named = {
        name: f"{number}-{value}"
        for name in ("agent_session_id", "call_id", "callId", "streamId")
        if (value := event.get(name)) and isinstance(value, str)
    }
    inner = {"start": in_own_call(event["start"], number)} if isinstance(event.get("start"), dict) else {}
    return {**event, **named, **inner}


def consumed(given_cases: Sequence[Case], *, exponential: bool = False) -> tuple[Snapshot, ReferenceRecorder]:
    """What the pipeline and the reference make of the events, each in a session of its own."""
    pipeline = Pipeline(ROOM, SessionTimeouts(), LoudDiagnostics(), NOW, exponential=exponential)
    reference = ReferenceRecorder(inventory.events())
    for number, (agent, judgement, given_event) in enumerate(given_cases):
        event = in_own_call(given_event, number)
        feed = CallFeed(pipeline)
        before: list[dict[str, Any]] = [{"type": "session.started", "agent_id": agent}]
        before += [{"type": "voicemail.detected", "result": judgement}] if judgement else []
        for document in (*before, event):
            feed.consume(json.dumps(document), NOW)
        for document in before:
            reference.record(document, agent, "unknown")
        given_agent = event.get("agent_id") if event.get("type") == "session.started" else None
        reference.record(event, given_agent if given_agent and isinstance(given_agent, str) else agent, judgement or "unknown")
        _observe_length(reference, event, agent)
    assert pipeline.metrics.rejected[0] == 0
    return pipeline.snapshot(NOW), reference


def _observe_length(reference: ReferenceRecorder, event: dict[str, Any], agent: str | None) -> None:
    """Session logic observes how long a session was (here: no time) when the event that ends it does not say."""
    names = (event.get("type"), event.get("event"))
    spec = next(spec for spec in inventory.events() if spec.name == "session.ended")
    duration = event.get("duration_seconds")
    reported = isinstance(duration, int | float) and not isinstance(duration, bool) and 0 <= duration <= 86_400
    if "stop" in names or ("session.ended" in names and not reported):
        says_zero = {"type": "session.ended", "duration_seconds": 0}
        extra = ReferenceRecorder([spec])
        extra.record(says_zero, agent, "unknown")
        for key, histogram in extra.histograms.items():
            found = reference.histograms.setdefault(key, ReferenceHistogram(histogram.bounds, histogram.unit))
            found.counts = [one + other for one, other in zip(found.counts, histogram.counts, strict=True)]
            found.exponential += histogram.exponential


def assert_equal(snapshot: Snapshot, reference: ReferenceRecorder) -> None:
    shown = {
        (family.spec.name, series.labels): series.value
        for family in snapshot.families
        if family.spec.name in FED
        for series in family.series
    }
    assert shown.keys() == reference.numbers.keys() | reference.histograms.keys()
    for key, value in shown.items():
        if isinstance(value, HistogramPoint):
            assert_same_histogram(value, reference.histograms[key])
        else:
            assert math.isclose(value, reference.numbers[key], rel_tol=1e-12, abs_tol=SUBNORMAL)


def assert_same_histogram(point: HistogramPoint, expected: ReferenceHistogram) -> None:
    assert list(point.counts) == expected.counts
    assert math.isclose(point.sum, expected.sum, rel_tol=1e-12, abs_tol=SUBNORMAL)
    kept = {place: exemplar.value for place, exemplar in enumerate(point.exemplars) if exemplar is not None}
    assert kept.keys() == expected.exemplars.keys()
    assert all(math.isclose(value, expected.exemplars[place], rel_tol=1e-12, abs_tol=SUBNORMAL) for place, value in kept.items())


def refused(snapshot: Snapshot) -> dict[tuple[str, ...], float]:
    return {
        series.labels: series.value
        for family in snapshot.families
        if family.spec.name == "agentstack_exporter_values_refused_total"
        for series in family.series
        if isinstance(series.value, float)
    }


@given(given_cases=one_of_each)
def test_every_event_updates_what_the_declarations_say(given_cases: Sequence[Case]) -> None:
    """Whatever events come, the series they update and the values that are refused are those that the declarations say."""
    snapshot, reference = consumed(given_cases)
    assert_equal(snapshot, reference)
    assert refused(snapshot) == reference.refused


@given(given_cases=st.lists(turns, min_size=1, max_size=3))
@example(given_cases=[(None, None, {"type": "turn.metrics"})])
@example(given_cases=[("a", None, {"type": "turn.metrics", "turn_number": 1, "user_perceived_ms": 300})])
@example(given_cases=[("a", None, {"type": "turn.metrics", "turn_completed_callback_ms": -1, "on_user_turn_completed_ms": 5})])
def test_turns_update_what_the_declarations_say(given_cases: Sequence[Case]) -> None:
    """Turns with any fields missing, null or wrong update what their other fields feed, and nothing else."""
    snapshot, reference = consumed(given_cases)
    assert_equal(snapshot, reference)
    assert refused(snapshot) == reference.refused


def assert_same_exponential(point: HistogramPoint, expected: ReferenceHistogram) -> None:
    assert point.exponential is not None
    assert point.exponential.zero_count == expected.exponential.pop(None, 0)
    assert point.exponential.counts == expected.exponential


@given(cases=st.lists(turns, max_size=3) | one_of_each)
def test_exponential_buckets_equal_the_reference(cases: Sequence[Case]) -> None:
    """With exponential buckets kept, every value is in the one that exact arithmetic puts it in, and all else is the same."""
    snapshot, reference = consumed(cases, exponential=True)
    assert_equal(snapshot, reference)
    for family in snapshot.families:
        for series in family.series:
            if isinstance(series.value, HistogramPoint) and family.spec.name in FED:
                assert_same_exponential(series.value, reference.histograms[family.spec.name, series.labels])
