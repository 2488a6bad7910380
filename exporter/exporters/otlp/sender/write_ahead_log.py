"""A queue's directory: records in segment files, a cursor that says how far they are delivered, and a lock.

Everything here blocks and is called from one thread, the queue's own. ``OSError`` is passed on: the caller decides what a full
or broken disk means.
"""

import contextlib
import errno
import fcntl
import os
import struct
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from exporter.exporters.otlp.sender.segment import HEADER_SIZE, Damage, Read, Record, Recovered, encode, records

SEGMENT_SIZE: Final = 4 << 20
"""When a segment file is closed and the next one begun, in bytes; also what is read at once."""
MAX_SEGMENT: Final = 64 << 20
"""How much of a segment file is looked at on recovery, in bytes; none that was written here comes near."""
_SUFFIX: Final = ".otlp"
_CURSOR: Final = struct.Struct("<QI")


@dataclass(slots=True)
class _Segment:
    """A file: ``end`` is the sequence number after its last record, ``read`` how many of its bytes were read.

    ``items`` counts those in records not read yet; ``checked`` means that its damage was counted when it was recovered.
    """

    path: Path
    end: int
    size: int = 0
    read: int = 0
    items: int = 0
    checked: bool = False


class DiskLog:
    """Records that outlive the process, at most ``max_size`` bytes of them. A segment file has up to ``segment_size`` and a record."""

    def __init__(self, directory: Path, max_size: int, segment_size: int = SEGMENT_SIZE) -> None:
        self._directory = directory
        self._max_size = max_size
        self._segment_size = min(segment_size, max(1, max_size // 4))
        self._lock = self._cursor = self._writer = -1
        self._segments: list[_Segment] = []
        self._reading = 0
        self._loaded: list[Record] = []
        self._delivered = 0
        self.next = 0
        """Sequence number of the next record."""

    def open(self) -> Recovered:
        """Take the directory, made if need be, and look through what it holds. Only one process can have it."""
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        try:
            self._lock = self._open("lock")
            _lock_or_raise(self._lock)
            self._cursor = self._open("delivered")
            return self._recover()
        except OSError:
            self._close_files()
            raise

    def append(self, first: int, items: Sequence[tuple[bytes, int]]) -> bool:
        """Write items numbered from ``first``, leaving out those below ``next``; returns whether all had room.

        ``next`` moves past what was written, also if this fails in the middle.
        """
        items = items[max(0, self.next - first) :]
        self.next = max(self.next, first)
        room = self._max_size - sum(segment.size for segment in self._segments)
        pending: list[bytes] = []
        size = count = 0
        for sequence, (body, number) in enumerate(items, self.next):
            room -= HEADER_SIZE + len(body)
            if room < 0:
                break
            pending.append(encode(sequence, number, body))
            size, count = size + len(pending[-1]), count + number
            if size >= self._segment_size:
                self._write(pending, count)
                pending, size, count = [], 0, 0
        if pending:
            self._write(pending, count)
        return room >= 0

    def sync(self) -> None:
        """Have what was written survive a power failure too."""
        if self._writer >= 0:
            os.fsync(self._writer)
        os.fsync(self._cursor)

    def read(self, max_items: int, max_size: int) -> Read:
        """The next records, as many as fit both limits, but at least one; none if all were read."""
        found: list[Record] = []
        lost = damaged = items = size = 0
        while True:
            while not self._loaded and not self._at_end():
                missing, places = self._load()
                lost, damaged = lost + missing, damaged + places
            if not self._loaded:
                break
            record = self._loaded[-1]
            items, size = items + record.items, size + len(record.body)
            if found and (items > max_items or size > max_size):
                break
            found.append(self._loaded.pop())
        return Read(tuple(found), lost, damaged)

    def acknowledge(self, end: int) -> None:
        """Take down that all records before ``end`` are delivered, and remove the files that hold no others."""
        self._delivered = max(self._delivered, end)
        os.pwrite(self._cursor, _CURSOR.pack(self._delivered, _cursor_checksum(self._delivered)), 0)
        while self._reading > 0 and self._segments[0].end <= self._delivered:
            self._segments[0].path.unlink(missing_ok=True)
            del self._segments[0]
            self._reading -= 1

    def close(self) -> None:
        """Give the directory up. Files that hold nothing undelivered are removed."""
        with contextlib.suppress(OSError):
            for segment in self._segments:
                if segment.end <= self._delivered:
                    segment.path.unlink(missing_ok=True)
        self._close_files()

    def _open(self, name: str, flags: int = 0) -> int:
        return os.open(self._directory / name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | flags, 0o600)

    def _close_files(self) -> None:
        for file in (self._writer, self._cursor, self._lock):
            if file >= 0:
                with contextlib.suppress(OSError):
                    os.close(file)
        self._lock = self._cursor = self._writer = -1

    def _recover(self) -> Recovered:
        stored = os.pread(self._cursor, _CURSOR.size, 0)
        delivered, checksum = _CURSOR.unpack(stored) if len(stored) == _CURSOR.size else (0, _cursor_checksum(0))
        damaged = int(checksum != _cursor_checksum(delivered) or len(stored) not in {0, _CURSOR.size})
        self._delivered = 0 if damaged else delivered
        self._segments, self._loaded, self._reading = [], [], 0
        number = items = size = 0
        for path in sorted(self._directory.glob("[0-9]*" + _SUFFIX)):
            try:
                parts = list(_parts(path, 0, MAX_SEGMENT))
            except OSError:
                damaged += 1
                continue
            found = [part for part in parts if isinstance(part, Record)]
            damaged += len(parts) - len(found)
            waiting = [record for record in found if record.sequence >= self._delivered]
            if not waiting:
                path.unlink(missing_ok=True)
                continue
            number, items = number + len(waiting), items + sum(record.items for record in waiting)
            size += sum(len(record.body) for record in waiting)
            held = sum(record.items for record in found)
            self._segments.append(_Segment(path, found[-1].sequence + 1, found[-1].end, items=held, checked=True))
        self.next = max([self._delivered, *(segment.end for segment in self._segments)])
        return Recovered(number, items, size, damaged)

    def _at_end(self) -> bool:
        last = len(self._segments) - 1
        return self._reading > last or (self._reading == last and self._segments[last].read >= self._segments[last].size)

    def _load(self) -> tuple[int, int]:
        """Read what there is of the next segment; returns items that are lost, and damaged places."""
        segment = self._segments[self._reading]
        if segment.read >= segment.size:
            self._reading += 1
            return 0, 0
        try:
            parts = list(_parts(segment.path, segment.read, segment.size - segment.read))
        except OSError:
            parts = [Damage(segment.size)]
        found = [part for part in parts if isinstance(part, Record)]
        segment.read = segment.size
        lost, segment.items = max(0, segment.items - sum(record.items for record in found)), 0
        self._loaded = [record for record in reversed(found) if record.sequence >= self._delivered]
        return lost, 0 if segment.checked else len(parts) - len(found)

    def _write(self, pending: list[bytes], items: int) -> None:
        segment = self._segment_to_write()
        at, data = segment.size, memoryview(b"".join(pending))
        try:
            while data:
                written = os.pwrite(self._writer, data, at)
                at, data = at + written, data[written:]
        except OSError:
            # What was written of it would count as damage later.
            with contextlib.suppress(OSError):
                os.ftruncate(self._writer, segment.size)
            raise
        self.next += len(pending)
        segment.end, segment.size, segment.items = self.next, at, segment.items + items

    def _segment_to_write(self) -> _Segment:
        if self._writer >= 0:
            if self._segments[-1].size < self._segment_size:
                return self._segments[-1]
            os.fsync(self._writer)
            os.close(self._writer)
            self._writer = -1
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        name = f"{self.next:020d}{_SUFFIX}"
        self._writer = self._open(name, os.O_TRUNC)
        self._segments.append(_Segment(self._directory / name, end=self.next))
        _sync_directory(self._directory)
        return self._segments[-1]


def _parts(path: Path, start: int, size: int) -> Iterator[Record | Damage]:
    with path.open("rb", buffering=0) as file:
        yield from records(os.pread(file.fileno(), size, start))


def _lock_or_raise(file: int) -> None:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise OSError(errno.EBUSY, "another process uses it") from None


def _cursor_checksum(delivered: int) -> int:
    return zlib.crc32(struct.pack("<Q", delivered))


def _sync_directory(directory: Path) -> None:
    folder = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
