"""Where one turn ends and the next begins.

Turns are cut as Pipecat's ``TurnTrackingObserver`` cuts them: one ends when the user speaks after the agent did, or some time after the
agent fell silent. Unlike there, work in progress keeps it open, and the agent may begin a turn at any time.
"""

from collections.abc import Callable
from typing import Final, Protocol

from agentstack_tap.pipecat.turn import Turn

SILENCE_ENDS_TURN: Final = 2.5
"""Seconds after the agent's speech, as in Pipecat's ``TurnTrackingObserver``."""
LONGEST_WORK: Final = 30.0
"""Seconds after the agent's speech after which not even work in progress keeps the turn open: its end was missed."""
LATE_NUMBERS: Final = 0.25
"""Seconds that an interrupted turn waits for its last numbers: cancelled services report theirs a moment later."""


class Timer(Protocol):
    """What can still be called off."""

    def cancel(self) -> object:
        """Call it off."""


Later = Callable[[float, Callable[[float], None]], Timer]
"""Calls a function after some seconds, with the time then."""


class Turns:
    """The turns of a session. ``report`` takes each turn that is over; ``is_busy`` says whether the agent speaks or works."""

    def __init__(self, report: Callable[[Turn], None], later: Later, is_busy: Callable[[], bool]) -> None:
        self._report, self._later, self._is_busy = report, later, is_busy
        self.count = 0
        self.current = Turn()
        """The turn that is open. It counts, and has a number, once somebody speaks in it."""
        self._finishing: dict[int, tuple[Turn, Timer]] = {}
        self._quiet: Timer | None = None

    def speech(self) -> Turn:
        """Somebody speaks in the current turn: it counts, and goes on."""
        self._cancel_quiet()
        if not self.current.number:
            self.count += 1
            self.current.number = self.count
        return self.current

    def user_takes_turn(self, at: float) -> Turn:
        """The user speaks. After the agent has spoken that begins a new turn."""
        ended = self.current
        if ended.agent_started is None:
            return self.speech()
        self._begin_next(at)
        if self._is_busy():
            self._finishing[ended.number] = (ended, self._later(LATE_NUMBERS, lambda _: self._finish(ended)))
        else:
            self._report(ended)
        return self.speech()

    @property
    def is_finishing(self) -> bool:
        """Whether a turn that is over waits for its last numbers."""
        return bool(self._finishing)

    def agent_fell_silent(self, turn: Turn, at: float) -> None:
        """The agent has said something in that turn."""
        if turn is self.current:
            self._wait_for_more(at)

    def at(self, moment: float) -> Turn:
        """The turn that was open at that moment, if it still waits for numbers."""
        return next((turn for turn, _ in self._finishing.values() if turn.closed is not None and moment < turn.closed), self.current)

    def close(self) -> None:
        """The session is over: report what is not reported yet."""
        self._cancel_quiet()
        for turn, timer in list(self._finishing.values()):
            timer.cancel()
            self._finish(turn)
        if self.current.number:
            self._report(self.current)

    def _begin_next(self, at: float) -> None:
        self.current.closed = at
        self.current = Turn()

    def _finish(self, turn: Turn) -> None:
        if self._finishing.pop(turn.number, None) is not None:
            self._report(turn)

    def _wait_for_more(self, spoke_until: float) -> None:
        self._cancel_quiet()
        self._quiet = self._later(SILENCE_ENDS_TURN, lambda now: self._quiet_until(spoke_until, now))

    def _quiet_until(self, spoke_until: float, now: float) -> None:
        self._quiet = None
        if self._is_busy() and now - spoke_until < LONGEST_WORK:
            self._wait_for_more(spoke_until)
            return
        turn = self.current
        self._begin_next(now)
        self._report(turn)

    def _cancel_quiet(self) -> None:
        if self._quiet is not None:
            self._quiet.cancel()
            self._quiet = None
