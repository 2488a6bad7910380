"""Periodic work: the timers of the pipeline, the lag of the event loop, and the metrics of the process."""

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable
from typing import Final

from prometheus_client import CollectorRegistry, ProcessCollector

from exporter.metrics import self_metrics
from exporter.pipeline.pipeline import Pipeline
from exporter.receivers.steady_clock import CLOCK, LARGEST_CORRECTION

TICK: Final = 0.1
"""Seconds between two samples of the event loop's lag."""
_TICKS_A_SECOND: Final = 10
_PROCESS: Final = {spec.name: spec for spec in self_metrics.SELF_METRICS if spec.name.startswith("process_")}


log = logging.getLogger(__name__)


class Ticker:
    """Calls the pipeline and ``sweep`` of the receiver once a second, and measures the process."""

    def __init__(self, pipeline: Pipeline, sweep: Callable[[], Awaitable[None]] | None = None) -> None:
        self._pipeline = pipeline
        self._sweep = sweep
        self._process = ProcessCollector(registry=CollectorRegistry())
        self._task: asyncio.Task[None] | None = None
        self._ahead = 0.0

    def start(self) -> None:
        """Start the timers."""
        self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        """Stop the timers."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    def measure_process(self) -> None:
        """Record processor time, memory and file descriptors of the process."""
        for family in self._process.collect():
            for sample in family.samples:
                if sample.name in _PROCESS:
                    self._pipeline.metrics.process(_PROCESS[sample.name], sample.value)

    async def _run(self) -> None:
        ticks = 0
        while True:
            due = time.monotonic() + TICK
            await asyncio.sleep(TICK)
            self._pipeline.metrics.loop_lag.observe(max(0.0, time.monotonic() - due))
            ticks += 1
            if ticks % _TICKS_A_SECOND == 0:
                self._tick()
                if self._sweep is not None:
                    await self._sweep()

    def _follow_clock(self) -> None:
        """Say that the system's clock has jumped, once each time, and follow it slowly, or at once when no call goes on."""
        ahead = CLOCK.follow(jump=self._pipeline.idle)
        if ahead and abs(ahead - self._ahead) > LARGEST_CORRECTION:
            log.warning(
                "the system clock was set by %+.0f s; it is followed slowly, or at once when no call goes on",
                ahead,
            )
        elif self._ahead and not ahead:
            log.info("the system clock is used again")
        self._ahead = ahead

    def _tick(self) -> None:
        try:
            self._follow_clock()
            self._pipeline.tick(CLOCK.time())
        except Exception as error:  # noqa: BLE001 - an internal error must not end the timers of all calls; it is reported
            self._pipeline.diagnostics.internal_error(error)
