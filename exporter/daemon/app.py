"""The daemon: joins receivers, pipeline and exporters, and runs them from start to stop.

It starts from the exporters to the receivers and stops in the opposite order, so that nothing is received that cannot be exported.
"""

import asyncio
import logging
import platform
from collections.abc import Sequence
from functools import partial
from time import perf_counter
from typing import Final

import msgspec

from exporter import __version__
from exporter.compiled import BUILD
from exporter.config import Address, Settings
from exporter.config.otel import OtelSettings
from exporter.daemon.auth import TelemetryGuard
from exporter.daemon.core import PRODUCT, create_pipeline, note_scrape, protobuf_renderer, status_lines, take_snapshot
from exporter.daemon.descriptors import places
from exporter.daemon.exporters import create_exporters, exports_spans
from exporter.daemon.final_scrape import FinalScrape
from exporter.daemon.garbage_collection import make_collections_rare
from exporter.daemon.live import Live, create_journals, shown_to_anyone
from exporter.daemon.ready_file import ReadyFile
from exporter.daemon.receiver import Receiver
from exporter.daemon.receiver_metrics import ReceiverMetrics
from exporter.daemon.span_batcher import SpanBatcher
from exporter.daemon.ticker import Ticker
from exporter.exporters.otlp.sender import BackoffConfig
from exporter.exporters.prometheus.endpoint import Scrape
from exporter.exporters.telemetry_app import Readiness, telemetry_app
from exporter.metrics.snapshot import Snapshot
from exporter.receivers.steady_clock import CLOCK
from exporter.server.daemon_threads import run_in_thread
from exporter.server.listener_config import ListenerLimits
from exporter.server.listeners import Listener
from exporter.server.reloading_file import FileWatcher
from exporter.server.tested_versions import untested
from exporter.tracing.span_handlers import Emit

READY_FILE_TIMEOUT: Final = 2.0
"""Seconds that a start or a stop waits for the disk of the ready file."""

log = logging.getLogger(__name__)


