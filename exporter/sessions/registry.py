"""Sessions: their identity, life and end.

A session is one call. It begins with the first event of a connection, may lose its connection and come back on another, and ends
when the platform says so, when its connection stays away, or when it has been silent for too long. Everything here is told the time;
nothing asks for it.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import takewhile
from typing import Final, Literal

import msgspec

from exporter.catalogue import derived
from exporter.events.audio_stream import Start
from exporter.events.session import SessionEnded, SessionStarted
from exporter.events.turns import TurnCompleted
from exporter.metrics.label_limits import MAX_RAW, UNKNOWN, LabelLimiter
from exporter.metrics.recorder import Recorder, SeriesCache
from exporter.metrics.store import Instrument, Store
from exporter.protocol.ids import TurnKey, shorten_id, trace_id
from exporter.sessions.app_state import AppState
from exporter.sessions.span_state import SpanState
from exporter.sessions.turn_taking_state import TurnTakingState

MACHINE: Final = "machine"
"""Who answered a call, where no caller waits for anything."""
Models = tuple[str | None, ...]
"""Provider and model of STT, LLM, TTS and realtime, as a turn names them: eight texts."""
EndReason = Literal["disconnected", "idle", "superseded", "shutdown", "stopped"]
MOST_CUT_OFF: Final = 1_024
"""Sessions remembered after they ended without the platform saying so: one may turn up again."""
_SESSION_DURATION: Final = "agentstack_session_duration_seconds"


@dataclass(frozen=True, slots=True)
class SessionTimeouts:
    """How long to wait, in seconds.

    ``resume``: for a dropped connection to come back. ``turn``: for the turn.metrics of a completed turn. ``idle``: for a silent
    session to say something.
    """

    resume: float = 30.0
    turn: float = 10.0
    idle: float = 3600.0


class Session:
    """What is known of one call. Collections are made when first needed: most sessions are idle most of the time.

    ``ended`` says that it no longer counts as going on, ``over`` that it will not go on again either: one that was merely silent may.
    ``continued`` is how often a session of this name was cut off before. ``app`` is there if the customer's app is seen too. ``turns``
    maps each turn that counted to the fields for which turn.completed stood in, ``None`` where its turn.metrics came.
    """

    __slots__ = (
        "agent",
        "agent_label",
        "agent_tools",
        "answered_by",
        "app",
        "connections",
        "continued",
        "end_taken_in",
        "ended",
        "format_counted",
        "has_generated_id",
        "id",
        "last_event_at",
        "models",
        "models_at",
        "over",
        "pending_turns",
        "saw_start",
        "series_cache",
        "spans",
        "started_at",
        "states",
        "told_missing",
        "trace_id",
        "turn_metrics",
        "turn_taking",
        "turns",
        "turns_completed",
        "unmatched_metrics",
        "usage",
    )

    def __init__(self, session_id: str, agent: str | None, series_cache: SeriesCache, agent_label: str, now: float) -> None:
        self.id = session_id
        self.trace_id = trace_id(session_id)
        self.agent = agent
        self.agent_label = agent_label
        self.answered_by = UNKNOWN
        self.series_cache = series_cache
        self.started_at = now
        self.last_event_at = now
        self.saw_start = False
        self.format_counted = False
        self.end_taken_in = False
        self.has_generated_id = False
        self.connections = 0
        self.ended = False
        self.over = False
        self.turns: dict[TurnKey, tuple[str, ...] | None] | None = None
        self.pending_turns: dict[TurnKey, TurnCompleted] | None = None
        self.turns_completed = 0
        self.unmatched_metrics = 0
        self.turn_metrics = 0
        self.told_missing = False
        self.states: dict[str, tuple[str, float, float]] | None = None
        self.agent_tools: dict[str, tuple[str, float]] | None = None
        self.usage: dict[tuple[str, str, str], dict[str, float]] | None = None
        self.turn_taking: TurnTakingState | None = None
        self.spans: SpanState | None = None
        self.models: Models | None = None
        self.continued = 0
        self.models_at = 0.0
        self.app: AppState | None = None


class Sessions:
    """All sessions that are going on, or may still come back, or still have a connection."""

    def __init__(
        self,
        store: Store,
        recorder: Recorder,
        limiter: LabelLimiter,
        timeouts: SessionTimeouts,
        on_end: Callable[[Session, str, float], None],
    ) -> None:
        self._recorder = recorder
        self._limiter = limiter
        self._timeouts = timeouts
        self._on_end = on_end
        self._all: dict[Session, None] = {}
        self._by_id: dict[str, Session] = {}
        self._away: dict[Session, float] = {}
        self._cut_off: dict[str, int] = {}
        self._made_up = 0
        self._started = Instrument(store, derived.SESSIONS)
        self._active = Instrument(store, derived.SESSIONS_ACTIVE)
        self._ended = Instrument(store, derived.SESSIONS_ENDED)
        self._resumptions = Instrument(store, derived.SESSION_RESUMPTIONS)
        self._duration = Instrument(store, store.spec(_SESSION_DURATION))

    def __len__(self) -> int:
        return len(self._all)

    def __iter__(self) -> Iterator[Session]:
        return iter(list(self._all))

    @property
    def active(self) -> int:
        """How many have not ended."""
        return sum(not session.ended for session in self._all)

    def open(self, event: object, now: float, name: str | None = None) -> Session:
        """The session that a connection's first event belongs to: one that comes back, or a new one.

        ``name`` is what the session is called where the event does not say.
        """
        names = _names(event) or ((shorten_id(name),) if name else ())
        known = self._by_id.get(names[0]) if names else None
        if known is None or known.over:
            return self._begin(event, names, now)
        known.connections += 1
        self._away.pop(known, None)
        self._resumptions.add(1, known.agent_label, now=now)
        if known.ended:
            self.revive(known, now)
        self._learn_agent(known, event, now)
        return known

    def resume(self, name: str, agent: str | None, now: float, *, over: bool) -> tuple[Session, bool]:
        """A session that an earlier process has counted goes on here, or is ``over`` and has its last events to come.

        Returns it, and whether it was unknown here.
        """
        known = self._by_id.get(shorten_id(name))
        if known is not None:
            known.connections += 1
            self._away.pop(known, None)
            return known, False
        label = self._limiter.value("agent", agent, now)
        session = Session(shorten_id(name), agent, self._recorder.series_cache(label), label, now)
        session.connections = 1
        session.ended = session.over = over
        self._all[session] = None
        self._by_id[session.id] = session
        if not over:
            self._active.add(1, label, now=now)
        return session, True

    def let_go(self, session: Session, now: float) -> None:
        """Another process goes on with the session: it has not ended, and is none of ours any more."""
        if not session.ended:
            session.ended = session.over = True
            self._active.add(-1, session.agent_label, now=now)
        self._forget(session)

    def started(self, session: Session, event: SessionStarted | Start, now: float) -> Session:
        """Take in a start that is not a connection's first event; if it names another call, the connection turns to that one."""
        names = _names(event)
        if session.over or (names and not session.has_generated_id and session.id not in names):
            return self._turn_to(session, event, now)
        if names and names[0] != session.id:
            known = self._by_id.get(names[0])
            if known is not None and not known.over:
                return self._turn_to(session, event, now)
            self._rename(session, names[0])
        if session.ended:
            self.revive(session, now)
        self._learn_agent(session, event, now)
        return session

    def revive(self, session: Session, now: float) -> None:
        """A session that had ended because it was silent goes on, and counts as another one."""
        session.ended = False
        session.started_at = session.last_event_at = now
        self._started.add(1, session.agent_label, now=now)
        self._active.add(1, session.agent_label, now=now)

    def judge(self, session: Session, answered_by: str) -> None:
        """Note whether a human or a machine answered; later measurements are kept apart by it."""
        session.answered_by = answered_by
        session.series_cache = self._recorder.series_cache(session.agent_label, answered_by)

    def ended(self, session: Session, event: SessionEnded, now: float) -> SessionEnded | None:
        """The platform says that the session is over; late events still count. Returns what of it is to be recorded."""
        if session.end_taken_in:
            return None
        session.end_taken_in = session.over = True
        if session.ended:
            return msgspec.structs.replace(event, duration_seconds=None)
        reason = self._limiter.value("reason", event.reason, now)
        self._close(session, reason, now, observe_duration=event.duration_seconds is None)
        return event

    def end(self, session: Session, reason: EndReason, now: float) -> None:
        """The session is over for a reason of ours; a silent one may yet go on."""
        if not session.ended:
            session.over = reason != "idle"
            self._close(session, reason, now, observe_duration=True)

    def leave(self, session: Session, now: float) -> None:
        """A connection of the session is gone."""
        session.connections -= 1
        if session.connections > 0:
            return
        if session.ended:
            self._forget(session)
        else:
            self._away[session] = now + self._timeouts.resume

    def tick(self, now: float) -> None:
        """End sessions whose connection stayed away."""
        for session in [session for session, _ in takewhile(lambda entry: entry[1] <= now, self._away.items())]:
            self.end(session, "disconnected", now)
            self._forget(session)

    def sweep(self, now: float) -> None:
        """End silent sessions, and show the agents of the others to be in use."""
        for session in self:
            if not session.ended and now - session.last_event_at > self._timeouts.idle:
                self.end(session, "idle", now)
            elif not session.ended:
                self._limiter.mark_used("agent", session.agent_label, now)

    def _begin(self, event: object, names: tuple[str, ...], now: float) -> Session:
        agent = _agent(event)
        label = self._limiter.value("agent", agent, now)
        session = Session(names[0] if names else self._make_up(now), agent, self._recorder.series_cache(label), label, now)
        session.has_generated_id = not names
        session.connections = 1
        session.continued = self._cut_off.get(session.id, 0)
        if isinstance(event, SessionStarted | Start):
            self._note_start(session)
        self._all[session] = None
        self._by_id[session.id] = session
        self._started.add(1, label, now=now)
        self._active.add(1, label, now=now)
        return session

    def _make_up(self, now: float) -> str:
        self._made_up += 1
        return f"unnamed-{now:.6f}-{self._made_up}"

    def _turn_to(self, session: Session, event: SessionStarted | Start, now: float) -> Session:
        if session.connections == 1:
            self.end(session, "superseded", now)
        self.leave(session, now)
        return self.open(event, now)

    def _rename(self, session: Session, session_id: str) -> None:
        del self._by_id[session.id]
        session.id = session_id
        session.trace_id = trace_id(session_id)
        session.has_generated_id = False
        session.continued = self._cut_off.get(session_id, 0)
        self._by_id[session_id] = session
        self._note_start(session)

    def _note_start(self, session: Session) -> None:
        """Its use so far is all new, unless it was cut off and its use may have been counted already."""
        session.saw_start = session.id not in self._cut_off
        self._cut_off.pop(session.id, None)

    def _learn_agent(self, session: Session, event: object, now: float) -> None:
        agent = _agent(event)
        if agent is None or agent == session.agent:
            return
        label = self._limiter.value("agent", agent, now)
        if not session.ended:
            self._active.add(-1, session.agent_label, now=now)
            self._active.add(1, label, now=now)
        session.agent, session.agent_label = agent, label
        session.series_cache = self._recorder.series_cache(label, session.answered_by)

    def _close(self, session: Session, reason: str, now: float, *, observe_duration: bool) -> None:
        self._on_end(session, reason, now)
        session.ended = True
        self._active.add(-1, session.agent_label, now=now)
        self._ended.add(1, session.agent_label, reason, now=now)
        if observe_duration:
            self._duration.observe(max(0.0, session.last_event_at - session.started_at), session.agent_label, now=now)

    def _forget(self, session: Session) -> None:
        self._all.pop(session, None)
        self._away.pop(session, None)
        if self._by_id.get(session.id) is session:
            del self._by_id[session.id]
        if not session.end_taken_in and not session.has_generated_id:
            self._cut_off[session.id] = session.continued + 1
            if len(self._cut_off) > MOST_CUT_OFF:
                del self._cut_off[next(iter(self._cut_off))]


def _names(event: object) -> tuple[str, ...]:
    """What a start calls its session, the best name first."""
    if isinstance(event, SessionStarted):
        names = (event.agent_session_id, event.call_id)
    elif isinstance(event, Start):
        inner = event.start
        names = ((inner and inner.call_id) or None, (inner and inner.stream_id) or event.outer_stream_id)
    else:
        return ()
    return tuple(shorten_id(name) for name in names if name)


def _agent(event: object) -> str | None:
    return event.agent_id[:MAX_RAW] if isinstance(event, SessionStarted) and event.agent_id else None
