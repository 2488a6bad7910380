"""OTLP over HTTP with protobuf bodies."""

import asyncio
import base64
import gzip
import ssl
from dataclasses import dataclass
from typing import Final
from urllib.parse import SplitResult, quote, unquote, urlsplit

from exporter.exporters.otlp.sender.http_connection import HttpConnection, InvalidResponseError
from exporter.exporters.otlp.sender.response import ExportResult, RetryableFailure, from_http
from exporter.exporters.otlp.sender.transport import USER_AGENT, TlsFileError, ssl_context
from exporter.exporters.otlp.target import Target

GZIP_LEVEL: Final = 1
"""Spans are so repetitive that a higher level costs more than it saves."""
_UNQUOTED: Final = "/?:@!$&'()*+,;=~%"
"""What the path and query of a URL may contain besides letters and digits (RFC 3986, section 3.3)."""


@dataclass(frozen=True, slots=True)
class _RequestTemplate:
    """What all requests to a target have in common: ``head`` is the request up to its last fixed header."""

    host: str
    port: int
    head: bytes


class HttpTransport:
    """One connection that is kept open."""

    def __init__(self, target: Target) -> None:
        self.target = target
        self._connection: HttpConnection | None = None
        self._template = _request_template(target)

    async def send(self, body: bytes) -> ExportResult:
        """Post the request. The timeout covers the whole response, however slowly it arrives."""
        result = await self._attempt(body)
        if isinstance(result, RetryableFailure) and not result.reason.startswith("http_"):
            await self.close()
        return result

    async def close(self) -> None:
        """Close the connection."""
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.close()

    async def _attempt(self, body: bytes) -> ExportResult:
        try:
            async with asyncio.timeout(self.target.timeout):
                return await self._post(body)
        except TimeoutError:
            return RetryableFailure("timeout", f"timeout: no response within {self.target.timeout:g} s")
        except TlsFileError as error:
            return RetryableFailure("tls", str(error))
        except (InvalidResponseError, OSError) as error:
            return _connection_failure(error)

    async def _post(self, body: bytes) -> ExportResult:
        if self._connection is None or self._connection.closed:
            await self.close()
            self._connection = await self._connect()
        if self.target.compression == "gzip":
            body = await asyncio.to_thread(gzip.compress, body, GZIP_LEVEL, mtime=0)
        head = b"%bcontent-length: %d\r\n\r\n" % (self._template.head, len(body))
        response = await self._connection.post(head, body)
        return from_http(
            response.status,
            retry_after=response.headers.get("retry-after", ""),
            content_type=response.headers.get("content-type", ""),
            body=bytes(response.body),
        )

    async def _connect(self) -> HttpConnection:
        tls = await asyncio.to_thread(ssl_context, self.target.tls_files) if self.target.tls else None
        return await HttpConnection.open(self._template.host, self._template.port, tls)


def _request_template(target: Target) -> _RequestTemplate:
    url = urlsplit(target.endpoint)
    path = quote(url._replace(scheme="", netloc="", fragment="").geturl() or "/", safe=_UNQUOTED)
    lines = [f"POST {path} HTTP/1.1", *(f"{name}: {value}" for name, value in _headers(target, url).items()), ""]
    return _RequestTemplate(
        host=url.hostname or "", port=url.port or (443 if target.tls else 80), head="\r\n".join(lines).encode("latin-1")
    )


def _headers(target: Target, url: SplitResult) -> dict[str, str]:
    """The headers of the settings and those of OTLP, which win. A user and password in the URL become basic authentication."""
    user, _, host = url.netloc.rpartition("@")
    headers = dict(target.headers)
    if user:
        credentials = base64.b64encode(unquote(user).encode()).decode()
        headers.setdefault("authorization", f"Basic {credentials}")
    headers |= {"host": host, "content-type": "application/x-protobuf", "user-agent": USER_AGENT}
    if target.compression == "gzip":
        headers["content-encoding"] = "gzip"
    return headers


def _connection_failure(error: Exception) -> RetryableFailure:
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return RetryableFailure("tls", f"TLS: the receiver's certificate is not trusted: {cause.verify_message}")
        if isinstance(cause, ssl.SSLError):
            return RetryableFailure("tls", f"TLS failed: {getattr(cause, 'reason', None) or cause}")
        cause = cause.__cause__ or cause.__context__
    return RetryableFailure("connection", f"connection failed: {str(error) or type(error).__name__}")
