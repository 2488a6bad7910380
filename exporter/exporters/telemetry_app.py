"""The telemetry listener's paths: ``/metrics``, ``/-/healthy``, ``/-/ready`` and the landing page.

All of them answer ``GET`` and ``HEAD``; another method is 405 with ``Allow``, another path 404, both in plain text.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from exporter.exporters.landing_page import SECURITY_HEADERS, Product, StatusLine, landing_page
from exporter.exporters.prometheus.endpoint import MetricsEndpoint, OnScrape
from exporter.metrics.snapshot import Snapshot

_PLAIN_HEADERS = {"X-Content-Type-Options": "nosniff", "Cache-Control": "no-store"}


@dataclass(frozen=True, slots=True)
class Readiness:
    """Whether new calls are welcome here, and if not, why; the reasons are shown to anyone who asks."""

    ready: bool
    reasons: tuple[str, ...] = ()


def telemetry_app(
    snapshot: Callable[[], Snapshot],
    readiness: Callable[[], Readiness],
    product: Product,
    *,
    status: Callable[[], Iterable[StatusLine]] = tuple,
    on_scrape: OnScrape | None = None,
) -> Starlette:
    """The telemetry listener's application.

    ``snapshot`` is called once a scrape, ``readiness`` once a probe, ``status`` once a view of the landing page, all on the
    event loop; ``on_scrape`` after each scrape, see :data:`exporter.exporters.prometheus.endpoint.OnScrape`.
    """

    async def healthy(_request: Request) -> Response:
        return PlainTextResponse("OK\n", headers=_PLAIN_HEADERS)

    async def ready(_request: Request) -> Response:
        state = readiness()
        content = {"ready": state.ready, "reasons": list(state.reasons)}
        return JSONResponse(content, status_code=200 if state.ready else 503, headers=_PLAIN_HEADERS)

    async def landing(_request: Request) -> Response:
        return HTMLResponse(landing_page(product, status()), headers=SECURITY_HEADERS)

    app = Starlette(
        routes=[
            Route("/", landing),
            Route("/metrics", MetricsEndpoint(snapshot, on_scrape=on_scrape), methods=["GET"]),
            Route("/-/healthy", healthy),
            Route("/-/ready", ready),
        ]
    )
    # A redirect to the path without its slash would be built from the Host header, which anyone can set.
    app.router.redirect_slashes = False
    return app
