"""Who has the floor: callers that wait right now, silence, callers cut short, and how fast the agent yields to them.

All of it is worked out from speech and state events while they come. A caller waits from the end of speech, once the platform has
judged the turn over, until agent audio begins or the caller speaks again.
"""

from datetime import datetime
from typing import Final

from exporter.catalogue import operator_metrics
from exporter.events.session import SessionEnded
from exporter.events.speech import (
    AgentSpeechInterrupted,
    AgentSpeechStarted,
    AgentStateChanged,
    UserSpeechStarted,
    UserSpeechStopped,
    UserStateChanged,
)
from exporter.events.turns import UserTurnCompleted
from exporter.metrics.store import Instrument, Store
from exporter.sessions.registry import MACHINE, Session
from exporter.sessions.turn_taking_state import Moment, TurnTakingState

DEAD_AIR: Final = 3.0
"""Silence longer than this, in seconds, is dead air: callers ask whether anybody is there."""
REACTION: Final = 0.5
"""Nobody reacts faster to what they hear, in seconds: who speaks this soon after the agent began had not finished."""
LONGEST_WAIT: Final = 120.0
"""Nobody waits longer, in seconds: the platform has forgotten to say that the call is over."""
_SLOWEST_REACTION: Final = 10.0
_SLACK: Final = 1.0
"""By how much silence that goes on is counted late, in seconds, so that jitter in arrival never makes it too much."""
_ABSURD: Final = 3600.0
"""A silence that seems longer, in seconds, comes from a wrong clock."""
_NOT_AN_END: Final = frozenset({"shutdown", "superseded"})


