"""The customer's app behind a relay: one with a WebSocket library, and one on raw sockets."""

import asyncio
import base64
import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from websockets.asyncio.server import ServerConnection, serve

from tests.support.waiting import eventually

Talk = Callable[[ServerConnection], Awaitable[None]]


@dataclass
class Visit:
    """A connection that the app accepted."""

    path: str
    headers: dict[str, str]
    heard: list[str | bytes] = field(default_factory=list)


@dataclass
class App:
    """A running app: its address and its connections."""

    url: str
    visits: list[Visit]


async def listen(_: ServerConnection) -> None:
    """Log nothing."""


@asynccontextmanager
async def app(talk: Talk = listen, **options: Any) -> AsyncIterator[App]:
    """An app that records every message, and sends messages first."""
    visits: list[Visit] = []

    async def visited(socket: ServerConnection) -> None:
        assert socket.request is not None
        visit = Visit(socket.request.path, dict(socket.request.headers.raw_items()))
        visits.append(visit)
        talking = asyncio.create_task(_aside(talk, socket))
        try:
            async for message in socket:
                visit.heard.append(message)
        finally:
            await talking

    async with serve(visited, "127.0.0.1", 0, **{"compression": "deflate", "ping_interval": None, **options}) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        yield App(f"ws://127.0.0.1:{port}", visits)


async def _aside(talk: Talk, socket: ServerConnection) -> None:
    await talk(socket)


class RawSide:
    """A connection of the raw app, after the handshake."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer


class RawApp:
    """An app that accepts WebSockets and leaves everything else to the test."""

    def __init__(self) -> None:
        self.url = ""
        self.heads: list[bytes] = []
        self.writers: list[asyncio.StreamWriter] = []
        self._sides: asyncio.Queue[RawSide] = asyncio.Queue()

    async def side(self) -> RawSide:
        """The next connection."""
        return await asyncio.wait_for(self._sides.get(), 10)

    async def visited(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer the handshake."""
        self.writers.append(writer)
        head = await reader.readuntil(b"\r\n\r\n")
        self.heads.append(head)
        key = next(line.split(b":", 1)[1].strip() for line in head.split(b"\r\n") if line.lower().startswith(b"sec-websocket-key"))
        accept = base64.b64encode(hashlib.sha1(key + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest())  # noqa: S324 - RFC 6455 asks for it
        writer.write(b"HTTP/1.1 101 Switching Protocols\r\nupgrade: WebSocket\r\nConnection: Upgrade\r\nX-Mine:  yes \r\n")
        writer.write(b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n")
        self._sides.put_nowait(RawSide(reader, writer))


@asynccontextmanager
async def raw_app() -> AsyncIterator[RawApp]:
    """The app on raw sockets."""
    found = RawApp()
    server = await asyncio.start_server(found.visited, "127.0.0.1", 0, limit=1 << 16)
    found.url = f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield found
    finally:
        server.close()
        for writer in found.writers:
            writer.transport.abort()


async def heard(found: App, number: int) -> list[str | bytes]:
    """Wait until the app has received this many messages on its only connection."""
    await eventually(lambda: found.visits and len(found.visits[0].heard) >= number, because=f"{number} messages at the app")
    return found.visits[0].heard
