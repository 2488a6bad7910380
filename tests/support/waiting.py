"""Wait for a condition, with a deadline: the one place where tests let time pass.

Deadlines are counted in units of a second that ``TEST_TIME_UNIT`` stretches, for machines that are slow or busy. A longer
deadline costs nothing where the condition comes true, so deadlines are longer too where several tests share a core. What a
test claims about time is not.
"""

import asyncio
import inspect
import os
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from functools import cache
from typing import TypeVar, overload

T = TypeVar("T")

WITHIN = 5.0
FIRST_PAUSE, LONGEST_PAUSE = 0.005, 0.25
"""Seconds between two looks: short at first, longer for what takes longer, so that looking costs the machine little."""
_GROWTH = 1.15
"""Each pause is so many times as long as the one before, and so a seventh of the time that was waited."""


_NOT_YET = (AssertionError, LookupError, ValueError, FileNotFoundError)


def seconds(units: float) -> float:
    """Test time → seconds on this machine, for what a test claims or sets."""
    return units * float(os.environ.get("TEST_TIME_UNIT", "1"))


def patience(units: float) -> float:
    """Test time → seconds to wait for what has to come, beside the other tests that run now."""
    return seconds(units) * _crowd()


@cache
def _crowd() -> float:
    """How many tests share a core. One whose lines are traced, for coverage, counts twice."""
    workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "0"))
    tests_a_core = workers / len(os.sched_getaffinity(0))
    return max(1.0, tests_a_core * (2.0 if workers and sys.gettrace() is not None else 1.0))


@overload
async def eventually(condition: Callable[[], Awaitable[T]], *, within: float = ..., because: str = ...) -> T: ...
@overload
async def eventually(condition: Callable[[], T], *, within: float = ..., because: str = ...) -> T: ...
async def eventually(condition: Callable[[], object], *, within: float = WITHIN, because: str = "") -> object:
    """Ask ``condition`` until it gives something true, and return that.

    It may be a coroutine function. A failed assertion means "not yet", and so does something that is not found or read, as the last
    item of an empty list. ``within`` is test time; ``because`` is what the failure says was waited for.
    """
    deadline = Deadline(within, because)
    pauses = _pauses()
    while True:
        try:
            answer = condition()
            value = await _within(deadline, answer) if inspect.isawaitable(answer) else answer
        except (*_NOT_YET, TimeoutError) as problem:
            deadline.missed(problem)
        else:
            if value:
                return value
            deadline.missed(value)
        await asyncio.sleep(next(pauses))


async def _within(deadline: "Deadline", answer: Awaitable[object]) -> object:
    async with asyncio.timeout(deadline.left()):  # wait_for of Python 3.11 loses a cancellation that comes with the answer
        return await answer


def eventually_sync(condition: Callable[[], T], *, within: float = WITHIN, because: str = "") -> T:
    """Do what ``eventually`` does where there is no event loop."""
    deadline = Deadline(within, because)
    pauses = _pauses()
    while True:
        try:
            value = condition()
        except _NOT_YET as problem:
            deadline.missed(problem)
        else:
            if value:
                return value
            deadline.missed(value)
        time.sleep(next(pauses))


def _pauses() -> Iterator[float]:
    pause = FIRST_PAUSE
    while True:
        yield pause
        pause = min(pause * _GROWTH, LONGEST_PAUSE)


@dataclass
class Deadline:
    """A moment ``within`` units of test time from now."""

    within: float
    because: str = ""
    at: float = field(init=False)

    def __post_init__(self) -> None:
        self.at = time.monotonic() + patience(self.within)

    def left(self) -> float:
        """Seconds until the deadline, never below 0."""
        return max(0.0, self.at - time.monotonic())

    def missed(self, last: object) -> None:
        """Fail if the deadline is over, telling what the last answer was."""
        if self.left() == 0.0:
            cause = last if isinstance(last, BaseException) else None
            waited_for = self.because or "the condition"
            raise AssertionError(f"{waited_for}: not within {patience(self.within):g} s; last answer: {last!r}") from cause
