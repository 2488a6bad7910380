"""``/metrics`` as an ASGI application that never blocks the event loop for long.

The snapshot is rendered as text or protobuf in chunks, and compressed if the scraper accepts gzip; between two chunks the event loop
serves the calls. One body is rendered at a time. Requests that wait for the same format share the next one, so none gets a body older
than itself. The body is complete before its first byte is sent, so that it has a ``Content-Length`` and a scraper notices a truncated
body. It is sent in the same chunks, with flow control for slow readers.
"""

import asyncio
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from time import perf_counter

from starlette.datastructures import Headers
from starlette.types import Receive, Scope, Send

from exporter.exporters.prometheus.exposition import Renderer, sample_count
from exporter.exporters.prometheus.negotiation import Format, accepts_gzip, negotiate
from exporter.exporters.prometheus.protobuf_exposition import ProtobufRenderer
from exporter.metrics.snapshot import Snapshot

GZIP_LEVEL = 1
"""The text is so repetitive that level 1 leaves less than a tenth of it. A higher level costs much and saves little."""

_GZIP_CONTAINER = 16 + zlib.MAX_WBITS


@dataclass(frozen=True, slots=True)
class Scrape:
    """A successful scrape.

    ``duration`` is the time from the request to the complete body in seconds, including other work of the event loop. ``size`` is
    the body's length as sent, in bytes.
    """

    duration: float
    samples: int
    size: int


OnScrape = Callable[[Scrape], None]


class MetricsEndpoint:
    """Answers ``GET`` and ``HEAD`` with a new snapshot in the negotiated format. The query string is ignored.

    An exception in ``snapshot`` is passed on to the server, which answers 500. ``on_scrape`` is called after each successful
    ``GET``.
    """

    def __init__(
        self, snapshot: Callable[[], Snapshot], *, protobuf: ProtobufRenderer | None = None, on_scrape: OnScrape | None = None
    ) -> None:
        self._snapshot = snapshot
        self._text = Renderer()
        self._protobuf = protobuf or ProtobufRenderer()
        self._on_scrape = on_scrape
        self._rendering = asyncio.Lock()
        self._next: dict[tuple[Format, bool], asyncio.Task[_Body]] = {}

    async def __call__(self, scope: Scope, _receive: Receive, send: Send) -> None:
        """Serve one request. The router has checked the method."""
        request = Headers(scope=scope)
        negotiated = negotiate(",".join(request.getlist("accept")))
        gzip = accepts_gzip(",".join(request.getlist("accept-encoding")))
        headers = _headers(negotiated.content_type, gzip)
        if scope["method"] == "HEAD":
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            await send({"type": "http.response.body"})
            return
        body = await self._body(negotiated.format, gzip)
        headers.append((b"content-length", b"%d" % body.size))
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        for chunk in filter(None, body.chunks):
            await send({"type": "http.response.body", "body": chunk, "more_body": True})
            await asyncio.sleep(0)
        await send({"type": "http.response.body"})

    async def _body(self, into: Format, gzip: bool) -> "_Body":
        """A body whose snapshot is newer than this call. It may be shared with other requests."""
        started, wanted = perf_counter(), (into, gzip)
        rendering = self._next.get(wanted)
        if rendering is None:
            rendering = self._next[wanted] = asyncio.create_task(self._render(into, gzip))
        body = await asyncio.shield(rendering)
        if self._on_scrape:
            self._on_scrape(Scrape(duration=perf_counter() - started, samples=body.samples, size=body.size))
        return body

    async def _render(self, into: Format, gzip: bool) -> "_Body":
        async with self._rendering:
            del self._next[into, gzip]
            snapshot = self._snapshot()
            chunks = self._protobuf.chunks(snapshot) if into is Format.PROTOBUF else self._text.chunks(snapshot, into)
            rendered = []
            for chunk in _compressed(chunks) if gzip else chunks:
                rendered.append(chunk)
                await asyncio.sleep(0)
        return _Body(rendered, sample_count(snapshot), sum(map(len, rendered)))


@dataclass(frozen=True, slots=True)
class _Body:
    chunks: list[bytes]
    samples: int
    size: int


def _compressed(chunks: Iterator[bytes]) -> Iterator[bytes]:
    compressor = zlib.compressobj(GZIP_LEVEL, zlib.DEFLATED, _GZIP_CONTAINER)
    for chunk in chunks:
        yield compressor.compress(chunk)
    yield compressor.flush()


def _headers(content_type: str, gzip: bool) -> list[tuple[bytes, bytes]]:
    headers = [
        (b"content-type", content_type.encode("ascii")),
        (b"vary", b"Accept, Accept-Encoding"),
        (b"cache-control", b"no-store"),
        (b"x-content-type-options", b"nosniff"),
    ]
    return [*headers, (b"content-encoding", b"gzip")] if gzip else headers
