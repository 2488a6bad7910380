"""All that lies between the ways in and the views, joined: what is done with each event, what is due by the clock, and the snapshot."""

from collections.abc import Callable, Iterator
from typing import Any, Final

import msgspec

from exporter.analysis.app_latency import AppLatency
from exporter.analysis.audio_jitter import AudioJitter
from exporter.analysis.cost import Cost
from exporter.analysis.latency_breakdown import SLOW_TURN, LatencyBreakdown
from exporter.analysis.prices import PriceList
from exporter.analysis.states import Activity
from exporter.analysis.turn_position import TurnPosition
from exporter.analysis.turn_taking import TurnTakingTracker
from exporter.analysis.turns import Turns
from exporter.catalogue.derived import DERIVED, USAGE_PAIRS, tables
from exporter.events import Wire, audio_stream, session, speech, telephony, tools, turn_metrics, turns
from exporter.events.base import event_name
from exporter.metrics.label_limits import PAIR, LabelLimiter, LabelLimits, component_of
from exporter.metrics.recorder import Record, Recorder
from exporter.metrics.self_metrics import SelfMetrics
from exporter.metrics.snapshot import Snapshot
from exporter.metrics.store import Store
from exporter.protocol.decoder import SPECS, Refused
from exporter.protocol.ids import TurnRef, turn_key
from exporter.sessions.app_state import LlmAnswer, ToolAnswer
from exporter.sessions.registry import Session, Sessions, SessionTimeouts
from exporter.tracing.handlers import Emit, SpanHandler
from exporter.tracing.processor import SpanProcessor
from exporter.tracing.sampling import SpanOptions

Logic = Callable[[Session, Any, float], Any]
"""Session logic of one event type: returns the event to record, or ``None`` if it is not to be."""

SWEEP_EVERY: Final = 60.0
"""How often idle sessions and idle label values are looked for, in seconds."""
FORGET_EVERY: Final = 3600.0
"""How often label values must show that they are still in use, in seconds."""
STALE_LAG: Final = 3600.0
"""An event older than this is a replay, not a late event; in seconds."""
SUBSCRIPTION: Final = msgspec.json.encode(
    {"type": "agent_session.update", "events": {"metrics_events": True, "vad_events": True, "turn_events": True}}
).decode()
"""What asks the platform for the events it sends only on request."""


class Diagnostics:
    """What the core wants said to people; whoever joins the parts hands it a way to say it."""

    def metrics_missing(self, agent: str) -> None:
        """Turns of ``agent`` complete, but no turn.metrics comes."""

    def internal_error(self, error: Exception) -> None:
        """A frame met an error of ours."""


