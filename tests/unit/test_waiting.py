"""The helper that every waiting test leans on: where it gave up without a word, none of them would claim anything."""

import pytest

from tests.support.waiting import eventually, eventually_sync


async def test_a_missed_deadline_tells_the_last_answer() -> None:
    """The failure says what was waited for and what was seen instead."""
    with pytest.raises(AssertionError, match=r"a full queue: not within .* s; last answer: \[\]"):
        await eventually(list, within=0.01, because="a full queue")


def test_it_waits_without_a_loop() -> None:
    """The synchronous form fails alike."""
    with pytest.raises(AssertionError, match="the condition: not within"):
        eventually_sync(lambda: False, within=0.01)


async def test_what_is_not_there_yet_is_waited_for() -> None:
    """A condition may look at an item of a list that is still too short, or unpack a list that is too short."""
    found: list[str] = []

    def last_of_three() -> str:
        found.append("item")
        [_, _, last] = found[:3]
        return last + found[3]

    assert await eventually(last_of_three) == "itemitem"
