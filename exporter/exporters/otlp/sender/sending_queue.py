"""The queue between the code that makes spans and the sender: in memory, and on disk if there is a directory for it.

Every entry has a sequence number. The oldest entries are on disk and the newest in memory, from where they are moved to disk every
quarter of a second. Without a directory, or while it cannot be written, all entries stay in memory. So their order never changes.
"""

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import islice
from operator import attrgetter
from typing import Final, NamedTuple

from exporter.exporters.otlp.sender.disk_queue import DiskQueue, DiskQueueConfig
from exporter.exporters.otlp.sender.observer import DISK_DAMAGED, QUEUE_FULL, TOO_LARGE, DropReason, SenderObserver
from exporter.exporters.otlp.sender.segment import Entry, Record

ENTRY_OVERHEAD: Final = 64
"""Bytes that an entry takes in memory besides its body; all sizes here include it."""

_AT_ONCE: Final = 64
"""Entries that are added up together, which takes a third of the time."""
_BODY: Final[Callable[[Entry], bytes]] = attrgetter("body")
_ITEMS: Final[Callable[[Entry], int]] = attrgetter("items")

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class QueueLimits:
    """How much may be in memory: ``max_size`` bytes, or ``max_items`` items if that is set. An entry has ``max_entry_size`` bytes."""

    max_size: int = 64 << 20
    max_items: int | None = None
    max_entry_size: int = 4_000_000


DEFAULT_QUEUE_LIMITS: Final = QueueLimits()


class Batch(NamedTuple):
    """The oldest entries of the queue, in order: their number of items and bytes, and the sequence number after the last."""

    bodies: tuple[bytes, ...]
    items: int
    size: int
    end: int


