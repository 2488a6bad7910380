"""OTLP over HTTP with protobuf bodies."""

import asyncio
import base64
import gzip
import ssl
from typing import Final
from urllib.parse import quote, unquote, urlsplit

from exporter.exporters.otlp.sender.export_result import Answer, Failed, from_http
from exporter.exporters.otlp.sender.http_connection import BadAnswerError, HttpConnection
from exporter.exporters.otlp.sender.transport import USER_AGENT, TlsFileError, ssl_context
from exporter.exporters.otlp.target import Target

GZIP_LEVEL: Final = 1
"""Spans repeat themselves so much that higher levels cost more than they save."""
_AS_THEY_ARE: Final = "/?:@!$&'()*+,;=~%"
"""What may stand in the path and query of a URL beside letters and digits (RFC 3986, section 3.3)."""


class HttpTransport:
    """One connection that is kept open."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._connection: HttpConnection | None = None
        self._address, self._head = _request_head(target)

    async def send(self, body: bytes) -> Answer:
        """Post the request; the timeout is for all of it, however slowly the answer drips."""
        answer = await self._attempt(body)
        if isinstance(answer, Failed) and not answer.reason.startswith("http_"):
            await self.close()
        return answer

    async def close(self) -> None:
        """Close the connection."""
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.close()

    async def _attempt(self, body: bytes) -> Answer:
        try:
            async with asyncio.timeout(self._target.timeout):
                return await self._post(body)
        except TimeoutError:
            return Failed("timeout", f"no answer within {self._target.timeout:g} s")
        except TlsFileError as error:
            return Failed("tls", str(error))
        except (BadAnswerError, OSError) as error:
            return _failed_connection(error)

    async def _post(self, body: bytes) -> Answer:
        if self._connection is None or self._connection.closed:
            await self.close()
            self._connection = await self._connect()
        if self._target.compression == "gzip":
            body = await asyncio.to_thread(gzip.compress, body, GZIP_LEVEL, mtime=0)
        answer = await self._connection.post(b"%bcontent-length: %d\r\n\r\n" % (self._head, len(body)), body)
        headers = answer.headers
        return from_http(answer.status, headers.get("retry-after", ""), headers.get("content-type", ""), bytes(answer.body))

    async def _connect(self) -> HttpConnection:
        tls = await asyncio.to_thread(ssl_context, self._target.tls_files) if self._target.tls else None
        return await HttpConnection.open(*self._address, tls)


def _request_head(target: Target) -> tuple[tuple[str, int], bytes]:
    """Host and port, and the request up to its last header, without user and password in the path; ours stand before the settings'."""
    parts = urlsplit(target.endpoint)
    user, _, host = parts.netloc.rpartition("@")
    headers = dict(target.headers)
    if user:
        credentials = base64.b64encode(unquote(user).encode()).decode()
        headers.setdefault("authorization", f"Basic {credentials}")
    headers |= {"host": host, "content-type": "application/x-protobuf", "user-agent": USER_AGENT}
    if target.compression == "gzip":
        headers["content-encoding"] = "gzip"
    path = quote(parts._replace(scheme="", netloc="", fragment="").geturl() or "/", safe=_AS_THEY_ARE)
    lines = [f"POST {path} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items()), ""]
    return (parts.hostname or "", parts.port or (443 if target.tls else 80)), "\r\n".join(lines).encode("latin-1")


def _failed_connection(error: Exception) -> Failed:
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return Failed("tls", f"the receiver's certificate is not trusted: {cause.verify_message}")
        if isinstance(cause, ssl.SSLError):
            return Failed("tls", f"TLS failed: {getattr(cause, 'reason', None) or cause}")
        cause = cause.__cause__ or cause.__context__
    return Failed("connection", str(error) or type(error).__name__)
