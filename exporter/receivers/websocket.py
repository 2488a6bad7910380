"""The direct way in: the platform opens one WebSocket per call, and its frames are handed to the core.

A connection that begins with a hello is a tap's, and carries many calls.

A plain ASGI application, since a call's frames pass here one by one. It is fair (one connection never holds the event loop for more
than a few frames at a time), it never ends a call for what a frame says, and it drains: when the process stops, each connection is
read on until it has been quiet for a while.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from time import monotonic, time
from typing import Any, Final, Protocol

from exporter.auth import Door, Handshake, Load, Refusal
from exporter.receivers.tap.clients import Clients
from exporter.receivers.tap.envelope import Hello, is_hello, read_hello
from exporter.receivers.tap.link import TapLink

Message = dict[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

FRAMES_AT_ONCE: Final = 32
"""Frames taken from one connection before others get their turn: about a quarter of a millisecond's work."""
QUIET: Final = 0.25
"""A connection that has sent nothing for this long, in seconds, has nothing left in this host's buffers."""
_LOOKS: Final = 4
"""Turns of the event loop from bytes in the kernel to a frame taken in, and one to spare."""
_TELL_WITHIN: Final = 1.0
"""Seconds a peer gets to read enough of what it was sent before, so that it can be told something."""
GOING_AWAY: Final = 1001
NORMAL: Final = 1000
BREACH: Final = "breach"
"""Key of a ``websocket.disconnect`` that is the answer to a peer's breach of the protocol; its ``code`` says to which."""

log = logging.getLogger(__name__)


class Feed(Protocol):
    """Where the frames of one connection go."""

    def consume(self, frame: str | bytes, now: float) -> bool:
        """Take in a frame; returns whether it began the call."""

    def skip(self) -> None:
        """A frame was received that is not read, since too many came."""

    def unreadable(self, close_code: int) -> None:
        """The peer broke the protocol, so that the connection ends with ``close_code``."""

    def close(self, now: float) -> None:
        """The connection is gone."""

    @property
    def ended(self) -> bool:
        """Whether the call is over."""


class Counts(Protocol):
    """What the endpoint reports of itself."""

    def connected(self) -> None:
        """A connection was accepted."""

    def disconnected(self) -> None:
        """A connection is gone."""

    def refused(self, reason: str) -> None:
        """A connection was turned away, or cut off."""


@dataclass(frozen=True, slots=True)
class Terms:
    """What holds for those who were let in.

    ``subscription`` is the frame sent when a call begins (or nothing), ``linger`` how long to wait after the call's end for the
    platform to close. A connection that has been silent for longer than ``max_silence`` is closed. Times are in seconds, ``max_rate``
    is in messages a second, and not for taps. 0 sets no limit. ``largest`` is the largest event, in bytes.
    """

    subscription: str | None = None
    linger: float = 30.0
    max_silence: float = 0.0
    max_rate: float = 0.0
    largest: int = 65_536


class _Connection:
    __slots__ = ("allowance", "heard_at", "receive", "send", "tap")

    def __init__(self, receive: Receive, send: Send, allowance: float) -> None:
        self.receive = receive
        self.send = send
        self.heard_at = monotonic()
        self.allowance = allowance
        self.tap: TapLink | None = None

    def heard(self) -> None:
        """A message came."""
        self.heard_at = monotonic()

    def may_speak(self, now: float, rate: float) -> bool:
        """Whether a message that came ``now`` is within ``rate``; up to a second's worth may come at once."""
        self.allowance = min(max(rate, 1.0), self.allowance + (now - self.heard_at) * rate)
        if self.allowance < 1.0:
            return False
        self.allowance -= 1.0
        return True


