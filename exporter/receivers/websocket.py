"""The direct receiver: the platform opens one WebSocket per call, and each frame goes to the call's feed.

A connection whose first frame is a hello belongs to a tap and carries many calls.

This is a plain ASGI application, because every frame of every call passes through it. It is fair: a connection yields to the others
after a few frames. No content of a frame ends a call. When the process stops, each connection is read until it has been quiet for
:data:`QUIET_AFTER`.
"""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from time import monotonic
from typing import Final
from urllib.parse import quote

from starlette.types import Message, Receive, Scope, Send
from websockets.frames import CloseCode

from exporter.auth import AuthPolicy, ConnectionLoad, Handshake, Refusal
from exporter.receivers.call_reader import DIRECT_READER, CallReader, DirectReader
from exporter.receivers.fairness import MESSAGES_PER_TURN
from exporter.receivers.feed_interfaces import CallFeedProtocol
from exporter.receivers.observer_interfaces import ConnectionObserver
from exporter.receivers.read_budget import ReadBudget
from exporter.receivers.steady_clock import CLOCK
from exporter.receivers.tap.client_sequences import TapClients
from exporter.receivers.tap.envelope import Hello, is_hello, read_hello
from exporter.receivers.tap.link import TapLink

QUIET_AFTER: Final = 0.25
"""A connection that has sent nothing for this many seconds has nothing left in this host's buffers."""
_LOOP_TURNS: Final = 4
"""Turns of the event loop from bytes in the kernel to a processed frame, and one in reserve."""
_SEND_TIMEOUT: Final = 1.0
"""Seconds a peer gets to read what was sent before, so that there is room for another message."""
PROTOCOL_ERROR: Final = "protocol_error"
"""Key of a ``websocket.disconnect`` message after the peer violated the protocol. Its ``code`` names the violation."""
LETS_PEER_READ: Final = "lets_peer_read"
"""Key of a ``websocket.close`` message: true if the server, when it stops, waits until the peer has read what was sent before."""

_ANSWERS_HANDSHAKE: Final = "websocket.http.response"
"""Extension of a server that sends our answer to a handshake that is refused."""
_LINGERED: Final = "lingered"
"""Type of the message that stands for none: the platform has not closed the connection of a finished call in time."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class EndpointConfig:
    """Settings of accepted connections. Times are in seconds; 0 disables a limit.

    ``subscription`` is the frame sent when a call begins, or ``None``. After the end of a call the exporter waits ``linger`` for the
    platform to close. A connection that has been silent for longer than ``max_silence`` is closed. ``max_rate`` is in messages a second
    and does not apply to taps. ``read_budget`` counts what is held of long messages that have
    not arrived completely.
    """

    subscription: str | None = None
    read_budget: ReadBudget = field(default_factory=ReadBudget)
    linger: float = 30.0
    max_silence: float = 0.0
    max_rate: float = 0.0


class _Connection:
    """An accepted connection. ``reader`` reads it if it is a call's, ``tap`` if it is a tap's."""

    __slots__ = ("_touched_at", "direct", "peer", "reader", "receive", "send", "tap")

    def __init__(self, receive: Receive, send: Send, peer: object) -> None:
        self.receive = receive
        self.send = send
        self.peer = peer
        self.direct = DirectReader()
        self.reader: CallReader | None = None
        self.tap: TapLink | None = None
        self.touch()

    def touch(self) -> None:
        """Note that a message was received, or count from now on."""
        self._touched_at = monotonic()

    @property
    def received_at(self) -> float:
        """The monotonic time of the last message, in seconds."""
        return self._touched_at if self.reader is None else max(self._touched_at, self.reader.received_at)


class Endpoint:
    """The ASGI application of the ingest listener. ``open_feed`` makes the feed of a new call."""

    def __init__(
        self,
        auth_policy: AuthPolicy,
        config: EndpointConfig,
        open_feed: Callable[[], CallFeedProtocol],
        taps: TapClients,
        observer: ConnectionObserver,
    ) -> None:
        self._auth_policy = auth_policy
        self._config = config
        self._open_feed = open_feed
        self._taps = taps
        self._observer = observer
        self._connections: set[_Connection] = set()
        self._draining = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        if scope["type"] == "http":
            await _refuse_http(self._auth_policy.is_websocket_path(_handshake(scope).path), send)
        elif scope["type"] == "websocket":
            await receive()
            refusal = self._auth_policy.decide(_handshake(scope), ConnectionLoad(len(self._connections), self._draining))
            if refusal is None:
                await self._serve(_Connection(receive, send, scope.get("client")))
            else:
                self._observer.refused(refusal.reason, scope.get("client"), status=refusal.status)
                await _refuse_websocket(refusal, scope, send)

    async def drain(self, within: float) -> None:
        """Refuse new connections, and close each open one once it is quiet, at the latest after ``within`` seconds."""
        self._draining = True
        deadline = monotonic() + within
        await asyncio.gather(*(self._drain(connection, deadline) for connection in list(self._connections)))

    async def sweep(self) -> None:
        """Close silent connections and forget finished calls of taps. To be called about once a second."""
        self._taps.sweep(CLOCK.time())
        if self._config.max_silence:
            since = monotonic() - self._config.max_silence
            for connection in [connection for connection in self._connections if connection.received_at < since]:
                self._observer.refused("silent", connection.peer)
                await _try_send(connection, _close_message(CloseCode.GOING_AWAY, "silent for too long"))

    async def _serve(self, connection: _Connection) -> None:
        await connection.send({"type": "websocket.accept", DIRECT_READER: connection.direct})
        log.debug("connection accepted")
        self._connections.add(connection)
        self._observer.connected()
        try:
            message = await connection.receive()
            hello = _hello_of(message)
            if hello is None:
                await self._serve_call(connection, message)
            else:
                await self._serve_tap(connection, hello)
        except OSError:
            log.debug("connection lost while writing")
        finally:
            self._connections.discard(connection)
            self._observer.disconnected()

    async def _serve_tap(self, connection: _Connection, hello: Hello) -> None:
        connection.tap = link = TapLink(self._taps, hello, lambda message: _try_send(connection, message), self._config.read_budget)
        connection.touch()
        try:
            await link.greet()
            await link.read(connection.receive, connection.touch)
        finally:
            link.close()
            connection.tap = None  # it holds the connection

    async def _serve_call(self, connection: _Connection, message: Message) -> None:
        feed = self._open_feed()
        connection.reader = reader = CallReader(feed, self._config.read_budget, self._config.max_rate)
        try:
            await self._read(connection, feed, reader, message)
        finally:
            connection.direct.read = None
            reader.close()
            feed.close(CLOCK.time())

    async def _read(self, connection: _Connection, feed: CallFeedProtocol, reader: CallReader, message: Message) -> None:
        """Read messages, beginning with ``message``, until the connection ends."""
        receive, direct, linger = connection.receive, connection.direct, self._config.linger
        subscription = self._config.subscription
        while message["type"] == "websocket.receive":
            if reader.read(message) and subscription is not None:
                await _try_send(connection, {"type": "websocket.send", "text": subscription})
                subscription = None
            if reader.left <= 0:
                reader.left = MESSAGES_PER_TURN
                await asyncio.sleep(0)
            if feed.ended:
                direct.read = None
                message = await _receive_within(receive, linger)
            else:
                direct.read = reader.read_directly if subscription is None else None
                message = await receive()
        if message["type"] == _LINGERED:
            await _try_send(connection, _close_message(CloseCode.NORMAL_CLOSURE))
        elif message.get(PROTOCOL_ERROR):
            feed.unreadable(message["code"])

    async def _drain(self, connection: _Connection, deadline: float) -> None:
        connection.touch()
        if connection.tap is not None:  # a tap keeps what is not acknowledged; only what a disconnected tap has sent matters
            deadline = min(deadline, monotonic() + QUIET_AFTER)
        while connection in self._connections:
            now = monotonic()
            quiet_at = min(connection.received_at + QUIET_AFTER, deadline)
            if now < quiet_at:
                await asyncio.sleep(quiet_at - now)
            elif now >= deadline or not await _receives_more(connection):
                break
        if connection in self._connections:
            if connection.tap is not None:
                await connection.tap.stop()
            close = _close_message(CloseCode.GOING_AWAY, "exporter is stopping")
            await _try_send(connection, {**close, LETS_PEER_READ: connection.tap is not None})


def _hello_of(message: Message) -> Hello | None:
    """The hello in the first message of a connection, if it is a tap's."""
    frame: str | bytes | None = message.get("text") or message.get("bytes")
    return read_hello(frame) if frame and is_hello(frame) else None


