"""The HTTP connection, against peers that respond in every valid way, and in some invalid ones."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from exporter.exporters.otlp.sender.http_connection import MAX_BODY, MAX_HEAD, HttpConnection, HttpResponse, InvalidResponseError
from tests.support.waiting import eventually

Answers = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
HEAD = b"POST / HTTP/1.1\r\nhost: here\r\ncontent-length: 4\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"


@asynccontextmanager
async def connected(answers: Answers) -> AsyncIterator[HttpConnection]:
    """A connection to a peer that handles each request with ``answers``."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while await reader.readuntil(b"\r\n\r\n") and await reader.readexactly(4):
                await answers(reader, writer)
        except (asyncio.IncompleteReadError, OSError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    connection = await HttpConnection.open("127.0.0.1", server.sockets[0].getsockname()[1], None)
    try:
        yield connection
    finally:
        await connection.close()
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


async def asked(connection: HttpConnection) -> HttpResponse:
    async with asyncio.timeout(5):
        return await connection.post(HEAD, b"body")


@pytest.mark.parametrize(
    ("pieces", "end", "body", "closed"),
    [
        pytest.param([OK], False, b"hi", False, id="whole"),
        pytest.param([OK[at : at + 1] for at in range(len(OK))], False, b"hi", False, id="byte by byte"),
        pytest.param(
            [b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\nh\r\n", b"1\r\ni\r\n0\r\n\r\n"],
            *(False, b"hi", False),
            id="chunked",
        ),
        pytest.param([b"HTTP/1.1 100 Continue\r\n\r\n", OK], False, b"hi", False, id="announced"),
        pytest.param([b"HTTP/1.1 200 OK\r\n\r\nhi"], True, b"hi", True, id="until the end"),
        pytest.param([b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nhi"], True, b"hi", True, id="the last"),
        pytest.param([b"HTTP/1.0 200 OK\r\ncontent-length: 2\r\n\r\nhi"], True, b"hi", True, id="an old peer"),
        pytest.param([OK + OK], False, b"hi", True, id="twice"),
    ],
)
async def test_valid_responses(pieces: list[bytes], end: bool, body: bytes, closed: bool) -> None:
    """A response is read whatever its framing, and the connection is kept if it allows another."""
    async with connected(in_pieces(*pieces, end=end)) as connection:
        answer = await asked(connection)
        assert (answer.status, bytes(answer.body)) == (200, body)
        assert connection.closed == closed
        if not closed:
            assert (await asked(connection)).status == 200


@pytest.mark.parametrize(
    ("pieces", "error"),
    [
        pytest.param([b"SSH-2.0-OpenSSH_9.2\r\n"], InvalidResponseError, id="another protocol"),
        pytest.param(
            [b"HTTP/1.1 101 Switching\r\nconnection: upgrade\r\nupgrade: h2c\r\n\r\n"], InvalidResponseError, id="changes protocol"
        ),
        pytest.param([b"HTTP/1.1 200 OK\r\nx: " + b"x" * (MAX_HEAD + MAX_BODY)], InvalidResponseError, id="endless head"),
        pytest.param([b"HTTP/1.1 200 OK\r\ncontent-length: 20\r\n\r\nhi"], ConnectionError, id="cut off"),
        pytest.param([], ConnectionError, id="silent"),
    ],
)
async def test_invalid_responses(pieces: list[bytes], error: type[Exception]) -> None:
    """An invalid or incomplete response is an error and closes the connection."""
    async with connected(in_pieces(*pieces, end=True)) as connection:
        with pytest.raises(error):
            await asked(connection)
        assert connection.closed
        with pytest.raises(ConnectionError):
            await asked(connection)


async def test_a_long_body_is_truncated() -> None:
    """Only the beginning of a body that is too long is read, without waiting for the rest."""
    head = b"HTTP/1.1 400 Bad\r\ncontent-length: 900000000\r\n\r\n"
    async with connected(in_pieces(head, b"x" * (MAX_HEAD + MAX_BODY))) as connection:
        answer = await asked(connection)
        assert (answer.status, len(answer.body)) == (400, MAX_BODY)
        assert connection.closed


async def test_a_response_before_the_request_is_complete() -> None:
    """The response of a peer that has not read the whole request is read, and the connection is not used again."""
    refusal = b"HTTP/1.1 413 Too Large\r\ncontent-length: 0\r\n\r\n"

    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        reader._transport.pause_reading()  # type: ignore[attr-defined]
        writer.write(refusal)
        await asyncio.Event().wait()

    async with connected(refuse) as connection:
        async with asyncio.timeout(5):
            answer = await connection.post(HEAD, b"x" * 50_000_000)
        assert answer.status == 413
        assert connection.closed


@pytest.mark.parametrize("host", ["collector..monitoring", "x" * 64 + ".example"])
async def test_invalid_host_names(host: str) -> None:
    """A mistyped host is a connection failure, which is retried, and not an internal error, which loses spans."""
    with pytest.raises(OSError, match="is not a valid host name"):
        await HttpConnection.open(host, 4318, None)


async def test_cancelled_request() -> None:
    """A cancelled request closes the connection, because a late response could be taken for that of the next request."""

    async def never(_: asyncio.StreamReader, __: asyncio.StreamWriter) -> None:
        await asyncio.Event().wait()

    async with connected(never) as connection:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await connection.post(HEAD, b"body")
        assert connection.closed


async def test_unexpected_bytes() -> None:
    """Bytes between two requests close the connection."""

    async def twice(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(OK)
        await writer.drain()
        asyncio.get_running_loop().call_later(0.01, writer.write, OK)

    async with connected(twice) as connection:
        assert (await asked(connection)).status == 200
        await eventually(lambda: connection.closed)
