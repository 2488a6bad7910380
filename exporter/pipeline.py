"""The way of a frame through the core: decoded, given to its session, recorded.

``Feed.consume`` is the hot path and the one place that guards against errors of ours: whatever a frame meets, it ends as processed,
ignored or rejected, and the connection goes on.
"""

from collections.abc import Callable, Iterator
from typing import Any, Final

import msgspec

from exporter.activity import Activity
from exporter.app_side import AppSide, LlmAnswer, ToolAnswer
from exporter.app_state import AppState
from exporter.audio_flow import AudioFlow
from exporter.catalogue.derived import DERIVED, USAGE_PAIRS, tables
from exporter.commands import PLAY_AUDIO, UPDATE, Direction, read_command
from exporter.events import Wire, audio_stream, session, speech, telephony, tools, turn_metrics, turns
from exporter.events.base import event_name
from exporter.identity import TurnRef, turn_key
from exporter.labels import PAIR, Admission, Limits, component_of
from exporter.measure import Record, Recorder
from exporter.records import Snapshot
from exporter.sampling import SpanOptions
from exporter.selfmetrics import INTERNAL_ERROR, SelfMetrics
from exporter.session import Session, Sessions, Waits
from exporter.spans import Spans
from exporter.spans import Step as SpanStep
from exporter.store import Store
from exporter.turn import Turns
from exporter.wire import SPECS, Flawed, FrameRejected, Reason, Refused, decode

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


class Notices:
    """What the core wants said to people; whoever joins the parts hands it a way to say it."""

    def metrics_missing(self, agent: str) -> None:
        """Turns of ``agent`` complete, but no turn.metrics comes."""

    def internal_error(self, error: Exception) -> None:
        """A frame met an error of ours."""


