"""Inspection of relayed traffic: whole messages of both directions are measured after their bytes were forwarded.

Messages wait in a bounded queue and are measured on later turns of the event loop, a few at a time. A message is dropped and counted if
the queue is full or an internal error occurs. Its bytes have been forwarded before.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from typing import Final

import msgspec

from exporter.protocol.arriving_event import ArrivingEvent
from exporter.protocol.commands import Direction
from exporter.protocol.reasons import FrameRejected
from exporter.receivers.fairness import BYTES_PER_MESSAGE, MESSAGES_PER_TURN
from exporter.receivers.feed_interfaces import RelayFeedProtocol
from exporter.receivers.observer_interfaces import RelayDropReason
from exporter.receivers.proxy.frames import BINARY, Message
from exporter.receivers.steady_clock import CLOCK

MAX_QUEUED_BYTES: Final = 1 << 20
"""Bytes of messages of one connection that may wait to be measured."""
MESSAGE_OVERHEAD: Final = 256
"""Bytes that a queued message takes besides its payload, roughly. It bounds the number of empty messages too."""
_AUDIO_PREFIX: Final = 48
"""Bytes at the start of a message among which the name of an audio message stands."""

log = logging.getLogger(__name__)


class MessageInspector:
    """Measures the messages of one connection.

    ``subscription`` is the message that asks the platform for events, or ``None``. ``send`` sends a message to the platform.
    ``dropped`` is called with the reason when a message is not measured.
    """

    def __init__(
        self,
        feed: RelayFeedProtocol,
        subscription: bytes | None,
        send: Callable[[bytes], None],
        dropped: Callable[[RelayDropReason], None],
    ) -> None:
        self._feed = feed
        self._subscription = subscription
        self._send = send
        self._dropped = dropped
        self._queue: deque[tuple[Direction, Message, float]] = deque()
        self._queued_bytes = 0
        self._scheduled = False
        self._must_subscribe = subscription is not None
        self._early_update: bytes | None = None

    def offer(self, direction: Direction, messages: list[Message], now: float) -> None:
        """Queue messages that were forwarded at ``now`` (unix seconds)."""
        for message in messages:
            size = _size(message)
            if self._queued_bytes + size > MAX_QUEUED_BYTES:
                self._dropped("overflow")
                continue
            self._queued_bytes += size
            self._queue.append((direction, message, now))
        if self._queue and not self._scheduled:
            self._scheduled = True
            asyncio.get_running_loop().call_soon(self._measure_some)

    def not_websocket(self) -> None:
        """The bytes of one direction are no WebSocket frames. Its messages are no longer inspected."""
        self._dropped("protocol")

    def failed(self, error: Exception) -> None:
        """Forwarded bytes were not measured because of an internal error."""
        self._dropped("error")
        log.error("internal error; relayed bytes not measured", exc_info=error)

    def close(self) -> None:
        """The connection has ended: measure what is queued, and close the feed."""
        while self._queue:
            self._measure_next()
        try:
            self._feed.close(CLOCK.time())
        except Exception:
            log.exception("internal error; end of a relayed connection not recorded")

    def _measure_some(self) -> None:
        messages_left = MESSAGES_PER_TURN
        while self._queue and messages_left > 0:
            messages_left -= 1 + _size(self._queue[0][1]) // BYTES_PER_MESSAGE
            self._measure_next()
        self._scheduled = bool(self._queue)
        if self._scheduled:
            asyncio.get_running_loop().call_soon(self._measure_some)

    def _measure_next(self) -> None:
        direction, message, now = self._queue.popleft()
        self._queued_bytes -= _size(message)
        try:
            if direction == "caller":
                self._from_platform(message, now)
            else:
                self._from_app(message, now)
        except Exception:
            self._dropped("error")
            log.exception("internal error; relayed message not measured")

    def _from_platform(self, message: Message, now: float) -> None:
        if message.payload is None:
            self._feed.too_large()
            return
        if isinstance(message.payload, ArrivingEvent):
            began = self._consume_long(message.payload, now)
        else:
            frame = message.unmasked()
            if b'"media"' in frame[:_AUDIO_PREFIX]:
                self._feed.audio("caller", len(frame), now)
            began = self._feed.consume(frame if message.opcode == BINARY else _text(frame), now)
        if began and self._must_subscribe and self._subscription is not None:
            self._must_subscribe = False
            self._send((self._early_update and _union(self._early_update, self._subscription)) or self._subscription)

    def _consume_long(self, event: ArrivingEvent, now: float) -> bool:
        """Measure a message that was shortened while it arrived. Returns whether it began the session."""
        if b'"media"' in event.beginning[:_AUDIO_PREFIX]:
            self._feed.audio("caller", event.size, now)
        return self._feed.consume(event, now)

    def _from_app(self, message: Message, now: float) -> None:
        payload = message.payload
        if payload is None:
            self._dropped("overflow")
            return
        if isinstance(payload, ArrivingEvent):
            beginning, size, frame = payload.beginning, payload.size, _document(payload)
        else:
            frame = message.unmasked()
            beginning, size = frame, len(frame)
        if b'"playAudio"' in beginning[:_AUDIO_PREFIX]:
            self._feed.played(size, now)
        elif self._feed.command(frame, now) and self._subscription is not None:
            self._updated(frame, self._subscription)

    def _updated(self, update: bytes, subscription: bytes) -> None:
        """The app chose which events it wants: request ours as well. Before the session began this waits for its beginning."""
        union = _union(update, subscription)
        if union is None:
            return
        if self._must_subscribe:
            self._early_update = update
        else:
            self._send(union)


def _size(message: Message) -> int:
    payload = message.payload
    held = payload.held if isinstance(payload, ArrivingEvent) else len(payload or b"")
    return held + MESSAGE_OVERHEAD


def _document(command: ArrivingEvent) -> bytes:
    """The shortened document of a long command. One that is not JSON stays unreadable."""
    try:
        return command.document()
    except FrameRejected:
        return b""


def _text(frame: bytes) -> str | bytes:
    """The frame as text, as the endpoint passes text messages. Invalid UTF-8 stays bytes, and the feed rejects it."""
    try:
        return frame.decode()
    except UnicodeDecodeError:
        return frame


class _Update(msgspec.Struct):
    events: dict[str, object]


def _union(update: bytes, subscription: bytes) -> bytes | None:
    """The message that requests the events of the app's ``update`` and of ``subscription``, or ``None`` if the update names none."""
    try:
        wanted = msgspec.json.decode(update, type=_Update).events
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return None
    ours = msgspec.json.decode(subscription, type=_Update).events
    return msgspec.json.encode({"type": "agent_session.update", "events": {**wanted, **ours}})
