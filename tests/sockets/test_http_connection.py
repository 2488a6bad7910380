"""The connection that requests are posted on, against peers that answer in every way there is, and in some that there are not."""

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
    """A connection to a peer that does that with each request."""

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
    """Answer with these, each on its own."""

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
async def test_answers(pieces: list[bytes], end: bool, body: bytes, closed: bool) -> None:
    """An answer is read however it is framed, and the connection is kept where there can be another."""
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
async def test_what_is_no_answer(pieces: list[bytes], error: type[Exception]) -> None:
    """What is no answer, or not all of one, is an error, and the connection is given up."""
    async with connected(in_pieces(*pieces, end=True)) as connection:
        with pytest.raises(error):
            await asked(connection)
        assert connection.closed
        with pytest.raises(ConnectionError):
            await asked(connection)


async def test_a_long_body_is_cut() -> None:
    """Of a body that is too long the beginning is taken, without waiting for the rest."""
    head = b"HTTP/1.1 400 Bad\r\ncontent-length: 900000000\r\n\r\n"
    async with connected(in_pieces(head, b"x" * (MAX_HEAD + MAX_BODY))) as connection:
        answer = await asked(connection)
        assert (answer.status, len(answer.body)) == (400, MAX_BODY)
        assert connection.closed


async def test_an_answer_before_all_was_sent() -> None:
    """A peer that refuses a request before it has read it is heard, and not sent a further one on the same connection."""
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
async def test_what_is_no_host(host: str) -> None:
    """A mistyped host is a connection that cannot be had, as any other, and not an error of ours that costs the spans."""
    with pytest.raises(OSError, match="is not a valid host name"):
        await HttpConnection.open(host, 4318, None)


async def test_giving_up() -> None:
    """A request that is given up takes the connection with it: a late answer would be taken for the next request's."""

    async def never(_: asyncio.StreamReader, __: asyncio.StreamWriter) -> None:
        await asyncio.Event().wait()

    async with connected(never) as connection:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await connection.post(HEAD, b"body")
        assert connection.closed


async def test_what_nobody_asked_for() -> None:
    """Bytes that come between requests end the connection."""

    async def twice(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(OK)
        await writer.drain()
        asyncio.get_running_loop().call_later(0.01, writer.write, OK)

    async with connected(twice) as connection:
        assert (await asked(connection)).status == 200
        await eventually(lambda: connection.closed)
