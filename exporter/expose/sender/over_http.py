"""OTLP over HTTP with protobuf bodies."""

import asyncio
import gzip
import ssl
from typing import Final

import httpx

from exporter.expose.otlp_target import Target
from exporter.expose.sender.answers import Answer, Failed, from_http
from exporter.expose.sender.transport import USER_AGENT, TlsFileError, ssl_context

MAX_ANSWER: Final = 65_536
"""How much of an answer is read, in bytes; an export response is a few hundred."""
GZIP_LEVEL: Final = 1
"""Spans repeat themselves so much that higher levels cost more than they save."""


class HttpTransport:
    """One connection that is kept open. Proxy variables of the environment are not followed."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._client: httpx.AsyncClient | None = None
        headers = {**dict(target.headers), "content-type": "application/x-protobuf", "user-agent": USER_AGENT}
        if target.compression == "gzip":
            headers["content-encoding"] = "gzip"
        self._headers = headers

    async def send(self, body: bytes) -> Answer:
        """Post the request; the timeout is for all of it, however slowly the answer drips."""
        answer = await self._attempt(body)
        if isinstance(answer, Failed) and not answer.reason.startswith("http_"):
            await self.close()
        return answer

    async def close(self) -> None:
        """Close the connection."""
        client, self._client = self._client, None
        if client is not None:
            await client.aclose()

    async def _attempt(self, body: bytes) -> Answer:
        try:
            async with asyncio.timeout(self._target.timeout):
                return await self._post(body)
        except (TimeoutError, httpx.TimeoutException):
            return Failed("timeout", f"no answer within {self._target.timeout:g} s")
        except TlsFileError as error:
            return Failed("tls", str(error))
        except (httpx.TransportError, OSError) as error:
            return _failed_connection(error)

    async def _post(self, body: bytes) -> Answer:
        if self._client is None:
            self._client = await self._connect()
        if self._target.compression == "gzip":
            body = await asyncio.to_thread(gzip.compress, body, GZIP_LEVEL, mtime=0)
        async with self._client.stream("POST", self._target.endpoint, content=body, headers=self._headers) as response:
            content = await _beginning(response)
            head = response.headers
            return from_http(response.status_code, head.get("retry-after", ""), head.get("content-type", ""), content)

    async def _connect(self) -> httpx.AsyncClient:
        verify = await asyncio.to_thread(ssl_context, self._target.tls_files) if self._target.tls else False
        return httpx.AsyncClient(verify=verify, trust_env=False, timeout=self._target.timeout, limits=httpx.Limits(max_connections=1))


async def _beginning(response: httpx.Response) -> bytes:
    content = bytearray()
    async for piece in response.aiter_bytes():
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
