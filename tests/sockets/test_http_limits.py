"""What a peer can send, hold or leave unread before it is a WebSocket or without being one, on both listeners."""

import asyncio
import contextlib
import errno
import socket
import ssl
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from starlette.types import ASGIApp, Receive, Scope, Send

from exporter.auth.peer import ignore_refusal
from exporter.auth.tls_files import ServerTlsFiles
from exporter.receivers.proxy.http1 import MAX_HEAD, MAX_HEADERS
from exporter.server.listener_config import ListenerLimits
from exporter.server.listeners import Listener
from exporter.server.tls import load_tls
from exporter.server.tls_server import ListenerTls, TlsServer
from tests.support.daemon import Endpoints, daemon_process, running_daemon
from tests.support.house_rules import ROOT
from tests.support.memory import bytes_in_use
from tests.support.pki import make_pki
from tests.support.raw_websocket import TEXT, RawWebSocket, frame, raw_connection, request
from tests.support.waiting import eventually, patience, seconds

REFUSED = "agentstack_exporter_connections_refused_total"
GET = b"GET /-/healthy HTTP/1.1\r\nHost: x\r\n"
BODY = b"x" * 3_000_000
both = pytest.mark.parametrize("listener", ["listen", "telemetry"])


def address(endpoints: Endpoints, listener: str) -> str:
    return str(getattr(endpoints, listener))


async def ended(socket: RawWebSocket) -> bytes:
    """Everything that the exporter sends until the connection ends."""
    async with asyncio.timeout(patience(10)):
        try:
            return await socket.reader.read()
        except ConnectionError:
            return b""


def head_of(size: int) -> bytes:
    """A request whose head has this many bytes."""
    return GET + b"X: " + b"y" * (size - len(GET) - 7) + b"\r\n\r\n"


class TestHeads:
    @both
    async def test_the_largest_head(self, listener: str) -> None:
        """A head of 32 KiB is read; one byte more is refused with 431 and counted, also if it arrives whole."""
        async with running_daemon() as endpoints:
            for size, refused in ((MAX_HEAD, False), (MAX_HEAD + 1, True)):
                async with raw_connection(address(endpoints, listener)) as socket:
                    socket.writer.write(head_of(size))
                    assert (await socket.answer() == 431) is refused
            assert await endpoints.total(REFUSED, reason="bad_request") == 1

    @both
    async def test_the_most_headers(self, listener: str) -> None:
        """A head of 100 headers is read; one more is refused with 431 and counted."""
        async with running_daemon() as endpoints:
            for number, refused in ((MAX_HEADERS, False), (MAX_HEADERS + 1, True)):
                async with raw_connection(address(endpoints, listener)) as socket:
                    socket.writer.write(GET + b"X: y\r\n" * (number - 1) + b"\r\n")
                    assert (await socket.answer() == 431) is refused
            assert await endpoints.total(REFUSED, reason="bad_request") == 1

    @both
    @pytest.mark.parametrize(
        "piece", [b"y" * 65_536, b"a: b\r\n" * 10_000, b"\r\n" * 30_000], ids=["one header", "many headers", "empty lines"]
    )
    async def test_an_endless_head(self, listener: str, piece: bytes) -> None:
        """An endless head holds up nobody: it is refused, or the handshake timeout ends it, and the memory does not grow."""
        async with (
            running_daemon(handshake_timeout=2.0) as endpoints,
            raw_connection(address(endpoints, listener)) as socket,
        ):
            assert (await endpoints.get("/-/healthy")).status_code == 200
            before, slowest = bytes_in_use(), 0.0
            with contextlib.suppress(ConnectionError):
                if not piece.startswith(b"\r"):
                    socket.writer.write(GET + b"X: ")
                for _ in range(100):
                    socket.writer.write(piece)
                    await socket.writer.drain()
                    started = time.process_time()
                    assert (await endpoints.get("/-/healthy")).status_code == 200
                    slowest = max(slowest, time.process_time() - started)
                    if socket.reader.at_eof():
                        break
            grown = bytes_in_use() - before
            assert slowest < seconds(1)  # of the processor, so that other tests do not count
            await ended(socket)
            assert await endpoints.total(REFUSED) == 1
            assert grown < 1_000_000, "6 MB were sent"

    async def test_frames_behind_the_handshake(self) -> None:
        """Frames that a peer sends together with its handshake count."""
        async with running_daemon() as endpoints, raw_connection(endpoints.listen) as socket:
            event = frame(b'{"type":"play.completed"}', TEXT)
            socket.writer.write(request() + event * 50 + event[:9])
            assert await socket.answer() == 101
            socket.writer.write(event[9:])
            await endpoints.reaches("agentstack_exporter_events_total", 51)


