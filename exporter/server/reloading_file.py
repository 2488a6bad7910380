"""Files that are read again when they change, so that tokens, users and certificates can be rotated without a restart."""

import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Generic, TypeVar

log = logging.getLogger(__name__)
T = TypeVar("T")
FileState = tuple[int, int, int]
"""Modification time, size and inode of a file."""


class ReloadingFile(Generic[T]):
    """The value that ``read`` makes from ``paths``, made again once a file has changed.

    If a reload fails, the failure is logged and the previous value is kept until the files change again. The first reading raises what
    ``read`` raises.
    """

    def __init__(self, paths: Sequence[Path], read: Callable[[], T]) -> None:
        self._paths = tuple(paths)
        self._read = read
        self._state = self._current_state()
        self._value = read()

    def current(self) -> T:
        """The value for the present content of the files."""
        state = self._current_state()
        if state != self._state:
            self._state = state
            try:
                self._value = self._read()
                log.info("reloaded: %s", ", ".join(map(str, self._paths)))
            except (OSError, ValueError) as error:
                log.error("reload failed; keeping the previous value: %s", error)  # noqa: TRY400 - the reason says all
        return self._value

    def _current_state(self) -> tuple[FileState, ...]:
        return tuple(_state_of(path) for path in self._paths)


def _state_of(path: Path) -> FileState:
    try:
        found = path.stat()
    except OSError:
        return 0, 0, 0
    return found.st_mtime_ns, found.st_size, found.st_ino
