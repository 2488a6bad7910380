"""The fields of an OTLP span, as bytes.

A span is written without a message object: its fields are joined in the order of their numbers, so that the result equals, byte for
byte, what the protobuf library's ``SerializeToString`` gives. A function named ``…_part`` returns one or more fields of a span.
Source: opentelemetry-proto, ``trace/v1/trace.proto``; the field numbers stand beside the tags.
"""

import struct
from collections.abc import Callable
from typing import Final, Literal

from exporter.protobuf import delimited, utf8, varint

SpanKind = Literal[1, 3]
INTERNAL: Final = 1
CLIENT: Final = 3

ON_SPAN: Final = 9
"""The field of a ``Span`` that holds its attributes."""
ON_EVENT: Final = 3
"""The field of an ``Event`` that holds its attributes."""

START_END: Final = struct.Struct("<BQBQ")
"""Packs ``0x39, start, 0x41, end``: start_time_unix_nano = 7, end_time_unix_nano = 8."""
FLAGS: Final = b"\x85\x01\x01\x01\x00\x00"
"""flags = 16: the span is sampled, and its parent is known not to be remote."""
FAILED: Final = b"\x7a\x02\x18\x02"
"""status = 15: the code for an error, without a message."""
_MAX_CACHED: Final = 256
_LONGEST_SUBJECT: Final = 128
_TIME: Final = struct.Struct("<Q")
EVENT_TAG: Final = 0x5A
"""events = 11"""
EVENT_TIME_TAG: Final = 0x09
"""time_unix_nano = 1, within an event"""
EVENT_HEAD: Final = struct.Struct("<BBBQ")
"""Packs ``EVENT_TAG, length, EVENT_TIME_TAG, time`` of an event that is shorter than 128 bytes; its name and attributes follow."""


def event(at: int, name: bytes, attributes: bytes = b"") -> bytes:
    """An event of a span at ``at`` (unix nanoseconds); ``name`` from :func:`event_name`, ``attributes`` in field ``ON_EVENT``."""
    rest = name + attributes
    length = len(rest) + 9
    if length < 128:
        return EVENT_HEAD.pack(EVENT_TAG, length, EVENT_TIME_TAG, at) + rest
    return bytes((EVENT_TAG,)) + varint(length) + bytes((EVENT_TIME_TAG,)) + _TIME.pack(at) + rest


def event_name(name: str) -> bytes:
    """The name within an event."""
    return utf8(2, name)


def dropped_events_part(count: int) -> bytes:
    """How many events of a span were dropped; nothing for 0."""
    return b"\x60" + varint(count) if count else b""  # dropped_events_count = 12


def link_part(trace: bytes, span: bytes) -> bytes:
    """A link to the span ``span`` (8 bytes) of another trace (16 bytes)."""
    return delimited(13, delimited(1, trace) + delimited(2, span))


def trace_part(trace: bytes) -> bytes:
    """The trace id (16 bytes), and the tag and length of the span id: the 8 bytes of the id come next."""
    return delimited(1, trace) + b"\x12\x08"  # span_id = 2


def parent_part(span: bytes) -> bytes:
    """The parent's span id (8 bytes)."""
    return b"\x22\x08" + span  # parent_span_id = 4


def name_part(name: str, kind: SpanKind) -> bytes:
    """Name and kind of a span."""
    return utf8(5, name) + b"\x30" + varint(kind)  # kind = 6


def start_end_part(start: int, end: int) -> bytes:
    """Start and end of a span, unix nanoseconds."""
    return START_END.pack(0x39, start, 0x41, end)


class SpanNameCache(dict[str | None, bytes]):
    """Model, tool or agent → the span's serialised name ``operation model`` and kind. ``None`` gives the operation alone.

    ``convert`` changes the subject before it is written. Holds up to 256 entries; when it is full it starts anew.
    """

    __slots__ = ("_convert", "_kind", "_operation")

    def __init__(self, operation: str, kind: SpanKind, convert: Callable[[str], str] = str) -> None:
        super().__init__()
        self._convert = convert
        self._operation = operation
        self._kind: SpanKind = kind

    def __missing__(self, subject: str | None) -> bytes:
        found = name_part(f"{self._operation} {self._convert(subject)[:_LONGEST_SUBJECT]}" if subject else self._operation, self._kind)
        if len(self) >= _MAX_CACHED:
            self.clear()
        if subject is None or len(subject) <= _LONGEST_SUBJECT:
            self[subject] = found
        return found
