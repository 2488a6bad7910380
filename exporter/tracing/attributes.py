"""The catalogue's declarations → functions that write an event's span attributes, compiled at start.

A function is generated Python with a few lines a field; the tests hold it equal to a slow reference. Milliseconds become seconds,
counts integers, date-times RFC 3339 text, and JSON text. An absent field becomes nothing.
"""

import re
import struct
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import msgspec

from exporter.catalogue.declarations import BecomesLabel, SpanAttribute, SpanEvent, SpanName
from exporter.catalogue.genai import PROVIDER, attribute_key, provider_name
from exporter.catalogue.generated_code import run_generated
from exporter.catalogue.inspect import EventSpec, FieldSpec
from exporter.metrics.phone_numbers import mask_numbers
from exporter.protobuf import (
    TEXT_VALUE_HEADS,
    VarintCache,
    attribute,
    attribute_heads,
    double_prefix,
    encoded_key,
    integer_prefixes,
    text_attribute,
)
from exporter.tracing.encoder import EVENT_HEAD, EVENT_TAG, EVENT_TIME_TAG, ON_EVENT, ON_SPAN, event, event_name
from exporter.tracing.flags_attribute import FlagsAttributeCache
from exporter.tracing.sampling import SpanOptions

Write = Callable[[msgspec.Struct], bytes]
"""Takes an event; returns its attributes, serialised."""
WriteEvent = Callable[[msgspec.Struct, int], bytes]
"""Takes an event and when it happened (unix nanoseconds); returns it as an event of a span, serialised."""

WHOLE: Final = frozenset({"tokens", "characters", "count", "ordinal"})
"""Wire units whose values are whole numbers."""
FLAGS: Final = dict[str, bool]
"""The type of a field with names that have a flag each."""
_MAX_CACHED: Final = 256
_LONGEST_CACHED: Final = 128
_TOOL: Final = "gen_ai.tool.name"
_FEW: Final = ("_label", "reason", "_state")
"""Ends of the names of fields that are no labels, but have few values as labels have."""
_VARINTS: Final = VarintCache()


@dataclass(frozen=True, slots=True)
class AttributeField:
    """A field, and the key of the attribute it becomes. Where the field is absent, its aliases are read.

    ``zero_is_absent`` and ``as_flag`` are as in :class:`exporter.catalogue.declarations.SpanAttribute`.
    """

    field: FieldSpec
    key: str
    zero_is_absent: bool = False
    as_flag: bool = False


class TextAttributeCache(dict[str, bytes]):
    """Text → the serialised attribute with that value, for texts that repeat. ``convert`` changes the text before it is written.

    Holds up to 256 texts of up to 128 characters; when it is full it starts anew.
    """

    __slots__ = ("_convert", "_field", "_key", "_length")

    def __init__(self, field: int, key: str, length: int, convert: Callable[[str], str] = str) -> None:
        super().__init__()
        self._field = field
        self._key = key
        self._length = length
        self._convert = convert

    def __missing__(self, text: str) -> bytes:
        found = attribute(self._field, self._key, self._convert(text)[: self._length])
        if len(text) <= _LONGEST_CACHED:
            if len(self) >= _MAX_CACHED:
                self.clear()
            self[text] = found
        return found


def span_attributes(event_spec: EventSpec, span: SpanName, options: SpanOptions, without: Collection[str] = ()) -> list[AttributeField]:
    """The event's fields that are attributes of ``span``, without the keys in ``without``."""
    return list(attributes_of(event_spec.fields, span, options, without))


def attributes_of(
    fields: Iterable[FieldSpec], span: SpanName, options: SpanOptions, without: Collection[str] = ()
) -> Iterator[AttributeField]:
    """Those of ``fields`` that are attributes of ``span``; personal ones only if the options say so."""
    for field in fields:
        for item in field.declarations:
            if isinstance(item, SpanAttribute) and item.span == span and (options.capture or not item.personal):
                key = attribute_key(item.name, proposals=options.proposals)
                if key not in without:
                    yield AttributeField(field, key, item.zero_is_absent, item.as_flag)