def _close_message(code: CloseCode, reason: str = "") -> Message:
    return {"type": "websocket.close", "code": code, "reason": reason}


async def _receives_more(connection: _Connection) -> bool:
    """Whether a connection that seems quiet has more to read.

    It may only have waited for its turn: this lets the event loop poll all sockets, and all connections run.
    """
    received_at = connection.received_at
    for _ in range(_LOOP_TURNS):
        await asyncio.sleep(0)
        if connection.received_at != received_at:
            return True
    return False


async def _try_send(connection: _Connection, message: Message) -> None:
    """Send a message unless the peer is gone, is closing or does not read. What the peer has sent is read in any case."""
    try:
        async with asyncio.timeout(_SEND_TIMEOUT):
            await connection.send(message)
    except (OSError, RuntimeError):  # a timeout is an OSError too
        log.debug("message not sent: the connection is gone or does not read")


async def _receive_within(receive: Receive, seconds: float) -> Message:
    try:
        async with asyncio.timeout(seconds):
            return await receive()
    except TimeoutError:
        return {"type": _LINGERED}


def _handshake(scope: Scope) -> Handshake:
    headers = tuple((name.decode("latin-1"), value.decode("latin-1")) for name, value in scope["headers"])
    return Handshake(_path(scope), scope["query_string"].decode("latin-1"), headers)


def _path(scope: Scope) -> str:
    """The path as the peer sent it, below the place where the application is mounted. Not every server has it undecoded."""
    raw: bytes | None = scope.get("raw_path")
    path = quote(scope["path"]) if raw is None else raw.decode("latin-1")
    return path.removeprefix(scope.get("root_path", "").rstrip("/"))


async def _refuse_websocket(refusal: Refusal, scope: Scope, send: Send) -> None:
    if _ANSWERS_HANDSHAKE not in (scope.get("extensions") or {}):
        await send({"type": "websocket.close"})  # the server answers with a status of its own, usually 403
        return
    body = f"{refusal.message}\n".encode()
    headers = _text_headers(body)
    if refusal.status == 401:
        headers.append((b"www-authenticate", b"Bearer"))
    await send({"type": "websocket.http.response.start", "status": refusal.status, "headers": headers})
    await send({"type": "websocket.http.response.body", "body": body})


async def _refuse_http(is_websocket_path: bool, send: Send) -> None:
    status, body = (426, b"expected a WebSocket handshake on this path\n") if is_websocket_path else (404, b"not found\n")
    headers = _text_headers(body)
    if status == 426:
        headers += [(b"upgrade", b"websocket"), (b"connection", b"upgrade")]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def _text_headers(body: bytes) -> list[tuple[bytes, bytes]]:
    return [(b"content-type", b"text/plain; charset=utf-8"), (b"content-length", str(len(body)).encode())]
