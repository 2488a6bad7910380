"""Sends metrics at intervals. Totals are cumulative, so only the newest matter: what could not be sent is replaced, not queued."""

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable, Sequence

from exporter.exporters.otlp.sender.export_result import Delivered
from exporter.exporters.otlp.sender.observer import STOPPED, SenderCounts
from exporter.exporters.otlp.sender.requests import Request
from exporter.exporters.otlp.sender.retry_sender import PACE, BackoffConfig, RetrySender
from exporter.exporters.otlp.sender.transport import Transport

Collect = Callable[[], Awaitable[Sequence[Request]]]
"""Gives all metrics as of now, as requests that are each small enough for a collector (4 MiB)."""

log = logging.getLogger(__name__)


class MetricsSender:
    """Calls ``collect`` every ``interval`` seconds, and once more at the stop, and delivers what it gives.

    While the receiver does not answer, ``collect`` is called anew for another attempt once the last collection is ``timeout`` or
    ``interval`` old, whichever is less. ``delivered`` is called when all of a collection has been.
    """

    def __init__(
        self,
        transport: Transport,
        collect: Collect,
        counts: SenderCounts,
        *,
        interval: float = 60.0,
        timeout: float = 30.0,
        backoff: BackoffConfig = PACE,
        delivered: Callable[[], None] = lambda: None,
    ) -> None:
        self._collect = collect
        self._delivered = delivered
        self._counts = counts
        self._interval = interval
        self._fresh = min(interval, timeout)
        self._retry_sender = RetrySender(transport, counts, backoff, "metrics")
        self._collected = 0.0
        self._waiting = 0
        self._stopping = asyncio.Event()
        self._running: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin; the first request is made after one interval."""
        self._running = asyncio.create_task(self._run())

    async def stop(self, within: float = 12.0) -> None:
        """Send the last totals if that can be done in ``within`` seconds, and end."""
        self._stopping.set()
        self._retry_sender.flush()
        if self._running is not None:
            await asyncio.wait({self._running}, timeout=within)
            self._running.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._running
            self._running = None
        if self._waiting:
            self._counts.dropped(STOPPED, self._waiting)
            log.error("the last totals could not be delivered before the exporter stopped")
            self._queued(0)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._retry_sender.close(), 1.0)

    async def _run(self) -> None:
        due = time.monotonic() + self._interval
        last = False
        while not last:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), max(0.0, due - time.monotonic()))
            last = self._stopping.is_set()
            due = max(due + self._interval, time.monotonic())
            try:
                while not await self._export():
                    pass
            # One collection that fails must not be the last.
            except Exception:
                log.exception("sending metrics met an error of the exporter")

    async def _export(self) -> bool:
        """Collect and deliver; returns ``False`` if something newer should be sent instead."""
        stopping = self._stopping.is_set()
        self._collected = time.monotonic()
        requests = list(await self._collect())
        self._queued(sum(request.items for request in requests))
        taken = True
        for request in requests:
            answer = await self._retry_sender.deliver(request, should_abandon=lambda: self._should_abandon(stopping))
            if answer is None:
                self._counts.replaced(self._waiting)
                return False
            taken = taken and isinstance(answer, Delivered)
            self._queued(self._waiting - request.items)
        if taken:
            self._delivered()
        return True

    def _should_abandon(self, collected_at_stop: bool) -> bool:
        """Whether newer totals are due; the last are those collected when the stop had begun."""
        if self._stopping.is_set():
            return not collected_at_stop
        return time.monotonic() - self._collected >= self._fresh

    def _queued(self, items: int) -> None:
        self._waiting = items
        self._counts.queued(items, 0)
