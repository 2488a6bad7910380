"""Files that are read again when they change, so that tokens, users and certificates can be rotated without a restart.

Threads read them. A disk that hangs delays neither calls nor the other files.
"""

import asyncio
import logging
import threading
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final, Generic, Literal, TypeVar

from exporter.server.daemon_threads import run_in_thread

CHECK_INTERVAL: Final = 0.5
"""Seconds between two looks at a file."""
RELOAD_TIMEOUT: Final = 5.0
"""Seconds that a requested reload waits for the files."""

log = logging.getLogger(__name__)
T = TypeVar("T")
ReloadOutcome = Literal["unchanged", "reloaded", "failed"]
FileState = tuple[int, int, int]
"""Modification time, size and inode of a file."""


class ReloadingFile(Generic[T]):
    """The value that ``read`` makes from ``paths``. :meth:`reload` makes it again; ``on_reload`` is called with the new value.

    If a reload fails, the failure is logged and the previous value is kept until the files change again. The first reading raises what
    ``read`` raises.
    """

    def __init__(self, paths: Sequence[Path], read: Callable[[], T], on_reload: Callable[[T], None] | None = None) -> None:
        self._paths = tuple(paths)
        self._read = read
        self._on_reload = on_reload
        self._reading = threading.Lock()
        self._state = self._current_state()
        self._value = read()

    def __str__(self) -> str:
        return ", ".join(map(str, self._paths))

    def current(self) -> T:
        """The value of the last reading. Never reads the disk."""
        return self._value

    def reload(self, *, forced: bool = False) -> ReloadOutcome:
        """Read the files if they have changed, or in any case if ``forced``. Not for the event loop: a disk may hang."""
        if not self._reading.acquire(timeout=RELOAD_TIMEOUT):
            return "failed"
        try:
            state = self._current_state()
            if state == self._state and not forced:
                return "unchanged"
            self._state = state
            self._value = self._read()
            if self._on_reload is not None:
                self._on_reload(self._value)
        except (OSError, ValueError) as error:
            log.error("reload failed; keeping the previous value: %s", error)  # noqa: TRY400 - the reason says all
            return "failed"
        finally:
            self._reading.release()
        log.info("reloaded: %s", self)
        return "reloaded"

    def _current_state(self) -> tuple[FileState, ...]:
        return tuple(_state_of(path) for path in self._paths)


class FileWatcher:
    """Reloads files when they change. Each file has a thread of its own."""

    def __init__(self) -> None:
        self._files: list[ReloadingFile[Any]] = []
        self._stopped = threading.Event()

    def watch(self, paths: Sequence[Path], read: Callable[[], T], on_reload: Callable[[T], None] | None = None) -> ReloadingFile[T]:
        """A file that is reloaded between :meth:`start` and :meth:`stop`. Raises what ``read`` raises."""
        file = ReloadingFile(paths, read, on_reload)
        self._files.append(file)
        return file

    def start(self) -> None:
        """Watch the files."""
        for file in self._files:
            threading.Thread(target=self._run, args=(file,), name="reload", daemon=True).start()

    def stop(self) -> None:
        """Watch no longer. Waits for nothing."""
        self._stopped.set()

    async def reload(self) -> dict[str, ReloadOutcome]:
        """Read all files now. Returns what became of each; one that is not read within :data:`RELOAD_TIMEOUT` seconds has failed."""
        reading = {run_in_thread(partial(file.reload, forced=True), "reload"): str(file) for file in self._files}
        if reading:
            await asyncio.wait(reading, timeout=RELOAD_TIMEOUT)
        for future, name in reading.items():
            if not future.done():
                log.error("reload timeout; keeping the previous value: %s was not read within %s s", name, RELOAD_TIMEOUT)
        return {name: future.result() if future.done() else "failed" for future, name in reading.items()}

    def _run(self, file: ReloadingFile[Any]) -> None:
        while not self._stopped.wait(CHECK_INTERVAL):
            file.reload()


def _state_of(path: Path) -> FileState:
    try:
        found = path.stat()
    except OSError:
        return 0, 0, 0
    return found.st_mtime_ns, found.st_size, found.st_ino
