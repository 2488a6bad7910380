"""The app behind the relay, and a proxy to compare it with: ``python -m bench.echo_app echo`` or ``splice PORT``.

``echo``: an app that accepts WebSockets and sends back the bytes it gets. ``splice``: a TCP proxy that observes nothing. Each prints
its port on stdout and runs until it is killed.
"""

import asyncio
import base64
import hashlib
import sys
from typing import Any

import uvloop

_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


class Echo(asyncio.Protocol):
    """Answers the handshake, then echoes."""

    def __init__(self) -> None:
        self.head: bytes | None = b""
        self.transport: Any = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        if self.head is None:
            self.transport.write(data)
            return
        self.head += data
        if self.head.endswith(b"\r\n\r\n"):
            key = next(
                line.split(b":")[1].strip() for line in self.head.split(b"\r\n") if line.lower().startswith(b"sec-websocket-key")
            )
            accept = base64.b64encode(hashlib.sha1(key + _GUID).digest())  # noqa: S324 - RFC 6455 asks for it
            answer = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: "
            self.transport.write(answer + accept + b"\r\n\r\n")
            self.head = None


class Spliced(asyncio.Protocol):
    """One side of a proxied connection."""

    def __init__(self, port: int | None, other: "Spliced | None" = None) -> None:
        self.port = port
        self.other = other
        self.early = b""
        self.transport: Any = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        if self.port is not None:
            self.dialling = asyncio.get_running_loop().create_task(self._dial(self.port))

    async def _dial(self, port: int) -> None:
        other = Spliced(None, self)
        await asyncio.get_running_loop().create_connection(lambda: other, "127.0.0.1", port)
        self.other = other
        other.transport.write(self.early)

    def data_received(self, data: bytes) -> None:
        if self.other is None:
            self.early += data
        else:
            self.other.transport.write(data)

    def pause_writing(self) -> None:
        if self.other is not None:
            self.other.transport.pause_reading()

    def resume_writing(self) -> None:
        if self.other is not None:
            self.other.transport.resume_reading()

    def connection_lost(self, _: Exception | None) -> None:
        if self.other is not None:
            self.other.transport.close()


async def main(what: str, port: int) -> None:
    """Serve until killed."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Echo if what == "echo" else lambda: Spliced(port), "127.0.0.1", 0)
    sys.stdout.write(f"{server.sockets[0].getsockname()[1]}\n")
    sys.stdout.flush()
    await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(main(sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 0))
