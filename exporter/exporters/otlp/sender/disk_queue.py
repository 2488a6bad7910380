"""The queue's directory as the event loop sees it: a thread does the work. After an error the directory is suspended for a while."""

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from exporter.exporters.otlp.sender.observer import SenderObserver
from exporter.exporters.otlp.sender.segment import QueueEntry
from exporter.exporters.otlp.sender.write_ahead_log import ReadResult, Recovered, WriteAheadLog

T = TypeVar("T")

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class DiskQueueConfig:
    """Where the queue survives the process: a directory that nothing else uses, with at most ``max_size`` bytes of records.

    Queued entries are written every ``flush_interval`` seconds. After an error the disk is not used for ``retry_delay`` seconds.
    """

    directory: Path
    max_size: int = 1 << 30
    flush_interval: float = 0.25
    retry_delay: float = 5.0


class DiskQueue:
    """Runs a :class:`WriteAheadLog` in one thread, so that calls take effect in the order in which they are made, even cancelled ones.

    An ``OSError`` is counted and logged, not raised.
    """

    def __init__(self, config: DiskQueueConfig, observer: SenderObserver) -> None:
        self.config = config
        self.opened = False
        self.has_room = False
        self._observer = observer
        self._log = WriteAheadLog(config.directory, config.max_size)
        self._thread = ThreadPoolExecutor(1, "otlp-queue")
        self._suspended_until = 0.0
        self._last_error = ""

    @property
    def suspended(self) -> bool:
        """Whether the disk is not used now because of a recent error."""
        return time.monotonic() < self._suspended_until

    async def open(self, first: int) -> Recovered | None:
        """Open the directory; ``None`` if that failed. Entries written later are numbered from ``first`` at least."""
        recovered = await self._run(self._log.open)
        if recovered is None:
            return None
        self._log.next_sequence = max(self._log.next_sequence, first)
        self.opened = self.has_room = True
        self._log_success()
        if not self._log.private:
            log.warning("queue directory %s can be written by other users, who can add and remove spans", self.config.directory)
        if recovered.damaged:
            self._observer.disk_damaged(recovered.damaged)
            log.warning("queue directory %s: %d damaged places were skipped", self.config.directory, recovered.damaged)
        return recovered

    @property
    def next_sequence(self) -> int:
        """All entries before this sequence number are on disk or delivered."""
        return self._log.next_sequence

    async def append(self, first: int, entries: Sequence[QueueEntry]) -> None:
        """Write entries numbered from ``first``, as many as fit. :attr:`next_sequence` says how many were written."""
        fits = await self._run(lambda: self._log.append(first, entries))
        if fits is None:
            return
        self._log_success()
        if self.has_room and not fits:
            log.warning(
                "queue directory %s is full (%d bytes); spans are queued in memory", self.config.directory, self.config.max_size
            )
        self.has_room = fits

    async def read(self, max_items: int, max_size: int) -> ReadResult:
        """As :meth:`WriteAheadLog.read`."""
        return await self._run(lambda: self._log.read(max_items, max_size)) or ReadResult((), 0, 0)

    async def ack(self, end: int) -> None:
        """As :meth:`WriteAheadLog.ack`."""
        await self._run(lambda: self._log.ack(end))

    async def sync(self) -> None:
        """As :meth:`WriteAheadLog.sync`."""
        await self._run(self._log.sync)

    async def close(self) -> None:
        """As :meth:`WriteAheadLog.close`."""
        await self._run(self._log.close)

    def shutdown(self) -> None:
        """Leave the thread behind, without waiting for a call that hangs."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    async def _run(self, work: Callable[[], T]) -> T | None:
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, work)
        except OSError as error:
            self._suspended_until = time.monotonic() + self.config.retry_delay
            self._observer.disk_failed()
            reason = error.strerror or str(error)
            if reason != self._last_error:
                log.warning("queue directory %s failed: %s; spans are queued in memory until it works", self.config.directory, reason)
            self._last_error = reason
            return None

    def _log_success(self) -> None:
        if self._last_error:
            log.info("queue directory %s works again", self.config.directory)
        self._last_error = ""
