"""Protocol buffers' wire format, as far as OTLP's messages need it.

Fields whose size is fixed are written with :mod:`struct` where they belong; here are the parts of varying length.
Source: "Protocol Buffers: Encoding"; opentelemetry-proto, ``common/v1/common.proto``.
"""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from struct import pack
from typing import Final

Scalar = str | bool | int | float
AttributeValue = Scalar | Sequence[str] | Sequence[bool] | Sequence[int] | Sequence[float]
"""What an OpenTelemetry attribute may hold."""

_LENGTH_DELIMITED: Final = 2
_INT64: Final = 1 << 64


@lru_cache(maxsize=8192)
def varint(number: int) -> bytes:
    """A whole number, not negative, of as few bytes as it needs; remembered, because lengths and counts come again and again."""
    parts = bytearray()
    while number >= 0x80:
        parts.append(number & 0x7F | 0x80)
        number >>= 7
    parts.append(number)
    return bytes(parts)


def zigzag(number: int) -> bytes:
    """A ``sint32``: small numbers of either sign are short."""
    return varint(number << 1 if number >= 0 else (-number << 1) - 1)


def delimited(field: int, payload: bytes) -> bytes:
    """Field number ``field`` with a string, bytes, packed numbers or a message in it."""
    return varint(field << 3 | _LENGTH_DELIMITED) + varint(len(payload)) + payload


def framed(field: int, parts: Sequence[bytes]) -> list[bytes]:
    """As :func:`delimited` of the joined ``parts``, without joining them: for what is long."""
    return [varint(field << 3 | _LENGTH_DELIMITED) + varint(sum(map(len, parts))), *parts]


def utf8(field: int, text: str) -> bytes:
    """A string field; a lone surrogate, which UTF-8 cannot hold, becomes ``?``."""
    return delimited(field, text.encode("utf-8", "replace"))


def attributes(field: int, values: Mapping[str, AttributeValue]) -> bytes:
    """A repeated ``KeyValue`` field; whole numbers outside 64 bits are written as text."""
    return b"".join(delimited(field, utf8(1, name) + delimited(2, _any_value(value))) for name, value in values.items())


def _any_value(value: AttributeValue) -> bytes:
    # bool is tested before int, because it is one; str before Sequence for the same reason.
    if isinstance(value, str):
        return utf8(1, value)
    if isinstance(value, bool):
        return b"\x10\x01" if value else b"\x10\x00"
    if isinstance(value, int):
        return b"\x18" + varint(value % _INT64) if -_INT64 // 2 <= value < _INT64 // 2 else utf8(1, str(value))
    if isinstance(value, float):
        return pack("<Bd", 0x21, value)
    return delimited(5, b"".join(delimited(1, _any_value(item)) for item in value))
