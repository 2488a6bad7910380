"""A call that comes by way of a tap: it has a name from outside, and may go on in another process."""

from typing import Final

from exporter.events.audio_stream import Start
from exporter.events.session import SessionStarted
from exporter.pipeline.call_feed import CallFeed
from exporter.pipeline.handoff import Carried, pack, recall, unpack
from exporter.pipeline.pipeline import Pipeline
from exporter.protocol.decoder import Flawed, FrameRejected, Reason, decode
from exporter.sessions.registry import Session

_NOTHING: Final = Carried()


class TapFeed(CallFeed):
    """One call's way into the pipeline; ``name`` is what the tap calls it."""

    __slots__ = ("_name",)

    def __init__(self, pipeline: Pipeline, name: str) -> None:
        super().__init__(pipeline)
        self._name = name

    def resume(self, start: str | bytes | None, state: str | None, now: float) -> None:
        """Go on with a call that an earlier process has begun to count.

        ``start`` is the event it began with, which counts no more, ``state`` what that process knew in the end.
        """
        carried = (unpack(state) if state else None) or _NOTHING
        begun = _read_start(start)
        name = (isinstance(begun, SessionStarted) and (begun.agent_session_id or begun.call_id)) or self._name
        agent = carried.agent or (begun.agent_id if isinstance(begun, SessionStarted) else None)
        session, is_new = self._pipeline.sessions.resume(name, agent, now, over=carried.over)
        self.session = session
        if not is_new:
            return
        if carried is not _NOTHING:
            self._recall(session, carried, now)
        spans = self._pipeline.spans
        if spans is not None and begun is not None and (handle := spans.handlers.get(type(begun))):
            handle(session, begun, now)
        if spans is not None and carried.kept and session.spans is not None:
            session.spans.kept = True

    def hand_over(self, now: float) -> str | None:
        """What the next process has to know to go on, if anything; this one counts nothing more of the call."""
        session = self.session
        if session is None or session.connections != 1 or (session.ended and not session.over):
            return None
        self.session = None
        state = pack(session)
        self._pipeline.turns.let_go(session)
        self._pipeline.turn_taking.let_go(session, now)
        self._pipeline.sessions.let_go(session, now)
        return state

    def malformed(self, reason: Reason) -> None:
        """Count a message that no event could be taken from."""
        self._pipeline.metrics.frames_received[0] += 1.0
        self._pipeline.metrics.reject(reason)

    def ignore(self) -> None:
        """Count a message that brings no event that counts."""
        self._pipeline.metrics.frames_received[0] += 1.0
        self._pipeline.metrics.ignored[0] += 1.0

    def _recall(self, session: Session, carried: Carried, now: float) -> None:
        recall(session, carried)
        if carried.answered_by != "unknown":
            self._pipeline.sessions.judge(session, carried.answered_by)
        if carried.turn_taking is not None:
            self._pipeline.turn_taking.take_over(session, carried.turn_taking, now)
        if carried.pending_turns:
            self._pipeline.turns.wait_again(session, carried.pending_turns, now)

    def _session_of(self, event: object, session: Session | None, now: float) -> Session:
        if session is not None:
            return super()._session_of(event, session, now)
        self.session = self._pipeline.sessions.open(event, now, self._name)
        return self.session


def _read_start(start: str | bytes | None) -> SessionStarted | Start | None:
    if start is None:
        return None
    try:
        event = decode(start)
    except FrameRejected:
        return None
    if isinstance(event, Flawed):
        event = event.event  # type: ignore[assignment]
    return event if isinstance(event, SessionStarted | Start) else None
