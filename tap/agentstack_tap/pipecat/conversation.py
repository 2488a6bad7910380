"""A conversation as its pipeline shows it: who speaks, what happens, and the events that follow.

It knows nothing of Pipecat's classes and has no clock: every time comes in, in unix seconds.
"""

from collections.abc import Callable, Iterator
from copy import copy
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from agentstack_tap.pipecat.endings import Ending
from agentstack_tap.pipecat.outbox import MadeLater, Outbox
from agentstack_tap.pipecat.services import Kind, Service
from agentstack_tap.pipecat.tools import Tools
from agentstack_tap.pipecat.turn import Turn
from agentstack_tap.pipecat.turns import Later, Turns
from agentstack_tap.pipecat.usage import Usage
from agentstack_tap.pipecat.work import Work

STOPS_WITHIN: Final = 1.0
"""Seconds within which an interrupted agent falls silent. Speech that goes on longer was not to be interrupted."""
END_OF_TURN_MODEL: Final = "eou_model"
"""What the wire calls it when a model judged that the user's turn is over."""


@dataclass(frozen=True)
class _Cut:
    """The pipeline dropped what the agent was saying, ``by_user`` because the user spoke."""

    at: float
    by_user: bool


class Conversation:
    """One session. ``send`` takes its events, ``later`` calls functions after some seconds; ``texts`` sends what is said, too."""

    def __init__(
        self, session: str, agent: str | None, send: Callable[[MadeLater], None], later: Later, *, texts: bool = False
    ) -> None:
        self._session, self._agent, self._texts = session, agent, texts
        self._outbox = Outbox(send)
        self._began: float | None = None
        self._over = False
        self._ending = Ending(None)
        self._usage = Usage()
        self._turns = Turns(self._report, later, self._is_busy)
        self.work = Work(self._turns, self._usage)
        self.tools = Tools(self._outbox, texts=texts)
        self._states = {"user": "listening", "agent": "listening"}
        self._speech_started: float | None = None
        self._speech_stopped: float | None = None
        self._transcribed: float | None = None
        self._speaking: tuple[Turn, float] | None = None
        """The turn in which the agent speaks now, and since when."""
        self._cut: _Cut | None = None

    def begin(self, at: float) -> None:
        """The pipeline started."""
        if self._began is None and not self._over:
            self._began = at
            self._outbox.send("session.started", agent_session_id=self._session, agent_id=self._agent)

    def user_speech_started(self, at: float) -> None:
        """The voice activity detector heard the user; ``at`` is when the speech began."""
        self._speech_started, self._speech_stopped, self._transcribed = at, None, None
        turn = self._turns.current
        if turn.is_unanswered:
            turn.user_stopped = turn.released = turn.transcribed = None
        elif turn.agent_started is not None and self._speaking is None:
            self._outbox.hold()
        self._outbox.send("user.speech_started", timestamp_ms=self._offset(at), timestamp=at)
        self._enter("user", "speaking", at)

    def user_speech_stopped(self, at: float) -> None:
        """The user fell silent ``at`` that time."""
        began, self._speech_stopped = self._speech_started, at
        if self._turns.current.is_unanswered:
            self._turns.current.user_stopped = at
        length = None if began is None else _milliseconds(at - began)
        self._outbox.send("user.speech_stopped", timestamp_ms=self._offset(at), duration_ms=length, timestamp=at)
        self._enter("user", "listening", at)
        if not self._turns.current.is_unanswered:
            self._outbox.release()  # no turn came of it

    def user_turn_started(self, at: float) -> None:
        """The pipeline judged that the user takes the turn."""
        turn = self._turns.user_takes_turn(at)
        if self._turns.is_finishing and self._speaking is None:
            self._outbox.hold()
        if not turn.from_user:
            turn.from_user = True
            turn.user_started = at if self._speech_started is None else self._speech_started
        turn.user_stopped, turn.released = self._speech_stopped, None
        if self._speech_stopped is None:
            self._enter("user", "speaking", at)
        if self._speaking is None:
            self._enter("agent", "listening", at)

    def user_turn_stopped(self, at: float) -> None:
        """The pipeline judged that the user's turn is over."""
        turn = self._turns.current
        if turn.is_unanswered:
            turn.released, turn.transcribed = at, self._transcribed
            self._outbox.send(
                "user.turn_completed",
                turn_id=str(turn.number),
                duration_ms=None if turn.user_started is None else _milliseconds((turn.user_stopped or at) - turn.user_started),
                timestamp=at,
                turn_method=None if turn.probability is None else END_OF_TURN_MODEL,
                turn_probability=turn.probability,
            )
        self._enter("user", "listening", at)
        if self._speaking is None:
            self._enter("agent", "thinking", at)

    def turn_judged(self, *, complete: bool, probability: float) -> None:
        """A model judged whether the user's turn is over."""
        self._turns.current.probability = probability if complete else None

    def transcript(self, at: float, text: str, language: str | None, *, final: bool) -> None:
        """The recogniser gave a transcript."""
        if final:
            self._transcribed = at
            if self._texts:
                self._turns.current.user_text.append(text)
        self._outbox.send("user.transcription", text=text if self._texts else None, is_final=final, language=language)

    def agent_started(self, at: float) -> None:
        """The agent's audio begins."""
        if self._speaking is not None:
            return
        turn = self._turns.speech()
        if turn.agent_started is None:
            turn.answer(at)
        self._speaking, self._cut = (turn, at), None
        self._outbox.send("agent.speech_started", timestamp=at)
        self._enter("agent", "speaking", at)

    def agent_stopped(self, at: float) -> None:
        """The agent's audio ended, of itself or because it was cut off."""
        if self._speaking is None:
            return
        (turn, began), self._speaking = self._speaking, None
        turn.agent_stopped = at
        played = {"playback_position_s": round(max(0.0, at - began), 3), "timestamp": at}
        if self._cut is None or at - self._cut.at > STOPS_WITHIN:
            self._outbox.send_now("agent.speech_completed", **played)
        elif self._cut.by_user:
            turn.interrupted = True
            self._outbox.send_now("agent.speech_interrupted", turn_id=str(turn.number), **played)
        self._enter("agent", "listening", at)
        self._turns.agent_fell_silent(turn, at)

    def waited(self, parts: MadeLater) -> None:
        """The caller's wait was taken apart: ``parts`` makes its events."""
        self._outbox.send_made(parts)

    def interrupted(self, at: float) -> None:
        """The pipeline drops what the agent says. It does so whenever the user takes the turn, also when the agent is silent."""
        if self._speaking is not None:
            self._cut = _Cut(at, by_user=self._turns.current.is_unanswered)
        self.work.interrupted(at)

    def work_started(self, at: float, kind: Kind, service: Service) -> None:
        """A service began to answer."""
        self.work.started(kind, service)
        if kind == "llm" and self._speaking is None:
            self._enter("agent", "thinking", at)

    def failed(self, code: str, message: str, source: str | None) -> None:
        """Something in the pipeline failed."""
        turn = self._turns.current
        turn.error_source = turn.error_source or source
        self._outbox.send("session.error", code=code, message=message if self._texts else None)

    def ends(self, ending: Ending) -> None:
        """The pipeline is going to end. What is still to be said is said first."""
        if self._ending.reason is None:
            self._ending = ending

    def finish(self, at: float) -> None:
        """The pipeline has ended. Agent speech that ended with it was not interrupted: nobody took the turn."""
        if self._over:
            return
        self._over = True
        if self._speaking is not None:
            self._speaking[0].agent_stopped = at
        self._turns.close()
        self._outbox.release()
        self._outbox.send_made(self._usage.news())
        if self._began is not None:
            self._outbox.send(
                "session.ended",
                duration_seconds=round(at - self._began, 3),
                turn_count=self._turns.count,
                reason=self._ending.reason,
                started_at=self._began,
                ended_at=at,
                error=self._ending.error if self._texts else None,
            )

    def _report(self, turn: Turn) -> None:
        self.work.reported(turn)
        if self._speaking is not None and self._speaking[0] is turn:  # its speech goes on, and is not a part of what is reported
            turn = copy(turn)
        self._outbox.send_made_now(partial(_reported, turn, self._usage.news()))
        if not self._turns.is_finishing:
            self._outbox.release()

    def _is_busy(self) -> bool:
        return self._speaking is not None or self.work.under_way or self.tools.under_way

    def _enter(self, who: str, state: str, at: float) -> None:
        old = self._states[who]
        if state != old:
            self._states[who] = state
            self._outbox.send(f"{who}.state_changed", old_state=old, new_state=state, timestamp=at)

    def _offset(self, at: float) -> float:
        return _milliseconds(at - (at if self._began is None else self._began))


def _reported(turn: Turn, used: MadeLater) -> Iterator[dict[str, Any]]:
    yield from turn.report()
    yield from used()


def _milliseconds(seconds: float) -> float:
    return round(max(0.0, seconds) * 1000, 3)