class TestTimes:
    @both
    async def test_each_request_has_its_time(self, listener: str) -> None:
        """A kept connection whose next request does not arrive in time is closed and counted, like one without a first request."""
        async with running_daemon(handshake_timeout=0.3) as endpoints, raw_connection(address(endpoints, listener)) as socket:
            socket.writer.write(GET + b"\r\n")
            await socket.answer()
            socket.writer.write(b"G")
            await ended(socket)
            assert await endpoints.total(REFUSED, reason="slow_handshake") == 1

    @both
    @pytest.mark.parametrize("length", [b"Content-Length: 99999999", b"Transfer-Encoding: chunked"])
    async def test_an_endless_body(self, listener: str, length: bytes) -> None:
        """A request with a body is answered without reading the body, and the connection ends with the answer."""
        async with running_daemon() as endpoints, raw_connection(address(endpoints, listener)) as socket:
            socket.writer.write(b"POST /-/ready HTTP/1.1\r\nHost: x\r\n" + length + b"\r\n\r\nx")
            answer = await ended(socket)
            assert answer.startswith((b"HTTP/1.1 405", b"HTTP/1.1 404"))
            assert b"connection: close\r\n" in answer.lower()

    async def test_requests_that_arrive_together(self) -> None:
        """Requests behind one another on a connection are answered one by one, in order, and hold up nobody."""
        async with running_daemon() as endpoints, raw_connection(endpoints.telemetry) as socket:
            socket.writer.write((GET + b"\r\n") * 300 + GET + b"Connection: close\r\n\r\n")
            assert (await ended(socket)).count(b"HTTP/1.1 200 OK\r\n") == 301


@asynccontextmanager
async def listening(app: ASGIApp, limits: ListenerLimits, tls: ssl.SSLContext | None = None) -> AsyncIterator[tuple[str, list[str]]]:
    """A listener with these limits: its address, and the reasons of its refusals."""
    reasons: list[str] = []

    def on_refused(reason: str, *_: object, **__: object) -> None:
        reasons.append(reason)

    listener = Listener(app, "127.0.0.1", 0, tls=tls, limits=limits, on_refused=on_refused)
    await listener.start()
    try:
        yield "{}:{}".format(*listener.bound), reasons
    finally:
        await listener.stop()


async def large(_scope: Scope, _receive: Receive, send: Send) -> None:
    """Answer with more than the kernel takes from a peer that does not read."""
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % (4 * len(BODY)))]})
    for number in range(4):
        await send({"type": "http.response.body", "body": BODY, "more_body": number < 3})


