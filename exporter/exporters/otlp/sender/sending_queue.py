"""Items between those who make them and the one who sends them: in memory, and on disk where there is a directory for it.

Everything queued is numbered. The oldest numbers are on disk and the newest in memory, from where they go to disk every quarter of
a second; without a directory, or as long as it cannot be written, memory is all there is. So the order never changes.
"""

import asyncio
import contextlib
import logging
from collections import deque
from dataclasses import dataclass
from typing import Final, NamedTuple

from exporter.exporters.otlp.sender.disk_queue import Disk, DiskQueue
from exporter.exporters.otlp.sender.observer import DISK_DAMAGED, QUEUE_FULL, TOO_LARGE, SenderCounts

ITEM_OVERHEAD: Final = 64
"""What an item takes in memory beside its own bytes; part of all sizes here."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Bounds:
    """How much may be in memory: ``size`` bytes, unless a number of ``items`` is given, and how large an item may be."""

    size: int = 64 << 20
    items: int | None = None
    item_size: int = 4_000_000


BOUNDS: Final = Bounds()


class Batch(NamedTuple):
    """Queued items, oldest first; ``items`` is what they count as, ``end`` the number after the last."""

    bodies: tuple[bytes, ...]
    items: int
    size: int
    end: int


class ItemQueue:
    """A queue for one sender, for use on the event loop. ``items`` and ``size`` are all it holds, wherever that is."""

    def __init__(self, bounds: Bounds, counts: SenderCounts, disk: DiskQueue | None = None) -> None:
        self.items = 0
        self.size = 0
        self._bounds = bounds
        self._counts = counts
        self._memory: deque[tuple[bytes, int]] = deque()
        self._first = 0
        self._memory_items = self._memory_size = 0
        self._taken: Batch | None = None
        self._disk = Disk(disk, counts) if disk else None
        self._access = asyncio.Lock()
        self._dirty = asyncio.Event()
        self._flushing: asyncio.Task[None] | None = None

    @property
    def durable(self) -> bool:
        """Whether what is queued will outlive the process, as far as is known."""
        return self._disk is not None and self._disk.opened and self._disk.has_room and not self._disk.resting

    async def open(self) -> None:
        """Look for what an earlier process has left; it will be taken first."""
        if self._disk is not None:
            async with self._access:
                await self._usable_disk()
            self._flushing = asyncio.create_task(self._keep_flushing(self._disk))

    def put(self, item: bytes, items: int) -> str | None:
        """Queue an item that counts as ``items``; returns why not, or ``None``."""
        size = len(item) + ITEM_OVERHEAD
        if len(item) > self._bounds.item_size:
            return TOO_LARGE
        if self._bounds.items is None:
            full = self._memory_size + size > self._bounds.size
        else:
            full = self._memory_items + items > self._bounds.items
        if full:
            return QUEUE_FULL
        self._memory.append((item, items))
        self._memory_items, self._memory_size = self._memory_items + items, self._memory_size + size
        self._change(items, size)
        self._dirty.set()
        return None

    async def take(self, max_items: int, max_size: int) -> Batch | None:
        """The oldest items, as many as fit both limits, but at least one. They stay queued until :meth:`forget`."""
        async with self._access:
            if disk := await self._usable_disk():
                await self._move_to(disk)
            self._taken = await self._from_disk(max_items, max_size) or self._from_memory(max_items, max_size)
            return self._taken

    async def forget(self) -> Batch | None:
        """Remove the items that were taken last, and return them if there were any."""
        async with self._access:
            batch, self._taken = self._taken, None
            if batch is not None:
                self._pop_memory(batch.end)
                self._change(-batch.items, -batch.size)
                if self._disk is not None and self._disk.opened:
                    await self._disk.acknowledge(batch.end)
            return batch

    async def close(self, within: float) -> int:
        """Put what can be put to disk, in ``within`` seconds; returns how many items are lost with the process."""
        if self._flushing is not None:
            self._flushing.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._flushing
            self._flushing = None
        if self._disk is not None:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(within), self._access:
                    if disk := await self._usable_disk():
                        await self._move_to(disk)
                        await disk.sync()
                    await self._disk.close()
            self._disk.abandon()
            self._disk = None
        lost = self._memory_items
        self._change(-lost, -self._memory_size)
        self._pop_memory(self._first + len(self._memory))
        return lost

    def _change(self, items: int, size: int) -> None:
        # Of what is lost on disk only the number is known.
        self.items, self.size = self.items + items, self.size + size if self.items + items else 0
        self._counts.queued(self.items, self.size)

    def _pop_memory(self, end: int) -> None:
        """Remove what is numbered below ``end``."""
        while self._memory and self._first < end:
            body, items = self._memory.popleft()
            self._first += 1
            self._memory_items, self._memory_size = self._memory_items - items, self._memory_size - len(body) - ITEM_OVERHEAD

    def _from_memory(self, max_items: int, max_size: int) -> Batch | None:
        bodies: list[bytes] = []
        items = size = 0
        for body, number in self._memory:
            if bodies and (items + number > max_items or size + len(body) > max_size):
                break
            bodies.append(body)
            items, size = items + number, size + len(body)
        return self._batch(bodies, items, self._first + len(bodies))

    async def _from_disk(self, max_items: int, max_size: int) -> Batch | None:
        if self._disk is None or not self._disk.opened:
            return None
        read = await self._disk.read(max_items, max_size)
        if read.damaged:
            self._counts.disk_damaged(read.damaged)
        if read.lost:
            log.error("%d items in the queue's directory cannot be read and are lost", read.lost)
            self._counts.dropped(DISK_DAMAGED, read.lost)
            self._change(-read.lost, 0)
        if not read.records:
            return None
        return self._batch(
            [record.body for record in read.records], sum(record.items for record in read.records), read.records[-1].sequence + 1
        )

    def _batch(self, bodies: list[bytes], items: int, end: int) -> Batch | None:
        return Batch(tuple(bodies), items, sum(map(len, bodies)) + len(bodies) * ITEM_OVERHEAD, end) if bodies else None

    async def _usable_disk(self) -> Disk | None:
        """The disk, if it can be written now; opens the directory if need be."""
        if self._disk is None or self._disk.resting:
            return None
        # What an earlier process left goes before all else, so it must not turn up while newer items are on their way.
        if not self._disk.opened and self._taken is None:
            found = await self._disk.open(self._first)
            if found is not None:
                self._first = self._disk.next
                self._change(found.items, found.size + found.records * ITEM_OVERHEAD)
        return self._disk if self._disk.opened else None

    async def _move_to(self, disk: Disk) -> None:
        if self._memory:
            await disk.append(self._first, list(self._memory))
            self._pop_memory(disk.next)

    async def _keep_flushing(self, disk: Disk) -> None:
        while True:
            await self._dirty.wait()
            await asyncio.sleep(disk.settings.flush)
            self._dirty.clear()
            async with self._access:
                if await self._usable_disk():
                    await self._move_to(disk)
                    await disk.sync()
            if self._memory:
                self._dirty.set()
