"""Sends spans: in order, in batches, until each is delivered, or counted as lost under a reason."""

import asyncio
import contextlib
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from exporter.exporters.otlp.sender.disk_queue import DiskQueue
from exporter.exporters.otlp.sender.observer import INTERNAL_ERROR, STOPPED, SenderCounts
from exporter.exporters.otlp.sender.queue import BOUNDS, Batch, Bounds, ItemQueue
from exporter.exporters.otlp.sender.requests import Request, SpanEnvelope, join
from exporter.exporters.otlp.sender.retry_sender import PACE, BackoffConfig, RetrySender
from exporter.exporters.otlp.sender.transport import Transport

LAST_WORK: Final = 1.0
"""Seconds of a stop that are kept for the disk."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Batching:
    """A request is made ``delay`` seconds after the first span that waits, or as soon as ``items`` spans or ``size`` bytes do.

    Collectors refuse requests over 4 MiB unless told otherwise.
    """

    delay: float = 5.0
    items: int = 512
    size: int = 4_000_000


BATCHING: Final = Batching()


class SpanSender:
    """A queue of spans and what empties it, for use on the event loop.

    ``transport`` is opened by :func:`exporter.exporters.otlp.sender.open_transport` and belongs to the sender.
    """

    def __init__(
        self,
        transport: Transport,
        envelope: SpanEnvelope,
        counts: SenderCounts,
        *,
        batching: Batching = BATCHING,
        bounds: Bounds = BOUNDS,
        disk: DiskQueue | None = None,
        backoff: BackoffConfig = PACE,
    ) -> None:
        self._envelope = envelope
        self._counts = counts
        self._batching = batching
        self._queue = ItemQueue(bounds, counts, disk)
        self._retry_sender = RetrySender(transport, counts, backoff, "spans")
        self._pause = backoff.cap * backoff.unit
        self._some = asyncio.Event()
        self._many = asyncio.Event()
        self._stopping = False
        self._running: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to send; what an earlier process left on disk goes first."""
        self._running = asyncio.create_task(self._run())

    def offer(self, spans: Sequence[bytes]) -> bool:
        """Take serialised ``Span`` messages on, without ever waiting; ``False`` means that one was dropped, and counted.

        They are queued as one item, which costs less, unless there is room for some of them only.
        """
        number = len(spans)
        if number <= self._batching.items and not self._stopping and self._queue.put(join(spans), number) is None:
            self._wake()
            return True
        taken = [self._alone(span) for span in spans]
        return all(taken)

    def _alone(self, span: bytes) -> bool:
        reason = STOPPED if self._stopping else self._queue.put(join((span,)), 1)
        if reason is None:
            self._wake()
        else:
            self._counts.dropped(reason, 1)
            log.warning("spans are lost: %s", reason)
        return reason is None

    async def stop(self, within: float = 12.0) -> None:
        """Send what can be sent in ``within`` seconds, put the rest on disk or else count it as lost, and end.

        With a disk that works, one failed attempt is enough: the spans are sent by the next process.
        """
        self._stopping = True
        self._retry_sender.flush()
        self._wake()
        reserve = min(LAST_WORK, within / 4)
        if self._running is not None:
            await asyncio.wait({self._running}, timeout=within - reserve)
            self._running.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._running
            self._running = None
        lost = await self._queue.close(reserve)
        if lost:
            self._counts.dropped(STOPPED, lost)
            log.error("%d spans are lost, the receiver did not take them before the exporter stopped", lost)
        elif self._queue.items:
            log.info("%d spans wait on disk for the next start", self._queue.items)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._retry_sender.close(), reserve)

    def _wake(self) -> None:
        queue, batching, stopping = self._queue, self._batching, self._stopping
        if queue.items or stopping:
            self._some.set()
        if stopping or queue.items >= batching.items or queue.size >= batching.size:
            self._many.set()

    async def _run(self) -> None:
        await self._queue.open()
        self._wake()
        while True:
            await self._due()
            if self._stopping and not self._queue.items:
                return
            try:
                if not await self._send_batch():
                    return
            # An error of ours must not end the sending; the batch it happened with would meet it again.
            except Exception:
                log.exception("sending spans met an error of the exporter")
                if batch := await self._queue.forget():
                    self._counts.dropped(INTERNAL_ERROR, batch.items)
                await asyncio.sleep(self._pause)
                self._wake()

    async def _due(self) -> None:
        await self._some.wait()
        if not self._many.is_set():
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._many.wait(), self._batching.delay)
        self._some.clear()
        self._many.clear()

    async def _send_batch(self) -> bool:
        """Send one; returns whether to go on, which is not the case once the rest is better left to the next process."""
        batch = await self._queue.take(self._batching.items, self._batching.size - self._envelope.size)
        if batch is None:
            return not self._stopping
        if await self._retry_sender.deliver(self._request(batch), should_abandon=self._may_leave) is None:
            return False
        # Not to be cut short: the receiver has them.
        await asyncio.shield(self._queue.forget())
        self._wake()
        return True

    def _request(self, batch: Batch) -> Request:
        return Request(self._envelope.wrap(batch.bodies), batch.items)

    def _may_leave(self) -> bool:
        return self._stopping and self._queue.durable
