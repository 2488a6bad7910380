"""The exporter as a process: its log, its signals and its exit codes."""

import asyncio
import logging
import os
import signal
from typing import Final

import uvloop

from exporter.config import Settings
from exporter.config.otel import OtelSettings, read_otel
from exporter.daemon.app import Daemon
from exporter.logs import log_uncaught_errors, setup

FAILURE: Final = 1
MISCONFIGURED: Final = 2
"""Exit codes, besides 0 after a stop by signal."""

log = logging.getLogger(__name__)


async def serve(settings: Settings, otel: OtelSettings) -> int:
    """Run the daemon until SIGTERM or SIGINT. Returns the exit code."""
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
    loop.add_signal_handler(signal.SIGINT, daemon.skip_linger)
    await daemon.stop()
    log.info("stopped")
    return 0


def otel_from_environment(settings: Settings | None = None) -> OtelSettings:
    """The ``OTEL_*`` settings. Their problems are logged.

    With ``settings``, this first sets up logging, at the level of ``OTEL_LOG_LEVEL`` or else of the settings.
    """
    otel, warnings = read_otel(os.environ)
    if settings is not None:
        setup(otel.log_level or settings.log_level, settings.log_format)
    for warning in warnings:
        log.warning(warning)  # each is a template of its own, so that none is suppressed as a repetition
    return otel


def run_serve(settings: Settings, *, level_given: bool = True) -> int:
    """The ``serve`` command. ``level_given`` says that the user chose the log level; otherwise ``OTEL_LOG_LEVEL`` decides."""
    log_uncaught_errors()
    if level_given:
        setup(settings.log_level, settings.log_format)
    return uvloop.run(serve(settings, otel_from_environment(None if level_given else settings)))
