"""The telemetry listener's pages: ``/metrics``, the health pages ``/-/healthy`` and ``/-/ready``, the landing page, and those of /live.

All pages answer ``GET`` and ``HEAD``. Another method gets 405 with ``Allow``, another path 404 with the paths that there are, both in
plain text.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response
from starlette.routing import BaseRoute, Route

from exporter.exporters.landing_page import SECURITY_HEADERS, Product, StatusLine, landing_page
from exporter.exporters.prometheus.endpoint import MetricsEndpoint, OnScrape
from exporter.exporters.prometheus.protobuf_exposition import ProtobufRenderer
from exporter.metrics.snapshot import Snapshot

_PLAIN_HEADERS = {"X-Content-Type-Options": "nosniff", "Cache-Control": "no-store"}


@dataclass(frozen=True, slots=True)
class Readiness:
    """Whether new calls are accepted, and if not, why. The reasons are shown to anyone who asks."""

    ready: bool
    reasons: tuple[str, ...] = ()


def telemetry_app(
    snapshot: Callable[[], Snapshot],
    readiness: Callable[[], Readiness],
    product: Product,
    *,
    status: Callable[[], Iterable[StatusLine]] = tuple,
    on_scrape: OnScrape | None = None,
    protobuf: ProtobufRenderer | None = None,
    live: Sequence[BaseRoute] = (),
) -> Starlette:
    """The telemetry listener's application.

    All callables run on the event loop: ``snapshot`` once a scrape, ``readiness`` once a probe, ``status`` once a view of the
    landing page, and ``on_scrape`` after each scrape. ``protobuf`` renders for a Prometheus that asks for protobuf. ``live`` are the
    routes of /live, if it is served.
    """

    async def healthy(_request: Request) -> Response:
        return PlainTextResponse("OK\n", headers=_PLAIN_HEADERS)

    async def ready(_request: Request) -> Response:
        state = readiness()
        content = {"ready": state.ready, "reasons": list(state.reasons)}
        return JSONResponse(content, status_code=200 if state.ready else 503, headers=_PLAIN_HEADERS)

    async def landing(_request: Request) -> Response:
        return HTMLResponse(landing_page(product, status(), live=bool(live)), headers=SECURITY_HEADERS)

    pages = ["/", "/metrics", "/-/healthy", "/-/ready", *(["/live"] if live else [])]

    async def not_found(_request: Request, _error: Exception) -> Response:
        return PlainTextResponse(f"not found; there are {', '.join(pages)}\n", status_code=404, headers=_PLAIN_HEADERS)

    app = Starlette(
        exception_handlers={404: not_found},
        routes=[
            Route("/", landing),
            Route("/metrics", MetricsEndpoint(snapshot, protobuf=protobuf, on_scrape=on_scrape), methods=["GET"]),
            Route("/-/healthy", healthy),
            Route("/-/ready", ready),
            *live,
        ],
    )
    # A redirect to the path without the slash would use the Host header, which anyone can set.
    app.router.redirect_slashes = False
    return app
