"""Sends spans in order and in batches, until each span is delivered, or is counted as lost under a reason."""

import asyncio
import contextlib
import logging
from collections import Counter
from collections.abc import Sequence
from typing import Final

from exporter.exporters.otlp.sender.batch_size import BatchConfig, BatchSize
from exporter.exporters.otlp.sender.disk_queue import DiskQueueConfig
from exporter.exporters.otlp.sender.export_result import Delivered
from exporter.exporters.otlp.sender.observer import INTERNAL_ERROR, STOPPED, DropReason, SenderObserver
from exporter.exporters.otlp.sender.requests import ExportRequest, SpanEnvelope, join
from exporter.exporters.otlp.sender.retry_sender import DEFAULT_BACKOFF, BackoffConfig, RetrySender
from exporter.exporters.otlp.sender.segment import QueueEntry
from exporter.exporters.otlp.sender.sending_queue import DEFAULT_QUEUE_LIMITS, QueueLimits, SendingQueue
from exporter.exporters.otlp.sender.transport import Transport
from exporter.tracing.span_batch import SpanBatch

DISK_RESERVE: Final = 1.0
"""Seconds of a stop that are kept for writing to disk and for closing the connection."""

log = logging.getLogger(__name__)


DEFAULT_BATCH: Final = BatchConfig()


class SpanSender:
    """A queue of spans and the task that sends them, for use on the event loop.

    The sender closes ``transport``, which :func:`exporter.exporters.otlp.sender.create_transport` creates.
    """

    def __init__(
        self,
        transport: Transport,
        envelope: SpanEnvelope,
        observer: SenderObserver,
        *,
        batch: BatchConfig = DEFAULT_BATCH,
        limits: QueueLimits = DEFAULT_QUEUE_LIMITS,
        disk: DiskQueueConfig | None = None,
        backoff: BackoffConfig = DEFAULT_BACKOFF,
    ) -> None:
        self._envelope = envelope
        self._observer = observer
        self._batch = batch
        self._size = BatchSize(batch)
        self._address = transport.target.address
        self._queue = SendingQueue(limits, observer, disk)
        self._retry_sender = RetrySender(transport, observer, backoff)
        self._pause_after_error = backoff.maximum * backoff.time_scale
        self._not_empty = asyncio.Event()
        self._batch_full = asyncio.Event()
        self._woken = False  # whether both are set; asking the events takes longer
        self._stopping = False
        self._stop_begun = asyncio.Event()
        self._running: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Start sending. What an earlier process left on disk is sent first."""
        self._running = asyncio.create_task(self._run())

    def offer(self, spans: Sequence[bytes]) -> bool:
        """Queue serialised ``Span`` messages, without ever waiting; ``False`` means that a span was dropped and counted.

        They are queued as one entry, which is cheaper, unless there is room for some of them only.
        """
        entry = spans if isinstance(spans, SpanBatch) else QueueEntry(join(spans), len(spans))
        queue, batch, number = self._queue, self._batch, entry.items
        if number <= batch.max_items and not self._stopping and queue.enqueue(entry) is None:
            if not self._woken and (queue.items == number or queue.items >= batch.max_items or queue.size >= batch.max_size):
                self._wake()  # otherwise the sender knows already that spans wait
            return True
        dropped = Counter(map(self._offer_one, spans))
        del dropped[None]
        for reason, count in dropped.items():
            self._observer.dropped(str(reason), count)
            log.warning("export of traces to %s: %d spans dropped: %s", self._address, count, reason)
        return not dropped

    def _offer_one(self, span: bytes) -> DropReason | None:
        reason = STOPPED if self._stopping else self._queue.enqueue(QueueEntry(join((span,)), 1))
        if reason is None:
            self._wake()
        return reason

    async def stop(self, within: float = 12.0) -> None:
        """Send what can be sent in ``within`` seconds, write the rest to disk or count it as lost, and end.

        If the disk works, one failed attempt is enough: the next process sends the spans.
        """
        self._stopping = True
        self._stop_begun.set()
        self._retry_sender.flush()
        self._wake()
        reserve = min(DISK_RESERVE, within / 4)
        for_disk = 0.75 * reserve
        if self._running is not None:
            await asyncio.wait({self._running}, timeout=within - reserve)
            self._running.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._running
            self._running = None
        lost = await self._queue.close(for_disk)
        if lost:
            self._observer.dropped(STOPPED, lost)
            log.error("export of traces to %s: %d spans are lost, not delivered before the exporter stopped", self._address, lost)
        elif self._queue.items:
            log.info("export of traces to %s: %d spans are on disk, sent after the next start", self._address, self._queue.items)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(reserve - for_disk):
                await self._retry_sender.close()

    def _wake(self) -> None:
        queue, batch, stopping = self._queue, self._batch, self._stopping
        if queue.items or stopping:
            self._not_empty.set()
        if stopping or queue.items >= batch.max_items or queue.size >= batch.max_size:
            self._batch_full.set()
            self._woken = True

    async def _run(self) -> None:
        await self._queue.open()
        self._wake()
        while True:
            await self._wait_for_batch()
            if self._stopping and not self._queue.items:
                return
            try:
                if not await self._send_batch():
                    return
            # An internal error must not end the sending. The batch would cause it again, so it is dropped.
            except Exception:
                log.exception("internal error; export of traces to %s: batch dropped, sending continues", self._address)
                if batch := await self._queue.ack():
                    self._observer.dropped(INTERNAL_ERROR, batch.items)
                await asyncio.sleep(self._pause_after_error)
                self._wake()

    async def _wait_for_batch(self) -> None:
        await self._not_empty.wait()
        if not self._batch_full.is_set():
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._batch.delay):
                    await self._batch_full.wait()
        self._not_empty.clear()
        self._batch_full.clear()
        self._woken = False

    async def _send_batch(self) -> bool:
        """Send one batch; ``False`` means to end: all is sent, or the rest is left to the next process."""
        size = self._size
        batch = await self._queue.dequeue(size.max_items, size.max_size - self._envelope.size)
        if batch is None:
            if self._queue.items and not self._stopping:  # on a disk that does not answer
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(self._pause_after_error):
                        await self._stop_begun.wait()
                self._wake()
            return not self._stopping
        request = ExportRequest(self._envelope.wrap(batch.bodies), batch.items)
        result = await self._retry_sender.deliver(
            request,
            should_abandon=self._can_leave_to_next_process,
            is_divided=lambda failure: size.divides(failure, batch),
        )
        if result is None:
            return False
        if size.divides(result, batch):
            size.failed(result, batch)
            self._wake()
            return not self._can_leave_to_next_process()
        # Not cancelled by a stop: the receiver has the spans.
        await asyncio.shield(self._queue.ack())
        if isinstance(result, Delivered):
            size.delivered(waiting=self._queue.items)
        self._wake()
        return True

    def _can_leave_to_next_process(self) -> bool:
        return self._stopping and self._queue.durable
