"""Files that are read again when they change: tokens, users and certificates are exchanged while the exporter runs."""

import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Generic, TypeVar

log = logging.getLogger(__name__)
T = TypeVar("T")
State = tuple[tuple[int, int, int], ...]


class ReloadingFile(Generic[T]):
    """What ``read`` makes of the files, made again once any of them has changed.

    A change that cannot be read is logged, and what was read before stays in force until the files change again. The first reading
    raises what ``read`` raises.
    """

    def __init__(self, paths: Sequence[Path], read: Callable[[], T]) -> None:
        self._paths = tuple(paths)
        self._read = read
        self._state = self._look()
        self._value = read()

    def current(self) -> T:
        """The value as the files now have it."""
        state = self._look()
        if state != self._state:
            self._state = state
            try:
                self._value = self._read()
                log.info("read again: %s", ", ".join(map(str, self._paths)))
            except (OSError, ValueError) as error:
                log.error("what was read before stays in force: %s", error)  # noqa: TRY400 - the reason says all
        return self._value

    def _look(self) -> State:
        return tuple(_state_of(path) for path in self._paths)


def _state_of(path: Path) -> tuple[int, int, int]:
    try:
        found = path.stat()
    except OSError:
        return 0, 0, 0
    return found.st_mtime_ns, found.st_size, found.st_ino
