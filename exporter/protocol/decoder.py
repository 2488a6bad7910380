"""A frame → an event, or the reason why it is rejected.

The strict decoder reads a whole event at once and checks types and plausible ranges while it reads. Only if it fails is the frame
read a second time, field by field: a bad or unknown field then costs that field and nothing else.
"""

import math
import re
import typing
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, NoReturn, Union

import msgspec

from exporter.catalogue.inspect import inspect_event
from exporter.catalogue.quantities import INT64_EDGE
from exporter.events import ALL_EVENTS, EVENTS, STREAM_EVENTS, Wire

_HIGH, _LOW = rb"\\u[dD][89abAB][0-9a-fA-F]{2}", rb"\\u[dD][c-fC-F][0-9a-fA-F]{2}"
_LONE_SURROGATE = re.compile(rb"%b(?!%b)|(?<!%b)%b" % (_HIGH, _LOW, _HIGH, _LOW))
_NOT_FINITE = re.compile(rb"[\[,:]\s*-?(?:NaN|Infinity)\b|^\s*-?(?:NaN|Infinity)\b")
_STREAM_START = ('{"event"', b'{"event"')


class RejectionReason(StrEnum):
    """Why a whole frame is rejected; the ``reason`` label of ``agentstack_exporter_frames_rejected_total``."""

    EMPTY = "empty"
    TOO_LARGE = "too_large"
    NOT_UTF8 = "not_utf8"
    NOT_JSON = "not_json"
    NOT_FINITE = "not_finite"
    LONE_SURROGATE = "lone_surrogate"
    HUGE_NUMBER = "huge_number"
    TOO_DEEP = "too_deep"
    NOT_OBJECT = "not_object"
    NO_TYPE = "no_type"
    TOO_FAST = "too_fast"
    BAD_ENVELOPE = "bad_envelope"
    TOO_MANY_CALLS = "too_many_calls"


class RefusalReason(StrEnum):
    """Why the value of a field is refused; the ``reason`` label of ``agentstack_exporter_values_refused_total``."""

    WRONG_TYPE = "wrong_type"
    SENTINEL = "sentinel"
    NEGATIVE = "negative"
    TOO_LARGE = "too_large"
    TOO_SMALL = "too_small"
    NOT_A_TIME = "not_a_time"
    NOT_APPLICABLE = "not_applicable"


class FrameRejected(Exception):  # noqa: N818 - an outcome, not an error of the exporter
    """The frame is not an event."""

    def __init__(self, reason: RejectionReason) -> None:
        super().__init__(str(reason))
        self.reason = reason


@dataclass(frozen=True, slots=True)
class RefusedValue:
    """A field whose value was refused, and why. The value itself is not kept: it may be personal."""

    field: str
    reason: RefusalReason


@dataclass(frozen=True, slots=True)
class PartialEvent:
    """An event with refused values or unknown fields, or of an unknown type.

    ``name`` is the event's name on the wire. ``event`` has the fields that could be read; it is ``None`` if the type is unknown.
    """

    name: str
    event: Wire | None
    refused_values: tuple[RefusedValue, ...]
    unknown_fields: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Field:
    """How the lenient reader reads a field.

    A value of type ``plain``, or a number from ``least`` to ``most``, is used as it is. ``msgspec`` converts any other value to
    ``hint``, the field's type with its plausible range.
    """

    attribute: str
    hint: Any
    plain: type | None
    least: float = math.inf
    most: float = -math.inf


_strict: msgspec.json.Decoder[Wire] = msgspec.json.Decoder(Union[EVENTS])  # noqa: UP007 - built from a tuple
_strict_stream: msgspec.json.Decoder[Wire] = msgspec.json.Decoder(Union[STREAM_EVENTS])  # noqa: UP007 - as above
_untyped = msgspec.json.Decoder()
_BY_NAME: dict[tuple[str, str], type[Wire]] = {
    (str(event.__struct_config__.tag_field), name): event
    for event in ALL_EVENTS
    for name in (str(event.__struct_config__.tag), *event.earlier_names)
}


