"""The exporter as a process: its log, its signals and its exit codes."""

import asyncio
import logging
import os
import signal
import threading
from collections.abc import Callable
from typing import Final, get_args

import uvloop

from exporter import __version__
from exporter.compiled import BUILD
from exporter.config import Loaded, Settings
from exporter.config.otel import OtelSettings, read_otel
from exporter.daemon.app import Daemon
from exporter.daemon.descriptors import raise_limit, shortage
from exporter.daemon.otlp import FLUSH_TIMEOUT, described_target
from exporter.daemon.receiver import drain_timeout
from exporter.daemon.reload import Reloader
from exporter.daemon.sdk_parts import exporter_names, problems
from exporter.exporters.otlp.target import Signal
from exporter.logs import log_uncaught_errors, setup
from exporter.server.listeners import ListenError

FAILURE: Final = 1
MISCONFIGURED: Final = 2
"""Exit codes, besides 0 after a stop by signal."""
STOP_MARGIN: Final = 3.0
"""Seconds that a stop may take beyond its timeouts, and that the exit may take after the stop."""
_IGNORED: Final = (
    *(signal.SIGUSR1, signal.SIGUSR2, signal.SIGALRM, signal.SIGVTALRM, signal.SIGPROF, signal.SIGIO, signal.SIGPWR, signal.SIGXFSZ),
    *range(signal.SIGRTMIN, signal.SIGRTMAX + 1),
)
"""Signals that would end the process without a drain. SIGQUIT stays as it is: it ends a process that hangs."""

log = logging.getLogger(__name__)


async def serve(settings: Settings, otel: OtelSettings, read_settings: Callable[[], Loaded] | None = None) -> int:
    """Run the daemon until SIGTERM or SIGINT. Returns the exit code. SIGHUP reloads, with the settings that ``read_settings`` reads."""
    try:
        daemon = Daemon(settings, otel)
    except ValueError as error:
        log.error("cannot start: %s", error)  # noqa: TRY400 - as below
        return MISCONFIGURED
    log.info("starting", extra=described(settings, otel))
    stopping = asyncio.Event()

    def stop() -> None:
        if not stopping.is_set():
            exit_within(longest_stop(settings), "stop timeout: something hangs; the process ends without waiting for it")
        stopping.set()

    loop = asyncio.get_running_loop()
    for signum in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(signum, stop)
    reloader = Reloader(daemon, read_settings, lambda loaded: setup_log(loaded, otel))
    loop.add_signal_handler(signal.SIGHUP, reloader.request)
    starting = asyncio.ensure_future(daemon.start())
    stopped = asyncio.ensure_future(stopping.wait())
    await asyncio.wait((starting, stopped), return_when=asyncio.FIRST_COMPLETED)
    try:
        if starting.done():
            starting.result()
    except ListenError as error:
        hint = "choose another address with --listen or --telemetry-listen"
        log.error("cannot start: %s; %s", error.strerror, hint)  # noqa: TRY400 - as below
        return FAILURE
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        log.error("cannot start: %s%s", where, error.strerror or error)  # noqa: TRY400 - the reason says all, a traceback would bury it
        return FAILURE
    await stopped
    log.info("stopping")
    starting.cancel()
    loop.add_signal_handler(signal.SIGINT, daemon.skip_linger)
    await daemon.stop()
    log.info("stopped")
    exit_within(STOP_MARGIN)
    return 0


def described(settings: Settings, otel: OtelSettings) -> dict[str, str]:
    """What a start says of the process, so that a log alone tells how it was run."""
    kinds = {
        "token": bool(settings.auth_tokens),
        "token file": settings.auth_token_file is not None,
        "path secret": bool(settings.path_secrets),
        "Plivo signature": bool(settings.plivo_auth_tokens),
        "client certificate": settings.tls_client_ca is not None,
    }
    return {
        "version": __version__,
        "build": BUILD,
        "receivers": "websocket, tap" if settings.upstream is None else "relay",
        "authentication": ", ".join(kind for kind, given in kinds.items() if given) or "none",
        "otlp_traces": described_target(otel, "traces"),
        "otlp_metrics": described_target(otel, "metrics"),
        **{f"{signal}_exporters": ", ".join(names) for signal in get_args(Signal) if (names := exporter_names(otel, signal))},
    }


def longest_stop(settings: Settings) -> float:
    """Seconds from a signal to the end of the process at most."""
    linger = settings.linger_timeout if settings.linger else 0.0
    return drain_timeout(settings) + max(linger, FLUSH_TIMEOUT) + STOP_MARGIN


def exit_within(seconds: float, message: str | None = None) -> None:
    """End the process after ``seconds``, whatever hangs: the interpreter would wait for every thread."""

    def end() -> None:
        if message is not None:
            log.error(message)
        for handler in logging.getLogger().handlers:
            handler.flush()
        os._exit(0)

    timer = threading.Timer(seconds, end)
    timer.daemon = True
    timer.start()


def ignore_other_signals() -> None:
    """Ignore the signals that would end the process without a drain, and SIGHUP until a reload is possible."""
    for signum in (*_IGNORED, signal.SIGHUP):
        signal.signal(signum, signal.SIG_IGN)


def setup_log(loaded: Loaded, otel: OtelSettings) -> None:
    """Set up logging, at the level of the settings, or if it is a default, of ``OTEL_LOG_LEVEL``."""
    level = loaded.settings.log_level
    if loaded.origins["log_level"] == "default":
        level = otel.log_level or level
    setup(level, loaded.settings.log_format, show_peers=loaded.settings.log_peers)


def otel_from_environment(settings: Settings) -> tuple[OtelSettings, tuple[str, ...]]:
    """The ``OTEL_*`` settings, and their problems. Raises ``ValueError`` for those that cannot be used."""
    otel, warnings = read_otel(os.environ, use_proxies=settings.otlp_proxy)
    return otel, (*warnings, *problems(otel))


def log_warnings(warnings: tuple[str, ...]) -> None:
    """Log the problems of settings."""
    for warning in dict.fromkeys(warnings):
        log.warning(warning)  # each is a template of its own, so that none is suppressed as a repetition


def run_serve(loaded: Loaded, read_settings: Callable[[], Loaded] | None = None) -> int:
    """The ``serve`` command. ``read_settings`` reads the settings again, for a reload."""
    ignore_other_signals()
    log_uncaught_errors()
    try:
        otel, warnings = otel_from_environment(loaded.settings)
    except ValueError as error:
        setup_log(loaded, OtelSettings())
        log.error("cannot start: %s", error)  # noqa: TRY400 - the reason says all
        return MISCONFIGURED
    setup_log(loaded, otel)
    raise_limit(loaded.settings)
    log_warnings((*loaded.warnings, *warnings, *shortage(loaded.settings)))
    return uvloop.run(serve(loaded.settings, otel, read_settings))
