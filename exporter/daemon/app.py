"""The composition root: joins ways in, core and views, and runs them from start to stop.

Starting goes from the views to the ways in, stopping the other way round, so that nothing is received that cannot be shown.
"""

import asyncio
import gc
import logging
import os
import platform
import signal
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from time import perf_counter
from typing import Final

import msgspec
import uvloop

from exporter import __version__
from exporter.config import Address, Settings
from exporter.config.otel import OtelSettings, read_otel
from exporter.config.prices import read_prices
from exporter.daemon.auth import TelemetryGuard
from exporter.daemon.otlp import Otlp, span_options
from exporter.daemon.receiver import Counts, Receiver
from exporter.daemon.ticker import Housekeeping
from exporter.exporters.landing import Product, StatusLine
from exporter.exporters.otlp.sender import BackoffConfig
from exporter.exporters.routes import Readiness, telemetry_app
from exporter.logs import setup
from exporter.metrics.label_limits import LabelLimits
from exporter.metrics.snapshot import Snapshot
from exporter.pipeline.diagnostics import Diagnostics
from exporter.pipeline.pipeline import Pipeline, Tracing
from exporter.server.listeners import Listener
from exporter.sessions.registry import SessionTimeouts
from exporter.tracing.turn_spans import Emit

PRODUCT: Final = Product(
    name="agentstack-exporter",
    version=__version__,
    description="Prometheus and OpenTelemetry metrics of Plivo AgentStack voice agents, while the calls are going on.",
)
FAILURE: Final = 1
MISCONFIGURED: Final = 2

log = logging.getLogger(__name__)


class LoggingDiagnostics(Diagnostics):
    """Diagnostics that go to the log."""

    def metrics_missing(self, agent: str) -> None:
        """Log that no turn.metrics arrive for ``agent``."""
        log.warning(
            "turns of agent %s complete but no turn.metrics comes: enable metrics_events for it, or do not run with --no-subscribe",
            agent,
        )

    def internal_error(self, error: Exception) -> None:
        """Log an error of the exporter itself, with its traceback."""
        log.error("internal error; event not recorded", exc_info=error)


class Daemon:
    """One exporter process: ``start``, serve, ``stop``.

    ``watch`` sees all spans that are exported (or would be); ``backoff`` is that of the attempts to send.
    """

    def __init__(
        self,
        settings: Settings,
        otel: OtelSettings | None = None,
        watch: Emit | None = None,
        backoff: BackoffConfig | None = None,
    ) -> None:
        otel = otel or OtelSettings()
        self._settings = settings
        self._watch = watch
        timeouts = SessionTimeouts(resume=settings.session_resume, turn=settings.turn_wait, idle=settings.idle_timeout)
        self.pipeline = Pipeline(
            _limits(settings),
            timeouts,
            LoggingDiagnostics(),
            time.time(),
            settings.max_frame_bytes,
            exponential=otel.metrics is not None and otel.histogram_aggregation == "base2_exponential_bucket_histogram",
            slow_turn=settings.slow_turn,
            prices=None if settings.prices is None else read_prices(settings.prices),
            exemplars=otel.exemplar_filter != "always_off",
            tracing=Tracing(span_options(settings, otel), self._emit) if otel.traces or watch else None,
        )
        self._otlp = Otlp(settings, otel, self.pipeline.metrics, self.snapshot, backoff)
        self.pipeline.metrics.build_info(__version__, platform.python_version())
        counts = Counts(self.pipeline, time.time())
        self._receiver = Receiver(settings, self.pipeline, counts)
        self._housekeeping = Housekeeping(self.pipeline, self._receiver.sweep)
        self._telemetry, self._metrics_scheme = self._telemetry_listener(counts)
        self._ready = False
        self._scrapes = asyncio.Event()
        self._counted_at = 0.0

    @property
    def listen(self) -> Address:
        """Where events are received, once started."""
        return self._receiver.listen

    @property
    def telemetry_listen(self) -> Address:
        """Where ``/metrics`` is served, once started."""
        return Address(*self._telemetry.bound)

    def snapshot(self) -> Snapshot:
        """All metrics as they are now."""
        self._housekeeping.measure_process()
        return self.pipeline.snapshot(time.time())

    async def start(self) -> None:
        """Open both listeners; raises ``OSError`` naming the address that cannot be had, or the file that cannot be written."""
        self._set_ready(ready=False)
        try:
            await self._telemetry.start()
            await self._receiver.start()
            self._set_ready(ready=True)
        except OSError:
            await self._receiver.stop()
            await self._telemetry.stop()
            raise
        self._housekeeping.start()
        self._otlp.start()
        gc.collect()
        gc.freeze()
        log.info("receiving events", extra={"url": self._receiver.url})
        log.info("serving metrics", extra={"url": f"{self._metrics_scheme}://{self.telemetry_listen}/metrics"})

    async def stop(self) -> None:
        """Stop in order: no new calls, read what is on its way, let the metrics be scraped, close."""
        self._set_ready(ready=False)
        await self._receiver.stop()
        self.pipeline.close(time.time())
        flushed = asyncio.create_task(self._otlp.stop())
        if self._settings.linger:
            await self._linger()
        await flushed
        await self._housekeeping.stop()
        await self._telemetry.stop()

    def hurry(self) -> None:
        """If only a scrape is waited for, wait no longer: somebody sits at the keyboard and wants it to end."""
        self._scrapes.set()

    def _telemetry_listener(self, counts: Counts) -> tuple[Listener, str]:
        """The listener of the pages, and the scheme it speaks."""
        guard, address = TelemetryGuard(self._settings), self._settings.telemetry_listen
        pages = telemetry_app(self.snapshot, self._readiness, PRODUCT, status=self._status, on_scrape=self._scraped)
        listener = Listener(
            guard.before(pages, counts.refused),
            address.host,
            address.port,
            tls=guard.tls,
            handshake_timeout=self._settings.handshake_timeout,
            on_slow=counts.slow_handshake,
            on_no_tls=counts.failed_tls,
        )
        return listener, "http" if guard.tls is None else "https"

    def _emit(self, spans: Sequence[bytes]) -> None:
        if self._watch is not None:
            self._watch(spans)
        self._otlp.offer(spans)

    def _set_ready(self, *, ready: bool) -> None:
        """Say it to those who ask, and to those who look for the ready file; one that a crash left behind goes at the start."""
        if self._settings.ready_file is not None:
            if ready:
                _write_ready_file(self._settings.ready_file, self.listen, self.telemetry_listen)
            else:
                self._settings.ready_file.unlink(missing_ok=True)
        self._ready = ready

    async def _linger(self) -> None:
        """Wait for a scrape that began when everything was counted; one that was under way does not have the end of the calls."""
        self._counted_at = perf_counter()
        self._scrapes.clear()
        log.info("waiting for one more scrape", extra={"seconds": self._settings.linger_timeout})
        try:
            async with asyncio.timeout(self._settings.linger_timeout):
                await self._scrapes.wait()
        except TimeoutError:
            log.warning("nobody scraped within %s s; the last measurements are lost", self._settings.linger_timeout)

    def _readiness(self) -> Readiness:
        return Readiness(ready=self._ready, reasons=() if self._ready else ("stopping",))

    def _status(self) -> Iterable[StatusLine]:
        metrics = self.pipeline.metrics
        yield ("Active calls", str(self.pipeline.sessions.active))
        yield ("Events processed", f"{metrics.processed[0]:.0f}")
        yield ("Frames rejected", f"{metrics.rejected[0]:.0f}")

    def _scraped(self, seconds: float, _samples: int, size: int) -> None:
        self.pipeline.metrics.render_duration.set(seconds)
        self.pipeline.metrics.scrape_size.set(size)
        if perf_counter() - seconds >= self._counted_at:
            self._scrapes.set()


