"""``/metrics`` as an ASGI application that never holds the event loop for long.

The snapshot is rendered, and compressed where the scraper takes gzip, piece by piece; between two pieces the loop serves the
calls. The body is complete before its first byte is sent, so that ``Content-Length`` lets the scraper notice a cut answer, and
is then written in the same pieces, so that a slow reader is waited for.
"""

import asyncio
import zlib
from collections.abc import Callable, Iterator
from time import perf_counter

from starlette.datastructures import Headers
from starlette.types import Receive, Scope, Send

from exporter.exporters.prometheus.exposition import Renderer, sample_count
from exporter.exporters.prometheus.negotiation import Format, accepts_gzip, negotiate
from exporter.metrics.snapshot import Snapshot

GZIP_LEVEL = 1
"""The text is so repetitive that level 1 leaves less than a tenth of it; higher levels cost much and save little."""

_GZIP_CONTAINER = 16 + zlib.MAX_WBITS

OnScrape = Callable[[float, int, int], None]
"""Told of each scrape: seconds from request to complete body (other work of the loop included), samples, bytes of the body."""


class MetricsEndpoint:
    """Answers ``GET`` and ``HEAD`` with a fresh snapshot in the negotiated format; the query string is of no meaning.

    An exception of ``snapshot`` is passed on to the server, which answers 500. ``on_scrape`` is not called for ``HEAD``, nor
    when the scrape failed.
    """

    def __init__(
        self, snapshot: Callable[[], Snapshot], *, renderer: Renderer | None = None, on_scrape: OnScrape | None = None
    ) -> None:
        self._snapshot = snapshot
        self._renderer = renderer or Renderer()
        self._on_scrape = on_scrape

    async def __call__(self, scope: Scope, _receive: Receive, send: Send) -> None:
        """Serve one request; the router has made sure of the method."""
        request = Headers(scope=scope)
        answer = negotiate(",".join(request.getlist("accept")))
        gzip = accepts_gzip(",".join(request.getlist("accept-encoding")))
        headers = _headers(answer.content_type, gzip)
        if scope["method"] == "HEAD":
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            await send({"type": "http.response.body"})
            return
        body = await self._body(answer.format, gzip)
        headers.append((b"content-length", b"%d" % sum(map(len, body))))
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        for piece in filter(None, body):
            await send({"type": "http.response.body", "body": piece, "more_body": True})
            await asyncio.sleep(0)
        await send({"type": "http.response.body"})

    async def _body(self, into: Format, gzip: bool) -> list[bytes]:
        started = perf_counter()
        snapshot = self._snapshot()
        text = self._renderer.chunks(snapshot, into)
        body = []
        for piece in _compressed(text) if gzip else text:
            body.append(piece)
            await asyncio.sleep(0)
        if self._on_scrape:
            self._on_scrape(perf_counter() - started, sample_count(snapshot), sum(map(len, body)))
        return body


def _compressed(pieces: Iterator[bytes]) -> Iterator[bytes]:
    compressor = zlib.compressobj(GZIP_LEVEL, zlib.DEFLATED, _GZIP_CONTAINER)
    for piece in pieces:
        yield compressor.compress(piece)
    yield compressor.flush()


def _headers(content_type: str, gzip: bool) -> list[tuple[bytes, bytes]]:
    headers = [
        (b"content-type", content_type.encode("ascii")),
        (b"vary", b"Accept, Accept-Encoding"),
        (b"cache-control", b"no-store"),
        (b"x-content-type-options", b"nosniff"),
    ]
    return [*headers, (b"content-encoding", b"gzip")] if gzip else headers
