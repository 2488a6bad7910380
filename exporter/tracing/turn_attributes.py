"""The attributes of all spans of a turn, written in one pass over its turn.metrics: in C where that is compiled, else in Python."""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, Literal, NamedTuple

import msgspec

from exporter.protobuf import attribute, double_prefix, encoded_key, text_attribute
from exporter.tracing.attributes import (
    FLAGS,
    WHOLE,
    AttributeField,
    compile_attributes,
    flags_cache,
    json_text,
    json_value,
    repeats,
    text_cache,
    time_text,
)
from exporter.tracing.encoder import ON_SPAN
from exporter.tracing.sampling import SpanOptions

WriteAll = Callable[[msgspec.Struct], list[bytes]]
"""Takes an event; returns the attributes of each span, serialised."""
Kind = Literal["double", "integer", "nonzero", "boolean", "text", "cached", "written"]


class AttributeEntry(NamedTuple):
    """How the compiled writer writes one attribute.

    ``places``: the indices of the field and its aliases among the event's fields. ``divisor``: what a double is divided by. ``head``:
    the bytes before a double's value; the key of an integer or text; the whole attribute of a boolean that is true. ``false``: that of
    a boolean that is false. A ``nonzero`` is an integer that is left out if it is 0. ``write``: the cache of a ``cached`` text, or the
    function that writes a ``written`` value.
    """

    kind: Kind
    places: tuple[int, ...]
    divisor: float = 1.0
    head: bytes = b""
    false: bytes = b""
    write: dict[str, bytes] | Callable[[Any], bytes] | None = None


def python_writer(spans: Sequence[list[AttributeField]], options: SpanOptions) -> WriteAll:
    """The function that writes the attributes that each of the spans gets from an event: one generated function a span."""
    writers = [compile_attributes(fields, options) for fields in spans]
    return lambda event: [write(event) for write in writers]


def attribute_entries(spans: Sequence[list[AttributeField]], fields: Sequence[str], options: SpanOptions) -> list[list[AttributeEntry]]:
    """The same for the compiled writer. ``fields`` are those of the event, which must not be nested."""
    places = {name: place for place, name in enumerate(fields)}
    return [[_entry(item, places, options) for item in items] for items in spans]


def _entry(item: AttributeField, places: dict[str, int], options: SpanOptions) -> AttributeEntry:
    read = tuple(places[field.path[0]] for field in (item.field, *item.field.aliases))
    kind = item.field.type
    if item.as_flag:
        present = attribute(ON_SPAN, item.key, value=True)
        return AttributeEntry("boolean", read, head=present, false=present)
    if kind is float and item.field.quantity and item.field.quantity.wire_unit in WHOLE:
        return AttributeEntry("nonzero" if item.zero_is_absent else "integer", read, head=encoded_key(item.key))
    if kind is float:
        return AttributeEntry("double", read, item.field.divisor, double_prefix(ON_SPAN, item.key))
    if kind is bool:
        true, false = (attribute(ON_SPAN, item.key, value) for value in (True, False))
        return AttributeEntry("boolean", read, head=true, false=false)
    if kind is str and repeats(item):
        return AttributeEntry("cached", read, write=text_cache(item, options))
    if kind is str:
        return AttributeEntry("text", read, head=encoded_key(item.key))
    return AttributeEntry("written", read, write=_written(item, options))


def _written(item: AttributeField, options: SpanOptions) -> Callable[[Any], bytes]:
    """The function that writes a value that the C code does not: a time, or JSON."""
    key, length = encoded_key(item.key), options.attribute_length
    if item.field.type == FLAGS:
        return flags_cache(item, options)
    if item.field.type is datetime:
        return lambda value: text_attribute(ON_SPAN, key, time_text(value).encode())
    return lambda value: text_attribute(ON_SPAN, key, json_text(json_value(value, options))[:length].encode())