class SendingQueue:
    """A queue for one sender, for use on the event loop. ``items`` and ``size`` are the totals in memory and on disk."""

    def __init__(self, limits: QueueLimits, observer: SenderObserver, disk: DiskQueueConfig | None = None) -> None:
        self.items = 0
        self.size = 0
        self._limits = limits
        self._observer = observer
        self._memory: deque[Entry] = deque()
        self._first_sequence = 0
        self._memory_items = self._memory_size = 0
        self._in_flight: Batch | None = None
        self._disk = DiskQueue(disk, observer) if disk else None
        self._lock = asyncio.Lock()
        self._unflushed = asyncio.Event()
        self._flushing: asyncio.Task[None] | None = None

    @property
    def durable(self) -> bool:
        """Whether queued entries will survive the process, as far as is known."""
        return self._disk is not None and self._disk.opened and self._disk.has_room and not self._disk.suspended

    async def open(self) -> None:
        """Load what an earlier process left on disk; it is sent first."""
        if self._disk is not None:
            async with self._lock:
                await self._usable_disk()
            self._flushing = asyncio.create_task(self._flush_periodically(self._disk))

    def enqueue(self, entry: Entry) -> DropReason | None:
        """Queue an entry; returns why it was not queued, or ``None``."""
        length, items, limits = len(entry.body), entry.items, self._limits
        if length > limits.max_entry_size:
            return TOO_LARGE
        size = length + ENTRY_OVERHEAD
        memory_items, memory_size = self._memory_items + items, self._memory_size + size
        if memory_size > limits.max_size if limits.max_items is None else memory_items > limits.max_items:
            return QUEUE_FULL
        self._memory.append(entry)
        self._memory_items, self._memory_size = memory_items, memory_size
        self.items, self.size = self.items + items, self.size + size
        self._observer.queued(self.items, self.size)
        if self._disk is not None:
            self._unflushed.set()
        return None

    async def dequeue(self, max_items: int, max_size: int) -> Batch | None:
        """The oldest entries within both limits, but at least one. They stay in the queue until :meth:`ack`.

        ``None`` if the queue is empty, or if its oldest entries are on a disk that does not answer.
        """
        async with self._lock:
            if disk := await self._usable_disk():
                await self._move_to(disk)
            self._in_flight = await self._from_disk(max_items, max_size)
            if self._in_flight is None and not self._oldest_hang:
                self._in_flight = self._from_memory(max_items, max_size)
            return self._in_flight

    async def ack(self) -> Batch | None:
        """Remove the batch that was dequeued last, and return it; ``None`` if there is none."""
        async with self._lock:
            batch, self._in_flight = self._in_flight, None
            if batch is not None:
                if self._first_sequence == batch.end - len(batch.bodies):  # what it adds up to is known
                    self._remove_oldest(len(batch.bodies), batch.items, batch.size)
                else:
                    self._remove_from_memory(batch.end)
                self._change_totals(-batch.items, -batch.size)
                if self._disk is not None and self._disk.opened:
                    await self._disk.ack(batch.end)
            return batch

    async def close(self, within: float) -> int:
        """Write the entries to disk, for ``within`` seconds at most; returns how many items are lost with the process."""
        if self._flushing is not None:
            self._flushing.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._flushing
            self._flushing = None
        if self._disk is not None:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(within), self._lock:
                    if disk := await self._usable_disk():
                        await self._move_to(disk)
                        await disk.sync()
                    await self._disk.close()
            self._disk.shutdown()
            self._disk = None
        lost = self._memory_items
        self._change_totals(-lost, -self._memory_size)
        self._remove_from_memory(self._first_sequence + len(self._memory))
        return lost

    def _change_totals(self, items: int, size: int) -> None:
        # The size of items lost on disk is unknown, so an empty queue resets it.
        self.items, self.size = self.items + items, self.size + size if self.items + items else 0
        self._observer.queued(self.items, self.size)

    def _remove_from_memory(self, end: int) -> None:
        """Remove the entries numbered below ``end``."""
        entries = list(islice(self._memory, max(0, end - self._first_sequence)))
        size = sum(len(entry.body) + ENTRY_OVERHEAD for entry in entries)
        self._remove_oldest(len(entries), sum(entry.items for entry in entries), size)

    def _remove_oldest(self, number: int, items: int, size: int) -> None:
        """Remove so many entries, which have ``items`` and ``size`` in all."""
        pop = self._memory.popleft
        for _ in range(number):
            pop()
        self._first_sequence += number
        self._memory_items -= items
        self._memory_size -= size

    def _from_memory(self, max_items: int, max_size: int) -> Batch | None:
        bodies: list[bytes] = []
        items = size = 0
        entries = iter(self._memory)
        while some := list(islice(entries, _AT_ONCE)):
            found = list(map(_BODY, some))
            more_items, more_size = items + sum(map(_ITEMS, some)), size + sum(map(len, found))
            if more_items > max_items or more_size > max_size:
                number = _fitting(some, max_items - items, max_size - size, at_least=0 if bodies else 1)
                some, found = some[:number], found[:number]
                more_items, more_size = items + sum(map(_ITEMS, some)), size + sum(map(len, found))
            bodies += found
            items, size = more_items, more_size
            if len(some) < _AT_ONCE:
                break
        number = len(bodies)
        return Batch(tuple(bodies), items, size + number * ENTRY_OVERHEAD, self._first_sequence + number) if bodies else None

    async def _from_disk(self, max_items: int, max_size: int) -> Batch | None:
        if self._disk is None or not self._disk.opened:
            return None
        result = await self._disk.read(max_items, max_size)
        if result is None:
            return None
        if result.damaged:
            self._observer.disk_damaged(result.damaged)
        if result.lost:
            log.error("queue directory %s: %d spans cannot be read and are lost", self._disk.config.directory, result.lost)
            self._observer.dropped(DISK_DAMAGED, result.lost)
            self._change_totals(-result.lost, 0)
        return _batch(result.records, result.records[-1].sequence + 1) if result.records else None

    @property
    def _oldest_hang(self) -> bool:
        """Whether older entries than those in memory are on a disk that does not answer."""
        return self._disk is not None and self._disk.hangs and self.items > self._memory_items

    async def _usable_disk(self) -> DiskQueue | None:
        """The disk, if it can be written now. Opens the directory if that was not possible before."""
        if self._disk is None or self._disk.suspended:
            return None
        # Entries of an earlier process are sent first, so they must not appear while a newer batch is in flight.
        if not self._disk.opened and self._in_flight is None:
            recovered = await self._disk.open(self._first_sequence)
            if recovered is not None:
                self._first_sequence = self._disk.next_sequence
                self._change_totals(recovered.items, recovered.size + recovered.records * ENTRY_OVERHEAD)
        return self._disk if self._disk.opened else None

    async def _move_to(self, disk: DiskQueue) -> None:
        if self._memory:
            await disk.append(self._first_sequence, list(self._memory))
            self._remove_from_memory(disk.next_sequence)

    async def _flush_periodically(self, disk: DiskQueue) -> None:
        while True:
            await self._unflushed.wait()
            await asyncio.sleep(disk.config.flush_interval)
            self._unflushed.clear()
            async with self._lock:
                if await self._usable_disk():
                    await self._move_to(disk)
                    await disk.sync()
            if self._memory:
                self._unflushed.set()


def _fitting(entries: Sequence[Entry], items: int, size: int, at_least: int) -> int:
    """How many of the entries fit into so many items and bytes."""
    for number, entry in enumerate(entries):
        items, size = items - entry.items, size - len(entry.body)
        if number >= at_least and (items < 0 or size < 0):
            return number
    return len(entries)


def _batch(entries: Sequence[Record], end: int) -> Batch:
    bodies = tuple([entry.body for entry in entries])
    size = sum(map(len, bodies)) + len(bodies) * ENTRY_OVERHEAD
    return Batch(bodies=bodies, items=sum([entry.items for entry in entries]), size=size, end=end)
