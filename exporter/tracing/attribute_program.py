"""The attributes of a turn's spans in one pass: by way of C where that is compiled, else by one compiled function a span."""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

import msgspec

from exporter.catalogue.genai import PROVIDER, provider_name
from exporter.compiled import AttributeWriter
from exporter.tracing.attributes import WHOLE, Keyed, Texts, comes_again, compile_attributes, json_text, time_text
from exporter.tracing.encoder import ON_SPAN, attribute, double_prefix, key_part, text_attribute
from exporter.tracing.sampling import SpanOptions

if TYPE_CHECKING:
    from exporter.compiled import attributes

WriteAll = Callable[[Any], list[bytes]]
"""Event → for each span its attributes, serialised."""


def compile_spans(spans: Sequence[list[Keyed]], event: type[msgspec.Struct], options: SpanOptions) -> WriteAll:
    """The function that writes the attributes that each of the spans gets from an event of this type."""
    return compile_to_python(spans, options) if AttributeWriter is None else compile_to_c(spans, event, options, AttributeWriter)


def compile_to_python(spans: Sequence[list[Keyed]], options: SpanOptions) -> WriteAll:
    """As :func:`compile_spans`, without C."""
    writes = [compile_attributes(keyed, options) for keyed in spans]
    return lambda e: [write(e) for write in writes]


def compile_to_c(
    spans: Sequence[list[Keyed]], event: type[msgspec.Struct], options: SpanOptions, writer: "type[attributes.AttributeWriter]"
) -> WriteAll:
    """As :func:`compile_spans`, by way of C; the event's fields must not be nested."""
    places = {name: place for place, name in enumerate(event.__struct_fields__)}
    program = [[_entry(item, places, options.attribute_length) for item in keyed] for keyed in spans]
    write, values_of = writer(program, len(places), ON_SPAN, options.attribute_length).write, msgspec.structs.astuple
    return lambda e: write(values_of(e))


def _entry(item: Keyed, places: dict[str, int], length: int) -> "attributes.Entry":
    read = tuple(places[field.path[0]] for field in (item.field, *item.aliases))
    kind = item.field.type
    if kind is float and item.field.quantity and item.field.quantity.wire_unit in WHOLE:
        return "integer", read, 1.0, key_part(item.key), b"", None
    if kind is float:
        return "double", read, item.field.divisor, double_prefix(ON_SPAN, item.key), b"", None
    if kind is bool:
        return "boolean", read, 1.0, attribute(ON_SPAN, item.key, value=True), attribute(ON_SPAN, item.key, value=False), None
    if kind is str and comes_again(item):
        change = provider_name if item.key == PROVIDER else str
        return "remembered", read, 1.0, b"", b"", Texts(ON_SPAN, item.key, length, change)
    if kind is str:
        return "text", read, 1.0, key_part(item.key), b"", None
    return "written", read, 1.0, b"", b"", _write(item, length)


def _write(item: Keyed, length: int) -> Callable[[Any], bytes]:
    """What writes a value that C leaves to us: a time, or JSON."""
    key = key_part(item.key)
    if item.field.type is datetime:
        return lambda value: text_attribute(ON_SPAN, key, time_text(value).encode())
    return lambda value: text_attribute(ON_SPAN, key, json_text(value)[:length].encode())
