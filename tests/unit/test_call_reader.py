"""Messages are read into the feed of their call, those that arrive directly just as those from the queue."""

from collections.abc import Callable, Sequence
from typing import Any

import pytest
from starlette.types import Message

from exporter.receivers.call_reader import CallReader
from exporter.receivers.read_budget import ReadBudget

MESSAGES: list[Message] = [{"type": "websocket.receive", "text": f"message {number}"} for number in range(6)]


class Feed:
    """Writes down what it gets. The call ends with the message ``last``."""

    def __init__(self, last: str = "") -> None:
        self.frames: list[object] = []
        self.skipped = 0
        self.last = last

    @property
    def ended(self) -> bool:
        return bool(self.frames) and self.frames[-1] == self.last

    def consume(self, frame: object, _: float) -> bool:
        self.frames.append(frame)
        return False

    def skip(self) -> None:
        self.skipped += 1

    def __getattr__(self, _: str) -> Any:
        return lambda *_: None


def one_by_one(reader: CallReader, messages: Sequence[Message]) -> None:
    for message in messages:
        reader.read(message)


def directly(reader: CallReader, messages: Sequence[Message]) -> None:
    assert not reader.read_directly(messages)


@pytest.mark.parametrize("read", [one_by_one, directly])
@pytest.mark.parametrize(("rate", "read_of_them"), [(0.0, 6), (2.0, 2), (0.001, 1)])
def test_the_rate(read: Callable[[CallReader, Sequence[Message]], None], rate: float, read_of_them: int) -> None:
    """A burst of a second's messages is read, and at least one; the others are counted as skipped."""
    feed = Feed()
    reader = CallReader(feed, ReadBudget(), rate)
    read(reader, MESSAGES)
    assert feed.frames == [message["text"] for message in MESSAGES[:read_of_them]]
    assert feed.skipped == 6 - read_of_them


def test_after_the_end_of_the_call() -> None:
    """What comes with the end of the call is read, and the application is woken."""
    feed = Feed(last="message 5")
    reader = CallReader(feed, ReadBudget(), 0.0)
    assert not reader.read_directly(MESSAGES[:4])
    assert reader.read_directly(MESSAGES[4:])
    assert feed.frames == [message["text"] for message in MESSAGES]


def test_what_wakes_the_application_is_no_message() -> None:
    """The message that only wakes the application is not read as a frame, and is not skipped."""
    feed = Feed(last="message 0")
    reader = CallReader(feed, ReadBudget(), 1.0)
    one_by_one(reader, reader.read_directly(MESSAGES[:1]))
    assert feed.frames == ["message 0"]
    assert feed.skipped == 0
