"""A call that comes through a tap: the tap names it, and another process may continue it."""

from typing import Final

from exporter.events import Wire
from exporter.events.audio_stream import Start
from exporter.events.session import SessionStarted
from exporter.pipeline.call_feed import CallFeed
from exporter.pipeline.pipeline import Pipeline
from exporter.pipeline.restart_handoff import SessionSnapshot, decode, encode, restore, snapshot
from exporter.protocol.decoder import PartialEvent
from exporter.protocol.decoder import decode as decode_event
from exporter.protocol.reasons import FrameRejected, RejectionReason
from exporter.sessions.session import Session

_NOTHING_SAVED: Final = SessionSnapshot()


class TapFeed(CallFeed):
    """Feeds one call of a tap into the pipeline. ``name`` is the tap's name of the call."""

    __slots__ = ("_name",)

    def __init__(self, pipeline: Pipeline, name: str) -> None:
        super().__init__(pipeline)
        self._name = name

    def resume(self, start: str | bytes | None, state: str | None, now: float) -> None:
        """Continue a call that an earlier process has counted.

        ``start`` is the call's first event, which is not counted again. ``state`` is the text that the earlier process handed over.
        """
        saved = (decode(state) if state else None) or _NOTHING_SAVED
        first = _read_start(start)
        name = (isinstance(first, SessionStarted) and (first.agent_session_id or first.call_id)) or self._name
        agent = saved.agent or (first.agent_id if isinstance(first, SessionStarted) else None)
        session, is_new = self._pipeline.sessions.attach(name, agent, now, start=first, over=saved.over)
        self.session = session
        if isinstance(first, SessionStarted):
            self._pipeline.trackers.provenance.session_started(session, first, now)
        if not is_new:
            return
        if saved is not _NOTHING_SAVED:
            self._restore(session, saved, now)
        spans = self._pipeline.spans
        if spans is not None and first is not None and (handle := spans.handlers.get(type(first))):
            handle(session, first, now)
        if spans is not None and saved.keep_trace and session.spans is not None:
            session.spans.kept = True

    def hand_off(self, now: float) -> str | None:
        """What the next process needs to continue the call, if it can. This process counts nothing more of it."""
        session = self.session
        if session is None or session.connections != 1 or (session.ended and not session.over):
            return None
        try:
            state = encode(snapshot(session))
        except Exception as error:  # noqa: BLE001 - it must not cost the tap's other calls their state; it is reported
            self._pipeline.diagnostics.internal_error(error)
            return None
        self.session = None
        self._pipeline.trackers.turns.detach(session)
        self._pipeline.trackers.turn_taking.detach(session, now)
        self._pipeline.sessions.detach(session, now)
        return state

    def malformed(self, reason: RejectionReason) -> None:
        """Count a message whose event cannot be read."""
        self._pipeline.metrics.frames_received[0] += 1.0
        self._pipeline.metrics.reject(reason)

    def ignore(self) -> None:
        """Count a message whose event does not count."""
        self._pipeline.metrics.frames_received[0] += 1.0
        self._pipeline.metrics.ignored[0] += 1.0

    def _restore(self, session: Session, saved: SessionSnapshot, now: float) -> None:
        restore(session, saved)
        pipeline = self._pipeline
        pipeline.sessions.restored(session)
        if saved.answered_by != "unknown":
            pipeline.sessions.set_answered_by(session, saved.answered_by)
        if saved.turn_taking is not None:
            pipeline.trackers.turn_taking.restore(session, saved.turn_taking.state(), now)
        if saved.pending_turns:
            pipeline.trackers.turns.restore(session, saved.pending_turns, now)

    def _session_of(self, event: Wire, session: Session | None, now: float) -> Session:
        if session is not None:
            return super()._session_of(event, session, now)
        self.session = self._pipeline.sessions.open(event, now, self._name)
        return self.session


def _read_start(start: str | bytes | None) -> SessionStarted | Start | None:
    if start is None:
        return None
    try:
        decoded = decode_event(start)
    except FrameRejected:
        return None
    event = decoded.event if isinstance(decoded, PartialEvent) else decoded
    return event if isinstance(event, SessionStarted | Start) else None
