"""A raw WebSocket client: it sends what no library would send, and reads only when it is told to."""

import asyncio
import base64
import os
import socket
import ssl
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0x0, 0x1, 0x2, 0x8, 0x9, 0xA
MASK = b"\x37\xfa\x21\x3d"


def frame(payload: bytes, opcode: int = TEXT, *, fin: bool = True) -> bytes:
    """A client's frame. All frames have the same mask: tests need no security, and a flood is made quickly."""
    size = len(payload)
    if size < 126:
        length = bytes([0x80 | size])
    elif size < 65_536:
        length = b"\xfe" + size.to_bytes(2, "big")
    else:
        length = b"\xff" + size.to_bytes(8, "big")
    key = (MASK * (size // 4 + 1))[:size]
    masked = (int.from_bytes(payload, "big") ^ int.from_bytes(key, "big")).to_bytes(size, "big")
    return bytes([fin << 7 | opcode]) + length + MASK + masked


def request(path: str = "/ws", host: str = "localhost") -> bytes:
    """The opening request."""
    key = base64.b64encode(os.urandom(16)).decode()
    lines = (
        f"GET {path} HTTP/1.1",
        f"Host: {host}",
        "Upgrade: websocket",
        "Connection: Upgrade",
        f"Sec-WebSocket-Key: {key}",
        "Sec-WebSocket-Version: 13",
    )
    return "\r\n".join(lines).encode() + b"\r\n\r\n"


class RawWebSocket:
    """One connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self.status = 0

    async def answer(self) -> int:
        """Read the answer to the opening request; returns its status."""
        head = await self.reader.readuntil(b"\r\n\r\n")
        self.status = int(head.split(b" ", 2)[1])
        return self.status

    async def send(self, payload: bytes, opcode: int = TEXT, *, fin: bool = True) -> None:
        """Send a frame."""
        self.writer.write(frame(payload, opcode, fin=fin))
        await self.writer.drain()

    async def read_frame(self) -> tuple[int, bytes]:
        """The next frame of the server: opcode and payload. Raises ``EOFError`` when there is none."""
        first, size = await self.reader.readexactly(2)
        if size == 126:
            size = int.from_bytes(await self.reader.readexactly(2), "big")
        elif size == 127:
            size = int.from_bytes(await self.reader.readexactly(8), "big")
        return first & 0xF, await self.reader.readexactly(size)

    def reset(self) -> None:
        """Let the end of the connection be a reset: what the peer has not read yet is lost, and need not be worked through."""
        self.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    async def close_code(self) -> int | None:
        """Read until the server closes; returns the code of its close frame, or None without one."""
        try:
            while True:
                opcode, payload = await self.read_frame()
                if opcode == CLOSE:
                    return int.from_bytes(payload[:2], "big")
        except (EOFError, ConnectionError):
            return None


@asynccontextmanager
async def raw_connection(address: str, tls: ssl.SSLContext | None = None) -> AsyncIterator[RawWebSocket]:
    """A TCP connection to ``host:port``, with or without TLS. Nothing is sent yet."""
    host, _, port = address.rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port), ssl=tls)
    try:
        yield RawWebSocket(reader, writer)
    finally:
        writer.transport.abort()


@asynccontextmanager
async def raw_websocket(address: str, path: str = "/ws", tls: ssl.SSLContext | None = None) -> AsyncIterator[RawWebSocket]:
    """A WebSocket to ``host:port``, after the handshake."""
    async with raw_connection(address, tls) as socket:
        socket.writer.write(request(path))
        assert await socket.answer() == 101
        yield socket
