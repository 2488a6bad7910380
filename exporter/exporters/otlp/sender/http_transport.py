"""OTLP over HTTP, with bodies in protobuf or JSON."""

import asyncio
import gzip
import ssl
from typing import Final

from exporter.exporters.otlp.sender.export_result import ExportResult, RetryableFailure
from exporter.exporters.otlp.sender.file_thread import FileThread
from exporter.exporters.otlp.sender.http_client import (
    HttpClient,
    HttpResponse,
    InvalidResponseError,
    ProxyError,
    redirected,
    request_headers,
    without_login,
)
from exporter.exporters.otlp.sender.json_body import json_body
from exporter.exporters.otlp.sender.response import from_http, from_proxy, redirect
from exporter.exporters.otlp.sender.transport import TlsFileError, ssl_context
from exporter.exporters.otlp.target import Target

GZIP_LEVEL: Final = 1
"""Spans are so repetitive that a higher level costs more than it saves."""
_FOLLOWED: Final = frozenset({307, 308})
"""Redirects that keep method and body. The others would turn the request into a GET without spans."""
_REDIRECTS: Final = frozenset({301, 302, 303, *_FOLLOWED})


class HttpTransport:
    """One connection that is kept open, until a failure."""

    def __init__(self, target: Target) -> None:
        self.target = target
        self._client: HttpClient | None = None
        self._url = without_login(target.endpoint)
        self._headers = request_headers(target)
        self._through = f" (through the proxy {target.proxy.address})" if target.proxy else ""
        self._files = FileThread("otlp-files")

    async def send(self, body: bytes) -> ExportResult:
        """Post the request. The timeout covers the whole response, however slowly it arrives."""
        result = await self._attempt(body)
        if isinstance(result, RetryableFailure) and not result.reason.startswith("http_"):
            await self.close()
        return result

    async def close(self) -> None:
        """Close the connection."""
        client, self._client = self._client, None
        if client is not None:
            await client.close()

    async def _attempt(self, body: bytes) -> ExportResult:
        try:
            async with asyncio.timeout(self.target.timeout):
                return await self._export(body)
        except TimeoutError:
            return RetryableFailure("timeout", f"timeout: no response within {self.target.timeout:g} s{self._through}")
        except TlsFileError as error:
            return RetryableFailure("tls", str(error))
        except ProxyError as error:
            return RetryableFailure("proxy", f"{error}{self._through}")
        except (InvalidResponseError, OSError) as error:
            return self._connection_failure(error)

    async def _export(self, body: bytes) -> ExportResult:
        if self.target.protocol == "http/json":
            body = await asyncio.to_thread(json_body, self.target.signal, body)
        if self.target.compression == "gzip":
            body = await asyncio.to_thread(gzip.compress, body, GZIP_LEVEL, mtime=0)
        if self._client is None:
            needs_tls = self.target.tls or (self.target.proxy is not None and self.target.proxy.tls)
            tls = await self._files.submit(lambda: ssl_context(self.target.tls_files)) if needs_tls else None
            self._client = HttpClient(self.target, tls)
        response = await self._client.post(self._url, self._headers, body)
        if response.status in _FOLLOWED and (url := redirected(self.target, response.headers.get("location", ""))):
            response = await self._client.post(url, self._headers, body)
        return self._result(response)

    def _result(self, response: HttpResponse) -> ExportResult:
        if self.target.proxy is not None and not self.target.tls and (failure := from_proxy(response.status, response.headers)):
            return failure
        if response.status in _REDIRECTS:
            return redirect(response.headers.get("location", ""))
        return from_http(
            response.status,
            retry_after=response.headers.get("retry-after", ""),
            content_type=response.headers.get("content-type", ""),
            body=response.body,
        )

    def _connection_failure(self, error: Exception) -> RetryableFailure:
        """Without TLS the connection is one to the proxy, if there is one."""
        cause: BaseException | None = error
        while cause is not None:
            if isinstance(cause, ssl.SSLCertVerificationError):
                return RetryableFailure("tls", f"TLS: the receiver's certificate is not trusted: {cause.verify_message}{self._through}")
            if isinstance(cause, ssl.SSLError):
                return RetryableFailure("tls", f"TLS failed: {getattr(cause, 'reason', None) or cause}{self._through}")
            cause = cause.__cause__ or cause.__context__
        reason = "proxy" if self._through and not self.target.tls else "connection"
        return RetryableFailure(reason, f"connection failed: {str(error) or type(error).__name__}{self._through}")
