"""The exporter without listeners of its own: its receiver and its telemetry pages, as ASGI applications for somebody's server."""

import asyncio
import logging
import platform
from collections.abc import Sequence
from typing import Final

from starlette.types import ASGIApp

from exporter import __version__
from exporter.compiled import BUILD
from exporter.config import Settings
from exporter.config.otel import OtelSettings
from exporter.daemon.auth import IngestTokens, TelemetryGuard
from exporter.daemon.core import PRODUCT, create_pipeline, note_scrape, protobuf_renderer, status_lines, take_snapshot
from exporter.daemon.exporters import create_exporters, exports_spans
from exporter.daemon.live import Live, create_journals
from exporter.daemon.receiver import create_endpoint, drain_timeout
from exporter.daemon.receiver_metrics import ReceiverMetrics
from exporter.daemon.span_batcher import SpanBatcher
from exporter.daemon.ticker import Ticker
from exporter.exporters.prometheus.endpoint import Scrape
from exporter.exporters.telemetry_app import Readiness, telemetry_app
from exporter.metrics.snapshot import Snapshot
from exporter.receivers.read_budget import ReadBudget
from exporter.receivers.steady_clock import CLOCK
from exporter.server.reloading_file import FileWatcher

NOT_OURS: Final = (
    *("listen", "telemetry_listen", "tls_cert", "tls_key", "tls_client_ca", "handshake_timeout", "ready_file", "linger"),
    *("linger_timeout", "log_level", "log_format"),
)
"""Settings that are the server's business, or the program's."""

log = logging.getLogger(__name__)


class Embedded:
    """One exporter within somebody's server: ``start``, serve, ``stop``. Raises ``ValueError`` for settings that make no sense there.

    ``endpoint`` and ``pages`` are the applications. Who reaches their port is not known here, so /live is among the pages only if they
    require users, or if the settings allow pages that anyone can read.
    """

    def __init__(self, settings: Settings, otel: OtelSettings) -> None:
        if settings.upstream is not None:
            raise ValueError("--upstream: the relay needs a listener of its own; run agentstack-exporter serve")
        self._settings = settings
        self._watcher = FileWatcher()
        guard = TelemetryGuard(settings, self._watcher, own_tls=False)
        if settings.live_content and not guard.authenticates:
            raise ValueError("--live-content: requires users in --web-config; client certificates are the server's business")
        journals = create_journals(settings) if guard.authenticates or settings.insecure_telemetry else None
        self._spans = SpanBatcher(self._offer)
        emit = self._spans.emit if exports_spans(settings, otel) else None
        self.pipeline = create_pipeline(settings, otel, self._watcher, emit, journals)
        self._scraped_at: float | None = None
        self._live = None if journals is None else Live(settings, self.pipeline, journals, otel, lambda: self._scraped_at)
        self.pipeline.metrics.build_info(__version__, platform.python_version(), BUILD)
        self._exporters = create_exporters(settings, otel, self.pipeline.metrics, self.snapshot)
        metrics = ReceiverMetrics(self.pipeline.metrics, CLOCK.time())
        tokens = IngestTokens(settings, self._watcher)
        self.endpoint = create_endpoint(settings, self.pipeline, metrics, tokens, ReadBudget())
        self._ticker = Ticker(self.pipeline, self.endpoint.sweep)
        self._ready = False
        pages = telemetry_app(
            self.snapshot,
            self._readiness,
            PRODUCT,
            status=lambda: status_lines(self.pipeline),
            on_scrape=self._on_scrape,
            protobuf=protobuf_renderer(settings),
            live=() if self._live is None else self._live.routes(),
        )
        self.pages: ASGIApp = guard.protect(pages, metrics.refused)

    def snapshot(self) -> Snapshot:
        """All metrics as they are now. Each span that was emitted is queued, sent or dropped in them."""
        self._spans.flush()
        return take_snapshot(self.pipeline, self._ticker)

    async def start(self) -> None:
        """Start the timers and the exporters."""
        unused = [name for name in NOT_OURS if getattr(self._settings, name) != getattr(Settings(), name)]
        if unused:
            log.warning("settings ignored: they have no effect within another server", extra={"settings": ", ".join(unused)})
        if self._settings.live and self._live is None:
            log.info("/live is off: it requires users in --web-config, or --insecure-telemetry")
        self._ticker.start()
        if self._live is not None:
            self._live.start()
        self._watcher.start()
        for exporter in self._exporters:
            exporter.start()
        self._ready = True

    async def stop(self) -> None:
        """End all calls and deliver what is queued."""
        self._ready = False
        await self.endpoint.drain(drain_timeout(self._settings))
        self.pipeline.close(CLOCK.time())
        self._spans.flush()
        await asyncio.gather(*(exporter.stop() for exporter in self._exporters))
        self._watcher.stop()
        await self._ticker.stop()
        if self._live is not None:
            await self._live.stop()

    def _offer(self, spans: Sequence[bytes]) -> None:
        for exporter in self._exporters:
            exporter.offer(spans)

    def _on_scrape(self, scrape: Scrape) -> None:
        note_scrape(self.pipeline, scrape)
        self._scraped_at = CLOCK.time()

    def _readiness(self) -> Readiness:
        return Readiness(ready=self._ready, reasons=() if self._ready else ("stopping",))
