"""Reads the messages of one call's connection into the call's feed.

Most messages are read the moment they arrive: they go from the listener to the feed without a queue and without waking a task, which
would take as long as what is done with a small event. A listener that cannot do so queues them as usual.
"""

from collections.abc import Callable, Sequence
from time import monotonic
from typing import Final

from starlette.types import Message

from exporter.protocol.arriving_event import ArrivingEvent
from exporter.receivers.fairness import BYTES_PER_MESSAGE, MESSAGES_PER_TURN
from exporter.receivers.feed_interfaces import CallFeedProtocol
from exporter.receivers.long_messages import MORE, LongMessages
from exporter.receivers.read_budget import ReadBudget
from exporter.receivers.steady_clock import CLOCK

DIRECT_READER: Final = "direct_reader"
"""Key of a ``websocket.accept`` message: a :class:`DirectReader`."""
_LOOK_AGAIN: Final[Sequence[Message]] = ({"type": "websocket.receive", "bytes": None},)
"""Wakes the task of a connection whose call has ended."""


class DirectReader:
    """Tells a listener how messages are read that arrive while the application waits for one.

    ``read`` gets them instead of the application. It returns what the application has to receive after all. If it is ``None``, the
    application receives all messages.
    """

    __slots__ = ("read",)

    def __init__(self) -> None:
        self.read: Callable[[Sequence[Message]], Sequence[Message]] | None = None


class CallReader:
    """Reads messages into ``feed``. At most ``max_rate`` messages a second are read; 0 means all. The others are counted as skipped.

    ``received_at`` is the monotonic time of the last message, in seconds. ``left`` is how many more short messages may be read before
    other connections get their turn.
    """

    __slots__ = ("_consume", "_feed", "_long_messages", "_max_rate", "_tokens", "left", "received_at")

    def __init__(self, feed: CallFeedProtocol, read_budget: ReadBudget, max_rate: float) -> None:
        self._feed = feed
        self._consume = feed.consume
        self._long_messages = LongMessages(read_budget, ArrivingEvent, feed.too_large)
        self._max_rate = max_rate
        self._tokens = max(max_rate, 1.0)
        self.received_at = monotonic()
        self.left = MESSAGES_PER_TURN

    def read(self, message: Message) -> bool:
        """Read a message. Returns whether it began the session."""
        return self._read(message, monotonic())

    def read_directly(self, messages: Sequence[Message]) -> Sequence[Message]:
        """Read messages that have just arrived. If the call has ended, the application is woken."""
        now = monotonic()
        for message in messages:
            self._read(message, now)
        return _LOOK_AGAIN if self._feed.ended else ()

    def close(self) -> None:
        """The connection has ended."""
        self._long_messages.close()

    def _read(self, message: Message, now: float) -> bool:
        text: str | None = message.get("text")
        frame: str | bytes | ArrivingEvent | None = text
        if text is None:
            frame = self._long_messages.add(message) if MORE in message else message["bytes"]
        began = False
        if frame is None:
            self._refill(now)
            self.left = 1  # reading a piece takes as long as many messages
        elif self._max_rate and not self._take_token(now):
            self._feed.skip()
        else:
            began = self._consume(frame, now + CLOCK.offset)
            self.left -= len(frame) // BYTES_PER_MESSAGE
        self.received_at = now
        self.left -= 1
        return began

    def _refill(self, now: float) -> None:
        """Add the tokens of the time since the last message. A burst of one second's messages is allowed (token bucket)."""
        self._tokens = min(max(self._max_rate, 1.0), self._tokens + (now - self.received_at) * self._max_rate)

    def _take_token(self, now: float) -> bool:
        """Whether a message received ``now`` is within the rate."""
        self._refill(now)
        if self._tokens < 1.0:
            return False
        self._tokens -= 1.0
        return True
