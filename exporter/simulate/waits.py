"""How long the caller waited in each turn and what ended it: the agent, the caller's patience, or the call."""

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from exporter.simulate.turns import Turn

EndOfWait = Literal["agent", "caller", "end", "unknown"]
"""The agent was heard, the caller spoke again, the call was over, or nobody can say: a machine waited, or the line went dead."""

_DEAD_AIR_MS = 3000
_REACTION_MS = 500  # nobody answers faster to what they hear: who speaks that soon had not finished
_NEVER = 1 << 62


@dataclass(frozen=True, slots=True)
class Ending:
    """How a call came to its end, in milliseconds since its start.

    ``dropped`` calls are never said to be over, and what would have been sent later is not. ``machine_at`` is when an answering
    machine was recognised, ``fell_back_after`` how many turns were over when the main LLM was given up.
    """

    at: int
    dropped: bool
    machine_at: int | None
    fell_back_after: int | None

    def sent(self, at: int | None) -> bool:
        """Whether what was due then was still sent."""
        return at is not None and (not self.dropped or at <= self.at)


@dataclass(frozen=True, slots=True)
class Wait:
    """From the caller's last word in a turn that was judged over, until it ended; ``until`` means nothing if that is unknown."""

    since: int
    until: int
    by: EndOfWait

    @property
    def ms(self) -> int:
        """How long it lasted, 0 if unknown."""
        return 0 if self.by == "unknown" else self.until - self.since

    @property
    def dead_air(self) -> bool:
        """Whether callers would ask if anybody is there."""
        return self.ms > _DEAD_AIR_MS


def waits_of(turns: Sequence[Turn], ending: Ending) -> list[Wait]:
    """A wait for each turn the caller was thought to have finished, in order; what is typed while one waits adds none."""
    waits: list[Wait] = []
    for place, turn in enumerate(turns):
        if turn.agent_first or not _judged_over(turn, ending):
            continue
        running = bool(waits) and (waits[-1].until > turn.decided or waits[-1].by == "unknown")
        if not (turn.typed and running):
            waits.append(_wait(turn, turns[place:], ending))
    return waits


def premature_ends(turns: Sequence[Turn], waits: Sequence[Wait]) -> int:
    """How often the caller went on although the turn had been judged over: before any answer, or before they can have heard it."""
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
    """For each barge-in that was heard as it happened: how long both spoke at once, in milliseconds."""
    found = []
    for place, turn in enumerate(turns):
        began, stopped = turn.agent_started, turn.agent_stopped
        if turn.interrupted and began is not None and stopped is not None and ending.sent(stopped):
            spoke = next(_spoken(turns[place + 1 :]), stopped)
            found += [stopped - max(spoke, began)] if spoke < stopped else []
    return found


def in_vain(turns: Sequence[Turn], waits: Sequence[Wait], ending: Ending) -> int:
    """How long the caller has waited for nothing since the agent was last heard, in milliseconds."""
    begun = (turn.agent_started for turn in turns if turn.agent_started is not None and ending.sent(turn.agent_started))
    heard = max(begun, default=-1)
    return sum(wait.ms for wait in waits if wait.by in ("caller", "end") and wait.until > heard)


def _judged_over(turn: Turn, ending: Ending) -> bool:
    return ending.sent(turn.decided) and (turn.hung_up_at is None or turn.decided <= turn.hung_up_at)


def _spoken(turns: Sequence[Turn]) -> Iterator[int]:
    """When the caller was heard to begin, turn by turn."""
    return (turn.user_started for turn in turns if not turn.agent_first and not turn.typed)


def _wait(turn: Turn, rest: Sequence[Turn], ending: Ending) -> Wait:
    """The wait of ``turn``; ``rest`` are the turns from it on."""
    heard = (then.agent_started for then in rest if then.agent_started is not None)
    ends: list[tuple[int, EndOfWait]] = [
        (next(filter(ending.sent, heard), _NEVER), "agent"),
        (next(filter(ending.sent, _spoken(rest[1:])), _NEVER), "caller"),
        (_NEVER if ending.dropped else ending.at, "end"),
        (_NEVER - 1 if ending.machine_at is None else ending.machine_at, "unknown"),
    ]
    until, by = min(ends)
    return Wait(turn.user_stopped, until, by)
