"""One HTTP/1.1 connection that posts one request after the other. httptools parses the responses, as it parses uvicorn's requests.

A client library uses several times the processor time for a request (``bench post``). It pays for features that are not wanted
here, as connection pools and cookies.
"""

import asyncio
import contextlib
import ssl
from dataclasses import dataclass, field
from typing import Final, Self, cast

import httptools

MAX_BODY: Final = 65_536
"""How much of a response's body is read, in bytes. An export response has a few hundred."""
MAX_HEAD: Final = 65_536
"""How long a response may be without its body, in bytes."""
_CLOSE_TIMEOUT: Final = 1.0
_FIRST_FINAL_STATUS: Final = 200
"""Lower statuses are informational; the final response follows."""
_FIRST_REDIRECT: Final = 300
_PROXY_ADVICE: Final = {407: ": it wants a user and a password, as in http://USER:PASSWORD@HOST:PORT"}
_SETTINGS: Final = b"\x04"
"""The type of the frame with which an HTTP/2 server begins, in its fourth byte (RFC 9113, sections 3.4 and 6.5)."""
_SPEAKS_GRPC: Final = (
    "the receiver speaks HTTP/2, as for OTLP over gRPC, and not HTTP/1.1: "
    "set OTEL_EXPORTER_OTLP_PROTOCOL=grpc, or use the receiver's HTTP port (mostly 4318)"
)


class InvalidResponseError(Exception):
    """The peer sent something that is not an HTTP/1.1 response."""


class ProxyError(Exception):
    """The proxy cannot be reached, or it opened no tunnel."""


@dataclass(frozen=True, slots=True)
class Tunnel:
    """A proxy that forwards bytes to the receiver, and the complete request that asks it to."""

    host: str
    port: int
    request: bytes


@dataclass(slots=True)
class HttpResponse:
    """A response. Header names are lower case."""

    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: bytearray = field(default_factory=bytearray)


