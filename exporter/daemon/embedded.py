"""The exporter without listeners of its own: its receiver and its telemetry pages, as ASGI applications for somebody's server."""

import asyncio
import logging
import platform
import time
from collections.abc import Sequence
from functools import partial
from typing import Final

from starlette.types import ASGIApp

from exporter import __version__
from exporter.compiled import BUILD
from exporter.config import Settings
from exporter.config.otel import OtelSettings
from exporter.daemon.auth import IngestTokens, TelemetryGuard
from exporter.daemon.core import PRODUCT, create_pipeline, note_scrape, protobuf_renderer, status_lines, take_snapshot
from exporter.daemon.exporters import create_exporters, exports_spans
from exporter.daemon.receiver import create_endpoint, drain_timeout
from exporter.daemon.receiver_metrics import ReceiverMetrics
from exporter.daemon.ticker import Ticker
from exporter.exporters.telemetry_app import Readiness, telemetry_app
from exporter.metrics.snapshot import Snapshot
from exporter.receivers.read_budget import ReadBudget
from exporter.server.reloading_file import FileWatcher

NOT_OURS: Final = (
    *("listen", "telemetry_listen", "tls_cert", "tls_key", "tls_client_ca", "handshake_timeout", "ready_file", "linger"),
    *("linger_timeout", "log_level", "log_format", "live_memory", "live_content", "trace_url"),
)
"""Settings that are the server's business, or the program's, and those of /live, which the application does not have."""

log = logging.getLogger(__name__)


class Embedded:
    """One exporter within somebody's server: ``start``, serve, ``stop``. Raises ``ValueError`` for settings that make no sense there.

    ``endpoint`` and ``pages`` are the applications.
    """

    def __init__(self, settings: Settings, otel: OtelSettings) -> None:
        if settings.upstream is not None:
            raise ValueError("--upstream: the relay needs a listener of its own; run agentstack-exporter serve")
        self._settings = settings
        self._watcher = FileWatcher()
        self.pipeline = create_pipeline(settings, otel, self._watcher, self._emit if exports_spans(settings, otel) else None)
        self.pipeline.metrics.build_info(__version__, platform.python_version(), BUILD)
        self._exporters = create_exporters(settings, otel, self.pipeline.metrics, self.snapshot)
        metrics = ReceiverMetrics(self.pipeline.metrics, time.time())
        tokens = IngestTokens(settings, self._watcher)
        self.endpoint = create_endpoint(settings, self.pipeline, metrics, tokens, ReadBudget())
        self._ticker = Ticker(self.pipeline, self.endpoint.sweep)
        self._ready = False
        pages = telemetry_app(
            self.snapshot,
            self._readiness,
            PRODUCT,
            status=lambda: status_lines(self.pipeline),
            on_scrape=partial(note_scrape, self.pipeline),
            protobuf=protobuf_renderer(settings),
        )
        self.pages: ASGIApp = TelemetryGuard(settings, self._watcher).protect(pages, metrics.refused)

    def snapshot(self) -> Snapshot:
        """All metrics as they are now."""
        return take_snapshot(self.pipeline, self._ticker)

    async def start(self) -> None:
        """Start the timers and the exporters."""
        unused = [name for name in NOT_OURS if getattr(self._settings, name) != getattr(Settings(), name)]
        if unused:
            log.warning("settings ignored: they have no effect within another server", extra={"settings": ", ".join(unused)})
        self._ticker.start()
        self._watcher.start()
        for exporter in self._exporters:
            exporter.start()
        self._ready = True

    async def stop(self) -> None:
        """End all calls and deliver what is queued."""
        self._ready = False
        await self.endpoint.drain(drain_timeout(self._settings))
        self.pipeline.close(time.time())
        await asyncio.gather(*(exporter.stop() for exporter in self._exporters))
        self._watcher.stop()
        await self._ticker.stop()

    def _emit(self, spans: Sequence[bytes]) -> None:
        for exporter in self._exporters:
            exporter.offer(spans)

    def _readiness(self) -> Readiness:
        return Readiness(ready=self._ready, reasons=() if self._ready else ("stopping",))