def event_attributes(event_spec: EventSpec, span: SpanName, options: SpanOptions) -> list[AttributeField]:
    """The event's fields that are attributes of the span event on ``span``; its ``timestamp`` is the time of the span event."""
    return [
        AttributeField(field, event_key(event_spec.name, field.name))
        for field in event_spec.fields
        for item in field.declarations
        if isinstance(item, SpanEvent) and item.span == span and field.name != "timestamp" and (options.capture or not item.personal)
    ]


def event_key(event_type: str, field: str) -> str:
    """The key of a span event's attribute, for example ``agentstack.user.backchannel.detection_delay``."""
    name = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", event_type).lower()
    return f"agentstack.{name}.{re.sub(r'_(ms|s)$', '', field)}"


def is_span_event(event_spec: EventSpec, span: SpanName) -> bool:
    """Whether the event becomes a span event on ``span``."""
    return any(isinstance(item, SpanEvent) and item.span == span for field in event_spec.fields for item in field.declarations)


def compile_attributes(fields: list[AttributeField], options: SpanOptions, on: int = ON_SPAN) -> Write:
    """Compile the function that writes these attributes in field ``on`` of the message they belong to."""
    source = _Source(on, options)
    for item in fields:
        source.add(item)
    text = "\n".join(["def write(e):", "    out = []", *source.lines, "    return b''.join(out)"])
    names = ", ".join(item.key for item in fields)
    run_generated(text, source.constants, f"attributes {names[:80]}")
    write: Write = source.constants["write"]
    return write


def compile_event(event_spec: EventSpec, span: SpanName, options: SpanOptions) -> WriteEvent:
    """Compile the function that writes the event as a span event on ``span``."""
    fields = event_attributes(event_spec, span, options)
    name = event_name(event_spec.name)
    if not fields:
        return lambda _, at: event(at, name)
    source = _Source(ON_EVENT, options)
    for item in fields:
        source.add(item)
    lines = ["def write(e, at):", "    out = [NAME]", *source.lines, "    rest = b''.join(out)", "    n = len(rest)"]
    lines.append(f"    return HEAD({EVENT_TAG}, n + 9, {EVENT_TIME_TAG}, at) + rest if n < 119 else event(at, rest)")
    constants = source.constants | {"NAME": name, "HEAD": EVENT_HEAD.pack, "event": event}
    run_generated("\n".join(lines), constants, f"event {event_spec.name}")
    write: WriteEvent = constants["write"]
    return write


