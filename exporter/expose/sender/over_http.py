"""OTLP over HTTP with protobuf bodies.

httpcore is used as it is, without httpx on top: redirects, cookies and proxies of the environment are not wanted here.
"""

import asyncio
import base64
import gzip
import ssl
from collections.abc import Iterable
from typing import Any, Final
from urllib.parse import unquote, urlsplit

import httpcore

from exporter.expose.otlp_target import Target
from exporter.expose.sender.answers import Answer, Failed, from_http
from exporter.expose.sender.transport import USER_AGENT, TlsFileError, ssl_context

MAX_ANSWER: Final = 65_536
"""How much of an answer is read, in bytes; an export response is a few hundred."""
GZIP_LEVEL: Final = 1
"""Spans repeat themselves so much that higher levels cost more than they save."""


class HttpTransport:
    """One connection that is kept open."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._pool: httpcore.AsyncConnectionPool | None = None
        self._url, self._headers = _request_head(target)

    async def send(self, body: bytes) -> Answer:
        """Post the request; the timeout is for all of it, however slowly the answer drips."""
        answer = await self._attempt(body)
        if isinstance(answer, Failed) and not answer.reason.startswith("http_"):
            await self.close()
        return answer

    async def close(self) -> None:
        """Close the connection."""
        pool, self._pool = self._pool, None
        if pool is not None:
            await pool.aclose()

    async def _attempt(self, body: bytes) -> Answer:
        try:
            async with asyncio.timeout(self._target.timeout):
                return await self._post(body)
        except TimeoutError:
            return Failed("timeout", f"no answer within {self._target.timeout:g} s")
        except TlsFileError as error:
            return Failed("tls", str(error))
        except (httpcore.NetworkError, httpcore.ProtocolError, OSError) as error:
            return _failed_connection(error)

    async def _post(self, body: bytes) -> Answer:
        if self._pool is None:
            self._pool = await self._connect()
        if self._target.compression == "gzip":
            body = await asyncio.to_thread(gzip.compress, body, GZIP_LEVEL, mtime=0)
        headers = [*self._headers, ("content-length", str(len(body)))]
        async with self._pool.stream("POST", self._url, headers=headers, content=body) as response:
            head = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in response.headers}
            content = await _beginning(response)
            return from_http(response.status, head.get("retry-after", ""), head.get("content-type", ""), content)

    async def _connect(self) -> httpcore.AsyncConnectionPool:
        context = await asyncio.to_thread(ssl_context, self._target.tls_files) if self._target.tls else None
        return httpcore.AsyncConnectionPool(ssl_context=context, max_connections=1, network_backend=_Network())


def _request_head(target: Target) -> tuple[str, list[tuple[str, str]]]:
    """The URL without user and password, and the headers, of which ours come before the settings'."""
    parts = urlsplit(target.endpoint)
    user, _, host = parts.netloc.rpartition("@")
    headers = dict(target.headers)
    if user:
        credentials = base64.b64encode(unquote(user).encode()).decode()
        headers.setdefault("authorization", f"Basic {credentials}")
    headers |= {"host": host, "content-type": "application/x-protobuf", "user-agent": USER_AGENT}
    if target.compression == "gzip":
        headers["content-encoding"] = "gzip"
    return parts._replace(netloc=host).geturl(), list(headers.items())


async def _beginning(response: httpcore.Response) -> bytes:
    content = bytearray()
    async for piece in response.aiter_stream():
        content += piece
        if len(content) >= MAX_ANSWER:
            break
    return bytes(content)


def _failed_connection(error: Exception) -> Failed:
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return Failed("tls", f"the receiver's certificate is not trusted: {cause.verify_message}")
        if isinstance(cause, ssl.SSLError):
            return Failed("tls", f"TLS failed: {cause.reason or cause}")
        cause = cause.__cause__ or cause.__context__
    return Failed("connection", str(error) or type(error).__name__)


class _Network(httpcore.AnyIOBackend):
    """httpcore's own, but for its habit of leaving a socket open when a TLS handshake is given up."""

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 - httpcore's signature
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        return _Stream(await super().connect_tcp(host, port, timeout, local_address, socket_options))


class _Stream(httpcore.AsyncNetworkStream):
    def __init__(self, stream: httpcore.AsyncNetworkStream) -> None:
        self._stream = stream

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ASYNC109 - as above
        return await self._stream.read(max_bytes, timeout)

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ASYNC109 - as above
        await self._stream.write(buffer, timeout)

    async def aclose(self) -> None:
        await self._stream.aclose()

    def get_extra_info(self, info: str) -> Any:  # noqa: ANN401 - as above
        return self._stream.get_extra_info(info)

    async def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,  # noqa: ASYNC109 - as above
    ) -> httpcore.AsyncNetworkStream:
        try:
            return await self._stream.start_tls(ssl_context, server_hostname, timeout)
        except BaseException:
            await self._stream.aclose()
            raise
