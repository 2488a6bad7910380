"""The way of a frame through the core: decoded, given to its session, recorded.

``CallFeed.consume`` is the hot path and the one place that guards against errors of ours: whatever a frame meets, it ends as processed,
ignored or rejected, and the connection goes on.
"""

from typing import Any, Final

from exporter.events.audio_stream import Start
from exporter.events.session import SessionEnded, SessionStarted
from exporter.events.turn_metrics import TurnMetrics
from exporter.metrics.self_metrics import INTERNAL_ERROR
from exporter.pipeline.pipeline import Pipeline
from exporter.protocol.commands import PLAY_AUDIO, UPDATE, Direction, read_command
from exporter.protocol.decoder import FrameRejected, PartialEvent, RejectionReason, decode
from exporter.sessions.app_state import AppState
from exporter.sessions.registry import Session


class CallFeed:
    """One connection's way into the pipeline, for one call; of a ``relayed`` one the customer's app is seen too."""

    __slots__ = ("_pipeline", "_relayed", "session")

    def __init__(self, pipeline: Pipeline, *, relayed: bool = False) -> None:
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
                raise FrameRejected(RejectionReason.TOO_LARGE)
            event = decode(frame)
            if type(event) is PartialEvent:
                event = self._partial_event(event, now)
                if event is None:
                    metrics.ignored[0] += 1.0
                    return False
            return self._take(event, now)
        except FrameRejected as rejection:
            metrics.reject(rejection.reason)
        except Exception as error:  # noqa: BLE001 - an error of ours must not end a call; it is counted and reported
            metrics.reject(INTERNAL_ERROR)
            pipeline.diagnostics.internal_error(error)
        return False

    def command(self, frame: str | bytes, now: float) -> bool:
        """Take in a frame that the customer's app sent at ``now``; before the session began it counts for nobody.

        Returns whether it says which events are wanted.
        """
        session, command = self.session, read_command(frame)
        if session is not None:
            self._pipeline.answered(session, self._pipeline.app_latency.take(session, command, now), now)
        return command.kind == UPDATE

    def played(self, size: int, now: float) -> None:
        """Audio of ``size`` bytes was sent by the app; there are so many of them that they are not read."""
        if self.session is not None:
            self._pipeline.app_latency.take(self.session, PLAY_AUDIO, now)
            self.audio("agent", size, now)

    def audio(self, direction: Direction, size: int, now: float) -> None:
        """An audio message of ``size`` bytes passed at ``now``."""
        if self.session is not None:
            self._pipeline.audio_jitter.message(self.session, direction, size, now)

    def too_large(self) -> None:
        """Count a message that is not read, since it is too large."""
        self._pipeline.metrics.frames_received[0] += 1.0
        self._pipeline.metrics.reject(RejectionReason.TOO_LARGE)

    def skip(self) -> None:
        """Count a message that is not read, since too many came."""
        self._pipeline.metrics.frames_received[0] += 1.0
        self._pipeline.metrics.reject(RejectionReason.TOO_FAST)

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
        session = self.session
        began = False
        if session is None or session.ended or kind in _STARTS:
            session, began = self._session_of(event, session, now), kind is SessionStarted
        session.last_event_at = now
        if stamped and event.timestamp is not None:
            pipeline.note_lag(now - event.timestamp.timestamp())
        told = event
        if logic is not None:
            event = logic(session, event, now)
            if event is None:
                pipeline.metrics.ignored[0] += 1.0
                return began
        record(event, session.series_cache, now, pipeline.reference(session, event) if kind is TurnMetrics else None)
        if span is not None:
            span(session, told, now)
        counted[0] += 1.0
        pipeline.metrics.processed[0] += 1.0
        return began

    def _session_of(self, event: Any, session: Session | None, now: float) -> Session:
        sessions = self._pipeline.sessions
        if session is None:
            session = sessions.open(event, now)
        elif type(event) in _STARTS:
            session = sessions.started(session, event, now)
        elif not session.over and type(event) is not SessionEnded:
            sessions.revive(session, now)
        if self._relayed and session.app is None:
            session.app = AppState()
        self.session = session
        return session

    def _partial_event(self, partial: PartialEvent, now: float) -> Any:
        pipeline = self._pipeline
        for refusal in partial.refused_values:
            pipeline.refuse(refusal.field, refusal.reason)
        if partial.event is None:
            pipeline.unknown(partial.name, now)
        else:
            pipeline.unknown_fields(partial.event, partial.unknown_fields, now)
        return partial.event


def _size(frame: str | bytes) -> int:
    """Bytes of the frame on the wire."""
    return len(frame.encode("utf-8", "replace")) if isinstance(frame, str) and not frame.isascii() else len(frame)


_UNREADABLE: Final = {1007: RejectionReason.NOT_UTF8, 1009: RejectionReason.TOO_LARGE}
"""Close codes that answer a message of which nothing else is seen → why it is rejected."""
_STARTS: Final = frozenset({SessionStarted, Start})
