"""All sessions: how they begin, lose their connection, resume and end.

A session begins with the first event of a connection. It may lose its connection and resume on another one. It ends when the platform
says so, when its connection stays away, or when it has been silent for too long. Time is always an argument: ``now``, in unix seconds.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import takewhile
from typing import Final, Literal

import msgspec

from exporter.bounded_dict import BoundedDict
from exporter.catalogue import derived
from exporter.events.audio_stream import Start
from exporter.events.session import SessionEnded, SessionStarted
from exporter.metrics.instrument import Instrument
from exporter.metrics.label_limits import MAX_RAW, LabelLimiter
from exporter.metrics.recorder import Recorder
from exporter.metrics.store import Store
from exporter.protocol.ids import shorten_id, trace_id
from exporter.sessions.kept_calls import KeptCalls
from exporter.sessions.session import AnsweredBy, Session, identity_of

EndReason = Literal["disconnected", "idle", "superseded", "shutdown", "stopped"]
"""Why the exporter ends a session without a session.ended."""
OnEnd = Callable[[Session, str, float], None]
"""Called before a session ends: the session, the reason, and the time."""
MOST_UNFINISHED: Final = 1_024
"""Sessions remembered that ended without a session.ended: each of them may come back."""
MOST_BEGUN: Final = 8_192
"""Ids of sessions of which it is remembered how many sessions had them: the spans of each have ids of their own."""
_SESSION_DURATION: Final = "agentstack_session_duration_seconds"


@dataclass(frozen=True, slots=True)
class SessionTimeouts:
    """How long to wait, in seconds.

    ``resume``: for a new connection after the last one was lost. ``turn``: for the turn.metrics of a completed turn. ``idle``: for the
    next event of a silent session.
    """

    resume: float = 30.0
    turn: float = 10.0
    idle: float = 3600.0


class SessionRegistry:
    """The sessions that are active, may still resume, or still have a connection."""

    def __init__(
        self,
        store: Store,
        recorder: Recorder,
        limiter: LabelLimiter,
        timeouts: SessionTimeouts,
        on_end: OnEnd,
        *,
        kept_calls: KeptCalls | None = None,
    ) -> None:
        self._kept_calls = kept_calls
        self._recorder = recorder
        self._limiter = limiter
        self._timeouts = timeouts
        self._on_end = on_end
        self._all: dict[Session, None] = {}
        self._by_id: dict[str, Session] = {}
        self._disconnected: dict[Session, float] = {}
        self._unfinished: BoundedDict[str, None] = BoundedDict(MOST_UNFINISHED)
        self._begun: BoundedDict[str, int] = BoundedDict(MOST_BEGUN)
        self._generated_ids = 0
        self._started = Instrument(store, derived.SESSIONS)
        self._active = Instrument(store, derived.SESSIONS_ACTIVE)
        self._ended = Instrument(store, derived.SESSIONS_ENDED)
        self._resumptions = Instrument(store, derived.SESSION_RESUMPTIONS)
        self._conflicts = Instrument(store, derived.SESSION_CONFLICTS)
        self._duration = Instrument(store, store.spec(_SESSION_DURATION))

    def __len__(self) -> int:
        return len(self._all)

    def __iter__(self) -> Iterator[Session]:
        return iter(list(self._all))

    @property
    def active(self) -> int:
        """The number of sessions that have not ended."""
        return sum(not session.ended for session in self._all)

    def open(self, event: object, now: float, name: str | None = None) -> Session:
        """The session of a connection whose first event is ``event``: one that resumes, or a new one.

        ``name`` is the session's id if the event has none.
        """
        ids = _session_ids(event) or ((shorten_id(name),) if name else ())
        known = self._find(ids, event) if ids else None
        if known is None:
            return self._create(event, ids, now)
        known.connections += 1
        self._disconnected.pop(known, None)
        self._resumptions.add(1, agent=known.agent_label, now=now)
        if known.ended:
            self.revive(known, now)
        known.call_id = known.call_id or _call_id(event)
        self._update_agent(known, event, now)
        return known

    def attach(self, name: str, agent: str | None, now: float, *, start: object = None, over: bool) -> tuple[Session, bool]:
        """Continue a session that another process has counted; ``over`` if only its last events are still to come.

        ``start`` is the session's first event, if it is known. Returns the session, and whether it was unknown in this process.
        """
        session_id = shorten_id(name)
        known = self._by_id.get(session_id)
        if known is not None and _is_other_call(known, start):
            session_id = _conflict_id(session_id, start)
            known = self._by_id.get(session_id)
        if known is not None:
            known.connections += 1
            self._disconnected.pop(known, None)
            return known, False
        numbers = self._numbers_of(start)
        label = self._limiter.agent(agent, numbers, now)
        session = Session(session_id, agent, self._recorder.series_cache(label), label, now)
        session.call_id = _call_id(start)
        self._begin(session)
        session.connections = 1
        session.ended = session.over = over
        session.numbers = numbers
        self._add(session)
        if self._kept_calls is not None and not over:
            self._kept_calls.open(session)
        if not over:
            self._active.add(1, agent=label, now=now)
        return session, True

    def restored(self, session: Session) -> None:
        """The state of an attached session was restored: note which of the sessions with its id it is."""
        self._begun.renew(session.id, max(self._begun.get(session.id, 0), session.continued + 1))
        if self._kept_calls is not None:
            self._kept_calls.rename(session)

    def detach(self, session: Session, now: float) -> None:
        """Remove a session that another process continues. It does not count as ended."""
        if session.journal is not None:
            session.journal.memory.forget(session.journal)
        if not session.ended:
            session.ended = session.over = True
            self._active.add(-1, agent=session.agent_label, now=now)
        self._remove(session)

    def start(self, session: Session, event: SessionStarted | Start, now: float) -> Session:
        """Handle a start event that is not the first event of its connection.

        Returns the session the connection belongs to from now on: another one if the event names another call.
        """
        ids = _session_ids(event)
        same = not ids or session.has_generated_id or session.id in (*ids, _conflict_id(ids[0], event))
        if session.over or not same:
            return self._switch(session, event, now)
        if ids and ids[0] != session.id and session.id != _conflict_id(ids[0], event):
            known = self._by_id.get(ids[0])
            if known is not None and not known.over:
                return self._switch(session, event, now)
            self._rename(session, ids[0])
        if session.ended:
            self.revive(session, now)
        session.call_id = session.call_id or _call_id(event)
        self._update_agent(session, event, now)
        return session

    def revive(self, session: Session, now: float) -> None:
        """Resume a session that had ended because it was silent. It counts as another session."""
        session.ended = False
        session.started_at = session.last_event_at = now
        if self._kept_calls is not None:
            self._kept_calls.revive(session)
        self._started.add(1, agent=session.agent_label, now=now)
        self._active.add(1, agent=session.agent_label, now=now)

    def set_answered_by(self, session: Session, answered_by: AnsweredBy) -> None:
        """Set who answered the call: a human or a machine. Later measurements carry it as a label."""
        session.answered_by = answered_by
        session.series_cache = self._recorder.series_cache(session.agent_label, answered_by)

    def session_ended(self, session: Session, event: SessionEnded, now: float) -> SessionEnded | None:
        """Handle session.ended. Later events of the session still count. Returns what of the event is to be recorded."""
        if session.end_recorded:
            return None
        session.end_recorded = session.over = True
        if session.ended:
            return msgspec.structs.replace(event, duration_seconds=None)
        reason = self._limiter.value("reason", event.reason, now)
        self._count_end(session, reason, now, observe_duration=event.duration_seconds is None)
        return event

    def end(self, session: Session, reason: EndReason, now: float) -> None:
        """End a session without a session.ended. One that ends as ``idle`` may resume."""
        if not session.ended:
            session.over = reason != "idle"
            self._count_end(session, reason, now, observe_duration=True)

    def disconnect(self, session: Session, now: float) -> None:
        """A connection of the session was closed."""
        session.connections -= 1
        if session.connections > 0:
            return
        if session.ended:
            self._remove(session)
        else:
            self._disconnected[session] = now + self._timeouts.resume

    def tick(self, now: float) -> None:
        """End the sessions that did not resume in time."""
        for session in [session for session, _ in takewhile(lambda entry: entry[1] <= now, self._disconnected.items())]:
            self.end(session, "disconnected", now)
            self._remove(session)

    def sweep(self, now: float) -> None:
        """End the sessions that were silent for too long. Mark the agents of the others as in use."""
        for session in self:
            if not session.ended and now - session.last_event_at > self._timeouts.idle:
                self.end(session, "idle", now)
            elif not session.ended:
                self._limiter.mark_used("agent", session.agent_label, now)

    def _find(self, ids: tuple[str, ...], event: object) -> Session | None:
        """The session that a new connection continues: one with this id that has no other agent and is no other call."""
        for session_id in (ids[0], _conflict_id(ids[0], event)):
            known = self._by_id.get(session_id)
            if known is not None and not known.over and not _is_other_call(known, event):
                return known
        return None

    def _create(self, event: object, ids: tuple[str, ...], now: float) -> Session:
        agent, numbers = _agent_of(event), self._numbers_of(event)
        label = self._limiter.agent(agent, numbers, now)
        session_id = ids[0] if ids else self._generate_id(now)
        live = self._by_id.get(session_id)
        if live is not None and not live.over:
            session_id = _conflict_id(session_id, event)
            if session_id in self._by_id:
                session_id = self._generate_id(now)
            self._conflicts.add(1, agent=label, now=now)
        session = Session(session_id, agent, self._recorder.series_cache(label), label, now)
        session.has_generated_id = not ids
        session.numbers = numbers
        session.call_id = _call_id(event)
        session.connections = 1
        self._begin(session)
        if isinstance(event, SessionStarted | Start):
            self._note_start(session)
        self._add(session)
        if self._kept_calls is not None:
            self._kept_calls.open(session)
        self._started.add(1, agent=label, now=now)
        self._active.add(1, agent=label, now=now)
        return session

    def _generate_id(self, now: float) -> str:
        self._generated_ids += 1
        return f"unnamed-{now:.6f}-{self._generated_ids}"

    def _switch(self, session: Session, event: SessionStarted | Start, now: float) -> Session:
        """The connection leaves ``session`` for the session that the event names."""
        if session.connections == 1:
            self.end(session, "superseded", now)
        self.disconnect(session, now)
        return self.open(event, now)

    def _rename(self, session: Session, session_id: str) -> None:
        del self._by_id[session.id]
        session.id = session_id
        session.trace_id = trace_id(session_id)
        session.has_generated_id = False
        self._begin(session)
        self._by_id[session_id] = session
        if self._kept_calls is not None:
            self._kept_calls.rename(session)
        self._note_start(session)

    def _begin(self, session: Session) -> None:
        """Note which of the sessions with its id this one is."""
        session.continued = self._begun.get(session.id, 0)
        self._begun.renew(session.id, session.continued + 1)

    def _note_start(self, session: Session) -> None:
        """The session's usage is all new, unless it was unfinished before: then some may have been counted already."""
        session.saw_start = session.id not in self._unfinished
        self._unfinished.pop(session.id, None)

    def _update_agent(self, session: Session, event: object, now: float) -> None:
        agent, numbers = _agent_of(event) or session.agent, self._numbers_of(event) or session.numbers
        if agent is None or (agent == session.agent and numbers == session.numbers):
            session.numbers = numbers
            return
        session.numbers = numbers
        label = self._limiter.agent(agent, numbers, now)
        if not session.ended:
            self._active.add(-1, agent=session.agent_label, now=now)
            self._active.add(1, agent=label, now=now)
        session.agent, session.agent_label = agent, label
        session.series_cache = self._recorder.series_cache(label, session.answered_by)

    def _numbers_of(self, event: object) -> tuple[str, ...]:
        """The numbers of the caller and callee that a start event names."""
        return self._limiter.note_numbers(event.caller, event.callee) if isinstance(event, SessionStarted) else ()

    def _count_end(self, session: Session, reason: str, now: float, *, observe_duration: bool) -> None:
        self._on_end(session, reason, now)
        if self._kept_calls is not None:
            self._kept_calls.end(session, reason, now)
        session.ended = True
        self._active.add(-1, agent=session.agent_label, now=now)
        self._ended.add(1, agent=session.agent_label, reason=reason, now=now)
        if observe_duration:
            self._duration.observe(max(0.0, session.last_event_at - session.started_at), agent=session.agent_label, now=now)

    def _add(self, session: Session) -> None:
        self._all[session] = None
        self._by_id[session.id] = session

    def _remove(self, session: Session) -> None:
        self._all.pop(session, None)
        self._disconnected.pop(session, None)
        if session.journal is not None:
            session.journal.memory.close(session, identity_of(session))
        if self._by_id.get(session.id) is session:
            del self._by_id[session.id]
        if not session.end_recorded and not session.has_generated_id:
            self._unfinished[session.id] = None


