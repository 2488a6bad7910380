"""What a relay sees of a connection: whole messages of both directions, measured after they were passed on.

Messages wait in a bounded queue and are taken from it on later turns of the event loop, a few at a time. What finds no room, or meets
an error of ours, is dropped and counted; the bytes have gone their way before.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from time import time
from typing import Final, Literal, Protocol

import msgspec

from exporter.receivers.proxy.frames import BINARY, Message

MOST_BYTES: Final = 1 << 20
"""Bytes of messages of one connection that may wait to be measured."""
MESSAGE_ITSELF: Final = 256
"""Bytes that a message takes beside its payload, about: empty ones must not wait without end either."""
AT_ONCE: Final = 32
"""Messages measured before others get their turn."""
_HEAD: Final = 48
"""Bytes at a message's start that tell whether it is audio."""

Direction = Literal["caller", "agent"]
Dropped = Literal["overflow", "protocol", "error"]

log = logging.getLogger(__name__)


class RelayedFeed(Protocol):
    """Where the messages of one relayed connection go."""

    def consume(self, frame: str | bytes, now: float) -> bool:
        """Take in a message of the platform; returns whether it began the call."""

    def command(self, frame: str | bytes, now: float) -> bool:
        """Take in a message of the app; returns whether it says which events are wanted."""

    def audio(self, direction: Direction, size: int, now: float) -> None:
        """An audio message passed."""

    def played(self, size: int, now: float) -> None:
        """An audio message of the app passed."""

    def too_large(self) -> None:
        """A message of the platform passed that is not read, since it is too large."""

    def close(self, now: float) -> None:
        """The connection is gone."""


class Observer:
    """Measures one connection. ``ask`` is given the text to be sent to the platform when events are to be asked for."""

    def __init__(
        self, feed: RelayedFeed, subscription: bytes | None, ask: Callable[[bytes], None], dropped: Callable[[Dropped], None]
    ) -> None:
        self._feed = feed
        self._subscription = subscription
        self._ask = ask
        self._dropped = dropped
        self._waiting: deque[tuple[Direction, Message, float]] = deque()
        self._bytes = 0
        self._scheduled = False
        self._unsubscribed = subscription is not None
        self._wanted: bytes | None = None

    def offer(self, direction: Direction, messages: list[Message], now: float) -> None:
        """Queue messages that passed at ``now`` (unix seconds)."""
        for message in messages:
            size = _size(message)
            if self._bytes + size > MOST_BYTES:
                self._dropped("overflow")
                continue
            self._bytes += size
            self._waiting.append((direction, message, now))
        if self._waiting and not self._scheduled:
            self._scheduled = True
            asyncio.get_running_loop().call_soon(self._work)

    def lost(self) -> None:
        """What passes is no WebSocket; nothing more is seen of it."""
        self._dropped("protocol")

    def failed(self, error: Exception) -> None:
        """Bytes that passed met an error of ours and were not measured."""
        self._dropped("error")
        log.error("relayed bytes met an error of the exporter and were not measured", exc_info=error)

    def close(self) -> None:
        """The connection is gone: measure what waits, and end."""
        while self._waiting:
            self._measure_next()
        try:
            self._feed.close(time())
        except Exception:
            log.exception("the end of a relayed connection met an error of the exporter")

    def _work(self) -> None:
        for _ in range(min(AT_ONCE, len(self._waiting))):
            self._measure_next()
        self._scheduled = bool(self._waiting)
        if self._scheduled:
            asyncio.get_running_loop().call_soon(self._work)

    def _measure_next(self) -> None:
        direction, message, now = self._waiting.popleft()
        self._bytes -= _size(message)
        try:
            if direction == "caller":
                self._from_platform(message, now)
            else:
                self._from_app(message, now)
        except Exception:
            self._dropped("error")
            log.exception("a relayed message met an error of the exporter and was not counted in")

    def _from_platform(self, message: Message, now: float) -> None:
        if message.payload is None:
            self._feed.too_large()
            return
        frame = message.read()
        if b'"media"' in frame[:_HEAD]:
            self._feed.audio("caller", len(frame), now)
        began = self._feed.consume(frame if message.opcode == BINARY else _text(frame), now)
        if began and self._unsubscribed and self._subscription is not None:
            self._unsubscribed = False
            self._ask((self._wanted and _union(self._wanted, self._subscription)) or self._subscription)

    def _from_app(self, message: Message, now: float) -> None:
        if message.payload is None:
            return
        frame = message.read()
        if b'"playAudio"' in frame[:_HEAD]:
            self._feed.played(len(frame), now)
        elif self._feed.command(frame, now) and self._subscription is not None:
            self._updated(frame, self._subscription)

    def _updated(self, frame: bytes, subscription: bytes) -> None:
        """The app said which events it wants: ask for ours too, at once or, before the call has begun, when it begins."""
        union = _union(frame, subscription)
        if union is None:
            return
        if self._unsubscribed:
            self._wanted = frame
        else:
            self._ask(union)


def _size(message: Message) -> int:
    return len(message.payload or b"") + MESSAGE_ITSELF


def _text(frame: bytes) -> str | bytes:
    """As the endpoint hands text messages over; one that is no UTF-8 stays bytes and is refused as such."""
    try:
        return frame.decode()
    except UnicodeDecodeError:
        return frame


class _Update(msgspec.Struct):
    events: dict[str, object]


def _union(update: bytes, subscription: bytes) -> bytes | None:
    """What asks for the events the app's update names and for ours; ``None`` if it names none."""
    try:
        wanted = msgspec.json.decode(update, type=_Update).events
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return None
    ours = msgspec.json.decode(subscription, type=_Update).events
    return msgspec.json.encode({"type": "agent_session.update", "events": {**wanted, **ours}})
