"""Sends metrics at intervals. A request that could not be sent is replaced by a newer one, not queued: totals are cumulative."""

import asyncio
import contextlib
import logging
import time
from collections.abc import Sequence
from typing import Final, Protocol

from exporter.exporters.otlp.sender.export_result import Delivered, ExportResult, PermanentFailure
from exporter.exporters.otlp.sender.observer import STOPPED, SenderObserver
from exporter.exporters.otlp.sender.requests import ExportRequest
from exporter.exporters.otlp.sender.retry_sender import DEFAULT_BACKOFF, BackoffConfig, RetrySender
from exporter.exporters.otlp.sender.transport import Transport

_CLOSE_RESERVE: Final = 0.5
"""Seconds of a stop that are kept for closing the connection."""

log = logging.getLogger(__name__)


class MetricsSource(Protocol):
    """Where the metrics come from."""

    async def collect(self) -> Sequence[ExportRequest]:
        """All metrics as of now, in requests that are each small enough for a collector (4 MiB)."""

    @property
    def repeatable(self) -> bool:
        """Whether a new collection may follow on one that was delivered in part: totals may, differences would count twice."""

    def delivered(self) -> None:
        """The last collection was delivered, or what was not delivered of it is lost."""

    def refused(self, size: int) -> bool:
        """The receiver refused a request of ``size`` bytes for its length. Returns whether later ones are shorter."""


class MetricsSender:
    """Collects from ``source`` every ``interval`` seconds, and once more at the stop, and delivers the requests.

    While the receiver does not accept them, metrics are collected again as soon as the last collection is ``timeout`` or
    ``interval`` seconds old, whichever is less.
    """

    def __init__(
        self,
        transport: Transport,
        source: MetricsSource,
        observer: SenderObserver,
        *,
        interval: float = 60.0,
        timeout: float = 30.0,
        backoff: BackoffConfig = DEFAULT_BACKOFF,
    ) -> None:
        self._source = source
        self._observer = observer
        self._interval = interval
        self._max_age = min(interval, timeout)
        self._address = transport.target.address
        self._retry_sender = RetrySender(transport, observer, backoff)
        self._collected_at = 0.0
        self._undelivered = 0
        self._stopping = asyncio.Event()
        self._running: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Start sending. The first request is sent after one interval."""
        self._running = asyncio.create_task(self._run())

    async def stop(self, within: float = 12.0) -> None:
        """Send the last totals if that is possible in ``within`` seconds, and end."""
        self._stopping.set()
        self._retry_sender.flush()
        reserve = min(_CLOSE_RESERVE, within / 4)
        if self._running is not None:
            await asyncio.wait({self._running}, timeout=within - reserve)
            self._running.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._running
            self._running = None
        if self._undelivered:
            self._observer.dropped(STOPPED, self._undelivered)
            log.error(
                "export of metrics to %s: the last totals (%d data points) are lost, not delivered before the exporter stopped",
                self._address,
                self._undelivered,
            )
            self._set_undelivered(0)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(reserve):
                await self._retry_sender.close()

    async def _run(self) -> None:
        due = time.monotonic() + self._interval
        last = False
        while not last:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(max(0.0, due - time.monotonic())):
                    await self._stopping.wait()
            last = self._stopping.is_set()
            due = max(due + self._interval, time.monotonic())
            try:
                while not await self._export():
                    pass
            # A failed collection must not be the last one.
            except Exception:
                log.exception("internal error; metrics not sent to %s, collecting again after the interval", self._address)

    async def _export(self) -> bool:
        """Collect and deliver; ``False`` means that newer metrics must be collected and sent instead."""
        stopping = self._stopping.is_set()
        requests = list(await self._source.collect())
        # After the collection, not before: one that takes longer than the maximum age would never be sent after a failure.
        self._collected_at = time.monotonic()
        self._set_undelivered(sum(request.items for request in requests))
        delivered = 0
        for request in requests:
            # A part of a collection that cannot be repeated is kept until it is delivered or refused.
            result = await self._deliver(request, stopping, repeatable=self._source.repeatable or not delivered)
            if result is None:
                self._observer.replaced(self._undelivered)
                return False
            delivered += isinstance(result, Delivered)
            self._set_undelivered(self._undelivered - request.items)
        if delivered or not requests:
            self._source.delivered()
        return True

    async def _deliver(self, request: ExportRequest, stopping: bool, *, repeatable: bool) -> ExportResult | None:
        """Deliver a part of a collection; ``None`` if all of it must be collected again, as newer totals or in shorter requests."""
        shorter = False

        def is_refused_for_length(failure: ExportResult) -> bool:
            nonlocal shorter
            too_long = isinstance(failure, PermanentFailure) and failure.too_long and repeatable
            shorter = too_long and self._source.refused(len(request.body))
            return shorter

        result = await self._retry_sender.deliver(
            request,
            should_abandon=lambda: repeatable and self._should_abandon(stopping),
            is_divided=is_refused_for_length,
        )
        return None if shorter else result

    def _should_abandon(self, collected_at_stop: bool) -> bool:
        """Whether newer totals must be collected. The last are those that are collected after the stop began."""
        if self._stopping.is_set():
            return not collected_at_stop
        return time.monotonic() - self._collected_at >= self._max_age

    def _set_undelivered(self, items: int) -> None:
        self._undelivered = items
        self._observer.queued(items, 0)
