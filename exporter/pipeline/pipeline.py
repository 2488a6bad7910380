"""The core, joined: what is done with each event, what is due as time passes, and the snapshot of all metrics."""

from dataclasses import dataclass
from typing import Final

import msgspec

from exporter.analysis.latency_breakdown import SLOW_TURN
from exporter.analysis.prices import PriceList
from exporter.analysis.turn_counter import TurnCounter
from exporter.catalogue.derived import DERIVED, USAGE_PAIRS, tables
from exporter.catalogue.genai_metrics import DEFAULT, LOGIC_METRICS, Generation
from exporter.events import Wire
from exporter.events.base import event_name
from exporter.events.turns import TurnCompleted
from exporter.metrics.label_limits import PAIR, LabelLimiter, LabelLimits, component_of
from exporter.metrics.recorder import Recorder
from exporter.metrics.self_metrics import SelfMetrics
from exporter.metrics.snapshot import Snapshot
from exporter.metrics.store import Row, Store
from exporter.pipeline.diagnostics import Diagnostics
from exporter.pipeline.event_handlers import EventHandlers
from exporter.pipeline.event_lag import EventLag
from exporter.pipeline.event_steps import create_steps
from exporter.pipeline.exemplar_references import ExemplarReferences
from exporter.pipeline.trackers import create_trackers
from exporter.pipeline.turn_lengths import TurnLengths
from exporter.protocol.decoder import SPECS
from exporter.protocol.learning_decoder import LearningDecoder
from exporter.protocol.reasons import RefusalReason, RefusedValue
from exporter.sessions.app_state import LlmAnswer, ToolAnswer
from exporter.sessions.call_journal import NOTE_WEIGHT
from exporter.sessions.kept_calls import KeptCalls
from exporter.sessions.registry import SessionRegistry, SessionTimeouts
from exporter.sessions.session import Session
from exporter.sessions.turn_notes import TurnNotes
from exporter.tracing.processor import SpanProcessor
from exporter.tracing.sampling import SpanOptions
from exporter.tracing.span_handlers import Emit

SWEEP_EVERY: Final = 60.0
"""Seconds between searches for idle sessions and idle label values."""
CLEAR_CACHES_EVERY: Final = 3600.0
"""Seconds after which cached rows are looked up again, which marks their label values as in use."""
SUBSCRIPTION: Final = msgspec.json.encode(
    {"type": "agent_session.update", "events": {"metrics_events": True, "vad_events": True, "turn_events": True}}
).decode()
"""The message that asks the platform for the events it sends only on request."""
_MOST_BYTES_A_CHARACTER: Final = 4
_LARGEST: Final = 5
"""Metrics that a report of a full store names."""


@dataclass(frozen=True, slots=True)
class Journals:
    """What is kept of calls for /live. With ``content``, what was said in turns is kept too.

    ``notes`` gets the slow and the failed turns.
    """

    kept_calls: KeptCalls
    notes: TurnNotes
    content: bool = False


@dataclass(frozen=True, slots=True)
class Tracing:
    """How spans are made, and what takes them: serialised, the moment they are complete, those of a turn together."""

    options: SpanOptions
    emit: Emit


