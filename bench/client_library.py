"""The transport as it would be with a client library: aiohttp, as bare as it can be set up, with the exporter's reading of answers."""

import aiohttp

from exporter.exporters.otlp.sender.export_result import ExportResult, RetryableFailure
from exporter.exporters.otlp.sender.http_connection import MAX_BODY
from exporter.exporters.otlp.sender.response import from_http
from exporter.exporters.otlp.sender.transport import USER_AGENT
from exporter.exporters.otlp.target import Target


class LibraryTransport:
    """A :class:`exporter.exporters.otlp.sender.Transport` over one connection of aiohttp."""

    def __init__(self, target: Target) -> None:
        self.target = target
        self._session: aiohttp.ClientSession | None = None
        self._headers = dict(target.headers) | {"content-type": "application/x-protobuf", "user-agent": USER_AGENT}
        self._timeout = aiohttp.ClientTimeout(total=target.timeout)

    async def send(self, body: bytes) -> ExportResult:
        """Post the request."""
        session = self._session
        if session is None:
            connector = aiohttp.TCPConnector(limit=1)
            session = self._session = aiohttp.ClientSession(
                connector=connector,
                cookie_jar=aiohttp.DummyCookieJar(),
                skip_auto_headers=("accept", "accept-encoding"),
                timeout=self._timeout,
            )
        try:
            async with session.post(self.target.endpoint, data=body, headers=self._headers, allow_redirects=False) as response:
                return from_http(
                    response.status,
                    retry_after=response.headers.get("retry-after", ""),
                    content_type=response.headers.get("content-type", ""),
                    body=await response.content.read(MAX_BODY),
                )
        except (OSError, aiohttp.ClientError) as error:
            return RetryableFailure("connection", str(error))

    async def close(self) -> None:
        """Close the connection."""
        if self._session is not None:
            await self._session.close()
            self._session = None
