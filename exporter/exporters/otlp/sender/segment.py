"""The file format of the queue: how records are written, and how all undamaged records are found again after any damage.

A record is a header (magic, sequence number, items, length, CRC-32 of everything else) and the entry's body. A reader that meets
damage continues at the next whole record. Files written by earlier versions must stay readable.
"""

import struct
import zlib
from collections.abc import Iterator
from typing import Final, NamedTuple, Protocol

import msgspec

MAX_RECORD: Final = 4 << 20
"""Longest body, in bytes; a greater length in a header is damage."""
_MAGIC: Final = b"\xa9otl"
_HEADER: Final = struct.Struct("<4sQIII")
_CHECKED: Final = struct.Struct("<QII")
HEADER_SIZE: Final = _HEADER.size
END_OF_SEQUENCES: Final = 1 << 63
"""Sequence numbers are below this; a greater one is damage."""
_SEARCH: Final = 8
"""How many times over damaged bytes may be checked: a file made to look like many long records must not cost its size squared."""
_SEARCH_AT_LEAST: Final = 1 << 20


class Entry(Protocol):
    """What is queued and sent as one: bytes of a request's body, and the number of items (spans) in them."""

    @property
    def body(self) -> bytes:
        """The bytes."""

    @property
    def items(self) -> int:
        """The number of items."""


class QueueEntry(msgspec.Struct, gc=False):  # the cheapest there is to create, and every turn creates one
    """An :class:`Entry` that is nothing else."""

    body: bytes
    items: int


class Record(NamedTuple):
    """A queue entry in a file. Sequence numbers grow from record to record. ``end`` is the record's end in the file, in bytes."""

    sequence: int
    items: int
    body: bytes
    end: int


class Damage(NamedTuple):
    """A stretch of a file in which no whole record begins. It ends at ``end``, in bytes."""

    end: int


def encode_record(sequence: int, entry: Entry) -> bytes:
    """A record's bytes."""
    checksum = _checksum(sequence, entry.items, entry.body)
    return _HEADER.pack(_MAGIC, sequence, entry.items, len(entry.body), checksum) + entry.body


def decode_records(buffer: bytes) -> Iterator[Record | Damage]:
    """All whole records in a file's content, in order, and the damaged stretches between them.

    A file whose damage takes too long to search is damaged from there on.
    """
    at = 0
    effort = _SEARCH_AT_LEAST + _SEARCH * len(buffer)
    while at < len(buffer):
        record = _record_at(buffer, at)
        if record is None:
            at, effort = _next_record(buffer, at + 1, effort - _claimed(buffer, at))
            yield Damage(at)
        else:
            at = record.end
            yield record


def _next_record(buffer: bytes, at: int, effort: int) -> tuple[int, int]:
    """Where the next whole record begins, and how many bytes may still be checked after this search."""
    while effort > 0 and (at := buffer.find(_MAGIC, at)) >= 0:
        if _record_at(buffer, at) is not None:
            return at, effort
        effort -= HEADER_SIZE + _claimed(buffer, at)
        at += 1
    return len(buffer), effort


def _claimed(buffer: bytes, at: int) -> int:
    """The length of the body of what looks like a record; 0 if its checksum need not be computed."""
    if len(buffer) - at < HEADER_SIZE:
        return 0
    magic, sequence, items, length, _ = _HEADER.unpack_from(buffer, at)
    fits = length <= MAX_RECORD and at + HEADER_SIZE + length <= len(buffer)
    return length if magic == _MAGIC and fits and sequence < END_OF_SEQUENCES and items <= HEADER_SIZE + length else 0


def _record_at(buffer: bytes, at: int) -> Record | None:
    if len(buffer) - at < HEADER_SIZE:
        return None
    magic, sequence, items, length, checksum = _HEADER.unpack_from(buffer, at)
    end = at + HEADER_SIZE + length
    if magic != _MAGIC or length > MAX_RECORD or end > len(buffer):
        return None
    if sequence >= END_OF_SEQUENCES or items > HEADER_SIZE + length:
        return None
    body = buffer[at + HEADER_SIZE : end]
    return Record(sequence, items, body, end) if checksum == _checksum(sequence, items, body) else None


def _checksum(sequence: int, items: int, body: bytes) -> int:
    return zlib.crc32(body, zlib.crc32(_CHECKED.pack(sequence, items, len(body))))