def decode(frame: str | bytes) -> Wire | PartialEvent:
    """Read a frame.

    Returns the event, or a :class:`PartialEvent` if a value was refused or something is unknown. Raises :class:`FrameRejected` if the
    frame is not an event.
    """
    try:
        return _strict_stream.decode(frame) if frame[:8] in _STREAM_START else _strict.decode(frame)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return _decode_leniently(frame)


def _decode_leniently(frame: str | bytes) -> Wire | PartialEvent:
    document = _object(frame)
    for tag_field in ("type", "event"):
        name = document.get(tag_field)
        if isinstance(name, str) and name:
            break
    else:
        raise FrameRejected(RejectionReason.NO_TYPE)
    if any(isinstance(value, int) and abs(value) >= INT64_EDGE for value in document.values()):
        raise FrameRejected(RejectionReason.HUGE_NUMBER)
    event = _BY_NAME.get((tag_field, name))
    if event is None:
        return PartialEvent(name, None, (), ())
    del document[tag_field]
    reader = _LenientReader()
    found: Wire = reader.read(event, document)
    if not reader.refused_values and not reader.unknown:
        return found
    return PartialEvent(name, found, tuple(reader.refused_values), tuple(reader.unknown))


def _object(frame: str | bytes) -> dict[str, Any]:
    try:
        document = _untyped.decode(frame)
    except UnicodeEncodeError:
        raise FrameRejected(RejectionReason.LONE_SURROGATE) from None
    except UnicodeDecodeError:
        raise FrameRejected(RejectionReason.NOT_UTF8) from None
    except RecursionError:
        raise FrameRejected(RejectionReason.TOO_DEEP) from None
    except msgspec.ValidationError:
        raise FrameRejected(RejectionReason.HUGE_NUMBER) from None
    except msgspec.DecodeError:
        _reject_malformed(frame)
    if not isinstance(document, dict):
        raise FrameRejected(RejectionReason.NOT_OBJECT)
    return document


def _reject_malformed(frame: str | bytes) -> NoReturn:
    data = frame.encode("utf-8", "replace") if isinstance(frame, str) else frame
    if not data.strip():
        raise FrameRejected(RejectionReason.EMPTY) from None
    if not _is_utf8(data):
        raise FrameRejected(RejectionReason.NOT_UTF8) from None
    if _LONE_SURROGATE.search(data):
        raise FrameRejected(RejectionReason.LONE_SURROGATE) from None
    if _NOT_FINITE.search(data):
        raise FrameRejected(RejectionReason.NOT_FINITE) from None
    raise FrameRejected(RejectionReason.NOT_JSON) from None


