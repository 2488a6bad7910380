"""A frame → an event, or the reason why it is rejected.

The strict decoder reads a whole event at once and checks types and plausible ranges while it reads. Only if it fails is the frame
read a second time, field by field: a bad or unknown field then costs that field and nothing else. What comes again and again is read at
once by :mod:`exporter.protocol.learning_decoder`, with the same result as here.
"""

import contextlib
import math
import sys
import typing
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Union

import msgspec

from exporter.catalogue.inspect import inspect_event
from exporter.events import ALL_EVENTS, EVENTS, STREAM_EVENTS, Wire
from exporter.protocol.reasons import FrameRejected, RefusalReason, RefusedValue, RejectionReason
from exporter.protocol.tolerant_json import Unusable, clean, read_tolerantly, read_without_depth

__all__ = ("SPECS", "FrameRejected", "PartialEvent", "RefusalReason", "RefusedValue", "RejectionReason", "decode")

_WITHOUT_NAME: Final = {
    RefusalReason.NOT_FINITE: RejectionReason.NOT_FINITE,
    RefusalReason.LONE_SURROGATE: RejectionReason.LONE_SURROGATE,
}
"""Why a frame is rejected whose event has no name, because the name itself cannot be used."""
_NUMBERS: Final = frozenset({int, float})
TAG_FIELDS: Final = ("type", "event")
STREAM_START: Final = ('{"event"', b'{"event"')
NOT_READ: Final = (msgspec.MsgspecError, UnicodeError, RecursionError)
"""What a decoder raises that cannot read a frame."""
OnFlaws = Callable[[str, str, list[str]], None]
"""Called with the field that names an event, its name there, and the event's fields that are unknown or have a bad value somewhere."""


@typing.final
class PartialEvent(msgspec.Struct, frozen=True, gc=False):
    """An event with refused values or unknown fields, or of an unknown type.

    ``name`` is the event's name on the wire. ``event`` has the fields that could be read; it is ``None`` if the type is unknown.
    """

    name: str
    event: Wire | None
    refused_values: tuple[RefusedValue, ...]
    unknown_fields: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Field:
    """How the lenient reader reads a field.

    A value of type ``plain``, or a number from ``least`` to ``most``, is used as it is, and no other value of such a field. Where a
    field has neither, ``msgspec`` converts the value to ``hint``, the field's type with its plausible range.
    """

    attribute: str
    hint: Any
    plain: type | None
    least: float = math.inf
    most: float = -math.inf


