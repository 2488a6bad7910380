"""Recorders: which rows an event updates, what is looked up once, and what is counted each time."""

import json
from typing import Annotated, Any, ClassVar

import pytest

from exporter.catalogue.declarations import DeclarationError, Feeds, Flag, Ignored, OfSession, OneOf, Text, counter, histogram, labels
from exporter.catalogue.inspect import inspect_event
from exporter.catalogue.quantities import DurationS, LatencyMs
from exporter.events.base import Event
from exporter.metrics.label_limits import MAX_LENGTH, LabelLimiter, LabelLimits
from exporter.metrics.recorder import Recorder, one_of
from exporter.metrics.series_cache import SeriesCache
from exporter.metrics.snapshot import HistogramPoint, Snapshot
from exporter.metrics.store import Store
from exporter.pipeline.call_feed import CallFeed
from exporter.pipeline.diagnostics import NoDiagnostics
from exporter.pipeline.pipeline import Pipeline
from exporter.protocol.ids import TurnRef
from exporter.sessions.registry import SessionTimeouts

NOW = 1000.0
DAY = 86_400.0
BY = labels(agent=OfSession("agent"), tool=Text("tool"), ok=Flag("ok"), outcome=OneOf("outcome", ("good", "bad")))


class Ran(Event, frozen=True, forbid_unknown_fields=True, tag="tool.ran"):
    metrics: ClassVar[tuple[Feeds, ...]] = (counter("runs", "Runs.", BY, unit="{run}"),)

    tool: Annotated[str | None, Ignored("an example")] = None
    ok: Annotated[bool | None, Ignored("an example")] = None
    outcome: Annotated[str | None, Ignored("an example")] = None
    took_ms: Annotated[LatencyMs | None, histogram("run.time", "Time.", (0.3, 1.0), BY, exemplars=True)] = None
    waited_ms: Annotated[LatencyMs | None, histogram("run.wait", "Wait.", (0.3,), zero_is_unknown=True)] = None
    answered: Annotated[
        bool | None,
        counter("run.answers", "Answers.", labels(answered_by=OfSession("answered_by")), unit="{answer}", amount="presence"),
    ] = None


class Bench:
    """A recorder of one event with a store of its own."""

    def __init__(self, limits: LabelLimits | None = None, series: int = 10_000) -> None:
        self.overflowed: list[str] = []
        self.store = Store(series)
        self.recorder = Recorder(
            [inspect_event(Ran)], self.store, LabelLimiter(limits or LabelLimits(), lambda *_: None, self.overflowed.append)
        )

    def record(self, event: Ran, cache: SeriesCache | None = None, turn: TurnRef | None = None) -> None:
        self.recorder.record[Ran](event, cache or self.recorder.series_cache("a"), NOW, turn)

    def shown(self, name: str) -> dict[tuple[str, ...], Any]:
        return values_of(self.store.snapshot(NOW), name)


def values_of(snapshot: Snapshot, name: str) -> dict[tuple[str, ...], Any]:
    return {series.labels: series.value for family in snapshot.families if family.spec.name == name for series in family.series}


def test_labels_come_from_session_and_event() -> None:
    """An event is counted under its session's agent and its own fields, absent ones as unknown or false."""
    bench = Bench()
    bench.record(Ran(tool="crm", ok=True, outcome="good"))
    bench.record(Ran(tool="crm", ok=True, outcome="splendid"))
    bench.record(Ran(), bench.recorder.series_cache("unknown"))
    assert bench.shown("agentstack_runs_total") == {
        ("a", "crm", "true", "good"): 1.0,
        ("a", "crm", "true", "other"): 1.0,
        ("unknown", "unknown", "false", "unknown"): 1.0,
    }


def test_what_is_absent_moves_nothing() -> None:
    """A field that is not there, or whose zero says unknown, is not observed, while a plain zero is."""
    bench = Bench()
    bench.record(Ran(waited_ms=0))
    assert bench.shown("agentstack_run_time_seconds") == bench.shown("agentstack_run_wait_seconds") == {}
    bench.record(Ran(took_ms=0))
    ((point),) = bench.shown("agentstack_run_time_seconds").values()
    assert point == HistogramPoint((1, 0, 0), 0.0)


def test_an_example_needs_a_turn() -> None:
    """A value is kept as its bucket's example only where it belongs to a turn, the last one staying."""
    bench = Bench()
    bench.record(Ran(took_ms=100))
    ((point),) = bench.shown("agentstack_run_time_seconds").values()
    assert point.exemplars == ()
    for milliseconds in (200, 250):
        bench.record(Ran(took_ms=milliseconds), turn=TurnRef("t", ("", 1)))
    ((point),) = bench.shown("agentstack_run_time_seconds").values()
    assert [exemplar and exemplar.value for exemplar in point.exemplars] == [0.25, None, None]


