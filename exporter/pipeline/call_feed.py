"""One connection's frames on their way through the core: decoded, assigned to a session, handled, recorded.

:meth:`CallFeed.consume` is the hot path, and the one place that catches the exporter's own errors: every frame ends as processed,
ignored or rejected, and the connection goes on.
"""

from typing import Final

from exporter.events import Wire
from exporter.events.audio_stream import Start
from exporter.events.session import SessionEnded, SessionStarted
from exporter.metrics.self_metrics import INTERNAL_ERROR
from exporter.pipeline.pipeline import Pipeline
from exporter.protocol.arriving_event import ArrivingEvent
from exporter.protocol.commands import PLAY_AUDIO, UPDATE, Direction, read_command
from exporter.protocol.decoder import PartialEvent
from exporter.protocol.long_event import LONGEST_EVENT, shorten
from exporter.protocol.moments import unix_seconds
from exporter.protocol.reasons import FrameRejected, RejectionReason
from exporter.sessions.app_state import AppState
from exporter.sessions.session import Session


class CallFeed:
    """Feeds one connection's frames into the pipeline. Behind a relay (``relayed``), the customer's app is seen too.

    ``session`` is the session the connection belongs to, once its first event has arrived. What each frame needs of the pipeline is
    kept here, where it is found at once.
    """

    __slots__ = (
        "_decoder",
        "_frames_received",
        "_lag",
        "_most_characters",
        "_pipeline",
        "_processed",
        "_relayed",
        "_steps",
        "session",
    )

    def __init__(self, pipeline: Pipeline, *, relayed: bool = False) -> None:
        self._pipeline = pipeline
        self._relayed = relayed
        self._decoder, self._steps, self._lag = pipeline.decoder, pipeline.steps, pipeline.lag
        self._most_characters = pipeline.max_characters
        self._frames_received, self._processed = pipeline.metrics.frames_received, pipeline.metrics.processed
        self.session: Session | None = None

    def consume(self, frame: str | bytes | ArrivingEvent, now: float) -> bool:
        """Process a frame received at ``now``. Returns whether it started the session, so that the caller may subscribe.

        A frame that was shortened while it arrived is longer than the pipeline's ``max_frame``.
        """
        pipeline = self._pipeline
        self._frames_received[0] += 1.0
        try:
            if len(frame) > self._most_characters and _size(frame) > pipeline.max_frame:
                frame = _shortened(frame)
                event = self._decoder.decode(frame)
                pipeline.metrics.truncated[0] += 1.0
            else:
                event = self._decoder.decode(frame)  # type: ignore[arg-type] # what was shortened while it arrived is longer
            if type(event) is not PartialEvent:  # isinstance asks the metaclass of structs, which takes long
                return self._process(event, now, frame)
            self._count_flaws(event, now)
            if event.event is not None:
                return self._process(event.event, now, frame)
            pipeline.metrics.ignored[0] += 1.0
        except FrameRejected as rejection:
            pipeline.metrics.reject(rejection.reason)
        except Exception as error:  # noqa: BLE001 - an error of the exporter must not end a call; it is counted and reported
            pipeline.metrics.reject(INTERNAL_ERROR)
            pipeline.diagnostics.internal_error(error)
        return False

    def command(self, frame: str | bytes, now: float) -> bool:
        """Process a frame that the customer's app sent at ``now``. Before the session's first event it is not counted.

        Returns whether it tells the platform which events the app wants.
        """
        session, command = self.session, read_command(frame)
        if session is not None:
            self._pipeline.app_answered(session, self._pipeline.trackers.app_latency.command(session, command, now), now)
        return command.kind == UPDATE

    def played(self, size: int, now: float) -> None:
        """The app sent ``size`` bytes of audio. Such commands are so frequent that their frames are not read."""
        if self.session is not None:
            self._pipeline.trackers.app_latency.command(self.session, PLAY_AUDIO, now)
            self.audio("agent", size, now)

    def audio(self, direction: Direction, size: int, now: float) -> None:
        """An audio message of ``size`` bytes passed at ``now``."""
        if self.session is not None:
            self._pipeline.trackers.audio_jitter.message(self.session, direction, size, now)

    def too_large(self) -> None:
        """Count a message that is not read because it is too large."""
        self._reject_unread(RejectionReason.TOO_LARGE)

    def skip(self) -> None:
        """Count a message that is not read because too many arrived."""
        self._reject_unread(RejectionReason.TOO_FAST)

    def unreadable(self, close_code: int) -> None:
        """Count the message with which the peer violated the protocol, so that its connection is closed with ``close_code``."""
        reason = _UNREADABLE.get(close_code)
        if reason is not None:
            self._reject_unread(reason)

    @property
    def ended(self) -> bool:
        """Whether the call is over and cannot resume, not merely silent."""
        return self.session is not None and self.session.over

    def close(self, now: float) -> None:
        """The connection was closed."""
        if self.session is not None:
            self._pipeline.sessions.disconnect(self.session, now)
            self.session = None

    def _process(self, event: Wire, now: float, frame: str | bytes | ArrivingEvent) -> bool:
        """Take the steps of the event's type. Returns whether the event started the session."""
        event_type = type(event)
        step = self._steps[event_type]
        session = self.session
        started = False
        if session is None or session.ended or event_type in _STARTS:
            session, started = self._session_of(event, session, now), event_type is SessionStarted
        session.last_event_at = now
        if step.timestamp is not None and (stamp := step.timestamp(event)) is not None:
            self._lag.note(now - unix_seconds(stamp))
        recorded = event
        if step.handler is not None:
            handled = step.handler(session, event, now)
            if handled is None:
                self._pipeline.metrics.ignored[0] += 1.0
                return started
            recorded = handled
        turn = None if step.turn_reference is None else step.turn_reference(session, recorded)
        step.record(recorded, session.series_cache, now, turn)
        if step.add_to_spans is not None:
            step.add_to_spans(session, event, now)
        if step.keep is not None and session.journal is not None:
            step.keep(session.journal, event, frame, now)
        step.events_row[0] += 1.0
        self._processed[0] += 1.0
        return started

    def _session_of(self, event: Wire, session: Session | None, now: float) -> Session:
        sessions = self._pipeline.sessions
        if session is None:
            session = sessions.open(event, now)
        elif isinstance(event, SessionStarted | Start):
            session = sessions.start(session, event, now)
        elif not session.over and not isinstance(event, SessionEnded):
            sessions.revive(session, now)
        if self._relayed and session.app is None:
            session.app = AppState()
        self.session = session
        return session

    def _count_flaws(self, partial: PartialEvent, now: float) -> None:
        pipeline = self._pipeline
        for refused in partial.refused_values:
            pipeline.refuse_value(refused)
        if partial.event is None:
            pipeline.unknown_event(partial.name, now)
        else:
            pipeline.unknown_fields(partial.event, partial.unknown_fields, now)

    def _reject_unread(self, reason: RejectionReason) -> None:
        self._pipeline.metrics.frames_received[0] += 1.0
        self._pipeline.metrics.reject(reason)


def _shortened(frame: str | bytes | ArrivingEvent) -> bytes:
    if isinstance(frame, ArrivingEvent):
        return frame.document()
    if _size(frame) > LONGEST_EVENT:
        raise FrameRejected(RejectionReason.TOO_LARGE)
    return shorten(frame)


def _size(frame: str | bytes | ArrivingEvent) -> int:
    """The size of the frame on the wire, in bytes."""
    return len(frame.encode("utf-8", "replace")) if isinstance(frame, str) and not frame.isascii() else len(frame)


_UNREADABLE: Final = {1007: RejectionReason.NOT_UTF8, 1009: RejectionReason.TOO_LARGE}
"""Close code → the reason to reject the message that caused it. Nothing else is known of that message."""
_STARTS: Final = frozenset({SessionStarted, Start})