class _Source:
    """The lines of a generated function, and the constants they use."""

    def __init__(self, on: int, options: SpanOptions) -> None:
        self._on = on
        self._options = options
        self._length = length = options.attribute_length
        self.lines: list[str] = []
        self.constants: dict[str, Any] = {
            "HEADS": attribute_heads(on),
            "TEXT_VALUE_HEADS": TEXT_VALUE_HEADS,
            "VARINTS": _VARINTS,
            "long_text": lambda key, value: text_attribute(on, key, value),
            "json_text": lambda value: json_text(json_value(value, options))[:length].encode(),
            "time_text": lambda value: time_text(value).encode(),
        }

    def add(self, item: AttributeField) -> None:
        """Add the lines that write a field, if it is present."""
        self._line(1, f"v = {item.field.expression}")
        for alias in item.field.aliases:
            self._line(1, "if v is None:")
            self._line(2, f"v = {alias.expression}")
        self._line(1, "if v:" if item.zero_is_absent else "if v is not None:")
        kind = item.field.type
        if item.as_flag:
            self._line(2, f"out.append({self._constant(attribute(self._on, item.key, value=True))})")
        elif kind is float:
            self._number(item)
        elif kind is bool:
            yes, no = (self._constant(attribute(self._on, item.key, value)) for value in (True, False))
            self._line(2, f"out.append({yes} if v else {no})")
        elif kind is str and repeats(item):
            self._line(2, f"out.append({self._constant(text_cache(item, self._options, self._on))}[v])")
        elif kind == FLAGS:
            self._line(2, f"out.append({self._constant(flags_cache(item, self._options, self._on))}(v))")
        else:
            self._text(item, kind)

    def _number(self, item: AttributeField) -> None:
        if item.field.quantity and item.field.quantity.wire_unit in WHOLE:
            prefixes = self._constant(integer_prefixes(self._on, item.key))
            self._line(2, "v = VARINTS[v]")
            self._line(2, f"out.append({prefixes}[len(v)])")
            self._line(2, "out.append(v)")
        else:
            prefix = double_prefix(self._on, item.key)
            pack = self._constant(struct.Struct(f"<{len(prefix)}sd").pack)
            value = "v" if item.field.divisor == 1.0 else f"v / {item.field.divisor}"
            self._line(2, f"out.append({pack}({self._constant(prefix)}, {value}))")

    def _text(self, item: AttributeField, kind: object) -> None:
        part = encoded_key(item.key)
        key = self._constant(part)
        before = len(part) + 4
        if kind is str:
            self._line(2, f"b = v.encode() if len(v) <= {self._length} else v[:{self._length}].encode()")
        else:
            self._line(2, f"b = {'time_text' if kind is datetime else 'json_text'}(v)")
        self._line(2, "n = len(b)")
        self._line(2, f"if n < {128 - before}:")
        self._line(3, f"out += (HEADS[n + {before}], {key}, TEXT_VALUE_HEADS[n], b)")
        self._line(2, "else:")
        self._line(3, f"out.append(long_text({key}, b))")

    def _line(self, depth: int, text: str) -> None:
        self.lines.append("    " * depth + text)

    def _constant(self, value: object) -> str:
        name = f"c{len(self.constants)}"
        self.constants[name] = value
        return name


def text_cache(item: AttributeField, options: SpanOptions, on: int = ON_SPAN) -> TextAttributeCache:
    """The cache of a text attribute that repeats; a provider gets the name that the GenAI conventions have for it."""
    convert = label_text(options)
    if item.key != PROVIDER:
        return TextAttributeCache(on, item.key, options.attribute_length, convert)
    component = item.field.name.removesuffix("_provider")
    return TextAttributeCache(on, item.key, options.attribute_length, lambda text: convert(provider_name(text, component)))


def flags_cache(item: AttributeField, options: SpanOptions, on: int = ON_SPAN) -> FlagsAttributeCache:
    """The cache of an attribute with names that have a flag each."""
    return FlagsAttributeCache(on, item.key, lambda flags: json_text(json_value(flags, options))[: options.attribute_length])


def label_text(options: SpanOptions) -> Callable[[str], str]:
    """How a text that is a label of metrics is written: phone numbers are masked as in the label, unless personal data is captured."""
    return str if options.capture else _masked


def masked(text: str) -> str:
    """The text with phone numbers masked, as in the label of a model."""
    return mask_numbers(text, "model")


def json_value(value: object, options: SpanOptions) -> object:
    """A structured value with its texts and its keys, which name models and providers, as :func:`label_text` writes them."""
    return value if options.capture else _masked_texts(msgspec.to_builtins(value))


def _masked(text: str) -> str:
    return mask_numbers(text, "model")


def _masked_texts(value: object) -> object:
    if isinstance(value, str):
        return _masked(value)
    if isinstance(value, dict):
        return {_masked_texts(key): _masked_texts(item) for key, item in value.items()}
    return [_masked_texts(item) for item in value] if isinstance(value, list | tuple) else value


def repeats(item: AttributeField) -> bool:
    """Whether the field has few different values: it is a label, or names one of a few configured things."""
    return (
        item.key == _TOOL or item.field.name.endswith(_FEW) or any(isinstance(found, BecomesLabel) for found in item.field.declarations)
    )


def json_text(value: object) -> str:
    """A text as it is, any other value as JSON."""
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def time_text(value: datetime) -> str:
    """A time as RFC 3339 text."""
    return value.isoformat().replace("+00:00", "Z")
