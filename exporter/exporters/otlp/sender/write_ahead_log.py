"""The queue's directory: records in segment files, a cursor that says how far they are delivered, and a lock.

Everything here blocks, and is called from the queue's own thread only. ``OSError`` is passed on: the caller decides what to do
about a full or broken disk.
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
from typing import Final, NamedTuple

from exporter.exporters.otlp.sender.queue_files import create, make_private, open_shared, open_to_read
from exporter.exporters.otlp.sender.segment import (
    END_OF_SEQUENCES,
    HEADER_SIZE,
    Damage,
    Entry,
    Record,
    decode_records,
    encode_record,
)

SEGMENT_SIZE: Final = 4 << 20
"""Size at which a segment file is closed and the next one is begun, in bytes; also what is read at once."""
MAX_SEGMENT: Final = 64 << 20
"""How much of a segment file is read on recovery, in bytes. The exporter's own files are far smaller."""
_SUFFIX: Final = ".otlp"
_CURSOR_FILE: Final = "delivered"
_LOCK_FILE: Final = "lock"
_CURSOR: Final = struct.Struct("<QI")


class Recovered(NamedTuple):
    """What a directory held when it was opened: records not yet delivered, their items and bytes, and damaged places."""

    records: int
    items: int
    size: int
    damaged: int


class ReadResult(NamedTuple):
    """Records that were read, and what was lost on the way: items, and places that could not be read."""

    records: tuple[Record, ...]
    lost: int
    damaged: int


@dataclass(slots=True)
class _Segment:
    """A segment file. ``end`` is the sequence number after its last record, ``read`` the number of its bytes that were read.

    ``items`` counts the items in records not read yet. ``checked`` means that its damage was counted when it was recovered. Records
    numbered below ``begin`` are damage.
    """

    path: Path
    begin: int
    end: int
    size: int = 0
    read: int = 0
    items: int = 0
    checked: bool = False


