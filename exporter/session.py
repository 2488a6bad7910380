"""Sessions: their identity, life and end.

A session is one call. It begins with the first event of a connection, may lose its connection and come back on another, and ends
when the platform says so, when its connection stays away, or when it has been silent for too long. Everything here is told the time;
nothing asks for it.
"""

import heapq
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final, Literal

from exporter.catalogue import derived
from exporter.events.audio_stream import Start
from exporter.events.session import SessionEnded, SessionStarted
from exporter.events.turns import TurnCompleted
from exporter.identity import TurnKey, trace_id
from exporter.labels import UNKNOWN, Admission
from exporter.measure import Cells, Recorder
from exporter.store import Instrument, Store

EndReason = Literal["disconnected", "idle", "superseded", "shutdown", "stopped"]
_SESSION_DURATION: Final = "agentstack_session_duration_seconds"


@dataclass(frozen=True, slots=True)
class Waits:
    """How long to wait, in seconds.

    ``resume``: for a dropped connection to come back. ``turn``: for the turn.metrics of a completed turn. ``idle``: for a silent
    session to say something.
    """

    resume: float = 30.0
    turn: float = 10.0
    idle: float = 3600.0


class Session:
    """What is known of one call. Collections are made when first needed: most sessions are idle most of the time."""

    __slots__ = (
        "agent",
        "agent_label",
        "agent_tools",
        "answered_by",
        "cells",
        "connections",
        "ended",
        "id",
        "last_event_at",
        "names_made_up",
        "pending_turns",
        "saw_start",
        "started_at",
        "states",
        "stood_in",
        "told_missing",
        "trace_id",
        "turn_metrics",
        "turns",
        "turns_completed",
        "unmatched_metrics",
        "usage",
    )

    def __init__(self, session_id: str, agent: str | None, cells: Cells, agent_label: str, now: float) -> None:
        self.id = session_id
        self.trace_id = trace_id(session_id)
        self.agent = agent
        self.agent_label = agent_label
        self.answered_by = UNKNOWN
        self.cells = cells
        self.started_at = now
        self.last_event_at = now
        self.saw_start = False
        self.names_made_up = False
        self.connections = 0
        self.ended = False
        self.turns: dict[TurnKey, str] | None = None
        self.pending_turns: dict[TurnKey, TurnCompleted] | None = None
        self.stood_in: dict[TurnKey, tuple[str, ...]] | None = None
        self.turns_completed = 0
        self.unmatched_metrics = 0
        self.turn_metrics = 0
        self.told_missing = False
        self.states: dict[str, tuple[str, float]] | None = None
        self.agent_tools: dict[str, tuple[str, float]] | None = None
        self.usage: dict[tuple[str, str | None, str | None], dict[str, float]] | None = None