class Pipeline:
    """All that lies between the ways in and the views, for one process. ``now`` is always unix seconds.

    ``exponential`` makes histograms keep exponential buckets beside the explicit ones. With ``tracing``, spans as the options say are
    handed, serialised, to its second part the moment they are complete. ``exemplars`` lets latencies point at their turns.
    """

    def __init__(
        self,
        limits: Limits,
        waits: Waits,
        notices: Notices,
        now: float,
        max_frame: int = 65_536,
        *,
        exponential: bool = False,
        exemplars: bool = True,
        tracing: tuple[SpanOptions, Callable[[bytes], None]] | None = None,
    ) -> None:
        self.store = Store(limits.series, born=now, exponential=exponential)
        self.metrics = SelfMetrics(self.store, now)
        self.notices = notices
        self.max_frame = max_frame
        self.surely_fits = max_frame // _MOST_BYTES_A_CHARACTER
        self._admission = Admission(limits, self._evict, lambda label: self.metrics.label_overflow.add(1, label))
        self._recorder = Recorder(SPECS, self.store, self._admission)
        for spec in DERIVED:
            self.store.add_layout([spec], tables=tables(spec))
        self.exemplars = exemplars
        self.spans = Spans(tracing[0], SPECS, tracing[1]) if tracing else None
        without = self.spans.without_metrics if self.spans else None
        self._turns = Turns(self.store, self._admission, waits.turn, self.refuse, notices.metrics_missing, without=without)
        self._activity = Activity(self.store, self._admission, self.refuse)
        self.app_side = AppSide(self.store, self._admission)
        self.audio_flow = AudioFlow(self.store)
        self.sessions = Sessions(self.store, self._recorder, self._admission, waits, self._finish)
        self.steps = dict(self._steps())
        self._swept_at = self._forgot_at = now
        self._least_lag: float | None = None

    def feed(self, *, relayed: bool = False) -> "Feed":
        """A way in for one connection that carries one call; of a ``relayed`` one the customer's app is seen too."""
        return Feed(self, relayed=relayed)

    def answered(self, of: Session, answer: ToolAnswer | LlmAnswer | None, now: float) -> None:
        """Tell spans what was learned of the customer's app."""
        if answer is not None and self.spans is not None:
            self.spans.answered(of, answer, now)

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
        self.metrics.unknown_events.add(1, self._admission.value("event", event, now))

    def unknown_fields(self, event: Wire, fields: tuple[str, ...], now: float) -> None:
        """Count unknown fields of a known event by their names."""
        for field in fields:
            self.metrics.unknown_fields.add(1, event_name(type(event)), self._admission.value("field", field, now))

    def tick(self, now: float) -> None:
        """Do what is due; to be called about once a second."""
        self._turns.tick(now)
        self.sessions.tick(now)
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
        if self.store.capped:
            self.metrics.label_overflow.set(self.store.capped, "series")
        self.metrics.series.set(self.store.series)
        return self.store.snapshot(now)

    def close(self, now: float) -> None:
        """End what is going on: the process stops."""
        for open_session in self.sessions:
            self.sessions.end(open_session, "shutdown", now)
        self._turns.close(now)

    def _finish(self, ended: Session, reason: str, now: float) -> None:
        self._turns.finish(ended, now)
        self._activity.finish(ended, now)
        self.answered(ended, self.app_side.finish(ended, now), now)
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
        activity = self._activity
        logic: dict[type, Logic] = {
            turn_metrics.TurnMetrics: self._turn_metrics,
            turns.TurnCompleted: self._turns.completed,
            turns.UserTranscription: self._transcription,
            speech.AgentSpeechInterrupted: self.app_side.interrupted,
            speech.UserStateChanged: activity.user_state,
            speech.AgentStateChanged: activity.agent_state,
            tools.AgentToolStarted: activity.agent_tool_started,
            tools.AgentToolCompleted: activity.agent_tool_completed,
            tools.AgentToolFailed: activity.agent_tool_failed,
            tools.ToolCalled: self.app_side.called,
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
            span = self.spans.steps.get(spec.type) if self.spans and spec.type is not session.SessionEnded else None
            counted = self.metrics.events_row(spec.name)
            yield spec.type, (logic.get(spec.type), self._recorder.record[spec.type], counted, stamped, span)

    def _turn_metrics(self, of: Session, event: turn_metrics.TurnMetrics, now: float) -> turn_metrics.TurnMetrics | None:
        if event.llm_availability:
            self._activity.availabilities(event.llm_availability, now)
        return self._turns.metrics(of, event, now)

    def _session_started(self, of: Session, event: session.SessionStarted, _: float) -> session.SessionStarted:
        if event.audio_format and of.format_counted:
            return msgspec.structs.replace(event, audio_format=None)
        of.format_counted = of.format_counted or bool(event.audio_format)
        return event

    def _session_ended(self, of: Session, event: session.SessionEnded, now: float) -> session.SessionEnded | None:
        """The end of the session writes its span, which has to know by then what the event says."""
        if self.spans is not None:
            self.spans.steps[session.SessionEnded](of, event, now)
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
            self.answered(of, self.app_side.transcribed(of, event, now), now)
        return event

    def _voicemail(self, of: Session, event: telephony.VoicemailDetected, _: float) -> telephony.VoicemailDetected:
        if event.result in ("human", "machine"):
            self.sessions.judge(of, event.result)
        return event

    def _media(self, _: Session, event: audio_stream.Media, now: float) -> audio_stream.Media:
        if event.media is not None and event.media.timestamp is not None:
            self.note_lag(now - event.media.timestamp.timestamp())
        return event

    def _stop(self, of: Session, event: audio_stream.Stop, now: float) -> audio_stream.Stop:
        self.sessions.end(of, "stopped", now)
        return event


Step = tuple[Logic | None, Record, list[Any], bool, SpanStep | None]
"""What is done with an event type.

Session logic, recorder, the row that counts its events, whether they say when they happened, and what they bring to spans: those see
the whole event, also what is not to be recorded of it because it was before.
"""


class Feed:
    """One connection's way into the pipeline."""

    __slots__ = ("_pipeline", "_relayed", "session")

    def __init__(self, pipeline: Pipeline, *, relayed: bool) -> None:
        self._pipeline = pipeline
        self._relayed = relayed
        self.session: Session | None = None

    def consume(self, frame: str | bytes, now: float) -> bool:
        """Take in a frame received at ``now``; returns whether it began the session, so that the caller may subscribe."""
        pipeline = self._pipeline
        metrics = pipeline.metrics
        metrics.frames_received[0] += 1.0
        try:
            if len(frame) > pipeline.surely_fits and _size(frame) > pipeline.max_frame:
                raise FrameRejected(Reason.TOO_LARGE)
            event = decode(frame)
            if type(event) is Flawed:
                event = self._flawed(event, now)
                if event is None:
                    metrics.ignored[0] += 1.0
                    return False
            return self._take(event, now)
        except FrameRejected as rejection:
            metrics.reject(rejection.reason)
        except Exception as error:  # noqa: BLE001 - an error of ours must not end a call; it is counted and reported
            metrics.reject(INTERNAL_ERROR)
            pipeline.notices.internal_error(error)
        return False

    def command(self, frame: str | bytes, now: float) -> bool:
        """Take in a frame that the customer's app sent at ``now``; before the session began it counts for nobody.

        Returns whether it says which events are wanted.
        """
        of, command = self.session, read_command(frame)
        if of is not None:
            self._pipeline.answered(of, self._pipeline.app_side.take(of, command, now), now)
        return command.kind == UPDATE

    def played(self, size: int, now: float) -> None:
        """Audio of ``size`` bytes was sent by the app; there are so many of them that they are not read."""
        if self.session is not None:
            self._pipeline.app_side.take(self.session, PLAY_AUDIO, now)
            self.audio("agent", size, now)

    def audio(self, direction: Direction, size: int, now: float) -> None:
        """An audio message of ``size`` bytes passed at ``now``."""
        if self.session is not None:
            self._pipeline.audio_flow.message(self.session, direction, size, now)

    def too_large(self) -> None:
        """Count a message that is not read, since it is too large."""
        self._pipeline.metrics.frames_received[0] += 1.0
        self._pipeline.metrics.reject(Reason.TOO_LARGE)

    def skip(self) -> None:
        """Count a message that is not read, since too many came."""
        self._pipeline.metrics.frames_received[0] += 1.0
        self._pipeline.metrics.reject(Reason.TOO_FAST)

    def unreadable(self, close_code: int) -> None:
        """Count the message by which the peer broke the protocol, so that the connection ends with ``close_code``."""
        reason = _UNREADABLE.get(close_code)
        if reason is not None:
            self._pipeline.metrics.frames_received[0] += 1.0
            self._pipeline.metrics.reject(reason)

    @property
    def ended(self) -> bool:
        """Whether the call is over, not merely silent."""
        return self.session is not None and self.session.over

    def close(self, now: float) -> None:
        """The connection is gone."""
        if self.session is not None:
            self._pipeline.sessions.leave(self.session, now)
            self.session = None

    def _take(self, event: Any, now: float) -> bool:
        pipeline, kind = self._pipeline, type(event)
        logic, record, counted, stamped, span = pipeline.steps[kind]
        of = self.session
        began = False
        if of is None or of.ended or kind in _STARTS:
            of, began = self._session_of(event, of, now), kind is session.SessionStarted
        of.last_event_at = now
        if stamped and event.timestamp is not None:
            pipeline.note_lag(now - event.timestamp.timestamp())
        told = event
        if logic is not None:
            event = logic(of, event, now)
            if event is None:
                pipeline.metrics.ignored[0] += 1.0
                return began
        record(event, of.cells, now, pipeline.reference(of, event) if kind is turn_metrics.TurnMetrics else None)
        if span is not None:
            span(of, told, now)
        counted[0] += 1.0
        pipeline.metrics.processed[0] += 1.0
        return began

    def _session_of(self, event: Any, of: Session | None, now: float) -> Session:
        sessions = self._pipeline.sessions
        if of is None:
            of = sessions.open(event, now)
        elif type(event) in _STARTS:
            of = sessions.started(of, event, now)
        elif not of.over and type(event) is not session.SessionEnded:
            sessions.revive(of, now)
        if self._relayed and of.app is None:
            of.app = AppState()
        self.session = of
        return of

    def _flawed(self, flawed: Flawed, now: float) -> Any:
        pipeline = self._pipeline
        for refusal in flawed.refusals:
            pipeline.refuse(refusal.field, refusal.reason)
        if flawed.event is None:
            pipeline.unknown(flawed.name, now)
        else:
            pipeline.unknown_fields(flawed.event, flawed.unknown_fields, now)
        return flawed.event


def _size(frame: str | bytes) -> int:
    """Bytes of the frame on the wire."""
    return len(frame.encode("utf-8", "replace")) if isinstance(frame, str) and not frame.isascii() else len(frame)


_UNREADABLE: Final = {1007: Reason.NOT_UTF8, 1009: Reason.TOO_LARGE}
"""Close codes that answer a message of which nothing else is seen → why it is rejected."""
_MOST_BYTES_A_CHARACTER: Final = 4
_STARTS: Final = frozenset({session.SessionStarted, audio_stream.Start})