class Endpoint:
    """The ingest listener's application."""

    def __init__(self, door: Door, terms: Terms, feed: Callable[[], Feed], taps: Clients, counts: Counts) -> None:
        self._door = door
        self._terms = terms
        self._feed = feed
        self._taps = taps
        self._counts = counts
        self._connections: set[_Connection] = set()
        self._draining = False

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        if scope["type"] == "http":
            await _refuse_http(self._door.is_spoken_on(_handshake(scope).path), send)
        elif scope["type"] == "websocket":
            await receive()
            refusal = self._door.decide(_handshake(scope), Load(len(self._connections), self._draining))
            if refusal is None:
                await self._serve(_Connection(receive, send, self._terms.max_rate))
            else:
                self._counts.refused(refusal.reason)
                log.info("a connection was refused", extra={"reason": refusal.reason, "status": refusal.status})
                await _refuse_websocket(refusal, send)

    async def drain(self, within: float) -> None:
        """Turn new connections away, and close each open one once it is quiet, all ``within`` so many seconds."""
        self._draining = True
        deadline = monotonic() + within
        await asyncio.gather(*(self._drain(connection, deadline) for connection in list(self._connections)))

    async def sweep(self) -> None:
        """Close connections that have been silent for too long, let go of taps' calls that are over; to be called now and then."""
        self._taps.sweep(time())
        if self._terms.max_silence:
            since = monotonic() - self._terms.max_silence
            for connection in [connection for connection in self._connections if connection.heard_at < since]:
                self._counts.refused("silent")
                await _tell(connection, {"type": "websocket.close", "code": GOING_AWAY, "reason": "silent for too long"})

    async def _serve(self, connection: _Connection) -> None:
        await connection.send({"type": "websocket.accept"})
        log.debug("a connection was accepted")
        self._connections.add(connection)
        self._counts.connected()
        try:
            message = await connection.receive()
            hello = _hello_of(message)
            if hello is None:
                await self._serve_call(connection, message)
            else:
                await self._serve_tap(connection, hello)
        except OSError:
            log.debug("a connection broke while it was written to")
        finally:
            self._connections.discard(connection)
            self._counts.disconnected()

    async def _serve_tap(self, connection: _Connection, hello: Hello) -> None:
        connection.tap = link = TapLink(self._taps, hello, lambda message: _tell(connection, message), self._terms.largest)
        connection.heard()
        try:
            await link.greet()
            await link.read(connection.receive, connection.heard)
        finally:
            link.close()

    async def _serve_call(self, connection: _Connection, message: Message) -> None:
        feed = self._feed()
        try:
            await self._read(connection, feed, message)
        finally:
            feed.close(time())

    async def _read(self, connection: _Connection, feed: Feed, message: Message) -> None:
        receive, consume, terms = connection.receive, feed.consume, self._terms
        unsubscribed = terms.subscription is not None
        turn = FRAMES_AT_ONCE
        while True:
            if message["type"] != "websocket.receive":
                if message["type"] == "lingered":
                    await _tell(connection, {"type": "websocket.close", "code": NORMAL})
                elif message.get(BREACH):
                    feed.unreadable(message["code"])
                return
            frame, now = message.get("text"), monotonic()
            if terms.max_rate and not connection.may_speak(now, terms.max_rate):
                feed.skip()
                began = False
            else:
                began = consume(message["bytes"] if frame is None else frame, time())
            connection.heard_at = now
            if began and unsubscribed:
                unsubscribed = False
                await _tell(connection, {"type": "websocket.send", "text": terms.subscription})
            turn -= 1
            if not turn:
                turn = FRAMES_AT_ONCE
                await asyncio.sleep(0)
            message = await (_receive_until_linger(receive, terms.linger) if feed.ended else receive())

    async def _drain(self, connection: _Connection, deadline: float) -> None:
        connection.heard()
        if connection.tap is not None:  # it keeps what is not acknowledged: all that matters is what a tap that is gone had sent
            deadline = min(deadline, monotonic() + QUIET)
        while connection in self._connections:
            now = monotonic()
            quiet_at = min(connection.heard_at + QUIET, deadline)
            if now < quiet_at:
                await asyncio.sleep(quiet_at - now)
            elif now >= deadline or not await _heard_of(connection):
                break
        if connection in self._connections:
            if connection.tap is not None:
                await connection.tap.stop()
            await _tell(connection, {"type": "websocket.close", "code": GOING_AWAY, "reason": "exporter is stopping"})


def _hello_of(message: Message) -> Hello | None:
    """The hello that a connection begins with, if it is a tap's."""
    frame = message.get("text") or message.get("bytes")
    return read_hello(frame) if frame and is_hello(frame) else None


async def _heard_of(connection: _Connection) -> bool:
    """Whether a connection that seems quiet only had to wait: let the loop look at all sockets, and all connections have their turn."""
    heard_at = connection.heard_at
    for _ in range(_LOOKS):
        await asyncio.sleep(0)
        if connection.heard_at != heard_at:
            return True
    return False


async def _tell(connection: _Connection, message: Message) -> None:
    """Send to a peer that may have gone, or is being closed, or does not read: none is a reason not to read what it has sent."""
    try:
        async with asyncio.timeout(_TELL_WITHIN):
            await connection.send(message)
    except (OSError, RuntimeError):  # a timeout is an OSError too
        log.debug("a connection was gone before it could be told")


async def _receive_until_linger(receive: Receive, linger: float) -> Message:
    try:
        async with asyncio.timeout(linger):
            return await receive()
    except TimeoutError:
        return {"type": "lingered"}


def _handshake(scope: Message) -> Handshake:
    headers = tuple((name.decode("latin-1"), value.decode("latin-1")) for name, value in scope["headers"])
    return Handshake(scope["raw_path"].decode("latin-1"), scope["query_string"].decode("latin-1"), headers)


async def _refuse_websocket(refusal: Refusal, send: Send) -> None:
    body = f"{refusal.told}\n".encode()
    headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"content-length", str(len(body)).encode())]
    if refusal.status == 401:
        headers.append((b"www-authenticate", b"Bearer"))
    await send({"type": "websocket.http.response.start", "status": refusal.status, "headers": headers})
    await send({"type": "websocket.http.response.body", "body": body})


async def _refuse_http(is_websocket_path: bool, send: Send) -> None:
    status, body = (426, b"this is a WebSocket endpoint\n") if is_websocket_path else (404, b"not found\n")
    headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"content-length", str(len(body)).encode())]
    if status == 426:
        headers += [(b"upgrade", b"websocket"), (b"connection", b"upgrade")]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
