"""What happens by the clock: timers of the core, the lag of the event loop, and what the system says of the process."""

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable
from typing import Final

from prometheus_client import CollectorRegistry, ProcessCollector

from exporter.metrics import self_metrics
from exporter.pipeline.pipeline import Pipeline

TICK: Final = 0.1
"""How often the event loop's lag is sampled, in seconds."""
_TICKS_A_SECOND: Final = 10
_PROCESS: Final = {spec.name: spec for spec in self_metrics.SELF_METRICS if spec.name.startswith("process_")}


class Housekeeping:
    """Calls the core, and ``sweep`` of the ways in, when something is due, and measures the process."""

    def __init__(self, pipeline: Pipeline, sweep: Callable[[], Awaitable[None]] | None = None) -> None:
        self._pipeline = pipeline
        self._sweep = sweep
        self._process = ProcessCollector(registry=CollectorRegistry())
        self._running: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin."""
        self._running = asyncio.create_task(self._run())

    async def stop(self) -> None:
        """End."""
        if self._running is not None:
            self._running.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._running

    def measure_process(self) -> None:
        """Take down processor time, memory and file descriptors of the process."""
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

    def _tick(self) -> None:
        try:
            self._pipeline.tick(time.time())
        except Exception as error:  # noqa: BLE001 - an error of ours must not end the timers of all calls; it is reported
            self._pipeline.diagnostics.internal_error(error)