def test_machines_are_kept_apart() -> None:
    """Measurements of calls that a machine answered are in series of their own."""
    bench = Bench()
    bench.record(Ran(answered=True), bench.recorder.series_cache("a", "machine"))
    bench.record(Ran(answered=True), bench.recorder.series_cache("a"))
    assert bench.shown("agentstack_run_answers_total") == {("machine",): 1.0, ("unknown",): 1.0}


def test_a_cache_is_shared_by_an_agent() -> None:
    """Sessions of one agent find their rows in the same place, sessions of another do not."""
    recorder = Bench().recorder
    assert recorder.series_cache("a") is recorder.series_cache("a")
    assert recorder.series_cache("a") is not recorder.series_cache("b")
    assert recorder.series_cache("a") is not recorder.series_cache("a", "human")


def test_rows_are_looked_up_once() -> None:
    """The rows of raw values seen before come from the cache, which can be emptied."""
    bench = Bench()
    cache = bench.recorder.series_cache("a")
    bench.record(Ran(tool="crm"))
    cached = [dict(rows) for rows in cache.rows]
    assert any(cached)
    bench.record(Ran(tool="crm"))
    assert [dict(rows) for rows in cache.rows] == cached
    held = SeriesCache("elsewhere", "unknown", len(cache.rows))
    held.rows[0]["key"] = ()
    bench.recorder.clear_caches([held])
    assert not any(cache.rows)
    assert not any(held.rows)
    bench.record(Ran(tool="crm"))
    assert bench.shown("agentstack_runs_total") == {("a", "crm", "false", "unknown"): 3.0}


def test_an_overflow_is_counted_each_time() -> None:
    """A value without room is not remembered, so that each event it comes with is counted and room made later is found."""
    bench = Bench(LabelLimits(values=1))
    for tool in ("crm", "new", "new"):
        bench.record(Ran(tool=tool))
    assert bench.overflowed == ["tool", "tool"]
    assert bench.shown("agentstack_runs_total")[("a", "_other", "false", "unknown")] == 2.0


def test_a_full_store_is_counted_each_time() -> None:
    """When the store is full each event counts as the same overflow, whether it is the first of its kind or not."""
    bench = Bench(series=1)
    bench.record(Ran(tool="first"))
    before, seen = bench.store.overflowed, []
    for tool in ("crm", "crm", "erp", "crm", "erp"):
        bench.record(Ran(tool=tool))
        seen.append(bench.store.overflowed - before)
    assert seen[0] > 0
    assert seen == [seen[0] * number for number in range(1, 6)]
    assert any(bench.recorder.series_cache("a").full_rows)


def test_room_that_is_made_in_a_full_store_is_used() -> None:
    """What was `_other` because the store was full gets a series of its own once others were dropped."""
    bench = Bench(series=1)
    for tool in ("crm", "crm"):
        bench.record(Ran(tool=tool))
    assert ("a", "crm", "false", "unknown") not in bench.shown("agentstack_runs_total")
    bench.store._max_series = 10_000  # as much as dropping others would make
    bench.recorder.clear_caches([])
    bench.record(Ran(tool="crm"))
    assert bench.shown("agentstack_runs_total")["a", "crm", "false", "unknown"] == 1.0


@pytest.mark.parametrize(("length", "kept"), [(MAX_LENGTH, True), (MAX_LENGTH + 1, False)])
def test_long_texts_are_not_remembered(length: int, kept: bool) -> None:
    """A text longer than any label needs is counted but is no key of the cache."""
    bench = Bench()
    bench.record(Ran(tool="x" * length))
    assert any(cache for cache in bench.recorder.series_cache("a").rows if cache) is kept
    assert len(bench.shown("agentstack_runs_total")) == 1


def test_caches_are_bounded() -> None:
    """Thousands of texts that come to the same label value leave no more keys behind than the cache may have."""
    bench = Bench()
    for number in range(3000):
        bench.record(Ran(tool=f"+1415555{number:04}"))
    assert max(len(cache) for cache in bench.recorder.series_cache("a").rows) <= 1024
    assert bench.shown("agentstack_runs_total") == {("a", "_masked", "false", "unknown"): 3000.0}
    for number in range(3000):
        bench.recorder.series_cache(f"agent-{number}")
    assert len(bench.recorder._caches) <= 1024


class RanInSeconds(Event, frozen=True, forbid_unknown_fields=True, tag="tool.ran_s"):
    took_s: Annotated[DurationS | None, histogram("run.time", "Time.", (0.3, 1.0), BY, exemplars=True)] = None
    tool: Annotated[str | None, Ignored("an example")] = None
    ok: Annotated[bool | None, Ignored("an example")] = None
    outcome: Annotated[str | None, Ignored("an example")] = None