def _is_utf8(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


class _LenientReader:
    """Builds an event from the valid fields of a document; collects refused values and unknown fields."""

    def __init__(self) -> None:
        self.refused_values: list[RefusedValue] = []
        self.unknown: list[str] = []

    def read(self, struct: type[Any], document: dict[str, Any], *, nested: bool = False) -> Any:
        fields = _FIELDS[struct]
        for key in [key for key in document if key not in fields]:
            self.unknown.append(key)
            del document[key]
        try:
            return msgspec.convert(document, struct)
        except msgspec.ValidationError:
            return self._read_each(struct, document, "" if nested else None)

    def _read_each(self, struct: type[Any], document: dict[str, Any], prefix: str | None) -> Any:
        """Build ``struct`` value by value; ``prefix`` stands before the names of nested fields, and is ``None`` for the event's own."""
        values = {}
        fields = _FIELDS[struct]
        for key, value in document.items():
            field, found = fields[key], type(value)
            if found is field.plain:
                values[field.attribute] = value
            elif (found is float or found is int) and field.least <= value <= field.most:
                values[field.attribute] = float(value)
            elif value is not None:
                converted = self._convert(key if prefix is None else prefix + field.attribute, field.hint, value)
                if converted is not None:
                    values[field.attribute] = converted
        return struct(**values)

    def _convert(self, name: str, hint: Any, value: Any) -> Any:
        if hint in _FIELDS and isinstance(value, dict):
            return self.read(hint, value, nested=True)
        entry = _entry_type(hint)
        if entry is not None and isinstance(value, list):
            return [found for found in (self._entry(name, entry, item) for item in value) if found is not None]
        try:
            return msgspec.convert(value, hint)
        except msgspec.ValidationError:
            self.refused_values.append(RefusedValue(name, _refusal_reason(hint, value)))
            return None

    def _entry(self, name: str, struct: type[Any], item: Any) -> Any:
        """An entry of a list: a bad value costs no other entry, and unknown fields are not counted."""
        if not isinstance(item, dict):
            self.refused_values.append(RefusedValue(name, RefusalReason.WRONG_TYPE))
            return None
        return self._read_each(struct, {key: item[key] for key in _FIELDS[struct] if key in item}, f"{name}.")


def _refusal_reason(hint: Any, value: Any) -> RefusalReason:
    wanted = getattr(hint, "__origin__", hint)
    if wanted is datetime and isinstance(value, str):
        return RefusalReason.NOT_A_TIME
    if wanted is not float or isinstance(value, bool) or not isinstance(value, int | float):
        return RefusalReason.WRONG_TYPE
    if value == -1:
        return RefusalReason.SENTINEL
    if value < 0:
        return RefusalReason.NEGATIVE
    return RefusalReason.TOO_LARGE if value > _range(hint)[1] else RefusalReason.TOO_SMALL


def _range(hint: Any) -> tuple[float, float]:
    """The plausible range of a number's type."""
    (meta,) = [item for item in hint.__metadata__ if isinstance(item, msgspec.Meta)]
    return float(meta.ge or 0.0), float(meta.le or 0.0)


def _plain_type(hint: Any) -> Any:
    """The type of a field without ``| None`` and without declarations, but with its plausible range."""
    while True:
        metadata = getattr(hint, "__metadata__", ())
        if any(isinstance(item, msgspec.Meta) for item in metadata) and not _is_optional(hint.__origin__):
            return hint
        if metadata:
            hint = hint.__origin__
        elif _is_optional(hint):
            (hint,) = [part for part in hint.__args__ if part is not type(None)]
        else:
            return hint


def _entry_type(hint: Any) -> type[msgspec.Struct] | None:
    """The struct that the entries of a list have; ``None`` for any other type."""
    entry = hint.__args__[0] if getattr(hint, "__origin__", None) is list else None
    return entry if _is_struct(entry) else None


def _is_optional(hint: Any) -> bool:
    return type(None) in getattr(hint, "__args__", ())


def _is_struct(hint: Any) -> bool:
    return isinstance(hint, type) and issubclass(hint, msgspec.Struct)


def _field(attribute: str, hint: Any) -> _Field:
    if getattr(hint, "__origin__", None) is float:
        return _Field(attribute, hint, None, *_range(hint))
    return _Field(attribute, hint, hint if hint in (str, bool) else None)


def _struct_fields(struct: type[msgspec.Struct]) -> dict[str, _Field]:
    hints = typing.get_type_hints(struct, include_extras=True)
    names = zip(struct.__struct_encode_fields__, struct.__struct_fields__, strict=True)
    return {wire_name: _field(attribute, _plain_type(hints[attribute])) for wire_name, attribute in names}


def _collect(structs: tuple[type[msgspec.Struct], ...]) -> dict[Any, dict[str, _Field]]:
    """The fields, by wire name, of these structs and of all structs within them."""
    found: dict[Any, dict[str, _Field]] = {}
    for struct in structs:
        found[struct] = _struct_fields(struct)
        within = [_entry_type(field.hint) or field.hint for field in found[struct].values()]
        found.update(_collect(tuple(hint for hint in within if _is_struct(hint) and hint not in found)))
    return found


_FIELDS = _collect(ALL_EVENTS)
SPECS = tuple(inspect_event(event) for event in ALL_EVENTS)
"""Every event's declarations."""
