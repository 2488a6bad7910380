"""How long the caller waited in each turn, and what ended the wait."""

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from exporter.simulate.turns import Turn

EndOfWait = Literal["agent", "caller", "end", "unknown"]
"""What ended a wait: the agent spoke, the caller spoke again, or the call ended. Unknown: a machine waited, or the call dropped."""

_DEAD_AIR_MS = 3000
_REACTION_MS = 500  # a caller who speaks within this time cannot be reacting to the agent: they had not finished
_NEVER = 1 << 62


@dataclass(frozen=True, slots=True)
class Ending:
    """How a call ended. Times are in milliseconds since its start.

    A ``dropped`` call sends no ``session.ended``, and nothing after ``at``. ``machine_at`` is when an answering machine was recognised.
    ``fell_back_after`` is how many turns were over when the LLM was replaced by its fallback.
    """

    at: int
    dropped: bool
    machine_at: int | None
    fell_back_after: int | None

    def sent(self, at: int | None) -> bool:
        """Whether an event due at ``at`` was sent; None means there is no such event."""
        return at is not None and (not self.dropped or at <= self.at)


@dataclass(frozen=True, slots=True)
class Wait:
    """A wait from the caller's last word in a decided turn until ``until``. If ``by`` is ``unknown``, ``until`` has no meaning."""

    since: int
    until: int
    by: EndOfWait

    @property
    def ms(self) -> int:
        """How long the wait lasted, in milliseconds; 0 if unknown."""
        return 0 if self.by == "unknown" else self.until - self.since

    @property
    def dead_air(self) -> bool:
        """Whether the wait was longer than 3 s."""
        return self.ms > _DEAD_AIR_MS


def waits_of(turns: Sequence[Turn], ending: Ending) -> list[Wait]:
    """One wait for each decided turn of the caller, in order. A typed turn during a wait adds none."""
    waits: list[Wait] = []
    for index, turn in enumerate(turns):
        if turn.agent_first or not _was_decided(turn, ending):
            continue
        running = bool(waits) and (waits[-1].until > turn.decided or waits[-1].by == "unknown")
        if not (turn.typed and running):
            waits.append(_wait(turn, turns[index:], ending))
    return waits


def premature_ends(turns: Sequence[Turn], waits: Sequence[Wait]) -> int:
    """How often the caller continued although the turn had been decided: before an answer, or too soon to react to it."""
    of_caller = [turn for turn in turns if not turn.agent_first]
    count = 0
    for wait in waits:
        if wait.by == "caller":
            count += not wait.dead_air
        elif wait.by == "agent":
            then = bisect_left(of_caller, wait.until, key=lambda turn: turn.user_started)
            count += any(not turn.typed and turn.user_started - wait.until <= _REACTION_MS for turn in of_caller[then : then + 1])
    return count


def reactions(turns: Sequence[Turn], ending: Ending) -> list[int]:
    """How long both spoke at once, in milliseconds, for each barge-in that the events show."""
    found = []
    for index, turn in enumerate(turns):
        began, stopped = turn.agent_started, turn.agent_stopped
        if turn.interrupted and began is not None and stopped is not None and ending.sent(stopped):
            spoke = next(_speech_starts(turns[index + 1 :]), stopped)
            found += [stopped - max(spoke, began)] if spoke < stopped else []
    return found


def unanswered_wait(turns: Sequence[Turn], waits: Sequence[Wait], ending: Ending) -> int:
    """How long the caller waited without an answer since the agent last spoke, in milliseconds."""
    begun = (turn.agent_started for turn in turns if turn.agent_started is not None and ending.sent(turn.agent_started))
    heard = max(begun, default=-1)
    return sum(wait.ms for wait in waits if wait.by in ("caller", "end") and wait.until > heard)


def _was_decided(turn: Turn, ending: Ending) -> bool:
    return ending.sent(turn.decided) and (turn.hung_up_at is None or turn.decided <= turn.hung_up_at)


def _speech_starts(turns: Sequence[Turn]) -> Iterator[int]:
    """When the caller began to speak, turn by turn."""
    return (turn.user_started for turn in turns if not turn.agent_first and not turn.typed)


def _wait(turn: Turn, rest: Sequence[Turn], ending: Ending) -> Wait:
    """The wait after ``turn``. ``rest`` is ``turn`` and all later turns."""
    heard = (then.agent_started for then in rest if then.agent_started is not None)
    ends: list[tuple[int, EndOfWait]] = [
        (next(filter(ending.sent, heard), _NEVER), "agent"),
        (next(filter(ending.sent, _speech_starts(rest[1:])), _NEVER), "caller"),
        (_NEVER if ending.dropped else ending.at, "end"),
        (_NEVER - 1 if ending.machine_at is None else ending.machine_at, "unknown"),
    ]
    until, by = min(ends)
    return Wait(turn.user_stopped, until, by)
