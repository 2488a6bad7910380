"""The queue's directory as the event loop sees it: a thread does the work, and errors put the disk to rest instead of being raised."""

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from exporter.exporters.otlp.sender.observer import SenderCounts
from exporter.exporters.otlp.sender.segment import Read, Recovered
from exporter.exporters.otlp.sender.write_ahead_log import DiskLog

T = TypeVar("T")

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class DiskQueue:
    """Where the queue survives the process: a directory of its own, and how many bytes it may take.

    What is queued is written every ``flush`` seconds; after an error the disk is left alone for ``rest`` seconds.
    """

    directory: Path
    size: int = 1 << 30
    flush: float = 0.25
    rest: float = 5.0


class Disk:
    """Runs a :class:`DiskLog`. One thread, so that calls are done in the order in which they are made, even those given up on."""

    def __init__(self, settings: DiskQueue, counts: SenderCounts) -> None:
        self.settings = settings
        self.opened = False
        self.has_room = False
        self._counts = counts
        self._log = DiskLog(settings.directory, settings.size)
        self._thread = ThreadPoolExecutor(1, "otlp-queue")
        self._rest_until = 0.0
        self._trouble = ""

    @property
    def resting(self) -> bool:
        """Whether there was an error a moment ago."""
        return time.monotonic() < self._rest_until

    async def open(self, first: int) -> Recovered | None:
        """Take the directory; what is written to it later is numbered from ``first`` at least. ``None`` if that cannot be."""
        found = await self._do(self._log.open)
        if found is None:
            return None
        self._log.next = max(self._log.next, first)
        self.opened = self.has_room = True
        self._works()
        if found.damaged:
            self._counts.disk_damaged(found.damaged)
            log.warning("%d places in the queue's directory are damaged and were skipped", found.damaged)
        return found

    @property
    def next(self) -> int:
        """The number before which everything is on disk, or delivered."""
        return self._log.next

    async def append(self, first: int, items: Sequence[tuple[bytes, int]]) -> None:
        """Write items numbered from ``first``, as many as can be; :attr:`next` tells."""
        fits = await self._do(lambda: self._log.append(first, items))
        if fits is None:
            return
        self._works()
        if self.has_room and not fits:
            log.warning("the queue's directory holds as much as it may; what comes is kept in memory")
        self.has_room = fits

    async def read(self, max_items: int, max_size: int) -> Read:
        """As :meth:`DiskLog.read`."""
        return await self._do(lambda: self._log.read(max_items, max_size)) or Read((), 0, 0)

    async def acknowledge(self, end: int) -> None:
        """As :meth:`DiskLog.acknowledge`."""
        await self._do(lambda: self._log.acknowledge(end))

    async def sync(self) -> None:
        """As :meth:`DiskLog.sync`."""
        await self._do(self._log.sync)

    async def close(self) -> None:
        """As :meth:`DiskLog.close`."""
        await self._do(self._log.close)

    def abandon(self) -> None:
        """Let go of the thread, although it may hang."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    async def _do(self, work: Callable[[], T]) -> T | None:
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, work)
        except OSError as error:
            self._rest_until = time.monotonic() + self.settings.rest
            self._counts.disk_failed()
            trouble = error.strerror or str(error)
            if trouble != self._trouble:
                log.warning("the queue's directory cannot be used, memory is used instead: %s", trouble)
            self._trouble = trouble
            return None

    def _works(self) -> None:
        if self._trouble:
            log.info("the queue's directory can be used again")
        self._trouble = ""