class WriteAheadLog:
    """Records that survive the process, at most ``max_size`` bytes of them. A new segment is begun at ``segment_size`` bytes."""

    def __init__(self, directory: Path, max_size: int, segment_size: int = SEGMENT_SIZE) -> None:
        self._directory = directory
        self._max_size = max_size
        self._segment_size = min(segment_size, max(1, max_size // 4))
        self._lock = self._cursor = self._writer = -1
        self._segments: list[_Segment] = []
        self._reading = 0
        self._loaded: list[Record] = []
        self._acked = 0
        self.next_sequence = 0
        """Sequence number of the next record."""
        self.private = True
        """Whether only the owner can write to the directory."""

    def open(self) -> Recovered:
        """Lock the directory, created if it is missing, and read what it holds. Only one process can open it."""
        self.private = make_private(self._directory)
        try:
            self._lock = open_shared(self._directory / _LOCK_FILE)
            _lock_or_raise(self._lock)
            self._cursor = open_shared(self._directory / _CURSOR_FILE)
            return self._recover()
        except OSError:
            self._close_files()
            raise

    def append(self, first: int, entries: Sequence[Entry]) -> bool:
        """Write entries numbered from ``first``, without those below ``next_sequence``; returns whether all fitted.

        ``next_sequence`` moves past what was written, even if writing fails half-way.
        """
        entries = entries[max(0, self.next_sequence - first) :]
        self.next_sequence = max(self.next_sequence, first)
        room = self._max_size - sum(segment.size for segment in self._segments)
        pending: list[bytes] = []
        size = items = 0
        for sequence, entry in enumerate(entries, self.next_sequence):
            room -= HEADER_SIZE + len(entry.body)
            if room < 0:
                break
            pending.append(encode_record(sequence, entry))
            size, items = size + len(pending[-1]), items + entry.items
            if size >= self._segment_size:
                self._write(pending, items)
                pending, size, items = [], 0, 0
        if pending:
            self._write(pending, items)
        return room >= 0

    def sync(self) -> None:
        """Flush to the disk, so that what was written also survives a power failure."""
        if self._writer >= 0:
            os.fsync(self._writer)
        os.fsync(self._cursor)

    def read(self, max_items: int, max_size: int) -> ReadResult:
        """The next records within both limits, but at least one; none if all were read."""
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
        return ReadResult(tuple(found), lost, damaged)

    def ack(self, end: int) -> None:
        """Record that everything before sequence number ``end`` is delivered, and remove the files that hold nothing else."""
        self._acked = max(self._acked, end)
        # A cursor beyond the records would look like one of another directory. What was delivered from memory is in no file.
        stored = min(self._acked, self._segments[-1].end) if self._segments else self._acked
        os.pwrite(self._cursor, _CURSOR.pack(stored, _cursor_checksum(stored)), 0)
        while self._reading > 0 and self._segments[0].end <= self._acked:
            self._segments[0].path.unlink(missing_ok=True)
            del self._segments[0]
            self._reading -= 1

    def close(self) -> None:
        """Close and unlock the directory. Files that hold nothing undelivered are removed."""
        with contextlib.suppress(OSError):
            for segment in self._segments:
                if segment.end <= self._acked:
                    segment.path.unlink(missing_ok=True)
        self._close_files()

    def _close_files(self) -> None:
        for file in (self._writer, self._cursor, self._lock):
            if file >= 0:
                with contextlib.suppress(OSError):
                    os.close(file)
        self._lock = self._cursor = self._writer = -1

    def _recover(self) -> Recovered:
        paths = sorted(self._directory.glob("[0-9]*" + _SUFFIX))
        damaged = self._read_cursor(paths)
        self._segments, self._loaded, self._reading = [], [], 0
        undelivered = items = size = begin = 0
        for path in paths:
            try:
                parts = list(_in_order(_decode(path, 0, MAX_SEGMENT), begin))
            except OSError:
                damaged += 1
                continue
            found = [part for part in parts if isinstance(part, Record)]
            damaged += len(parts) - len(found)
            waiting = [record for record in found if record.sequence >= self._acked]
            if not waiting:
                path.unlink(missing_ok=True)
                continue
            undelivered, items = undelivered + len(waiting), items + sum(record.items for record in waiting)
            size += sum(len(record.body) for record in waiting)
            held, end = sum(record.items for record in found), found[-1].sequence + 1
            self._segments.append(_Segment(path, begin, end, found[-1].end, items=held, checked=True))
            begin = end
        self.next_sequence = max([self._acked, *(segment.end for segment in self._segments)])
        return Recovered(undelivered, items, size, damaged)

    def _read_cursor(self, paths: Sequence[Path]) -> int:
        """Read how far the records in these files are delivered; returns the number of damaged places, 0 or 1.

        A cursor beyond all records is not theirs. Then all are sent again, so that none is lost.
        """
        stored = os.pread(self._cursor, _CURSOR.size, 0)
        acked, checksum = _CURSOR.unpack(stored) if len(stored) == _CURSOR.size else (0, _cursor_checksum(0))
        damaged = checksum != _cursor_checksum(acked) or len(stored) not in {0, _CURSOR.size} or acked >= END_OF_SEQUENCES
        damaged = damaged or (acked > 0 and acked > _end_of_records(paths, acked))
        self._acked = 0 if damaged else acked
        return int(damaged)

    def _at_end(self) -> bool:
        last = len(self._segments) - 1
        return self._reading > last or (self._reading == last and self._segments[last].read >= self._segments[last].size)

    def _load(self) -> tuple[int, int]:
        """Read the rest of the next segment; returns the number of lost items and of damaged places."""
        segment = self._segments[self._reading]
        if segment.read >= segment.size:
            self._reading += 1
            return 0, 0
        try:
            parts = list(_in_order(_decode(segment.path, segment.read, segment.size - segment.read), segment.begin))
        except OSError:
            parts = [Damage(segment.size)]
        found = [part for part in parts if isinstance(part, Record)]
        segment.read = segment.size
        lost, segment.items = max(0, segment.items - sum(record.items for record in found)), 0
        self._loaded = [record for record in reversed(found) if record.sequence >= self._acked]
        return lost, 0 if segment.checked else len(parts) - len(found)

    def _write(self, records: list[bytes], items: int) -> None:
        segment = self._segment_to_write()
        at, data = segment.size, memoryview(b"".join(records))
        try:
            while data:
                written = os.pwrite(self._writer, data, at)
                at, data = at + written, data[written:]
        except OSError:
            # A record that was written in part would be counted as damage later.
            with contextlib.suppress(OSError):
                os.ftruncate(self._writer, segment.size)
            raise
        self.next_sequence += len(records)
        segment.end, segment.size, segment.items = self.next_sequence, at, segment.items + items

    def _segment_to_write(self) -> _Segment:
        if self._writer >= 0:
            if self._segments[-1].size < self._segment_size:
                return self._segments[-1]
            os.fsync(self._writer)
            os.close(self._writer)
            self._writer = -1
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        name = f"{self.next_sequence:020d}{_SUFFIX}"
        self._writer = create(self._directory / name)
        self._segments.append(_Segment(self._directory / name, begin=self.next_sequence, end=self.next_sequence))
        _sync_directory(self._directory)
        return self._segments[-1]


def _decode(path: Path, start: int, size: int) -> Iterator[Record | Damage]:
    file = open_to_read(path)
    try:
        content = os.pread(file, size, start)
        rest = os.fstat(file).st_size - start - len(content)
    finally:
        os.close(file)
    yield from decode_records(content)
    if size == MAX_SEGMENT and rest > 0:
        yield Damage(len(content) + rest)


def _in_order(parts: Iterator[Record | Damage], begin: int) -> Iterator[Record | Damage]:
    """The parts, but a record whose number is not greater than all before it, nor at least ``begin``, is damage."""
    for part in parts:
        if isinstance(part, Record):
            if part.sequence < begin:
                yield Damage(part.end)
                continue
            begin = part.sequence + 1
        yield part


def _end_of_records(paths: Sequence[Path], otherwise: int) -> int:
    """The number after the last record in these files; ``otherwise`` if they have none."""
    for path in reversed(paths):
        with contextlib.suppress(OSError):
            numbers = [part.sequence for part in _decode(path, 0, MAX_SEGMENT) if isinstance(part, Record)]
            if numbers:
                return max(numbers) + 1
    return otherwise


def _lock_or_raise(file: int) -> None:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise OSError(errno.EBUSY, "another process uses it") from None


def _cursor_checksum(acked: int) -> int:
    return zlib.crc32(struct.pack("<Q", acked))


def _sync_directory(directory: Path) -> None:
    folder = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
