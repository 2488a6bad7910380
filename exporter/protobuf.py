"""The one writer of protobuf bytes: varints, fields of varying length, and OTLP's attributes.

Every function takes *field numbers*, as they stand in the ``.proto`` files; the tag is worked out here. Only two places write tags
themselves: fields of fixed size that are packed by :mod:`struct`, and :mod:`exporter.compiled`. Both name the field beside the tag.
Source: https://protobuf.dev/programming-guides/encoding/; opentelemetry-proto, ``common/v1/common.proto``.
"""

from collections.abc import Mapping, Sequence
from functools import cache, lru_cache
from struct import pack
from typing import Final

Scalar = str | bool | int | float
AttributeValue = Scalar | Sequence[str] | Sequence[bool] | Sequence[int] | Sequence[float]
"""What an OpenTelemetry attribute may hold."""

_LENGTH_DELIMITED: Final = 2
_INT64: Final = 1 << 64
_SMALL_INTEGER: Final = 4096


@lru_cache(maxsize=8192)
def varint(number: int) -> bytes:
    """Encode a whole number of zero or above. Results are cached, because lengths and counts repeat."""
    encoded = bytearray()
    while number >= 0x80:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)


_TAGS: Final = tuple(varint(field << 3 | _LENGTH_DELIMITED) for field in range(32))
"""Tag of a length-delimited field, by field number."""


class VarintCache(dict[float, bytes]):
    """Whole number, also as a float → its varint. Small numbers are kept; a number beyond 64 bits loses its upper bits."""

    __slots__ = ()

    def __missing__(self, number: float) -> bytes:
        encoded = varint(int(number) % _INT64)
        if number < _SMALL_INTEGER:
            self[number] = encoded
        return encoded


def zigzag(number: int) -> bytes:
    """Encode a ``sint32``: small numbers of either sign are short."""
    return varint(number << 1 if number >= 0 else (-number << 1) - 1)


def delimited(field: int, payload: bytes) -> bytes:
    """A field that holds a string, bytes, packed numbers or a message. ``field`` is its number, below 32."""
    return _TAGS[field] + varint(len(payload)) + payload


def delimited_head(field: int, length: int) -> bytes:
    """Tag and length of a field whose ``length`` bytes are written elsewhere."""
    return _TAGS[field] + varint(length)


def delimited_parts(field: int, parts: Sequence[bytes]) -> list[bytes]:
    """As :func:`delimited` of the joined ``parts``, but does not copy them: for large messages."""
    return [delimited_head(field, sum(map(len, parts))), *parts]


def utf8(field: int, text: str) -> bytes:
    """A string field. A lone surrogate, which UTF-8 cannot hold, becomes ``?``."""
    return delimited(field, text.encode("utf-8", "replace"))


def attribute(field: int, key: str, value: AttributeValue) -> bytes:
    """A ``KeyValue`` message in field ``field``. A whole number outside 64 bits is written as text."""
    return delimited(field, encoded_key(key) + delimited(2, _any_value(value)))


def attributes(field: int, values: Mapping[str, AttributeValue]) -> bytes:
    """A repeated ``KeyValue`` field."""
    return b"".join(attribute(field, key, value) for key, value in values.items())


def encoded_key(key: str) -> bytes:
    """The ``key`` field of a ``KeyValue``."""
    return utf8(1, key)


def text_attribute(field: int, key: bytes, text: bytes) -> bytes:
    """A text attribute; ``key`` comes from :func:`encoded_key`, ``text`` is UTF-8."""
    return delimited(field, key + delimited(2, delimited(1, text)))


@cache
def attribute_heads(field: int) -> tuple[bytes, ...]:
    """Tag and length of an attribute in field ``field``, by its length in bytes (below 128)."""
    return tuple(delimited_head(field, length) for length in range(128))


TEXT_VALUE_HEADS: Final = tuple(delimited(2, delimited(1, b"\0" * length))[:4] for length in range(126))
"""Bytes before the text of a text attribute's value, by the text's length in bytes (below 126)."""


def double_prefix(field: int, key: str) -> bytes:
    """Bytes before the eight bytes of a double attribute's value."""
    return attribute(field, key, 0.0)[:-8]


def integer_prefixes(field: int, key: str) -> tuple[bytes, ...]:
    """Bytes before an integer attribute's varint, by the length of the varint (1 to 9; 0 is not used)."""
    return (b"", *(attribute(field, key, 1 << 7 * length - 7)[:-length] for length in range(1, 10)))


def _any_value(value: AttributeValue) -> bytes:
    # bool is tested before int, because it is one; str before Sequence for the same reason.
    if isinstance(value, str):
        return utf8(1, value)  # string_value = 1
    if isinstance(value, bool):
        return b"\x10\x01" if value else b"\x10\x00"  # bool_value = 2
    if isinstance(value, int):
        return b"\x18" + varint(value % _INT64) if -_INT64 // 2 <= value < _INT64 // 2 else utf8(1, str(value))  # int_value = 3
    if isinstance(value, float):
        return pack("<Bd", 0x21, value)  # double_value = 4
    return delimited(5, b"".join(delimited(1, _any_value(item)) for item in value))  # array_value = 5, of values = 1
