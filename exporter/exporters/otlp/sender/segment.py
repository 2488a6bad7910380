"""Records in a file: how they are written, and how all that are whole are found again after any damage.

A record is a header (magic, sequence number, items, length, CRC-32 of all else) and the item. A reader that meets damage goes on at
the next place where a whole record stands.
"""

import struct
import zlib
from collections.abc import Iterator
from typing import Final, NamedTuple

MAX_RECORD: Final = 4 << 20
"""Largest item, in bytes; a length beyond it is damage."""
_MAGIC: Final = b"\xa9otl"
_HEADER: Final = struct.Struct("<4sQIII")
_CHECKED: Final = struct.Struct("<QII")
HEADER_SIZE: Final = _HEADER.size


class Record(NamedTuple):
    """An item as it was queued; sequence numbers grow from record to record. ``end`` is where in the file the record ends."""

    sequence: int
    items: int
    body: bytes
    end: int


class Damage(NamedTuple):
    """A stretch in which no whole record begins; it ends at ``end``."""

    end: int


class Recovered(NamedTuple):
    """What a directory held when it was opened: records not yet delivered, what they count as, their bytes, and damaged places."""

    records: int
    items: int
    size: int
    damaged: int


class Read(NamedTuple):
    """Records read, and what was found lost on the way: items, and places that could not be read."""

    records: tuple[Record, ...]
    lost: int
    damaged: int


def encode(sequence: int, items: int, body: bytes) -> bytes:
    """A record's bytes."""
    return _HEADER.pack(_MAGIC, sequence, items, len(body), _checksum(sequence, items, body)) + body


def records(buffer: bytes) -> Iterator[Record | Damage]:
    """All whole records of a file's content, in order, and the stretches between them that are not whole."""
    at = 0
    while at < len(buffer):
        record = _record_at(buffer, at)
        if record is None:
            at = _next_record(buffer, at + 1)
            yield Damage(at)
        else:
            at = record.end
            yield record


def _next_record(buffer: bytes, at: int) -> int:
    while (at := buffer.find(_MAGIC, at)) >= 0:
        if _record_at(buffer, at) is not None:
            return at
        at += 1
    return len(buffer)


def _record_at(buffer: bytes, at: int) -> Record | None:
    if len(buffer) - at < HEADER_SIZE:
        return None
    magic, sequence, items, length, checksum = _HEADER.unpack_from(buffer, at)
    end = at + HEADER_SIZE + length
    if magic != _MAGIC or length > MAX_RECORD or end > len(buffer):
        return None
    body = buffer[at + HEADER_SIZE : end]
    return Record(sequence, items, body, end) if checksum == _checksum(sequence, items, body) else None


def _checksum(sequence: int, items: int, body: bytes) -> int:
    return zlib.crc32(body, zlib.crc32(_CHECKED.pack(sequence, items, len(body))))