def _limits(settings: Settings) -> LabelLimits:
    allow: dict[str, set[str]] = {}
    for item in settings.label_allow:
        allow.setdefault(item.label, set()).add(item.value)
    return LabelLimits(
        agents=settings.max_agents,
        pairs=settings.max_pairs,
        values=settings.max_label_values,
        series=settings.max_series,
        allow={label: frozenset(values) for label, values in allow.items()},
    )


def _write_ready_file(path: Path, listen: Address, telemetry_listen: Address) -> None:
    """Write the bound addresses so that a reader sees all of them or no file."""
    content = msgspec.json.encode({"listen": str(listen), "telemetry_listen": str(telemetry_listen)})
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        unfinished.write_bytes(content + b"\n")
        unfinished.replace(path)
    except OSError as error:
        unfinished.unlink(missing_ok=True)
        raise OSError(error.errno, f"cannot write the ready file {path}: {error.strerror}") from error


async def serve(settings: Settings, otel: OtelSettings) -> int:
    """Run the daemon until SIGTERM or SIGINT; returns the exit code."""
    try:
        daemon = Daemon(settings, otel)
    except ValueError as error:
        log.error("cannot start: %s", error)  # noqa: TRY400 - as below
        return MISCONFIGURED
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for signum in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(signum, stopping.set)
    try:
        await daemon.start()
    except OSError as error:
        log.error("cannot start: %s", error.strerror or error)  # noqa: TRY400 - the reason says all, a traceback would bury it
        return FAILURE
    await stopping.wait()
    log.info("stopping")
    loop.add_signal_handler(signal.SIGINT, daemon.hurry)
    await daemon.stop()
    log.info("stopped")
    return 0


def otel_from_environment(settings: Settings | None = None) -> OtelSettings:
    """The ``OTEL_*`` settings; what was wrong with them is in the log.

    With ``settings`` logging is set up first, at the level that ``OTEL_LOG_LEVEL`` says, or else at that of the settings.
    """
    otel, warnings = read_otel(os.environ)
    if settings is not None:
        setup(otel.log_level or settings.log_level, settings.log_format)
    for warning in warnings:
        log.warning(warning)  # each a template of its own, so that none is taken for a repetition
    return otel


def run_serve(settings: Settings, *, level_given: bool = True) -> int:
    """The ``serve`` command. Unless the log level was given, ``OTEL_LOG_LEVEL`` says what it is."""
    if level_given:
        setup(settings.log_level, settings.log_format)
    return uvloop.run(serve(settings, otel_from_environment(None if level_given else settings)))
