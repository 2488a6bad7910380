"""One line of a recording: the event, and what stands around it.

A line is an event as it was on the wire, or an object that holds one under ``event``. ``simulate --truth`` writes such objects, with
``call`` and ``connection`` to distinguish calls and ``sent_at`` for the time; its lines with an ``account`` hold no event.
"""

import contextlib
from dataclasses import dataclass
from typing import Final, TypeVar

import msgspec

from exporter.catalogue.quantities import DateTime, UnixTime
from exporter.metrics.label_limits import normalise
from exporter.protocol.members import join, split
from exporter.sessions.clock import EARLIEST, LATEST, SECOND

Found = TypeVar("Found", bound=msgspec.Struct)

_NONE: Final = msgspec.Raw(b"null")
_UNREADABLE: Final = (msgspec.MsgspecError, UnicodeError, RecursionError)


@dataclass(frozen=True, slots=True)
class RecordedLine:
    """What one line holds. ``call`` identifies a connection of the recording; ``at`` is unix seconds, 0 if the line has no time."""

    call: tuple[bytes, ...]
    at: float
    frame: bytes


class _Wrapper(msgspec.Struct):
    """The object around an event in a recording. A bare event has no such object."""

    event: msgspec.Raw = _NONE
    sent_at: msgspec.Raw = _NONE
    call_number: msgspec.Raw = msgspec.field(default=_NONE, name="call")
    session: msgspec.Raw = _NONE
    connection: msgspec.Raw = _NONE
    account: msgspec.Raw = _NONE


class _Stamp(msgspec.Struct):
    timestamp: DateTime | None = None


class _Head(msgspec.Struct):
    type: str | None = None
    event: str | None = None


_wrapper = msgspec.json.Decoder(_Wrapper)
_stamp = msgspec.json.Decoder(_Stamp)
_head = msgspec.json.Decoder(_Head)
_unix_time: msgspec.json.Decoder[float] = msgspec.json.Decoder(UnixTime)


def read_line(raw: bytes) -> RecordedLine | None:
    """Read a line. ``None`` for an account, which is no event."""
    wrapper = _read(raw, _wrapper)
    frame = bytes(wrapper.event)
    if not frame.startswith(b"{"):
        if bytes(wrapper.account).startswith(b"{"):
            return None
        wrapper, frame = _Wrapper(), raw
    call = tuple(bytes(part) for part in (wrapper.call_number, wrapper.session, wrapper.connection))
    return RecordedLine(call, _time_of(wrapper, frame), frame)


def name_of(frame: bytes) -> str:
    """The name of the event, for people to read."""
    head = _read(frame, _head)
    return normalise(head.type or head.event or "?")


def _read(raw: bytes, decoder: msgspec.json.Decoder[Found]) -> Found:
    """The fields that ``decoder`` knows of a JSON object. A value that cannot be read costs that field only."""
    try:
        return decoder.decode(raw)
    except _UNREADABLE:
        read = decoder.decode(b"{}")
    fields = dict(zip(read.__struct_encode_fields__, read.__struct_fields__, strict=True))
    for name, value in split(raw) if raw.startswith(b"{") else ():
        field = fields.get(name.strip(b'"').decode(errors="replace"))
        if isinstance(read, _Wrapper) and field == "event" and value.startswith(b"{"):
            read = msgspec.structs.replace(read, event=msgspec.Raw(value))
        elif field is not None:
            with contextlib.suppress(*_UNREADABLE):
                setattr(read, field, getattr(decoder.decode(join([(name, value)])), field))
    return read


def _time_of(wrapper: _Wrapper, frame: bytes) -> float:
    """When the event was sent, or 0 if that is not said, or makes no sense: it would be the time of everything after it."""
    try:
        found = _unix_time.decode(wrapper.sent_at)
    except msgspec.MsgspecError:
        stamp = _read(frame, _stamp).timestamp
        found = stamp.timestamp() if stamp is not None else 0.0
    return found if EARLIEST <= found * SECOND < LATEST else 0.0