STRICT: Final[msgspec.json.Decoder[Wire]] = msgspec.json.Decoder(Union[EVENTS])  # noqa: UP007 - built from a tuple
STRICT_STREAM: Final[msgspec.json.Decoder[Wire]] = msgspec.json.Decoder(Union[STREAM_EVENTS])  # noqa: UP007 - as above
_untyped = msgspec.json.Decoder()
BY_NAME: Final[dict[tuple[str, str], type[Wire]]] = {
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
        return STRICT_STREAM.decode(frame) if frame[:8] in STREAM_START else STRICT.decode(frame)
    except NOT_READ:
        return decode_leniently(frame)


def decode_leniently(frame: str | bytes, on_flaws: OnFlaws | None = None) -> Wire | PartialEvent:
    """As :func:`decode`, field by field. ``on_flaws`` is called for an event that is sound JSON."""
    try:
        document, is_sound = _object(frame)
        return _read_document(document, is_sound, on_flaws if is_sound else None)
    except RecursionError:
        document = read_without_depth(frame)
    if not isinstance(document, dict) or not any(isinstance(document.get(tag_field), str) for tag_field in TAG_FIELDS):
        raise FrameRejected(RejectionReason.TOO_DEEP)
    return _read_document(document, is_sound=False)


def _read_document(document: dict[str, Any], is_sound: bool, on_flaws: OnFlaws | None = None) -> Wire | PartialEvent:
    tag_field, name = _name(document)
    event = BY_NAME.get((tag_field, name))
    if event is None:
        return PartialEvent(name, None, (), ())
    del document[tag_field]
    reader = LenientReader(is_sound=is_sound)
    found: Wire = reader.read(event, document)
    if on_flaws is not None:
        on_flaws(tag_field, name, reader.flawed)
    if not reader.refused_values and not reader.unknown:
        return found
    return PartialEvent(name, found, tuple(reader.refused_values), tuple(reader.unknown))


def _object(frame: str | bytes) -> tuple[dict[str, Any], bool]:
    """The object in the frame, and whether all of its values can be used. Raises ``RecursionError`` if it is nested too deep."""
    is_sound = True
    try:
        document = _untyped.decode(frame)
    except (msgspec.MsgspecError, UnicodeError):
        document, is_sound = read_tolerantly(frame), False
    if not isinstance(document, dict):
        raise FrameRejected(_WITHOUT_NAME[document.reason] if isinstance(document, Unusable) else RejectionReason.NOT_OBJECT)
    return document, is_sound


def _name(document: dict[str, Any]) -> tuple[str, str]:
    """The name of the event, and the field that it stands in before it."""
    for tag_field in TAG_FIELDS:
        name = document.get(tag_field)
        if isinstance(name, str) and name:
            return tag_field, name
    unusable = document.get("type")
    raise FrameRejected(_WITHOUT_NAME[unusable.reason] if isinstance(unusable, Unusable) else RejectionReason.NO_TYPE)


class LenientReader:
    """Builds an event from the valid fields of a document; collects refused values and unknown fields.

    A document that is not ``is_sound`` may have :class:`Unusable` values anywhere. ``flawed`` are the event's own fields that are
    unknown, or that have something unknown or refused in their value; a field may be there more than once.
    """

    def __init__(self, *, is_sound: bool) -> None:
        self._is_sound = is_sound
        self.refused_values: list[RefusedValue] = []
        self.unknown: list[str] = []
        self.flawed: list[str] = []
        self._current = ""

    def read(self, struct: type[Any], document: dict[str, Any], *, nested: bool = False) -> Any:
        """Build ``struct``; the document loses its unknown fields."""
        fields = FIELDS[struct]
        for key in [key for key in document if key not in fields]:
            self.unknown.append(key)
            self.flawed.append(self._current if nested else key)
            del document[key]
        if self._is_sound:
            with contextlib.suppress(msgspec.ValidationError):
                return msgspec.convert(document, struct)
        return self._read_each(struct, document, "" if nested else None)

    def _read_each(self, struct: type[Any], document: dict[str, Any], prefix: str | None) -> Any:
        """Build ``struct`` value by value; ``prefix`` stands before the names of nested fields, and is ``None`` for the event's own."""
        values = {}
        fields = FIELDS[struct]
        for key, value in document.items():
            if value is not None:
                field = fields[key]
                if prefix is None:
                    self._current = name = key
                else:
                    name = prefix + field.attribute
                values[field.attribute] = self.value(name, field, value)
        return struct(**values)

    def value(self, name: str, field: Field, value: Any) -> Any:
        """The value of a field, or ``None`` if it is refused, which is noted under ``name``."""
        found = type(value)
        if found is field.plain:
            return value
        if found in _NUMBERS and field.least <= field.most:
            if field.least <= value <= field.most:
                return float(value)
            self._refuse(name, out_of_range(field.most, value))
            return None
        if field.plain is None:
            return self._convert(name, field.hint, value)
        self._refuse(name, _refusal_reason(field.hint, value))
        return None

    def _convert(self, name: str, hint: Any, value: Any) -> Any:
        if hint in FIELDS and isinstance(value, dict):
            return self.read(hint, value, nested=True)
        entry = _entry_type(hint)
        if entry is not None and isinstance(value, list):
            return [found for found in (self._entry(name, entry, item) for item in value) if found is not None]
        if getattr(hint, "__origin__", None) is dict and isinstance(value, dict):
            return self._items(name, hint.__args__[1], value)
        if hint is Any:
            return self._anything(name, value)
        try:
            return msgspec.convert(value, hint)
        except msgspec.ValidationError:
            self._refuse(name, _refusal_reason(hint, value))
            return None

    def _items(self, name: str, hint: Any, value: dict[str, Any]) -> dict[str, Any] | None:
        """The valid items of a dictionary of values of type ``hint``. Invalid ones are refused together, under the field's name."""
        found, reason = {}, None
        for key, item in value.items():
            try:
                found[key] = msgspec.convert(item, hint)
            except msgspec.ValidationError:
                reason = _refusal_reason(hint, item)
        if reason is not None:
            self._refuse(name, reason)
        return found or None

    def _anything(self, name: str, value: Any) -> Any:
        """A value of any type. A part of it that cannot be used is refused under the field's name."""
        cleaned, reason = clean(value)
        if reason is not None:
            self._refuse(name, reason)
        return cleaned

    def _refuse(self, name: str, reason: RefusalReason) -> None:
        self.refused_values.append(RefusedValue(name, reason))
        self.flawed.append(self._current)

    def _entry(self, name: str, struct: type[Any], item: Any) -> Any:
        """An entry of a list: a bad value costs no other entry. Unknown fields are counted under the list's name and their own."""
        if not isinstance(item, dict):
            self._refuse(name, item.reason if isinstance(item, Unusable) else RefusalReason.WRONG_TYPE)
            return None
        fields = FIELDS[struct]
        unknown = [f"{name}.{key}" for key in item if key not in fields]
        self.unknown += unknown
        self.flawed += [self._current] * len(unknown)
        return self._read_each(struct, {key: item[key] for key in fields if key in item}, f"{name}.")


def _refusal_reason(hint: Any, value: Any) -> RefusalReason:
    if isinstance(value, Unusable):
        return value.reason
    wanted = getattr(hint, "__origin__", hint)
    if wanted is datetime and isinstance(value, str):
        return RefusalReason.NOT_A_TIME
    return out_of_range(_range(hint)[1], value) if wanted is float and type(value) in _NUMBERS else RefusalReason.WRONG_TYPE


def out_of_range(most: float, value: float) -> RefusalReason:
    """Why a number is refused that is not in its range, which ends at ``most``."""
    if value == -1:
        return RefusalReason.SENTINEL
    if value < 0:
        return RefusalReason.NEGATIVE
    return RefusalReason.TOO_LARGE if value > most else RefusalReason.TOO_SMALL


def _range(hint: Any) -> tuple[float, float]:
    """The plausible range of a number's type; that of all finite numbers if it has none."""
    if hint is float:
        return -sys.float_info.max, sys.float_info.max
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


def _field(attribute: str, hint: Any) -> Field:
    if getattr(hint, "__origin__", None) is float:
        return Field(attribute, hint, None, *_range(hint))
    return Field(attribute, hint, hint if hint in (str, bool) else None)


def _struct_fields(struct: type[msgspec.Struct]) -> dict[str, Field]:
    hints = typing.get_type_hints(struct, include_extras=True)
    names = zip(struct.__struct_encode_fields__, struct.__struct_fields__, strict=True)
    return {wire_name: _field(attribute, _plain_type(hints[attribute])) for wire_name, attribute in names}


def _collect(structs: tuple[type[msgspec.Struct], ...]) -> dict[Any, dict[str, Field]]:
    """The fields, by wire name, of these structs and of all structs within them."""
    found: dict[Any, dict[str, Field]] = {}
    for struct in structs:
        found[struct] = _struct_fields(struct)
        within = [_entry_type(field.hint) or field.hint for field in found[struct].values()]
        found.update(_collect(tuple(hint for hint in within if _is_struct(hint) and hint not in found)))
    return found


FIELDS = _collect(ALL_EVENTS)
SPECS = tuple(inspect_event(event) for event in ALL_EVENTS)
"""Every event's declarations."""