class HttpConnection(asyncio.Protocol):
    """Opened by :meth:`open`, and used until it is ``closed``."""

    def __init__(self) -> None:
        self.closed = False
        """Whether the next request needs another connection."""
        self._lost = asyncio.Event()
        self._transport: asyncio.Transport | None = None
        self._pending: asyncio.Future[HttpResponse] | None = None
        self._requests_tunnel = False
        self._reset()

    @classmethod
    async def open(cls, host: str, port: int, tls: ssl.SSLContext | None, tunnel: Tunnel | None = None) -> Self:
        """Connect, through a ``tunnel`` if there is one.

        Raises ``OSError``, ``ssl.SSLError`` if TLS failed, and :class:`ProxyError` if the tunnel failed.
        """
        connection = await (cls._connected(host, port) if tunnel is None else cls._tunnelled(tunnel))
        if tls is not None:
            await connection.start_tls(host, tls)
        return connection

    @classmethod
    async def _connected(cls, host: str, port: int) -> Self:
        try:
            _, connection = await asyncio.get_running_loop().create_connection(cls, host, port)
        except UnicodeError as error:  # raised for a name with an empty or too long part
            raise OSError(f"{host!r} is not a valid host name") from error
        return connection

    @classmethod
    async def _tunnelled(cls, tunnel: Tunnel) -> Self:
        try:
            connection = await cls._connected(tunnel.host, tunnel.port)
            status = await connection.request_tunnel(tunnel.request)
        except (OSError, InvalidResponseError) as error:
            raise ProxyError(f"the proxy failed: {str(error) or type(error).__name__}") from error
        if not _FIRST_FINAL_STATUS <= status < _FIRST_REDIRECT:
            connection.abort()
            raise ProxyError(f"the proxy answered {status}{_PROXY_ADVICE.get(status, '')}")
        return connection

    async def request_tunnel(self, request: bytes) -> int:
        """Ask a proxy to forward all that follows; returns the status of its response, which has no body if it agrees."""
        self._requests_tunnel = True
        response = await self.post(request, b"")
        self._requests_tunnel = False
        return response.status

    async def post(self, head: bytes, body: bytes) -> HttpResponse:
        """Send a request and wait for its response. Only one request may be in progress.

        Raises ``OSError`` if the connection ends first, and :class:`InvalidResponseError`. A request that is cancelled closes the
        connection.
        """
        if self.closed or self._transport is None:
            raise ConnectionResetError("the connection was closed")
        self._reset()
        self._pending = asyncio.get_running_loop().create_future()
        self._transport.writelines([head, body])
        try:
            return await self._pending
        finally:
            self._pending = None
            if self._is_spent(self._transport):
                self.abort()

    def _is_spent(self, transport: asyncio.Transport) -> bool:
        """Whether no other request may follow, because a part of this request or of its response is still to come."""
        return self.closed or not self._complete or transport.get_write_buffer_size() > 0

    def abort(self) -> None:
        """Close the connection at once, with any request in progress."""
        self.closed = True
        if self._transport is not None:
            self._transport.abort()

    async def close(self) -> None:
        """Close the connection and wait until it is gone, for a second at most."""
        self.abort()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_CLOSE_TIMEOUT):
                await self._lost.wait()

    async def start_tls(self, host: str, tls: ssl.SSLContext) -> None:
        """Switch to TLS. ``create_connection`` does not do it, because asyncio may leave the socket open when that is cancelled."""
        plain = cast(asyncio.Transport, self._transport)
        try:
            self._transport = await asyncio.get_running_loop().start_tls(plain, self, tls, server_hostname=host)
        except ConnectionResetError as error:
            raise ssl.SSLEOFError(ssl.SSL_ERROR_EOF, "the receiver closed the connection during the handshake") from error
        finally:
            if self._transport is plain:
                plain.abort()

    def _reset(self) -> None:
        self._response = HttpResponse()
        self._parser = httptools.HttpResponseParser(self)
        self._received = 0
        self._head_complete = self._complete = False

    # Called by asyncio.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The connection is open."""
        self._transport = cast(asyncio.Transport, transport)  # uvloop's transport does not declare that it is one

    def data_received(self, data: bytes) -> None:
        """Parse received bytes. Bytes that no request waits for close the connection."""
        if self._pending is None or self._complete:
            self.abort()
            return
        self._received += len(data)
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            is_grpc = self._received == len(data) and data[3:4] == _SETTINGS
            self._fail(InvalidResponseError(_SPEAKS_GRPC if is_grpc else f"the receiver does not speak HTTP/1.1: {error}"))
            return
        if self._received > MAX_HEAD + MAX_BODY and not self._complete:
            if self._head_complete:
                self._finish()
            else:
                self._fail(InvalidResponseError(f"the response's head is longer than {MAX_HEAD} bytes"))
            self.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is closed. That completes a response of undeclared length; any other response was cut off."""
        self.closed = True
        self._lost.set()
        if self._pending is not None and not self._complete:
            declared = {"content-length", "transfer-encoding"} & self._response.headers.keys()
            if exc is None and self._head_complete and not declared:
                self._finish()
            else:
                self._fail(exc or ConnectionResetError("the receiver closed the connection without a response"))

    # Called by httptools.

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep a header, the last one of each name. A second response, which no request asked for, closes the connection."""
        if self._complete:
            self.closed = True
            return
        self._response.headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_headers_complete(self) -> None:
        """The head is complete, unless it is that of an informational response."""
        if self._complete:
            return
        self._response.status = self._parser.get_status_code()
        self._head_complete = self._response.status >= _FIRST_FINAL_STATUS
        if self._requests_tunnel and self._head_complete:
            self._finish()

    def on_body(self, body: bytes) -> None:
        """Keep the first :data:`MAX_BODY` bytes."""
        if not self._complete:
            self._response.body += body[: MAX_BODY - len(self._response.body)]

    def on_message_complete(self) -> None:
        """The response is complete. An informational response is discarded; the final one follows."""
        if self._complete:
            return
        if self._head_complete:
            if not self._parser.should_keep_alive():
                self.closed = True
            self._finish()
        else:
            self._response = HttpResponse()

    def _finish(self) -> None:
        self._complete = True
        if self._pending is not None and not self._pending.done():
            self._pending.set_result(self._response)

    def _fail(self, error: Exception) -> None:
        self._complete = True
        if self._pending is not None and not self._pending.done():
            self._pending.set_exception(error)
        self.abort()
