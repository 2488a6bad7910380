"""Whose turn it is: callers that wait now, silence, callers that were cut short, and how fast the agent stops for them.

Everything is derived from speech and state events as they arrive. A caller waits from the end of speech, once the platform has judged
the turn complete, until the agent's audio begins or the caller speaks again.
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
from exporter.metrics.instrument import Instrument
from exporter.metrics.store import Store
from exporter.protocol.moments import unix_seconds
from exporter.sessions.session import MACHINE, Session
from exporter.sessions.turn_taking_state import Moment, TurnTakingState

DEAD_AIR: Final = 3.0
"""A silence longer than this, in seconds, is dead air: callers ask whether anybody is there."""
REACTION: Final = 0.5
"""Nobody reacts faster to what they hear, in seconds: a caller who speaks this soon after the agent started had not finished."""
LONGEST_WAIT: Final = 120.0
"""Nobody waits longer, in seconds: the platform did not report the end of the call."""
_SLOWEST_REACTION: Final = 10.0
_SLACK: Final = 1.0
"""A silence that goes on is counted this much later, in seconds, so that late events never make it too long."""
_ABSURD: Final = 3600.0
"""A silence that seems longer, in seconds, comes from a wrong clock."""
_NOT_AN_END: Final = frozenset({"shutdown", "superseded"})
"""Reasons for the end of a session that do not mean that the call ended."""


class TurnTakingTracker:
    """Tracks who speaks in every session. A turn whose wait is above ``slow_turn`` (seconds) is slow."""

    def __init__(self, store: Store, slow_turn: float) -> None:
        self._slow_turn = slow_turn
        self._waiting_sessions: dict[Session, TurnTakingState] = {}
        self._waiting = Instrument(store, operator_metrics.TURNS_WAITING)
        self._dead_air = Instrument(store, operator_metrics.DEAD_AIR)
        self._dead_air_time = Instrument(store, operator_metrics.DEAD_AIR_TIME)
        self._premature = Instrument(store, operator_metrics.PREMATURE_ENDS_OF_TURN)
        self._reaction = Instrument(store, operator_metrics.BARGE_IN_REACTION)
        self._ended_after = Instrument(store, operator_metrics.SESSIONS_ENDED_AFTER_TURN)

    @property
    def waiting(self) -> int:
        """How many callers wait for an answer now."""
        return len(self._waiting_sessions)

    def user_speech_started(self, session: Session, event: UserSpeechStarted, now: float) -> UserSpeechStarted:
        """The caller started to speak."""
        self._user_started(session, _moment(event.timestamp, now), now)
        return event

    def user_speech_stopped(self, session: Session, event: UserSpeechStopped, now: float) -> UserSpeechStopped:
        """The caller stopped speaking."""
        self._user_stopped(session, _moment(event.timestamp, now))
        return event

    def user_state_changed(self, session: Session, event: UserStateChanged, now: float) -> UserStateChanged:
        """The caller started or stopped speaking. user.speech_started and user.speech_stopped may report the same."""
        if event.new_state == "speaking":
            self._user_started(session, _moment(event.timestamp, now), now)
        elif event.old_state == "speaking":
            self._user_stopped(session, _moment(event.timestamp, now))
        return event

    def user_turn_completed(self, session: Session, event: UserTurnCompleted, now: float) -> UserTurnCompleted:
        """The platform judged that it is the agent's turn. If the caller's turn was typed, the wait begins now."""
        state, completed = _state_of(session), _moment(event.timestamp, now)
        if state.waiting_for is not None:
            return event  # a repetition: the caller has said nothing since
        stopped, started = state.user_stopped, state.user_started
        spoke = stopped is not None and (started is None or started.until(stopped) >= 0)
        state.turn_end = stopped if spoke and stopped is not None else completed
        state.turn_start, state.turn_decided = started if spoke else None, completed
        state.user_started = state.user_stopped = None
        state.last_wait = 0.0
        state.answered = state.agent_started if state.agent_started and state.turn_end.until(state.agent_started) >= 0 else None
        self._wait(session, state, now)
        return event

    def agent_state_changed(self, session: Session, event: AgentStateChanged, now: float) -> AgentStateChanged:
        """The agent's state changed. In the state ``speaking`` its audio is played."""
        state = _state_of(session)
        state.agent_reported = True
        if event.new_state == "speaking":
            self._agent_started(session, state, _moment(event.timestamp, now), now)
        else:
            self._wait(session, state, now)
        return event

    def agent_speech_started(self, session: Session, event: AgentSpeechStarted, now: float) -> AgentSpeechStarted:
        """The agent's audio began."""
        state = _state_of(session)
        state.agent_reported = True
        self._agent_started(session, state, _moment(event.timestamp, now), now)
        return event

    def agent_speech_interrupted(self, session: Session, event: AgentSpeechInterrupted, now: float) -> AgentSpeechInterrupted:
        """The agent stopped because the caller spoke: measure for how long both spoke."""
        state = session.turn_taking
        if state is not None and state.user_started is not None and state.agent_started is not None:
            stopped = _moment(event.timestamp, now)
            joint_speech = min(state.user_started.until(stopped), state.agent_started.until(stopped))
            if 0 <= joint_speech <= _SLOWEST_REACTION:
                self._reaction.observe(joint_speech, agent=session.agent_label, now=now)
        return event

    def machine_detected(self, session: Session, now: float) -> None:
        """A machine answered the call: its waits do not count."""
        if session.turn_taking is not None:
            self._stop_waiting(session, session.turn_taking, now)
            session.turn_taking = None

    def session_ended(self, session: Session, event: SessionEnded, now: float) -> None:
        """The platform reports when the call ended."""
        self._finish(session, _moment(event.ended_at, now), now, call_ended=True)

    def finish(self, session: Session, reason: str, now: float) -> None:
        """The session ended for ``reason``. Its last event is the last that is known of it."""
        self._finish(session, Moment(None, session.last_event_at), now, call_ended=reason not in _NOT_AN_END)

    def detach(self, session: Session, now: float) -> None:
        """Another process continues the session: its caller no longer waits in this one."""
        if session.turn_taking is not None:
            self._stop_waiting(session, session.turn_taking, now)

    def restore(self, session: Session, state: TurnTakingState, now: float) -> None:
        """Continue a session of another process. Its caller may be waiting."""
        waiting, reported_silence = state.waiting_for is not None, state.reported_silence
        session.turn_taking, state.waiting_for = state, None
        if waiting:
            self._wait(session, state, now)
            state.reported_silence = reported_silence

    def tick(self, now: float) -> None:
        """Count silences that go on, so that an agent that stopped answering shows in the metrics at once."""
        for session, state in list(self._waiting_sessions.items()):
            if state.turn_end is None or not session.connections:
                continue
            silence = now - state.turn_end.received - _SLACK
            self._count_silence(state, silence, now)
            if silence > LONGEST_WAIT:
                self._stop_waiting(session, state, now)
                state.turn_end, state.unanswered = None, LONGEST_WAIT

    def _user_started(self, session: Session, at: Moment, now: float) -> None:
        state = _state_of(session)
        if state.turn_end is not None and state.turn_end.until(at) < 0:
            return  # reports speech of the completed turn
        if state.user_started is None or state.user_stopped is not None:
            state.user_started, state.user_stopped = at, None
        if state.turn_end is None:
            return
        silence = state.turn_end.until(at)
        early = silence <= DEAD_AIR if state.answered is None else state.answered.until(at) <= REACTION
        if early and session.answered_by != MACHINE:
            self._premature.add(1, agent=session.agent_label, now=now)
        if state.waiting_for is not None:
            state.unanswered += silence
            self._count_silence(state, silence, now)
            self._stop_waiting(session, state, now)
        state.turn_end = state.answered = None

    def _user_stopped(self, session: Session, at: Moment) -> None:
        state = _state_of(session)
        if state.turn_end is None and (state.user_started is None or state.user_started.until(at) >= 0):
            state.user_stopped = at

    def _agent_started(self, session: Session, state: TurnTakingState, at: Moment, now: float) -> None:
        state.agent_started, state.unanswered = at, 0.0
        if state.turn_end is None or state.answered is not None or state.turn_end.until(at) < 0:
            return
        state.answered = at
        state.last_wait = state.turn_end.until(at)
        if state.waiting_for is not None:
            self._count_silence(state, state.last_wait, now)
            self._stop_waiting(session, state, now)

    def _wait(self, session: Session, state: TurnTakingState, now: float) -> None:
        """The caller's wait begins, unless the platform does not report the agent's audio: then every agent would seem silent."""
        waits = state.turn_end is not None and state.answered is None and state.waiting_for is None
        if waits and state.agent_reported and session.answered_by != MACHINE and not session.ended:
            state.waiting_for = session.agent_label
            self._waiting_sessions[session] = state
            self._waiting.add(1, agent=session.agent_label, now=now)

    def _stop_waiting(self, session: Session, state: TurnTakingState, now: float) -> None:
        if state.waiting_for is not None:
            self._waiting.add(-1, agent=state.waiting_for, now=now)
            state.waiting_for = None
            state.reported_silence = 0.0
            self._waiting_sessions.pop(session, None)

    def _count_silence(self, state: TurnTakingState, silence: float, now: float) -> None:
        """Count the part of a silence that was not counted yet. ``silence`` is its whole length in seconds."""
        if state.waiting_for is None or silence > _ABSURD:
            return
        silence = min(silence, LONGEST_WAIT)
        if silence <= max(DEAD_AIR, state.reported_silence):
            return
        if state.reported_silence == 0.0:
            self._dead_air.add(1, agent=state.waiting_for, now=now)
        self._dead_air_time.add(silence - state.reported_silence, agent=state.waiting_for, now=now)
        state.reported_silence = silence

    def _finish(self, session: Session, end: Moment, now: float, *, call_ended: bool) -> None:
        state, session.turn_taking = session.turn_taking, None
        if state is None:
            return
        waited = 0.0
        if state.turn_end is not None and state.waiting_for is not None:
            waited = max(0.0, state.turn_end.until(end))
            self._count_silence(state, waited, now)
            self._stop_waiting(session, state, now)
        last_turn = self._judge_last_turn(state, state.unanswered + waited)
        if call_ended and last_turn and session.answered_by != MACHINE:
            self._ended_after.add(1, agent=session.agent_label, last_turn=last_turn, now=now)

    def _judge_last_turn(self, state: TurnTakingState, unanswered: float) -> operator_metrics.BadTurn | None:
        """What was wrong with the last turn: ``silent`` if it was not answered, ``slow`` if it was late or the caller hung up."""
        if unanswered > DEAD_AIR:
            return "silent"
        return "slow" if (unanswered or state.last_wait) > self._slow_turn else None


def _state_of(session: Session) -> TurnTakingState:
    if session.turn_taking is None:
        session.turn_taking = TurnTakingState()
    return session.turn_taking


def _moment(stamp: datetime | None, now: float) -> Moment:
    return Moment(None if stamp is None else unix_seconds(stamp), now)