class TestReaders:
    async def test_a_scraper_that_does_not_read(self) -> None:
        """A peer that reads nothing for the write timeout is cut off and counted."""
        async with (
            listening(large, ListenerLimits(write_timeout=0.3)) as (where, reasons),
            raw_connection(where) as socket,
        ):
            socket.reader._transport.pause_reading()  # type: ignore[attr-defined]
            socket.writer.write(GET + b"\r\n")
            await eventually(lambda: reasons == ["slow_reader"])

    @pytest.mark.parametrize("app_ends", [b"", b"Connection: close\r\n"])
    async def test_an_end_that_is_not_read(self, app_ends: bytes) -> None:
        """A closed connection whose peer does not read the rest does not stay open either."""

        async def small(_scope: Scope, _receive: Receive, send: Send) -> None:
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": BODY * 4})

        async with (
            listening(small, ListenerLimits(write_timeout=0.3)) as (where, reasons),
            raw_connection(where) as socket,
        ):
            socket.reader._transport.pause_reading()  # type: ignore[attr-defined]
            socket.writer.write(GET + app_ends + b"\r\n")
            await eventually(lambda: reasons == ["slow_reader"])

    async def test_many_scrapers_that_do_not_read(self) -> None:
        """Only the newest few of those that do not read are kept, and one that reads gets everything."""
        async with contextlib.AsyncExitStack() as stack:
            limits = ListenerLimits(write_timeout=60, max_stalled=3)
            where, reasons = await stack.enter_async_context(listening(large, limits))
            for number in range(10):
                socket = await stack.enter_async_context(raw_connection(where))
                socket.reader._transport.pause_reading()  # type: ignore[attr-defined]
                socket.writer.write(GET + b"\r\n")
                cut_off = max(0, number - 2)
                await eventually(lambda expected=cut_off: len(reasons) == expected)  # type: ignore[misc]
            reader = await stack.enter_async_context(raw_connection(where))
            reader.writer.write(GET + b"Connection: close\r\n\r\n")
            assert len(await ended(reader)) > 4 * len(BODY)
            assert set(reasons) == {"slow_reader"}

    async def test_more_tls_handshakes_than_the_limit(self, tmp_path: Path) -> None:
        """One TLS handshake too many ends the oldest; the newest is served."""
        pki = make_pki(tmp_path)
        async with contextlib.AsyncExitStack() as stack:
            limits = ListenerLimits(max_pending=3)
            context = load_tls(ServerTlsFiles(pki.certificate, pki.key, None))
            where, reasons = await stack.enter_async_context(listening(large, limits, context))
            sockets = [await stack.enter_async_context(raw_connection(where)) for _ in range(3)]
            async with raw_connection(where, ssl.create_default_context(cafile=pki.certificate)) as newest:
                assert await ended(sockets[0]) == b""
                newest.writer.write(GET + b"Connection: close\r\n\r\n")
                assert len(await ended(newest)) > 4 * len(BODY)
            assert reasons == ["too_many"]

    async def test_no_descriptor_for_a_tls_connection(self, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
        """A connection that finds no free descriptor is accepted later, and the log says so."""

        class Full(socket.socket):
            full = True

            def accept(self) -> tuple[socket.socket, Any]:
                if self.full:
                    self.full = False
                    raise OSError(errno.EMFILE, "Too many open files")
                return super().accept()

        pki = make_pki(tmp_path)
        bound = Full()
        bound.bind(("127.0.0.1", 0))
        bound.listen()
        bound.setblocking(False)
        tls = ListenerTls(load_tls(ServerTlsFiles(pki.certificate, pki.key, None)), 5.0, 3, ignore_refusal)
        server = TlsServer(asyncio.Protocol, bound, tls)
        trusting = ssl.create_default_context(cafile=pki.certificate)
        async with asyncio.timeout(patience(10)), raw_connection(f"127.0.0.1:{bound.getsockname()[1]}", trusting):
            server.close()
        assert "accepting connections failed" in caplog.text

    async def test_more_connections_than_the_limit(self) -> None:
        """One connection too many ends the oldest that waits for a request; the newest is served."""
        async with contextlib.AsyncExitStack() as stack:
            where, reasons = await stack.enter_async_context(listening(large, ListenerLimits(max_pending=3)))
            sockets = []
            for _ in range(4):
                sockets.append(await stack.enter_async_context(raw_connection(where)))
                sockets[-1].writer.write(GET)
            assert await ended(sockets[0]) == b""
            sockets[3].writer.write(b"Connection: close\r\n\r\n")
            assert len(await ended(sockets[3])) > 4 * len(BODY)
            assert reasons == ["too_many"]


FEW_FILES = (
    "import resource, sys; resource.setrlimit(resource.RLIMIT_NOFILE, (48, 48))\nfrom exporter.cli import main; main(sys.argv[1:])\n"
)


async def test_few_open_files_are_left_to_scrapes(tmp_path: Path) -> None:
    """Where the process may open few files, idle connections to ``--listen`` cannot take those that a scrape needs."""
    (tmp_path / "few_files.py").write_text(FEW_FILES)
    async with daemon_process(tmp_path, module="few_files", env={"PYTHONPATH": f"{ROOT}:{tmp_path}"}) as daemon:
        assert "because the process may open 48 files only" in daemon.log
        host, _, port = daemon.endpoints.listen.rpartition(":")
        async with contextlib.AsyncExitStack() as idle:
            for _ in range(60):
                _, writer = await asyncio.open_connection(host, int(port))
                idle.callback(writer.close)
            await daemon.endpoints.reaches("agentstack_exporter_connections_refused_total", 50, reason="too_many")
