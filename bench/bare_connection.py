"""The least that a request over HTTP can cost: a connection that writes it and parses the response.

It is no transport to ship: it knows neither TLS nor proxies nor redirects, and whatever goes wrong is a failed connection.
"""

import asyncio
from typing import cast
from urllib.parse import urlsplit

import httptools

from exporter.exporters.otlp.sender.export_result import ExportResult, RetryableFailure
from exporter.exporters.otlp.sender.http_client import request_headers
from exporter.exporters.otlp.sender.response import from_http
from exporter.exporters.otlp.target import Target


class BareTransport:
    """A :class:`exporter.exporters.otlp.sender.Transport` over one connection of httptools."""

    def __init__(self, target: Target) -> None:
        self.target = target
        url = urlsplit(target.endpoint)
        headers = {"host": url.netloc, **request_headers(target)}
        fields = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        self._head = f"POST {url.path or '/'} HTTP/1.1\r\n{fields}content-length: ".encode()
        self._address = url.hostname or "", url.port or 80
        self._connection: _Connection | None = None

    async def send(self, body: bytes) -> ExportResult:
        """Post the request."""
        try:
            async with asyncio.timeout(self.target.timeout):
                if self._connection is None:
                    _, self._connection = await asyncio.get_running_loop().create_connection(_Connection, *self._address)
                return await self._connection.post(b"%b%d\r\n\r\n" % (self._head, len(body)), body)
        except (OSError, httptools.HttpParserError) as error:
            await self.close()
            return RetryableFailure("connection", str(error))

    async def close(self) -> None:
        """Close the connection."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.transport.abort()


class _Connection(asyncio.Protocol):
    """Posts one request after the other."""

    transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    async def post(self, head: bytes, body: bytes) -> ExportResult:
        """Send a request and wait for its response."""
        self._parser = httptools.HttpResponseParser(self)
        self._headers: dict[str, str] = {}
        self._body = b""
        self._answered = asyncio.get_running_loop().create_future()
        self.transport.writelines([head, body])
        await self._answered
        return from_http(
            self._parser.get_status_code(),
            retry_after=self._headers.get("retry-after", ""),
            content_type=self._headers.get("content-type", ""),
            body=self._body,
        )

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def connection_lost(self, exc: Exception | None) -> None:
        if not self._answered.done():
            self._answered.set_exception(exc or ConnectionResetError("the receiver closed the connection"))

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_body(self, body: bytes) -> None:
        self._body += body

    def on_message_complete(self) -> None:
        if not self._answered.done():
            self._answered.set_result(None)