def _session_ids(event: object) -> tuple[str, ...]:
    """The ids that a start event gives its session, the best one first."""
    if isinstance(event, SessionStarted):
        names = (event.agent_session_id, event.call_id)
    elif isinstance(event, Start):
        inner = event.start
        names = ((inner and inner.call_id) or None, (inner and inner.stream_id) or event.outer_stream_id)
    else:
        return ()
    return tuple(shorten_id(name) for name in names if name)


def _call_id(event: object) -> str | None:
    """The id of the phone call that a start event names."""
    if isinstance(event, Start):
        call_id = event.start and event.start.call_id
    else:
        call_id = event.call_id if isinstance(event, SessionStarted) else None
    return shorten_id(call_id) if call_id else None


def _is_other_call(session: Session, event: object) -> bool:
    """Whether a start event names another agent or call than the session of this id has."""
    agent, call_id = _agent_of(event), _call_id(event)
    return bool((agent and session.agent and agent != session.agent) or (call_id and session.call_id and call_id != session.call_id))


def _conflict_id(session_id: str, event: object) -> str:
    """The id of a session whose own id another live call has. A new connection of that call comes to the same."""
    return shorten_id(f"{session_id}#{_call_id(event) or ''}#{_agent_of(event) or ''}")


def _agent_of(event: object) -> str | None:
    return event.agent_id[:MAX_RAW] if isinstance(event, SessionStarted) and event.agent_id else None
