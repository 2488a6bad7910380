"""The helper that every waiting test leans on."""

import asyncio
from collections.abc import Iterator

import pytest

from tests.support.waiting import eventually, eventually_sync, seconds


def answers(*values: object) -> Iterator[object]:
    """Give the values one after the other; an exception is raised."""
    for value in values:
        if isinstance(value, BaseException):
            raise value
        yield value


async def test_it_returns_the_first_true_answer() -> None:
    """Waiting ends with the first true answer and gives it back."""
    source = answers(0, None, 7, 8)
    assert await eventually(lambda: next(source)) == 7


async def test_an_assertion_means_not_yet() -> None:
    """A condition may assert, and may be a coroutine function."""
    tries = 0

    async def third_time() -> str:
        nonlocal tries
        tries += 1
        assert tries == 3
        return "there"

    assert await eventually(third_time) == "there"


async def test_a_missed_deadline_tells_the_last_answer() -> None:
    """The failure says what was waited for and what was seen instead."""
    with pytest.raises(AssertionError, match=r"a full queue: not within .* s; last answer: \[\]"):
        await eventually(list, within=0.01, because="a full queue")


async def test_a_condition_that_hangs_misses_the_deadline() -> None:
    """A coroutine that never answers is given up at the deadline."""
    with pytest.raises(AssertionError, match="last answer: TimeoutError"):
        await eventually(asyncio.Event().wait, within=0.01)


async def test_other_errors_end_the_waiting() -> None:
    """An error that is no failed assertion is passed on at once."""
    source = answers(ValueError("broken"))
    with pytest.raises(ValueError, match="broken"):
        await eventually(lambda: next(source))


def test_it_waits_without_a_loop() -> None:
    """The synchronous form waits, returns and fails alike."""
    source = answers("", "there")
    assert eventually_sync(lambda: next(source)) == "there"
    with pytest.raises(AssertionError, match="the condition: not within"):
        eventually_sync(lambda: False, within=0.01)


def test_the_unit_stretches_deadlines(monkeypatch: pytest.MonkeyPatch) -> None:
    """A slow machine counts in longer units."""
    monkeypatch.setenv("TEST_TIME_UNIT", "3")
    assert seconds(2) == 6
