"""How long the user and the agent of a session spend in each state: for example listening or speaking."""

from functools import partial
from typing import Final

from exporter.catalogue import derived
from exporter.events.speech import AGENT_STATES, USER_STATES, AgentStateChanged, UserStateChanged
from exporter.metrics.instrument import Instrument
from exporter.metrics.recorder import one_of
from exporter.metrics.store import Row, Store
from exporter.protocol.moments import unix_seconds
from exporter.sessions.session import Participant, ParticipantState, Session

_LONGEST_STATE: Final = 86_400.0
"""A state that seems to last longer, in seconds, comes from a wrong clock."""
_MOST_OUT_OF_ORDER: Final = 60.0
"""An event that is older than the one before it by more than this, in seconds, is not late: the platform's clock was set back."""


class StateTracker:
    """Adds up the time that participants spend in each state."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._state_duration = Instrument(store, derived.STATE_DURATION)

    def user_state_changed(self, session: Session, event: UserStateChanged, now: float) -> UserStateChanged:
        """The user's state changed."""
        self._change(session, "user", event, USER_STATES, now)
        return event

    def agent_state_changed(self, session: Session, event: AgentStateChanged, now: float) -> AgentStateChanged:
        """The agent's state changed."""
        self._change(session, "agent", event, AGENT_STATES, now)
        return event

    def finish(self, session: Session, now: float) -> None:
        """The session ended: its current states lasted until its last event."""
        for participant, state in (session.states or {}).items():
            self._add(session, participant, state.name, session.last_event_at - state.received, now)
        session.states = None

    def _change(
        self,
        session: Session,
        participant: Participant,
        event: UserStateChanged | AgentStateChanged,
        known: tuple[str, ...],
        now: float,
    ) -> None:
        at = now if event.timestamp is None else unix_seconds(event.timestamp)
        if session.states is None:
            session.states = {}
        state = session.states.get(participant)
        if state is None:
            session.states[participant] = ParticipantState(one_of(event.new_state, known), at, now)
            if event.old_state and session.saw_start:
                self._add(session, participant, one_of(event.old_state, known), now - session.started_at, now)
            return
        if at > state.since:
            self._add(session, participant, state.name, at - state.since, now)
        elif 0 < state.since - at < _MOST_OUT_OF_ORDER:
            return
        state.name, state.since, state.received = one_of(event.new_state, known), at, now

    def _add(self, session: Session, participant: Participant, state: str, seconds: float, now: float) -> None:
        if 0 < seconds <= _LONGEST_STATE:
            row = session.series_cache.states.get((participant, state)) or self._row(session, participant, state, now)
            row[0] += seconds

    def _row(self, session: Session, participant: Participant, state: str, now: float) -> Row:
        find = partial(self._state_duration.row, agent=session.agent_label, participant=participant, state=state, now=now)
        return self._store.cached(session.series_cache.states, (participant, state), find)
