"""Declarations → functions that write an event's span attributes: straight code per field, compiled at start.

What a function does is spelt out, slowly and obviously, by a reference in the tests, which proves the two equal. Times in
milliseconds become seconds, counts become integers, date-times RFC 3339 text, JSON a text. Absent fields become nothing.
"""

import re
import struct
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import msgspec

from exporter.catalogue.genai import PROVIDER, attribute_key, provider_name
from exporter.catalogue.inspect import EventSpec, FieldSpec
from exporter.catalogue.model import BecomesLabel, SpanAttribute, SpanEvent, SpanName
from exporter.tracing.encoder import (
    HEADS,
    ON_EVENT,
    ON_SPAN,
    TEXT_HEADS,
    Varints,
    attribute,
    double_prefix,
    event,
    event_name,
    int_prefixes,
    key_part,
    text_attribute,
)
from exporter.tracing.sampling import SpanOptions

Write = Callable[[Any], bytes]
"""Event → its attributes, serialised."""
WriteEvent = Callable[[Any, int], bytes]
"""Event and when it was (unix nanoseconds) → an event of a span, serialised."""

WHOLE: Final = frozenset({"tokens", "characters", "count", "ordinal"})
"""Units on the wire that make whole numbers."""
_MOST_REMEMBERED: Final = 256
_LONGEST_REMEMBERED: Final = 128
_VARINTS: Final = Varints()


@dataclass(frozen=True, slots=True)
class Keyed:
    """A field and the key of the attribute it becomes. ``aliases`` are the field's earlier names."""

    field: FieldSpec
    key: str
    aliases: tuple[FieldSpec, ...] = ()


class Texts(dict[str, bytes]):
    """Text → the attribute that has it as value, for texts that come again and again."""

    __slots__ = ("_change", "_key", "_length", "_tag")

    def __init__(self, tag: int, key: str, length: int, change: Callable[[str], str] = str) -> None:
        super().__init__()
        self._tag = tag
        self._key = key
        self._length = length
        self._change = change

    def __missing__(self, text: str) -> bytes:
        found = attribute(self._tag, self._key, self._change(text)[: self._length])
        if len(text) <= _LONGEST_REMEMBERED:
            if len(self) >= _MOST_REMEMBERED:
                self.clear()
            self[text] = found
        return found


def span_attributes(event_spec: EventSpec, span: SpanName, options: SpanOptions, without: Collection[str] = ()) -> list[Keyed]:
    """What the event declares to be attributes of ``span``, less the keys ``without``."""
    return list(attributes_of(event_spec.fields, span, options, without))


def attributes_of(fields: Iterable[FieldSpec], span: SpanName, options: SpanOptions, without: Collection[str] = ()) -> Iterator[Keyed]:
    """What the fields declare to be attributes of ``span``; personal ones only if they are to be captured."""
    fields = tuple(fields)
    for field in fields:
        for item in field.declarations:
            if isinstance(item, SpanAttribute) and item.span == span and (options.capture or not item.personal):
                key = attribute_key(item.name, proposals=options.proposals)
                if key not in without:
                    yield Keyed(field, key, tuple(other for other in fields if other.alias_of == field.name))


def event_attributes(event_spec: EventSpec, span: SpanName, options: SpanOptions) -> list[Keyed]:
    """What the event declares to be told with an event on ``span``; its own time is the event's time."""
    return [
        Keyed(field, event_key(event_spec.name, field.name))
        for field in event_spec.fields
        for item in field.declarations
        if isinstance(item, SpanEvent) and item.span == span and field.name != "timestamp" and (options.capture or not item.personal)
    ]


def event_key(event_type: str, field: str) -> str:
    """The key of an attribute of a span event: ``agentstack.user.backchannel.detection_delay``."""
    name = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", event_type).lower()
    return f"agentstack.{name}.{re.sub(r'_(ms|s)$', '', field)}"


def is_span_event(event_spec: EventSpec, span: SpanName) -> bool:
    """Whether the event is an event on ``span``."""
    return any(isinstance(item, SpanEvent) and item.span == span for field in event_spec.fields for item in field.declarations)