class Pipeline:
    """All that lies between the ways in and the views, for one process. ``now`` is always unix seconds.

    ``exponential`` makes histograms keep exponential buckets beside the explicit ones. With ``tracing``, spans as the options say are
    handed, serialised, to its second part the moment they are complete, those of a turn together. ``exemplars`` lets latencies point
    at their turns. Turns whose caller waited longer than ``slow_turn`` (seconds) are slow.
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
        tracing: tuple[SpanOptions, Emit] | None = None,
    ) -> None:
        self.store = Store(limits.series, born=now, exponential=exponential)
        self.metrics = SelfMetrics(self.store, now)
        self.diagnostics = diagnostics
        self.max_frame = max_frame
        self.surely_fits = max_frame // _MOST_BYTES_A_CHARACTER
        self._limiter = LabelLimiter(limits, self._evict, lambda label: self.metrics.label_overflow.add(1, label))
        self._recorder = Recorder(SPECS, self.store, self._limiter)
        for spec in DERIVED:
            self.store.add_layout([spec], tables=tables(spec))
        self.exemplars = exemplars
        self.spans = SpanProcessor(tracing[0], SPECS, tracing[1]) if tracing else None
        without = self.spans.without_metrics if self.spans else None
        self.turns = Turns(self.store, self._limiter, timeouts.turn, self.refuse, diagnostics.metrics_missing, without=without)
        self._latency_breakdown = LatencyBreakdown(self.store, self._limiter, slow_turn)
        self.turn_taking = TurnTakingTracker(self.store, slow_turn)
        self._activity = Activity(self.store, self._limiter, self.refuse)
        self._turn_position = TurnPosition(self.store)
        self._cost = Cost(self.store, self._limiter, prices)
        self.app_latency = AppLatency(self.store, self._limiter)
        self.audio_jitter = AudioJitter(self.store)
        self.sessions = Sessions(self.store, self._recorder, self._limiter, timeouts, self._finish)
        self.steps = dict(self._steps())
        self._swept_at = self._forgot_at = now
        self._least_lag: float | None = None

    def answered(self, of: Session, answer: ToolAnswer | LlmAnswer | None, now: float) -> None:
        """Tell spans what was learned of the customer's app."""
        if answer is not None and self.spans is not None:
            self.spans.app_answered(of, answer, now)

    def refuse(self, field: str, reason: Refused) -> None:
        """Count a value that was not observed."""
        self.metrics.values_refused.add(1, field, reason.value)

    def note_lag(self, lag: float) -> None:
        """Take in how long an event took to reach us, in seconds."""
        if -STALE_LAG < lag < STALE_LAG:
            if self._least_lag is None or lag < self._least_lag:
                self._least_lag = lag
            if lag >= 0:
                self.metrics.event_lag(lag)

    def unknown(self, event: str, now: float) -> None:
        """Count an event of unknown type by its name."""
        self.metrics.unknown_events.add(1, self._limiter.value("event", event, now))

    def unknown_fields(self, event: Wire, fields: tuple[str, ...], now: float) -> None:
        """Count unknown fields of a known event by their names."""
        for field in fields:
            self.metrics.unknown_fields.add(1, event_name(type(event)), self._limiter.value("field", field, now))

    def tick(self, now: float) -> None:
        """Do what is due; to be called about once a second."""
        self.turns.tick(now)
        self.sessions.tick(now)
        self.turn_taking.tick(now)
        if now - self._swept_at >= SWEEP_EVERY:
            self._swept_at = now
            self.sessions.sweep(now)
            if self._least_lag is not None:
                self.metrics.clock_skew.set(self._least_lag)
            self._least_lag = None
        if now - self._forgot_at >= FORGET_EVERY:
            self._forgot_at = now
            self._forget()

    def snapshot(self, now: float) -> Snapshot:
        """All metrics as they are now."""
        if self.store.overflowed:
            self.metrics.label_overflow.set(self.store.overflowed, "series")
        self.metrics.series.set(self.store.series)
        return self.store.snapshot(now)

    def close(self, now: float) -> None:
        """End what is going on: the process stops."""
        for open_session in self.sessions:
            self.sessions.end(open_session, "shutdown", now)
        self.turns.close(now)

    def _finish(self, ended: Session, reason: str, now: float) -> None:
        self.turns.finish(ended, now)
        self._activity.finish(ended, now)
        self.turn_taking.finish(ended, reason, now)
        self.answered(ended, self.app_latency.finish(ended, now), now)
        if self.spans is not None:
            self.spans.finish(ended, reason, now)

    def _evict(self, table: str, names: tuple[str, ...], values: tuple[str, ...]) -> None:
        dropped = self.store.drop(table, names, values)
        if names == PAIR:
            dropped += self.store.drop(USAGE_PAIRS, ("component", *names), (component_of(table), *values))
        if dropped:
            self._forget()

    def _forget(self) -> None:
        self._recorder.forget(open_session.cells for open_session in self.sessions)

    def _steps(self) -> Iterator[tuple[type, "Step"]]:
        activity, turn_taking = self._activity, self.turn_taking
        logic: dict[type, Logic] = {
            turn_metrics.TurnMetrics: self._turn_metrics,
            turns.TurnCompleted: self.turns.completed,
            turns.UserTranscription: self._transcription,
            turns.UserTurnCompleted: turn_taking.user_turn_completed,
            speech.UserSpeechStarted: turn_taking.user_speech_started,
            speech.UserSpeechStopped: turn_taking.user_speech_stopped,
            speech.AgentSpeechStarted: turn_taking.agent_speech_started,
            speech.AgentSpeechInterrupted: _both(self.app_latency.interrupted, turn_taking.agent_interrupted),
            speech.UserStateChanged: _both(activity.user_state, turn_taking.user_state),
            speech.AgentStateChanged: _both(activity.agent_state, turn_taking.agent_state),
            tools.AgentToolStarted: activity.agent_tool_started,
            tools.AgentToolCompleted: activity.agent_tool_completed,
            tools.AgentToolFailed: activity.agent_tool_failed,
            tools.ToolCalled: self.app_latency.called,
            tools.ToolExecuted: activity.tools_executed,
            tools.LlmAvailabilityChanged: activity.availability_changed,
            session.SessionUsage: activity.usage,
            session.SessionStarted: self._session_started,
            session.SessionEnded: self._session_ended,
            telephony.VoicemailDetected: self._voicemail,
            audio_stream.Media: self._media,
            audio_stream.Stop: self._stop,
        }
        for spec in SPECS:
            stamped = any(field.path == ("timestamp",) for field in spec.fields)
            span = self.spans.handlers.get(spec.type) if self.spans and spec.type is not session.SessionEnded else None
            counted = self.metrics.events_row(spec.name)
            yield spec.type, (logic.get(spec.type), self._recorder.record[spec.type], counted, stamped, span)

    def _turn_metrics(self, of: Session, event: turn_metrics.TurnMetrics, now: float) -> turn_metrics.TurnMetrics | None:
        if event.llm_availability:
            self._activity.availabilities(event.llm_availability, now)
        recorded = self.turns.metrics(of, event, now)
        if recorded is not None:
            self._turn_position.turn(of, event, now)
            self._cost.turn(event, now)
            self._latency_breakdown.add(of, event, now)  # the whole event: what turn.completed stood in for is a part of the wait too
        return recorded

    def _session_started(self, of: Session, event: session.SessionStarted, _: float) -> session.SessionStarted:
        if event.audio_format and of.format_counted:
            return msgspec.structs.replace(event, audio_format=None)
        of.format_counted = of.format_counted or bool(event.audio_format)
        return event

    def _session_ended(self, of: Session, event: session.SessionEnded, now: float) -> session.SessionEnded | None:
        """The end of the session writes its span, which has to know by then what the event says."""
        if self.spans is not None:
            self.spans.handlers[session.SessionEnded](of, event, now)
        self.turn_taking.session_ended(of, event, now)
        return self.sessions.ended(of, event, now)

    def reference(self, of: Session, event: turn_metrics.TurnMetrics) -> TurnRef | None:
        """What exemplars of a turn point at: its span, if that is exported or nobody asked for spans."""
        if not self.exemplars or event.turn_number is None:
            return None
        if self.spans is not None:
            return self.spans.reference(of, event)
        return TurnRef(of.trace_id, turn_key(event.agent_tool_id, event.turn_number))

    def _transcription(self, of: Session, event: turns.UserTranscription, now: float) -> turns.UserTranscription:
        if of.app is not None:
            self.answered(of, self.app_latency.transcribed(of, event, now), now)
        return event

    def _voicemail(self, of: Session, event: telephony.VoicemailDetected, now: float) -> telephony.VoicemailDetected:
        if event.result in ("human", "machine"):
            self.sessions.judge(of, event.result)
        if event.result == "machine":
            self.turn_taking.machine(of, now)
        return event

    def _media(self, _: Session, event: audio_stream.Media, now: float) -> audio_stream.Media:
        if event.media is not None and event.media.timestamp is not None:
            self.note_lag(now - event.media.timestamp.timestamp())
        return event

    def _stop(self, of: Session, event: audio_stream.Stop, now: float) -> audio_stream.Stop:
        self.sessions.end(of, "stopped", now)
        return event


Step = tuple[Logic | None, Record, list[Any], bool, SpanHandler[Wire] | None]
"""What is done with an event type.

Session logic, recorder, the row that counts its events, whether they say when they happened, and what they bring to spans: those see
the whole event, also what is not to be recorded of it because it was before.
"""

_MOST_BYTES_A_CHARACTER: Final = 4


def _both(first: Logic, second: Logic) -> Logic:
    """Two logics that concern themselves with the same event, each with its own part of the session."""

    def logic(of: Session, event: Any, now: float) -> Any:
        return second(of, first(of, event, now), now)

    return logic