class TurnTakingTracker:
    """Follows the floor of every session. ``slow_above`` is the wait, in seconds, above which a turn is slow."""

    def __init__(self, store: Store, slow_above: float) -> None:
        self._slow_above = slow_above
        self._waits: dict[Session, TurnTakingState] = {}
        self._waiting = Instrument(store, operator_metrics.TURNS_WAITING)
        self._dead_air = Instrument(store, operator_metrics.DEAD_AIR)
        self._dead_air_time = Instrument(store, operator_metrics.DEAD_AIR_TIME)
        self._premature = Instrument(store, operator_metrics.PREMATURE_ENDS_OF_TURN)
        self._reaction = Instrument(store, operator_metrics.BARGE_IN_REACTION)
        self._ended_after = Instrument(store, operator_metrics.SESSIONS_ENDED_AFTER_TURN)

    def user_speech_started(self, session: Session, event: UserSpeechStarted, now: float) -> UserSpeechStarted:
        """The caller was heard to begin."""
        self._user_began(session, _moment(event.timestamp, now), now)
        return event

    def user_speech_stopped(self, session: Session, event: UserSpeechStopped, now: float) -> UserSpeechStopped:
        """The caller was heard to stop."""
        self._user_stopped(session, _moment(event.timestamp, now))
        return event

    def user_state(self, session: Session, event: UserStateChanged, now: float) -> UserStateChanged:
        """The caller began or stopped, as another event may say too."""
        if event.new_state == "speaking":
            self._user_began(session, _moment(event.timestamp, now), now)
        elif event.old_state == "speaking":
            self._user_stopped(session, _moment(event.timestamp, now))
        return event

    def user_turn_completed(self, session: Session, event: UserTurnCompleted, now: float) -> UserTurnCompleted:
        """The platform judged that it is the agent's turn; a typed one begins to wait here."""
        state, over = _state_of(session), _moment(event.timestamp, now)
        if state.waits_for is not None:
            return event  # it said so before, and the caller has said nothing since
        stopped, began = state.user_stopped, state.user_began
        spoke = stopped is not None and (began is None or began.until(stopped) >= 0)
        state.turn = stopped if spoke and stopped is not None else over
        state.user_began = state.user_stopped = None
        state.wait = 0.0
        state.answered = state.agent_began if state.agent_began and state.turn.until(state.agent_began) >= 0 else None
        self._wait(session, state, now)
        return event

    def agent_state(self, session: Session, event: AgentStateChanged, now: float) -> AgentStateChanged:
        """What the agent does now; speaking is audio."""
        state = _state_of(session)
        state.agent_shows = True
        if event.new_state == "speaking":
            self._agent_began(session, state, _moment(event.timestamp, now), now)
        else:
            self._wait(session, state, now)
        return event

    def agent_speech_started(self, session: Session, event: AgentSpeechStarted, now: float) -> AgentSpeechStarted:
        """The caller hears the agent."""
        state = _state_of(session)
        state.agent_shows = True
        self._agent_began(session, state, _moment(event.timestamp, now), now)
        return event

    def agent_interrupted(self, session: Session, event: AgentSpeechInterrupted, now: float) -> AgentSpeechInterrupted:
        """The agent fell silent for the caller: how long did they speak at once?"""
        state = session.turn_taking
        if state is not None and state.user_began is not None and state.agent_began is not None:
            silent = _moment(event.timestamp, now)
            together = min(state.user_began.until(silent), state.agent_began.until(silent))
            if 0 <= together <= _SLOWEST_REACTION:
                self._reaction.observe(together, session.agent_label, now=now)
        return event

    def machine(self, session: Session, now: float) -> None:
        """A machine answered: whatever it waits for does not count."""
        if session.turn_taking is not None:
            self._stop_waiting(session, session.turn_taking, now)
            session.turn_taking = None

    def session_ended(self, session: Session, event: SessionEnded, now: float) -> None:
        """The platform says when the call was over."""
        self._finish(session, _moment(event.ended_at, now), now, counts=True)

    def finish(self, session: Session, reason: str, now: float) -> None:
        """The session is over, for what that we know of: it was last heard of then."""
        self._finish(session, Moment(None, session.last_event_at), now, counts=reason not in _NOT_AN_END)

    def let_go(self, session: Session, now: float) -> None:
        """Another process goes on with the session: its caller waits there."""
        if session.turn_taking is not None:
            self._stop_waiting(session, session.turn_taking, now)

    def take_over(self, session: Session, state: TurnTakingState, now: float) -> None:
        """A session comes from another process, and perhaps its caller waits."""
        waits, told = state.waits_for is not None, state.told
        session.turn_taking, state.waits_for = state, None
        if waits:
            self._wait(session, state, now)
            state.told = told

    def tick(self, now: float) -> None:
        """Count silence that goes on, so that an agent that stopped answering shows at once."""
        for session, state in list(self._waits.items()):
            if state.turn is None or not session.connections:
                continue
            silence = now - state.turn.received - _SLACK
            self._silent(state, silence, now)
            if silence > LONGEST_WAIT:
                self._stop_waiting(session, state, now)
                state.turn, state.silence = None, LONGEST_WAIT

    def _user_began(self, session: Session, at: Moment, now: float) -> None:
        state = _state_of(session)
        if state.turn is not None and state.turn.until(at) < 0:
            return  # tells of the turn that is over already
        if state.user_began is None or state.user_stopped is not None:
            state.user_began, state.user_stopped = at, None
        if state.turn is None:
            return
        silence = state.turn.until(at)
        early = silence <= DEAD_AIR if state.answered is None else state.answered.until(at) <= REACTION
        if early and session.answered_by != MACHINE:
            self._premature.add(1, session.agent_label, now=now)
        if state.waits_for is not None:
            state.silence += silence
            self._silent(state, silence, now)
            self._stop_waiting(session, state, now)
        state.turn = state.answered = None

    def _user_stopped(self, session: Session, at: Moment) -> None:
        state = _state_of(session)
        if state.turn is None and (state.user_began is None or state.user_began.until(at) >= 0):
            state.user_stopped = at

    def _agent_began(self, session: Session, state: TurnTakingState, at: Moment, now: float) -> None:
        state.agent_began, state.silence = at, 0.0
        if state.turn is None or state.answered is not None or state.turn.until(at) < 0:
            return
        state.answered = at
        state.wait = state.turn.until(at)
        if state.waits_for is not None:
            self._silent(state, state.wait, now)
            self._stop_waiting(session, state, now)

    def _wait(self, session: Session, state: TurnTakingState, now: float) -> None:
        """Begin to wait, unless the agent never shows: of servers that do not tell of its audio, all would seem silent."""
        waits = state.turn is not None and state.answered is None and state.waits_for is None
        if waits and state.agent_shows and session.answered_by != MACHINE and not session.ended:
            state.waits_for = session.agent_label
            self._waits[session] = state
            self._waiting.add(1, session.agent_label, now=now)

    def _stop_waiting(self, session: Session, state: TurnTakingState, now: float) -> None:
        if state.waits_for is not None:
            self._waiting.add(-1, state.waits_for, now=now)
            state.waits_for = None
            state.told = 0.0
            self._waits.pop(session, None)

    def _silent(self, state: TurnTakingState, silence: float, now: float) -> None:
        """Count what of a silence, all of it in seconds, has not been counted yet."""
        if state.waits_for is None or silence > _ABSURD:
            return
        silence = min(silence, LONGEST_WAIT)
        if silence <= max(DEAD_AIR, state.told):
            return
        if state.told == 0.0:
            self._dead_air.add(1, state.waits_for, now=now)
        self._dead_air_time.add(silence - state.told, state.waits_for, now=now)
        state.told = silence

    def _finish(self, session: Session, over: Moment, now: float, *, counts: bool) -> None:
        state, session.turn_taking = session.turn_taking, None
        if state is None:
            return
        waited = 0.0
        if state.turn is not None and state.waits_for is not None:
            waited = max(0.0, state.turn.until(over))
            self._silent(state, waited, now)
            self._stop_waiting(session, state, now)
        turn = self._last_turn(state, state.silence + waited)
        if counts and turn and session.answered_by != MACHINE:
            self._ended_after.add(1, session.agent_label, turn, now=now)

    def _last_turn(self, state: TurnTakingState, in_vain: float) -> operator_metrics.BadTurn | None:
        """What was wrong with the last turn: ``silent`` if nothing was heard, ``slow`` if it was late or not waited for."""
        if in_vain > DEAD_AIR:
            return "silent"
        return "slow" if (in_vain or state.wait) > self._slow_above else None


def _state_of(session: Session) -> TurnTakingState:
    if session.turn_taking is None:
        session.turn_taking = TurnTakingState()
    return session.turn_taking


def _moment(stamp: datetime | None, now: float) -> Moment:
    return Moment(None if stamp is None else stamp.timestamp(), now)