def compile_attributes(keyed: list[Keyed], options: SpanOptions, tag: int = ON_SPAN) -> Write:
    """The function that writes these attributes."""
    writer = _Writer(tag, options.attribute_length)
    for item in keyed:
        writer.field(item)
    source = "\n".join(["def write(e):", "    out = []", *writer.lines, "    return b''.join(out)"])
    names = ", ".join(item.key for item in keyed)
    exec(compile(source, f"<attributes {names[:80]}>", "exec"), writer.constants)  # noqa: S102 - written from our own declarations
    write: Write = writer.constants["write"]
    return write


def compile_event(event_spec: EventSpec, span: SpanName, options: SpanOptions) -> WriteEvent:
    """The function that writes the event as an event on ``span``."""
    keyed = event_attributes(event_spec, span, options)
    name = event_name(event_spec.name)
    if not keyed:
        return lambda _, at: event(at, name)
    write = compile_attributes(keyed, options, ON_EVENT)
    return lambda e, at: event(at, name, write(e))


class _Writer:
    """Collects the lines of a function and the constants they use."""

    def __init__(self, tag: int, length: int) -> None:
        self._tag = tag
        self._length = length
        self.lines: list[str] = []
        self.constants: dict[str, Any] = {
            "HEADS": HEADS[tag],
            "TAILS": TEXT_HEADS,
            "VARINTS": _VARINTS,
            "long_text": lambda key, value: text_attribute(tag, key, value),
            "json_text": lambda value: json_text(value)[:length].encode(),
            "time_text": lambda value: time_text(value).encode(),
        }

    def field(self, item: Keyed) -> None:
        self._line(1, f"v = {item.field.expression}")
        for alias in item.aliases:
            self._line(1, "if v is None:")
            self._line(2, f"v = {alias.expression}")
        self._line(1, "if v is not None:")
        kind = item.field.type
        if kind is float:
            self._number(item)
        elif kind is bool:
            yes, no = (self._constant(attribute(self._tag, item.key, value)) for value in (True, False))
            self._line(2, f"out.append({yes} if v else {no})")
        elif kind is str and comes_again(item):
            change = provider_name if item.key == PROVIDER else str
            self._line(2, f"out.append({self._constant(Texts(self._tag, item.key, self._length, change))}[v])")
        else:
            self._text(item, kind)

    def _number(self, item: Keyed) -> None:
        if item.field.quantity and item.field.quantity.wire_unit in WHOLE:
            prefixes = self._constant(int_prefixes(self._tag, item.key))
            self._line(2, "v = VARINTS[v]")
            self._line(2, f"out.append({prefixes}[len(v)])")
            self._line(2, "out.append(v)")
        else:
            prefix = double_prefix(self._tag, item.key)
            pack = self._constant(struct.Struct(f"<{len(prefix)}sd").pack)
            value = "v" if item.field.divisor == 1.0 else f"v / {item.field.divisor}"
            self._line(2, f"out.append({pack}({self._constant(prefix)}, {value}))")

    def _text(self, item: Keyed, kind: object) -> None:
        part = key_part(item.key)
        key = self._constant(part)
        before = len(part) + 4
        if kind is str:
            self._line(2, f"b = v.encode() if len(v) <= {self._length} else v[:{self._length}].encode()")
        else:
            self._line(2, f"b = {'time_text' if kind is datetime else 'json_text'}(v)")
        self._line(2, "n = len(b)")
        self._line(2, f"if n < {128 - before}:")
        self._line(3, f"out += (HEADS[n + {before}], {key}, TAILS[n], b)")
        self._line(2, "else:")
        self._line(3, f"out.append(long_text({key}, b))")

    def _line(self, depth: int, text: str) -> None:
        self.lines.append("    " * depth + text)

    def _constant(self, value: object) -> str:
        name = f"c{len(self.constants)}"
        self.constants[name] = value
        return name


def comes_again(item: Keyed) -> bool:
    """Whether the field has few values: it is a label, or names one of a few configured things."""
    return item.field.name.endswith("_label") or any(isinstance(found, BecomesLabel) for found in item.field.declarations)


def json_text(value: object) -> str:
    """A value that is neither number nor time as text: as it is, or else its JSON."""
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def time_text(value: datetime) -> str:
    """A time as RFC 3339 text."""
    return value.isoformat().replace("+00:00", "Z")