def test_a_metric_is_fed_in_one_unit() -> None:
    """A metric cannot be fed by one field in milliseconds and by another in seconds."""
    with pytest.raises(DeclarationError, match="different units"):
        Recorder(
            [inspect_event(Ran), inspect_event(RanInSeconds)], Store(100), LabelLimiter(LabelLimits(), lambda *_: None, lambda _: None)
        )


@pytest.mark.parametrize(("raw", "value"), [("a", "a"), ("b", "other"), ("", "unknown"), (None, "unknown")])
def test_a_closed_set_stays_closed(raw: str | None, value: str) -> None:
    """A value is of the set, or other, or unknown."""
    assert one_of(raw, ("a",)) == value


def consume(pipeline: Pipeline, now: float, *events: dict[str, Any]) -> None:
    feed = CallFeed(pipeline)
    for event in events:
        feed.consume(json.dumps(event), now)
    feed.close(now)
    pipeline.tick(now)


def test_an_evicted_pair_takes_only_its_own_series() -> None:
    """A model idle for a day gives up its series for a new one, while the same model of another component keeps counting."""
    pipeline = Pipeline(LabelLimits(pairs=1), SessionTimeouts(), NoDiagnostics(), NOW)
    stt = {"type": "turn.metrics", "stt_provider": "openai", "stt_model": "whisper", "stt_audio_duration_ms": 1000}
    tts = {"type": "turn.metrics", "tts_provider": "openai", "tts_model": "whisper", "tts_characters": 7}
    consume(pipeline, NOW, stt, tts)
    consume(pipeline, NOW + DAY - 60, tts)
    pipeline.tick(NOW + DAY + 3600)
    consume(pipeline, NOW + DAY + 3601, stt | {"stt_model": "whisper-2"}, tts)
    snapshot = pipeline.snapshot(NOW)
    assert set(values_of(snapshot, "agentstack_stt_audio_duration_seconds_total")) == {("openai", "whisper-2")}
    assert values_of(snapshot, "agentstack_tts_characters_total") == {("openai", "whisper", "false"): 21.0}


def test_an_evicted_pair_takes_its_usage() -> None:
    """The series of session.usage are bounded with those of turn.metrics and go with them."""
    pipeline = Pipeline(LabelLimits(pairs=1), SessionTimeouts(), NoDiagnostics(), NOW)
    start = {"type": "session.started", "agent_session_id": "as-1"}
    for now, model in ((NOW, "old"), (NOW + DAY, "new")):
        usage = {"type": "llm_usage", "provider": "openai", "model": model, "input_tokens": 5}
        consume(pipeline, now, start | {"agent_session_id": model}, {"type": "session.usage", "models": [usage]})
    assert values_of(pipeline.snapshot(NOW), "agentstack_usage_input_tokens_total") == {("llm", "openai", "new"): 5.0}


def test_an_evicted_name_leaves_the_exporters_own_counters() -> None:
    """An unknown event or a reason that is forgotten takes nothing from counters that have a value of the same name."""
    pipeline = Pipeline(LabelLimits(values=1), SessionTimeouts(), NoDiagnostics(), NOW)
    for now, name, reason in ((NOW, "empty", "not_json"), (NOW + DAY, "other", "hangup")):
        consume(pipeline, now, {"type": name}, {"type": "session.ended", "reason": reason})
        feed = CallFeed(pipeline)
        feed.consume("{", now)
    snapshot = pipeline.snapshot(NOW)
    assert set(values_of(snapshot, "agentstack_exporter_unknown_events_total")) == {("other",)}
    assert values_of(snapshot, "agentstack_exporter_frames_rejected_total")[("not_json",)] == 2.0
    assert values_of(snapshot, "agentstack_exporter_events_total")[("session.ended",)] == 2.0


def test_audio_that_is_only_padding_counts_for_nothing() -> None:
    """Received audio never counts down, whatever its text is."""
    pipeline = Pipeline(LabelLimits(), SessionTimeouts(), NoDiagnostics(), NOW)
    for payload in ("=", "==", "===", "", "QQ==", "QQ", "QUI=", "QUJD"):
        consume(pipeline, NOW, {"event": "media", "media": {"payload": payload}})
    assert values_of(pipeline.snapshot(NOW), "agentstack_audio_stream_received_bytes_total") == {("unknown",): 1 + 1 + 2 + 3}


def test_the_time_of_audio_feeds_the_lag() -> None:
    """A media message's own timestamp is compared with its receipt."""
    pipeline = Pipeline(LabelLimits(), SessionTimeouts(), NoDiagnostics(), NOW)
    consume(pipeline, 1_777_885_200.52, {"event": "media", "media": {"timestamp": "2026-05-04T09:00:00.020Z"}})
    point = values_of(pipeline.snapshot(NOW), "agentstack_exporter_event_lag_seconds")[()]
    assert (sum(point.counts), round(point.sum, 3)) == (1, 0.5)
