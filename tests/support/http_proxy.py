"""A forward proxy on a free port: it forwards requests over plain HTTP and opens tunnels, and misbehaves when told to."""

import asyncio
import contextlib
import socket
import ssl
import struct
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Literal
from urllib.parse import urlsplit


@dataclass
class HttpProxy:
    """What was asked of it, and what to do wrong.

    ``answers`` are used up in order: a status with which a request is refused, or ``reset``. ``login`` is the value of
    ``Proxy-Authorization`` without which it answers 407. With ``tls``, the connection to it is encrypted.
    """

    port: int = 0
    login: str = ""
    tls: ssl.SSLContext | None = None
    answers: deque[int | Literal["reset"]] = field(default_factory=deque)
    error_headers: str = ""
    requests: list[tuple[str, str, dict[str, str]]] = field(default_factory=list)
    _server: asyncio.Server | None = None
    _tasks: set["asyncio.Task[None]"] = field(default_factory=set)

    @property
    def url(self) -> str:
        """As the variables name it."""
        return f"{'https' if self.tls else 'http'}://127.0.0.1:{self.port}"

    def methods(self) -> list[str]:
        """The methods of all requests."""
        return [method for method, _, _ in self.requests]

    async def open(self) -> None:
        """Listen, on the same port as before."""
        self._server = await asyncio.start_server(
            *(self._accept, "127.0.0.1", self.port), reuse_address=True, limit=1 << 23, ssl=self.tls
        )
        self.port = self._server.sockets[0].getsockname()[1]

    async def shut(self) -> None:
        """Refuse connections, and end those that are open."""
        if self._server is not None:
            self._server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve a connection. It is closed also if its task is cancelled before it runs."""
        task = asyncio.ensure_future(self._serve(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        task.add_done_callback(lambda _: writer.close())

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            while await self._handle(reader, writer):
                pass

    async def _handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Serve a request; whether another may follow on the connection."""
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        method, target, _ = head.split("\r\n")[0].split(" ")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in head.split("\r\n")[1:] if line)}
        body = await reader.readexactly(int(headers.get("content-length", 0)))
        self.requests.append((method, target, headers))
        answer: int | str | None = self.answers.popleft() if self.answers else None
        if answer is None and headers.get("proxy-authorization", "") != self.login:
            answer = 407
        if answer == "reset":
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            writer.transport.abort()
            return False
        if answer is not None:
            writer.write(f"HTTP/1.1 {answer} No\r\n{self.error_headers}content-length: 5\r\n\r\nnever".encode())
            await writer.drain()
            return True
        if method == "CONNECT":
            await self._tunnel(target, reader, writer)
            return False
        return await _forward(target, head, body, writer)

    async def _tunnel(self, target: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        host, _, port = target.rpartition(":")
        far_reader, far_writer = await asyncio.open_connection(host.strip("[]"), int(port))
        writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        ways = [asyncio.ensure_future(copy_stream(reader, far_writer)), asyncio.ensure_future(copy_stream(far_reader, writer))]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            far_writer.close()
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)


async def copy_stream(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()


async def _forward(target: str, head: str, body: bytes, writer: asyncio.StreamWriter) -> bool:
    """Pass a request on, on a connection of its own, and its answer back."""
    url = urlsplit(target)
    assert url.hostname is not None, f"not in absolute form: {target}"
    far_reader, far_writer = await asyncio.open_connection(url.hostname, url.port or 80)
    try:
        lines = [line for line in head.split("\r\n")[1:] if line and not line.lower().startswith("proxy-")]
        far_writer.write("\r\n".join([f"POST {url._replace(scheme='', netloc='').geturl()} HTTP/1.1", *lines, "", ""]).encode() + body)
        answer = await far_reader.readuntil(b"\r\n\r\n")
        lengths = [line.split(b":")[1] for line in answer.lower().split(b"\r\n") if line.startswith(b"content-length")]
        writer.write(answer + await far_reader.readexactly(int(lengths[0])))
        await writer.drain()
    finally:
        far_writer.close()
    return True


@asynccontextmanager
async def http_proxy(login: str = "", tls: ssl.SSLContext | None = None) -> AsyncIterator[HttpProxy]:
    """Run a proxy until the block ends."""
    proxy = HttpProxy(login=login, tls=tls)
    await proxy.open()
    try:
        yield proxy
    finally:
        await proxy.shut()