class Pipeline:
    """The core of one process: everything between the receivers and the exporters. ``now`` is always unix seconds.

    ``max_frame`` is the size in bytes above which events are shortened. With ``exponential``, histograms keep exponential buckets
    beside the explicit ones. With ``exemplars``, latencies point at the spans of their turns. Turns whose caller waited longer than
    ``slow_turn`` (seconds) are slow. ``genai`` says which names the metrics of the GenAI conventions have, if there are any. Without
    ``prices`` no cost is counted, without ``tracing`` no spans are made, and without ``journals`` nothing is kept for /live.
    """

    def __init__(
        self,
        limits: LabelLimits,
        timeouts: SessionTimeouts,
        diagnostics: Diagnostics,
        now: float,
        max_frame: int = 65_536,
        *,
        exponential: bool = False,
        exemplars: bool = True,
        slow_turn: float = SLOW_TURN,
        prices: PriceList | None = None,
        genai: Generation | None = DEFAULT,
        tracing: Tracing | None = None,
        journals: Journals | None = None,
    ) -> None:
        self.diagnostics = diagnostics
        self.decoder: Final = LearningDecoder()
        self.max_frame = max_frame
        self.max_characters = max_frame // _MOST_BYTES_A_CHARACTER
        """A text of at most this many characters is within ``max_frame``, whatever the characters are."""
        self.store = Store(limits.series, born=now, exponential=exponential)
        self.metrics = SelfMetrics(self.store, now)
        self.lag: Final = EventLag(self.metrics.event_lag)
        self._limiter = LabelLimiter(
            limits,
            self._drop_series,
            overflow=lambda label: self.metrics.label_overflow.add(1, label=label),
            masked=lambda label: self.metrics.label_masked.add(1, label=label),
        )
        self._recorder = Recorder(SPECS, self.store, self._limiter, genai)
        for spec in (*DERIVED, *(LOGIC_METRICS if genai else ())):
            self.store.add_layout([spec], tables=tables(spec))
        self.spans = SpanProcessor(tracing.options, SPECS, tracing.emit) if tracing else None
        turns = TurnCounter(
            self.store,
            self._limiter,
            timeouts.turn,
            self.refuse,
            diagnostics.metrics_missing,
            on_without_metrics=self._without_metrics,
        )
        self.trackers = create_trackers(
            self.store, self._limiter, turns, self.refuse, slow_turn=slow_turn, prices=prices, genai=genai is not None
        )
        kept_calls = None if journals is None else journals.kept_calls
        self.sessions = SessionRegistry(self.store, self._recorder, self._limiter, timeouts, self._finish, kept_calls=kept_calls)
        handlers = EventHandlers(self.trackers, self.sessions, self.spans, self.app_answered, self.lag.note)
        if journals is not None:
            self.trackers.latency_breakdown.on_slow, handlers.on_failed = journals.notes.slow, journals.notes.failed
        self.steps = create_steps(
            handlers,
            ExemplarReferences(self.spans).of if exemplars else None,
            self._recorder,
            self.metrics,
            spans=self.spans,
            lengths=TurnLengths(self.trackers.genai_durations) if genai else None,
            keep_content=journals is not None and journals.content,
        )
        self._swept_at = self._cleared_at = now
        self._limits = limits
        self._reported_full = False
        self._refused_rows: dict[RefusedValue, Row] = {}
        self._unknown_rows: dict[tuple[type[Wire], str], Row] = {}

    def app_answered(self, session: Session, answer: ToolAnswer | LlmAnswer | None, now: float) -> None:
        """Pass an answer of the customer's app to the spans and the journal."""
        if answer is None:
            return
        if self.spans is not None:
            self.spans.app_answered(session, answer, now)
        if session.journal is not None:
            session.journal.keep(answer, NOTE_WEIGHT, now)

    def refuse(self, field: str, reason: RefusalReason) -> None:
        """Count a value that was not observed."""
        self.metrics.values_refused.add(1, field=field, reason=reason.value)

    def refuse_value(self, refused: RefusedValue) -> None:
        """As :meth:`refuse`, for the hot path. The declarations and the reasons bound how many rows are remembered."""
        row = self._refused_rows.get(refused)
        if row is None:
            row = self.metrics.values_refused.row(field=refused.field, reason=refused.reason.value)
            self._refused_rows[refused] = row
        row[0] += 1.0

    def unknown_event(self, event: str, now: float) -> None:
        """Count an event of unknown type by its name."""
        self.metrics.unknown_events.add(1, event=self._limiter.value("event", event, now))

    def unknown_fields(self, event: Wire, fields: tuple[str, ...], now: float) -> None:
        """Count unknown fields of a known event by their names."""
        for field in fields:
            row = self._unknown_rows.get((type(event), field))
            if row is None:
                row = self._unknown_row(type(event), field, now)
            row[0] += 1.0

    def _unknown_row(self, event: type[Wire], field: str, now: float) -> Row:
        """The row of an unknown field. It is remembered only if the name is a label value unchanged: others are counted each time."""
        label = self._limiter.value("field", field, now)
        row = self.metrics.unknown_fields.row(event=event_name(event), field=label)
        if label == field:
            self._unknown_rows[event, field] = row
        return row

    @property
    def idle(self) -> bool:
        """Whether no call goes on, and no turn waits for its turn.metrics. Only then may ``now`` go back."""
        return not len(self.sessions) and not self.trackers.turns.waiting

    def tick(self, now: float) -> None:
        """Do what is due. To be called about once a second."""
        self.trackers.turns.tick(now)
        self.sessions.tick(now)
        self.trackers.turn_taking.tick(now)
        if not 0 <= now - self._swept_at < SWEEP_EVERY:
            self._swept_at = now
            self.sessions.sweep(now)
            self._report_full_store()
            least = self.lag.take_least()
            if least is not None:
                self.metrics.clock_skew.set(least)
        if not 0 <= now - self._cleared_at < CLEAR_CACHES_EVERY:
            self._cleared_at = now
            self._clear_caches()

    def _report_full_store(self) -> None:
        if self.store.overflowed and not self._reported_full:
            self._reported_full = True
            self.diagnostics.store_full(self._limits.series, self.store.largest(_LARGEST))

    def snapshot(self, now: float) -> Snapshot:
        """All metrics as they are now."""
        if self.store.overflowed:
            self.metrics.label_overflow.set(self.store.overflowed, label="series")
        self.metrics.series.set(self.store.series)
        return self.store.snapshot(now)

    def close(self, now: float) -> None:
        """End all sessions: the process stops."""
        for session in self.sessions:
            self.sessions.end(session, "shutdown", now)
        self.trackers.turns.close(now)

    def _finish(self, session: Session, reason: str, now: float) -> None:
        """A session ends: complete its turns, states, waits and spans."""
        trackers = self.trackers
        trackers.turns.finish(session, now)
        trackers.states.finish(session, now)
        trackers.turn_taking.finish(session, reason, now)
        self.app_answered(session, trackers.app_latency.finish(session, now), now)
        if self.spans is not None:
            self.spans.finish(session, reason, now)

    def _without_metrics(self, session: Session, event: TurnCompleted, now: float) -> None:
        """A turn is counted without its turn.metrics."""
        if self.spans is not None:
            self.spans.without_metrics(session, event, now)
        if session.journal is not None:
            session.journal.keep_without_metrics(event, now)

    def _drop_series(self, table: str, names: tuple[str, ...], values: tuple[str, ...]) -> None:
        """Label values made room for others: drop their series."""
        dropped = self.store.drop(table, names, values)
        if names == PAIR:
            dropped += self.store.drop(USAGE_PAIRS, ("component", *names), (component_of(table), *values))
        if dropped:
            self._clear_caches()

    def _clear_caches(self) -> None:
        self._unknown_rows.clear()
        self._recorder.clear_caches(session.series_cache for session in self.sessions)