class Sessions:
    """All sessions that are going on, or may still come back."""

    def __init__(
        self,
        store: Store,
        recorder: Recorder,
        admission: Admission,
        waits: Waits,
        on_end: Callable[[Session, float], None],
    ) -> None:
        self._recorder = recorder
        self._admission = admission
        self._waits = waits
        self._on_end = on_end
        self._by_id: dict[str, Session] = {}
        self._due: list[tuple[float, int, str]] = []
        self._made_up = 0
        self._started = Instrument(store, derived.SESSIONS)
        self._active = Instrument(store, derived.SESSIONS_ACTIVE)
        self._ended = Instrument(store, derived.SESSIONS_ENDED)
        self._resumptions = Instrument(store, derived.SESSION_RESUMPTIONS)
        self._duration = Instrument(store, store.spec(_SESSION_DURATION))

    def __len__(self) -> int:
        return len(self._by_id)

    def __iter__(self) -> Iterator[Session]:
        return iter(list(self._by_id.values()))

    @property
    def active(self) -> int:
        """How many have not ended."""
        return sum(not session.ended for session in self._by_id.values())

    def open(self, event: object, now: float) -> Session:
        """The session that a connection's first event belongs to: one that comes back, or a new one."""
        session_id = _session_id(event)
        known = self._by_id.get(session_id) if session_id else None
        if known is not None and not known.ended:
            known.connections += 1
            self._resumptions.add(1, known.agent_label, now=now)
            return known
        session = self._begin(session_id, event.agent_id if isinstance(event, SessionStarted) else None, now)
        session.saw_start = session_id is not None
        return session

    def started(self, session: Session, event: SessionStarted | Start, now: float) -> Session:
        """Take in a session.started that is not a connection's first event; another session's ends this one."""
        session_id = _session_id(event)
        if session_id is not None and not session.names_made_up and session_id != session.id:
            self.end(session, "superseded", now)
            self.leave(session, now)
            return self.open(event, now)
        if session.names_made_up and session_id is not None:
            self._rename(session, session_id)
        session.saw_start = True
        if isinstance(event, SessionStarted) and event.agent_id and event.agent_id != session.agent:
            self._give_agent(session, event.agent_id, now)
        return session

    def judge(self, session: Session, answered_by: str) -> None:
        """Note whether a human or a machine answered; later measurements are kept apart by it."""
        session.answered_by = answered_by
        session.cells = self._recorder.cells(session.agent, answered_by)

    def ended(self, session: Session, event: SessionEnded, now: float) -> None:
        """The platform says that the session is over; late events still count."""
        reason = self._admission.value("reason", event.reason, now)
        self._close(session, reason, now, observe_duration=event.duration_seconds is None)

    def end(self, session: Session, reason: EndReason, now: float) -> None:
        """The session is over for a reason of ours."""
        self._close(session, reason, now, observe_duration=True)

    def leave(self, session: Session, now: float) -> None:
        """A connection of the session is gone."""
        session.connections -= 1
        if session.connections > 0:
            return
        if session.ended:
            self._by_id.pop(session.id, None)
        else:
            heapq.heappush(self._due, (now + self._waits.resume, id(session), session.id))

    def tick(self, now: float) -> None:
        """End sessions whose connection stayed away."""
        while self._due and self._due[0][0] <= now:
            _, _, session_id = heapq.heappop(self._due)
            session = self._by_id.get(session_id)
            if session is not None and session.connections == 0 and not session.ended:
                self.end(session, "disconnected", now)
                del self._by_id[session_id]

    def sweep(self, now: float) -> None:
        """End silent sessions, and show the agents of the others to be in use."""
        for session in self:
            if not session.ended and now - session.last_event_at > self._waits.idle:
                self.end(session, "idle", now)
            elif not session.ended:
                self._admission.value("agent", session.agent, now)

    def _begin(self, session_id: str | None, agent: str | None, now: float) -> Session:
        made_up = session_id is None
        if session_id is None:
            self._made_up += 1
            session_id = f"unnamed-{now:.6f}-{self._made_up}"
        label = self._admission.value("agent", agent, now)
        session = Session(session_id, agent, self._recorder.cells(agent), label, now)
        session.names_made_up = made_up
        session.connections = 1
        self._by_id[session_id] = session
        self._started.add(1, label, now=now)
        self._active.add(1, label, now=now)
        return session

    def _rename(self, session: Session, session_id: str) -> None:
        self._by_id.pop(session.id, None)
        session.id = session_id
        session.trace_id = trace_id(session_id)
        session.names_made_up = False
        self._by_id[session_id] = session

    def _give_agent(self, session: Session, agent: str, now: float) -> None:
        label = self._admission.value("agent", agent, now)
        if not session.ended:
            self._active.add(-1, session.agent_label, now=now)
            self._active.add(1, label, now=now)
        session.agent, session.agent_label = agent, label
        session.cells = self._recorder.cells(agent, session.answered_by)

    def _close(self, session: Session, reason: str, now: float, *, observe_duration: bool) -> None:
        if session.ended:
            return
        self._on_end(session, now)
        session.ended = True
        self._active.add(-1, session.agent_label, now=now)
        self._ended.add(1, session.agent_label, reason, now=now)
        if observe_duration:
            self._duration.observe(max(0.0, session.last_event_at - session.started_at), session.agent_label, now=now)


def _session_id(event: object) -> str | None:
    if isinstance(event, SessionStarted):
        return event.agent_session_id or event.call_id or None
    if isinstance(event, Start):
        inner = event.start
        return (inner and (inner.call_id or inner.stream_id)) or event.outer_stream_id or None
    return None
