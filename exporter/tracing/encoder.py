"""Spans as OTLP writes them: the protobuf bytes of ``opentelemetry.proto.trace.v1.Span``, without a protobuf library.

Messages are pieces of bytes that are put one after the other; fields stand in the order of their numbers, so that the result is byte
for byte what ``SerializeToString`` of the same message gives. Source: opentelemetry-proto, ``trace.proto`` and ``common.proto``; the
encoding is at https://protobuf.dev/programming-guides/encoding/.
"""

import struct
from collections.abc import Mapping
from typing import Final, Literal

Value = str | bool | int | float | list[str]
"""What an attribute may be. Integers are within 64 bits with sign."""

INTERNAL: Final = 1
CLIENT: Final = 3
SpanKind = Literal[1, 3]

ON_SPAN: Final = 0x4A
"""Tag of an attribute of a span."""
ON_EVENT: Final = 0x1A
"""Tag of an attribute of an event."""

ONE: Final = tuple(bytes((number,)) for number in range(128))
HEADS: Final = {tag: tuple(bytes((tag, length)) for length in range(128)) for tag in (ON_SPAN, ON_EVENT)}
"""Tag and length of an attribute, by tag and length."""
TEXT_HEADS: Final = tuple(bytes((0x12, length + 2, 0x0A, length)) for length in range(126))
"""What stands before a text value, by its length in bytes."""
DOUBLE: Final = struct.Struct("<d")
EDGES: Final = struct.Struct("<BQBQ")
_FIXED64: Final = struct.Struct("<Q")
_EVENT_HEAD: Final = struct.Struct("<BBBQ")
FLAGS: Final = b"\x85\x01\x01\x01\x00\x00"
"""The span is sampled, and it is known that its parent is not remote."""
FAILED: Final = b"\x7a\x02\x18\x02"
"""Status: error, without a message."""


def varint(number: int) -> bytes:
    """A number of at most 64 bits; a negative one as its two's complement."""
    number &= 0xFFFF_FFFF_FFFF_FFFF
    if number < 128:
        return ONE[number]
    piece = bytearray()
    while number > 127:
        piece.append(number & 127 | 128)
        number >>= 7
    piece.append(number)
    return bytes(piece)


def delimited(tag: int, content: bytes) -> bytes:
    """A field of known length: a message, text or bytes. ``tag`` is the first byte (field number and wire type 2)."""
    return ONE[tag] + varint(len(content)) + content


def key_part(key: str) -> bytes:
    """The key within an attribute."""
    return delimited(0x0A, key.encode())


def attribute(tag: int, key: str, value: Value) -> bytes:
    """An attribute, of whatever type; ``tag`` says whose it is."""
    return delimited(tag, key_part(key) + delimited(0x12, _any_value(value)))


def attributes(tag: int, values: Mapping[str, Value]) -> bytes:
    """Several attributes."""
    return b"".join(attribute(tag, key, value) for key, value in values.items())


def _any_value(value: Value) -> bytes:
    if isinstance(value, str):
        return delimited(0x0A, value.encode("utf-8", "replace"))
    if isinstance(value, bool):
        return b"\x10\x01" if value else b"\x10\x00"
    if isinstance(value, int):
        return b"\x18" + varint(value)
    if isinstance(value, float):
        return b"\x21" + DOUBLE.pack(value)
    return delimited(0x2A, b"".join(delimited(0x0A, _any_value(item)) for item in value))


def text_attribute(tag: int, key: bytes, value: bytes) -> bytes:
    """A text attribute of any length; ``key`` from :func:`key_part`, ``value`` in UTF-8."""
    return delimited(tag, key + delimited(0x12, delimited(0x0A, value)))


def double_prefix(tag: int, key: str) -> bytes:
    """What stands before the eight bytes of a double attribute."""
    return attribute(tag, key, 0.0)[:-8]


def int_prefixes(tag: int, key: str) -> tuple[bytes, ...]:
    """What stands before an integer attribute's varint, by the length of the varint."""
    return (b"", *(attribute(tag, key, 1 << 7 * length - 7)[:-length] for length in range(1, 10)))


class Varints(dict[float, bytes]):
    """Number → varint, for numbers of zero and above; remembers the small ones."""

    __slots__ = ()

    def __missing__(self, number: float) -> bytes:
        found = varint(int(number))
        if number < 4096:
            self[number] = found
        return found


def event(at: int, name: bytes, entries: bytes = b"") -> bytes:
    """An event of a span at ``at`` (unix nanoseconds); ``name`` from :func:`event_name`, ``entries`` tagged as on an event."""
    rest = name + entries
    length = len(rest) + 9
    if length < 128:
        return _EVENT_HEAD.pack(0x5A, length, 0x09, at) + rest
    return b"\x5a" + varint(length) + b"\x09" + _FIXED64.pack(at) + rest


def event_name(name: str) -> bytes:
    """The name within an event."""
    return delimited(0x12, name.encode())


def dropped_events(count: int) -> bytes:
    """How many events were left out."""
    return b"\x60" + varint(count) if count else b""


def link(trace: bytes, span: bytes) -> bytes:
    """A link to a span of another trace."""
    return delimited(0x6A, b"\x0a\x10" + trace + b"\x12\x08" + span)


def trace_part(trace: bytes) -> bytes:
    """The trace id within a span, and the tag of what follows: its own id."""
    return b"\x0a\x10" + trace + b"\x12\x08"


def parent_part(span: bytes) -> bytes:
    """The parent's id within a span."""
    return b"\x22\x08" + span


def name_part(name: str, kind: SpanKind) -> bytes:
    """Name and kind within a span."""
    return delimited(0x2A, name.encode("utf-8", "replace")) + b"\x30" + ONE[kind]


def edges_part(start: int, end: int) -> bytes:
    """Start and end within a span, unix nanoseconds."""
    return EDGES.pack(0x39, start, 0x41, end)
