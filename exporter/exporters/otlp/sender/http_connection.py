"""One HTTP/1.1 connection on which requests are posted one after the other; answers are parsed by httptools, as uvicorn's requests are.

Client libraries spend several times the processor time on a request (``bench post``), on what is not wanted here: pools, redirects,
cookies, proxies of the environment.
"""

import asyncio
import contextlib
import ssl
from dataclasses import dataclass, field
from typing import Final, Self, cast

import httptools

MAX_BODY: Final = 65_536
"""How much of an answer's body is read, in bytes; an export response is a few hundred."""
MAX_HEAD: Final = 65_536
"""How long an answer may be beside its body, in bytes."""
_GONE_WITHIN: Final = 1.0
_CONTINUE_UNTIL: Final = 200
"""Statuses below are announcements; the answer is still to come."""


class BadAnswerError(Exception):
    """What the peer sent is no answer to the request."""


@dataclass(slots=True)
class HttpAnswer:
    """A response; header names are lower case."""

    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: bytearray = field(default_factory=bytearray)


class HttpConnection(asyncio.Protocol):
    """Made by :meth:`open`; used until it is ``closed``."""

    def __init__(self) -> None:
        self.closed = False
        """Whether the next request needs another connection."""
        self._gone = asyncio.Event()
        self._transport: asyncio.Transport | None = None
        self._pending: asyncio.Future[HttpAnswer] | None = None
        self._begin()

    @classmethod
    async def open(cls, host: str, port: int, tls: ssl.SSLContext | None) -> Self:
        """Connect; raises ``OSError``, for what went wrong with TLS ``ssl.SSLError``."""
        try:
            _, connection = await asyncio.get_running_loop().create_connection(cls, host, port)
        except UnicodeError as error:  # of a name with an empty or endless part
            raise OSError(f"{host!r} is no name of a host") from error
        if tls is not None:
            await connection.encrypt(host, tls)
        return connection

    async def post(self, head: bytes, body: bytes) -> HttpAnswer:
        """Send a request, one at a time, and wait for its answer.

        Raises ``OSError`` if the connection ends before, :class:`BadAnswerError` if what comes is none. A request that is given up
        (cancelled) leaves a connection that is closed.
        """
        if self.closed or self._transport is None:
            raise ConnectionResetError("the connection was closed")
        self._begin()
        self._pending = asyncio.get_running_loop().create_future()
        self._transport.writelines([head, body])
        try:
            return await self._pending
        finally:
            self._pending = None
            if self._is_spent(self._transport):
                self.abandon()

    def _is_spent(self, transport: asyncio.Transport) -> bool:
        """Whether no other request may follow: of this one or of its answer something is left."""
        return self.closed or not self._ended or transport.get_write_buffer_size() > 0

    def abandon(self) -> None:
        """Give the connection up, with whatever is under way."""
        self.closed = True
        if self._transport is not None:
            self._transport.abort()

    async def close(self) -> None:
        """Give the connection up, and wait until it is gone; not for ever, since nothing else depends on it."""
        self.abandon()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._gone.wait(), _GONE_WITHIN)

    async def encrypt(self, host: str, tls: ssl.SSLContext) -> None:
        """Go on over TLS. That is no part of connecting, where asyncio may leave the socket open when it is given up."""
        plain = cast(asyncio.Transport, self._transport)
        try:
            self._transport = await asyncio.get_running_loop().start_tls(plain, self, tls, server_hostname=host)
        except ConnectionResetError as error:
            raise ssl.SSLEOFError(ssl.SSL_ERROR_EOF, "the receiver closed the connection during the handshake") from error
        finally:
            if self._transport is plain:
                plain.abort()

    def _begin(self) -> None:
        self._answer = HttpAnswer()
        self._parser = httptools.HttpResponseParser(self)
        self._received = 0
        self._head_read = self._ended = False

    # What asyncio calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The connection stands."""
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is one without saying so

    def data_received(self, data: bytes) -> None:
        """Parse what came; what nobody waits for ends the connection."""
        if self._pending is None or self._ended:
            self.abandon()
            return
        self._received += len(data)
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            self._fail(BadAnswerError(f"the receiver does not speak HTTP/1.1: {error}"))
            return
        if self._received > MAX_HEAD + MAX_BODY and not self._ended:
            self._end() if self._head_read else self._fail(BadAnswerError(f"the answer's head is longer than {MAX_HEAD} bytes"))
            self.abandon()

    def connection_lost(self, exc: Exception | None) -> None:
        """An answer of no declared length ends with the connection; any other was not all there."""
        self.closed = True
        self._gone.set()
        if self._pending is not None and not self._ended:
            declared = {"content-length", "transfer-encoding"} & self._answer.headers.keys()
            if exc is None and self._head_read and not declared:
                self._end()
            else:
                self._fail(exc or ConnectionResetError("the receiver closed the connection without an answer"))

    # What httptools calls.

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep a header; of one that comes twice the last. What follows an answer is another, which nobody asked for."""
        if self._ended:
            self.closed = True
            return
        self._answer.headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_headers_complete(self) -> None:
        """The head is read."""
        if self._ended:
            return
        self._answer.status = self._parser.get_status_code()
        self._head_read = self._answer.status >= _CONTINUE_UNTIL

    def on_body(self, body: bytes) -> None:
        """Keep the beginning."""
        if not self._ended:
            self._answer.body += body[: MAX_BODY - len(self._answer.body)]

    def on_message_complete(self) -> None:
        """The answer is there, unless it was an announcement of it."""
        if self._ended:
            return
        if self._head_read:
            if not self._parser.should_keep_alive():
                self.closed = True
            self._end()
        else:
            self._answer = HttpAnswer()

    def _end(self) -> None:
        self._ended = True
        if self._pending is not None and not self._pending.done():
            self._pending.set_result(self._answer)

    def _fail(self, error: Exception) -> None:
        self._ended = True
        if self._pending is not None and not self._pending.done():
            self._pending.set_exception(error)
        self.abandon()
