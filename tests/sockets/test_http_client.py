"""The HTTP client, against peers that respond in every valid way, and in some invalid ones."""

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

import pytest

from exporter.exporters.otlp.sender.export_result import Delivered
from exporter.exporters.otlp.sender.http_client import (
    MAX_BODY,
    MAX_HEAD,
    HttpClient,
    HttpResponse,
    InvalidResponseError,
    ProxyError,
    redirected,
)
from exporter.exporters.otlp.sender.http_transport import HttpTransport
from exporter.exporters.otlp.target import Proxy, Target
from tests.support.waiting import seconds

Answers = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"


@dataclass
class Peer:
    """A client and the peer that it posts to."""

    client: HttpClient
    url: str
    connections: int = 0

    async def asked(self, body: bytes = b"body") -> HttpResponse:
        async with asyncio.timeout(5):
            return await self.client.post(self.url, {"x": "y"}, body)


@asynccontextmanager
async def peer(answers: Answers) -> AsyncIterator[Peer]:
    """A client of a peer that handles each request with ``answers``."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        found.connections += 1
        try:
            while await reader.readuntil(b"\r\n\r\n") and await reader.readexactly(4):
                await answers(reader, writer)
        except (asyncio.IncompleteReadError, OSError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
    found = Peer(HttpClient(Target("traces", "http/protobuf", url), None), url)
    try:
        yield found
    finally:
        await found.client.close()
        server.close()


def in_pieces(*pieces: bytes, end: bool = False) -> Answers:
    """Respond with these pieces, one write each."""

    async def answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(0)
        if end:
            writer.close()

    return answer


@pytest.mark.parametrize(
    ("pieces", "end", "kept"),
    [
        pytest.param([OK], False, True, id="whole"),
        pytest.param([OK[at : at + 1] for at in range(len(OK))], False, True, id="byte by byte"),
        pytest.param(
            [b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\nh\r\n", b"1\r\ni\r\n0\r\n\r\n"], False, True, id="chunked"
        ),
        pytest.param([b"HTTP/1.1 100 Continue\r\n\r\n", OK], False, True, id="announced"),
        pytest.param([b"HTTP/1.1 200 OK\r\n\r\nhi"], True, False, id="until the end"),
        pytest.param([b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nhi"], True, False, id="the last"),
        pytest.param([b"HTTP/1.0 200 OK\r\ncontent-length: 2\r\n\r\nhi"], True, False, id="an old peer"),
    ],
)
async def test_valid_responses(pieces: list[bytes], end: bool, kept: bool) -> None:
    """A response is read whatever its framing, and the connection is kept if it allows another."""
    async with peer(in_pieces(*pieces, end=end)) as found:
        for _ in range(2):
            answer = await found.asked()
            assert (answer.status, answer.body) == (200, b"hi")
        assert found.connections == (1 if kept else 2)


@pytest.mark.parametrize(
    ("pieces", "error"),
    [
        pytest.param([b"SSH-2.0-OpenSSH_9.2\r\n\r\n"], InvalidResponseError, id="another protocol"),
        pytest.param(
            [b"HTTP/1.1 101 Switching\r\nconnection: upgrade\r\nupgrade: h2c\r\n\r\n"], InvalidResponseError, id="changes protocol"
        ),
        pytest.param([b"HTTP/1.1 200 OK\r\nx: " + b"x" * (2 * MAX_HEAD)], InvalidResponseError, id="endless head"),
        pytest.param([b"HTTP/1.1 200 OK\r\ncontent-length: 20\r\n\r\nhi"], OSError, id="cut off"),
        pytest.param([], OSError, id="silent"),
    ],
)
async def test_invalid_responses(pieces: list[bytes], error: type[Exception]) -> None:
    """An invalid or incomplete response is an error."""
    async with peer(in_pieces(*pieces, end=True)) as found:
        with pytest.raises(error):
            await found.asked()


async def test_a_long_body_is_truncated() -> None:
    """Only the beginning of a body that is too long is read, without waiting for the rest."""
    head = b"HTTP/1.1 400 Bad\r\ncontent-length: 900000000\r\n\r\n"
    async with peer(in_pieces(head, b"x" * (2 * MAX_BODY))) as found:
        answer = await found.asked()
        assert (answer.status, len(answer.body)) == (400, MAX_BODY)


@pytest.mark.parametrize("rest", [b"\r\n", b"content-length: 20\r\n\r\nhi", b"transfer-encoding: chunked\r\n\r\n2\r\nhi\r\n"])
async def test_a_body_without_an_end(rest: bytes) -> None:
    """A receiver that has accepted a request and does not end its answer gets it once: half the timeout later its status counts."""

    async def answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\n" + rest)
        await asyncio.Event().wait()

    async with peer(answer) as found:
        transport = HttpTransport(Target("traces", "http/protobuf", found.url, timeout=seconds(0.4)))
        assert isinstance(await transport.send(b"body"), Delivered)
        await transport.close()


async def test_a_response_before_the_request_is_complete() -> None:
    """The response of a peer that has not read the whole request is read."""
    refusal = b"HTTP/1.1 413 Too Large\r\ncontent-length: 0\r\n\r\n"

    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        reader._transport.pause_reading()  # type: ignore[attr-defined]
        writer.write(refusal)
        await asyncio.Event().wait()

    async with peer(refuse) as found:
        assert (await found.asked(b"x" * 50_000_000)).status == 413


@pytest.mark.parametrize("host", ["collector..monitoring", "x" * 64 + ".example"])
async def test_invalid_host_names(host: str) -> None:
    """A mistyped host is a connection failure, which is retried, and not an internal error, which loses spans."""
    client = HttpClient(Target("traces", "http/protobuf", f"http://{host}:4318/"), None)
    with pytest.raises(OSError, match="is not a valid host name"):
        await client.post(f"http://{host}:4318/", {}, b"")
    await client.close()


async def test_a_redirect_that_is_no_text() -> None:
    """A redirect is followed byte for byte, also to a path that is not UTF-8."""
    asked = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append((await reader.readuntil(b"\r\n\r\n")).split(b" ")[1])
        writer.write(b"HTTP/1.1 308 Moved\r\nlocation: /\xfc\xff\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1/traces"
        client = HttpClient(target := Target("traces", "http/protobuf", url), None)
        answer = await client.post(url, {}, b"")
        await client.post(redirected(target, answer.headers["location"]), {}, b"")
        await client.close()
    assert asked == [b"/v1/traces", b"/%FC%FF"]


@pytest.mark.parametrize("through_proxy", [False, True])
async def test_a_port_where_nobody_listens(through_proxy: bool) -> None:
    """The reason is in the words that people search for."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    url = f"http://127.0.0.1:{port}/"
    client = HttpClient(Target("traces", "http/protobuf", url, proxy=Proxy("127.0.0.1", port) if through_proxy else None), None)
    with pytest.raises(ProxyError if through_proxy else OSError, match="Connection refused"):
        await client.post(url, {}, b"")
    await client.close()
