"""A frame → an event, or the reason why it is rejected.

The strict decoder reads a whole event at once and checks types and plausible ranges while it reads. Only if it fails is the frame
read a second time, field by field: a bad or unknown field then costs that field and nothing else. What comes again and again is read at
once by :mod:`exporter.protocol.learning_decoder`, with the same result as here.
"""

import typing
from collections.abc import Callable
from typing import Any, Final, Union

import msgspec

from exporter.catalogue.inspect import inspect_event
from exporter.events import ALL_EVENTS, EVENTS, STREAM_EVENTS, Wire
from exporter.protocol.lenient_reader import LenientReader
from exporter.protocol.reasons import FrameRejected, RefusalReason, RefusedValue, RejectionReason
from exporter.protocol.tolerant_json import Unusable, read_tolerantly, read_without_depth

_WITHOUT_NAME: Final = {
    RefusalReason.NOT_FINITE: RejectionReason.NOT_FINITE,
    RefusalReason.LONE_SURROGATE: RejectionReason.LONE_SURROGATE,
}
"""Why a frame is rejected whose event has no name, because the name itself cannot be used."""
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


SPECS = tuple(inspect_event(event) for event in ALL_EVENTS)
"""Every event's declarations."""
