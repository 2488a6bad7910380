"""The queue's directory as the event loop sees it: a thread does the work, and nobody waits long for it.

After an error the directory is suspended for a while, and as long as a call hangs.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from exporter.exporters.otlp.sender.file_thread import FileThread
from exporter.exporters.otlp.sender.observer import SenderObserver
from exporter.exporters.otlp.sender.segment import Entry
from exporter.exporters.otlp.sender.write_ahead_log import ReadResult, Recovered, WriteAheadLog

T = TypeVar("T")

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class DiskQueueConfig:
    """Where the queue survives the process: a directory that nothing else uses, with at most ``max_size`` bytes of records.

    Queued entries are written every ``flush_interval`` seconds. After an error the disk is not used for ``retry_delay`` seconds. A call
    that takes more than ``max_wait`` seconds counts as an error.
    """

    directory: Path
    max_size: int = 1 << 30
    flush_interval: float = 0.25
    retry_delay: float = 5.0
    max_wait: float = 5.0


class DiskQueue:
    """Runs a :class:`WriteAheadLog` in one thread, so that calls take effect in the order in which they are made, even cancelled ones.

    An ``OSError`` is counted and logged, not raised. A call that takes too long is left to end by itself.
    """

    def __init__(self, config: DiskQueueConfig, observer: SenderObserver) -> None:
        self.config = config
        self.opened = False
        self.has_room = False
        self._observer = observer
        self._log = WriteAheadLog(config.directory, config.max_size)
        self._thread = FileThread("otlp-queue")
        self._suspended_until = 0.0
        self._hanging: asyncio.Future[Any] | None = None
        self._unfinished: dict[str, asyncio.Future[Any]] = {}
        self._acked = 0
        self._last_error = ""

    @property
    def suspended(self) -> bool:
        """Whether the disk is not used now because of a recent error, or because a call hangs."""
        return self.hangs or time.monotonic() < self._suspended_until

    @property
    def hangs(self) -> bool:
        """Whether a call hangs."""
        return self._hanging is not None and not self._hanging.done()

    async def open(self, first: int) -> Recovered | None:
        """Open the directory; ``None`` if that failed. Entries written later are numbered from ``first`` at least."""
        recovered = await self._run(self._log.open, resume="open")
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

    async def append(self, first: int, entries: Sequence[Entry]) -> None:
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

    async def read(self, max_items: int, max_size: int) -> ReadResult | None:
        """As :meth:`WriteAheadLog.read`; ``None`` if the disk does not answer. A later call then returns what this one found."""
        if self.hangs and "read" not in self._unfinished:
            return None
        return await self._run(lambda: self._log.read(max_items, max_size), resume="read")

    async def ack(self, end: int) -> None:
        """As :meth:`WriteAheadLog.ack`. If a call hangs, it is done after that call."""
        self._acked = max(self._acked, end)
        if not self.hangs:
            await self._run(self._ack)
        elif "ack" not in self._unfinished or self._unfinished["ack"].done():
            self._unfinished["ack"] = self._thread.submit(self._ack)

    async def sync(self) -> None:
        """As :meth:`WriteAheadLog.sync`."""
        if not self.hangs:
            await self._run(self._log.sync)

    async def close(self) -> None:
        """As :meth:`WriteAheadLog.close`."""
        if not self.hangs:
            await self._run(self._log.close)

    def shutdown(self) -> None:
        """Leave the thread behind, without waiting for a call that hangs."""
        self._thread.close()

    def _ack(self) -> None:
        self._log.ack(self._acked)

    async def _run(self, work: Callable[[], T], resume: str = "") -> T | None:
        """The result of ``work``, or ``None``. ``resume`` names work that must not be begun again while it is unfinished."""
        call: asyncio.Future[T] = self._unfinished.pop(resume) if resume in self._unfinished else self._thread.submit(work)
        await asyncio.wait({call}, timeout=self.config.max_wait)
        if not call.done():
            if resume:
                self._unfinished[resume] = call
            self._hanging = call
            self._failed(f"no answer within {self.config.max_wait:g} s")
            return None
        try:
            return call.result()
        except OSError as error:
            self._failed(error.strerror or str(error))
            return None

    def _failed(self, reason: str) -> None:
        self._suspended_until = time.monotonic() + self.config.retry_delay
        self._observer.disk_failed()
        if reason != self._last_error:
            log.warning("queue directory %s failed: %s; spans are queued in memory until it works", self.config.directory, reason)
        self._last_error = reason

    def _log_success(self) -> None:
        if self._last_error:
            log.info("queue directory %s works again", self.config.directory)
        self._last_error = ""