class Daemon:
    """One exporter process: ``start``, serve, ``stop``.

    ``on_spans`` is called with all spans that are exported (or would be). ``backoff`` is that of the OTLP senders.
    """

    def __init__(
        self,
        settings: Settings,
        otel: OtelSettings | None = None,
        on_spans: Emit | None = None,
        backoff: BackoffConfig | None = None,
    ) -> None:
        otel = otel or OtelSettings()
        self._settings = settings
        self._on_spans = on_spans
        self.watcher = FileWatcher()
        self._scraped_at: float | None = None
        journals = create_journals(settings)
        self._spans = SpanBatcher(self._offer)
        emit = self._emit if on_spans else self._spans.emit if exports_spans(settings, otel) else None
        self.pipeline = create_pipeline(settings, otel, self.watcher, emit, journals)
        self._live = None if journals is None else Live(settings, self.pipeline, journals, otel, lambda: self._scraped_at)
        self._exporters = create_exporters(settings, otel, self.pipeline.metrics, self.snapshot, backoff)
        self.pipeline.metrics.build_info(__version__, platform.python_version(), BUILD)
        receiver_metrics = ReceiverMetrics(self.pipeline.metrics, CLOCK.time())
        self._places = places(settings)
        self._receiver = Receiver(settings, self._places, self.pipeline, receiver_metrics, self.watcher)
        self._ticker = Ticker(self.pipeline, self._receiver.sweep)
        self._telemetry, self._telemetry_scheme = self._new_telemetry_listener(receiver_metrics)
        self._ready_file = ReadyFile(settings.ready_file)
        self._ready = False
        self._final_scrape = FinalScrape()

    @property
    def listen(self) -> Address:
        """Where events are received, once started."""
        return self._receiver.listen

    @property
    def telemetry_listen(self) -> Address:
        """Where ``/metrics`` is served, once started."""
        return Address(*self._telemetry.bound)

    def page_url(self, path: str) -> str:
        """The URL of a page of the telemetry listener."""
        return f"{self._telemetry_scheme}://{self.telemetry_listen}{path}"

    def snapshot(self) -> Snapshot:
        """All metrics as they are now. Each span that was emitted is queued, sent or dropped in them."""
        self._spans.flush()
        return take_snapshot(self.pipeline, self._ticker)

    async def start(self) -> None:
        """Open both listeners. Raises ``OSError`` that names the address or file that cannot be used."""
        await self._set_ready(ready=False)
        if untested():
            log.warning("%s: listeners fall back to uvicorn's own protocols, which do not limit hostile peers", untested())
        try:
            await self._telemetry.start()
            await self._receiver.start()
            await self._set_ready(ready=True)
        except OSError:
            await self._receiver.stop()
            await self._telemetry.stop()
            raise
        self._ticker.start()
        if self._live is not None:
            self._live.start()
        self.watcher.start()
        for exporter in self._exporters:
            exporter.start()
        make_collections_rare()
        log.info("receiving events", extra={"url": self._receiver.url})
        log.info("serving metrics", extra={"url": self.page_url("/metrics")})
        if self._live is not None:
            log.info("showing calls", extra={"url": self.page_url("/live")})
        if self._shown_to_anyone:
            log.warning("anyone who reaches --telemetry-listen can read /live: set --no-live, or add users with --web-config")

    async def stop(self) -> None:
        """Stop in order: accept no calls, read what was sent, wait for a scrape with ``--linger``, flush, close."""
        self._ready = False
        removed = asyncio.ensure_future(self._set_ready(ready=False))
        await self._receiver.stop()
        self.pipeline.close(CLOCK.time())
        self._spans.flush()
        flush = asyncio.gather(*(exporter.stop() for exporter in self._exporters))
        if self._settings.linger:
            await self._final_scrape.wait(self._settings.linger_timeout)
        await flush
        self.watcher.stop()
        await self._ticker.stop()
        if self._live is not None:
            await self._live.stop()
        await self._telemetry.stop()
        try:
            await removed
        except OSError as error:
            log.error("cannot remove the ready file: %s", error)  # noqa: TRY400 - the reason says all

    def skip_linger(self) -> None:
        """Stop waiting for the last scrape, because a user at the keyboard has asked for the end."""
        self._final_scrape.skip()

    def configure(self, settings: Settings) -> tuple[str, ...]:
        """Use other settings as far as a running exporter can. Returns the names of those that need a restart."""
        changed = [name for name in Settings.__struct_fields__ if getattr(settings, name) != getattr(self._settings, name)]
        if "auth_tokens" in changed and settings.auth_tokens:
            self._receiver.tokens.configure(settings.auth_tokens)
            changed.remove("auth_tokens")
            self._settings = msgspec.structs.replace(self._settings, auth_tokens=settings.auth_tokens)
        return tuple(name for name in changed if name not in ("log_level", "log_format"))

    def _new_telemetry_listener(self, metrics: ReceiverMetrics) -> tuple[Listener, str]:
        """The listener of the telemetry pages, and its URL scheme."""
        guard, address = TelemetryGuard(self._settings, self.watcher), self._settings.telemetry_listen
        if self._settings.live_content and not guard.authenticates:
            raise ValueError(f"--live-content: {self._settings.web_config} requires neither users nor client certificates")
        self._shown_to_anyone = shown_to_anyone(self._settings, authenticates=guard.authenticates)
        live = () if self._live is None else self._live.routes()
        pages = telemetry_app(
            self.snapshot,
            self._readiness,
            PRODUCT,
            status=lambda: status_lines(self.pipeline),
            on_scrape=self._on_scrape,
            protobuf=protobuf_renderer(self._settings),
            live=live,
        )
        listener = Listener(
            guard.protect(pages, metrics.refused),
            address.host,
            address.port,
            tls=guard.tls,
            limits=ListenerLimits(handshake_timeout=self._settings.handshake_timeout, max_pending=self._places.telemetry),
            on_refused=metrics.refused,
        )
        return listener, "http" if guard.tls is None else "https"

    def _emit(self, spans: Sequence[bytes]) -> None:
        if self._on_spans is not None:
            self._on_spans(spans)
        self._spans.emit(spans)

    def _offer(self, spans: Sequence[bytes]) -> None:
        for exporter in self._exporters:
            exporter.offer(spans)

    async def _set_ready(self, *, ready: bool) -> None:
        """Change what ``/-/ready`` answers, and write or remove the ready file.

        A disk may hang. It does not keep the exporter from serving and from stopping.
        """
        if not ready:
            self._ready = False
        act = partial(self._ready_file.write, self.listen, self.telemetry_listen) if ready else self._ready_file.remove
        try:
            async with asyncio.timeout(READY_FILE_TIMEOUT):
                await run_in_thread(act, "ready-file")
        except TimeoutError:
            log.error("timeout: the ready file was not %s within %s s", "written" if ready else "removed", READY_FILE_TIMEOUT)  # noqa: TRY400 - the reason says all
        self._ready = ready

    def _readiness(self) -> Readiness:
        return Readiness(ready=self._ready, reasons=() if self._ready else ("stopping",))

    def _on_scrape(self, scrape: Scrape) -> None:
        note_scrape(self.pipeline, scrape)
        self._scraped_at = CLOCK.time()
        self._final_scrape.scraped(began_at=perf_counter() - scrape.duration)
