"""A long message of a tap while it arrives. Its event is shortened if it is long; the rest of the envelope is kept."""

import re
from typing import Final, Literal

import msgspec

from exporter.protocol.arriving_event import ArrivingEvent
from exporter.protocol.long_event import LONGEST_EVENT, STRING, rest_of_part
from exporter.protocol.reasons import FrameRejected, RejectionReason
from exporter.receivers.tap.envelope import Envelope, read_envelope

MOST_AROUND: Final = 16_384
"""Bytes that an envelope may take before its event, and after it."""
_FIELDS: Final = rb'(?:%b\s*+:\s*+(?:%b|[^\s\[\]{}:,"]++)\s*+,\s*+)*?' % (STRING, STRING)
_opening: Final = re.compile(
    rb'\s*+\{\s*+%b(?:"event"\s*+:\s*+|"resume"\s*+:\s*+\{\s*+%b"start"\s*+:\s*+)(?=["{])' % (_FIELDS, _FIELDS), re.DOTALL
)
"""Everything before the event, or before the first event of a call that is resumed."""
_characters: Final = re.compile(
    rb'(?:[^"\\\x80-\xff]++|\\[^u]|\\u(?![dD][89abAB])[0-9a-fA-F]{4}|\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}'
    rb"|[\xc2-\xdf][\x80-\xbf]|[\xe0-\xef][\x80-\xbf]{2}|[\xf0-\xf4][\x80-\xbf]{3})*+",
    re.DOTALL,
)
"""The complete characters at the start of what has arrived of a JSON string."""
_LONGEST_CHARACTER: Final = 12
_PLACE: Final = b"0"
"""Stands in the kept envelope for the event."""
_in_string: Final = re.compile(rb'(?:[^"\\]++|\\.)*+', re.DOTALL)
_text = msgspec.json.Decoder(str)
_QUOTE: Final = ord('"')
_OPENING: Final = b"[{"


class ArrivingEnvelope:
    """One message. An event of more than ``max_event`` bytes is shortened. ``event`` is what has arrived of it."""

    __slots__ = ("_after", "_before", "_depth", "_is_escaped", "_max_event", "_part", "_rejection", "_rest", "event")

    def __init__(self, max_event: int) -> None:
        self._max_event = max_event
        self._before = bytearray()
        self._after = bytearray()
        self._part: Literal["before", "text", "object", "string in object", "after"] = "before"
        self._depth = 0
        self._is_escaped = False
        self._rest = b""
        self._rejection: RejectionReason | None = None
        self.event: bytearray | ArrivingEvent = bytearray()

    @property
    def held(self) -> int:
        """Bytes that are held, roughly."""
        event = self.event
        return len(self._before) + len(self._after) + (event.held if isinstance(event, ArrivingEvent) else len(event))

    def feed(self, piece: bytes) -> None:
        """Read a piece of the message."""
        if self._rejection is not None:
            return
        if self._part == "before":
            self._before += piece
            piece = self._read_opening()
        if piece and self._part == "text":
            piece = self._read_text(self._rest + piece)
        elif piece and self._part != "after":
            piece = self._read_object(piece)
        self._after += piece
        if len(self._after) > MOST_AROUND:
            self.reject(RejectionReason.TOO_LARGE)

    def reject(self, reason: RejectionReason) -> None:
        """Read no more of the message, and hold nothing of it."""
        self._rejection = reason
        self._before, self._after, self.event, self._part = bytearray(), bytearray(), bytearray(), "after"

    def envelope(self) -> Envelope:
        """The message is complete. Returns its envelope without the event. Raises :class:`FrameRejected` and ``MalformedError``."""
        if self._rejection is not None:
            raise FrameRejected(self._rejection)
        if self._part != "after" and len(self.event) > LONGEST_EVENT:
            raise FrameRejected(RejectionReason.TOO_LARGE)
        return read_envelope(bytes(self._before + _PLACE + self._after))

    def _read_opening(self) -> bytes:
        """Find the beginning of the event. Returns what has arrived of the event."""
        found = _opening.match(self._before)
        if found is None:
            if len(self._before) > MOST_AROUND:
                self.reject(RejectionReason.TOO_LARGE)
            return b""
        piece = bytes(self._before[found.end() :])
        del self._before[found.end() :]
        is_text = piece[0] == _QUOTE
        self._part = "text" if is_text else "object"
        return piece[1:] if is_text else piece

    def _read_text(self, data: bytes) -> bytes:
        """Read the event from a string. Returns what follows the string."""
        found = _characters.match(data)
        end = 0 if found is None else found.end()
        self._rest = data[end:]
        try:
            self._add(_text.decode(b'"' + data[:end] + b'"').encode())
        except (msgspec.MsgspecError, UnicodeError):
            self.reject(RejectionReason.NOT_JSON)
            return b""
        if self._rest[:1] == b'"':
            rest, self._rest, self._part = self._rest[1:], b"", "after"
            return rest
        if len(self._rest) > _LONGEST_CHARACTER:
            self.reject(RejectionReason.LONE_SURROGATE if self._rest[:2] == b"\\u" else RejectionReason.NOT_JSON)
        return b""

    def _read_object(self, data: bytes) -> bytes:
        """Read the event from an object. Returns what follows the object."""
        at, end = 0, len(data)
        while at < end and self._part != "after":
            at = self._read_string(data, at) if self._part == "string in object" else self._read_brackets(data, at)
        self._add(data[:at])
        return data[at:]

    def _read_string(self, data: bytes, at: int) -> int:
        if self._is_escaped:
            self._is_escaped = False
            return at + 1
        found = _in_string.match(data, at)
        end = at if found is None else found.end()
        if end == len(data):
            return end
        if data[end] == _QUOTE:
            self._part = "object"
        else:
            self._is_escaped = True
        return end + 1

    def _read_brackets(self, data: bytes, at: int) -> int:
        """Read up to the next bracket that has to be counted, or into a string that has not arrived completely."""
        found = rest_of_part.match(data, at) if self._depth else None
        end = at if found is None else found.end()
        if end == len(data):
            return end
        if data[end] == _QUOTE:
            self._part = "string in object"
        else:
            self._depth += 1 if data[end] in _OPENING else -1
            if not self._depth:
                self._part = "after"
        return end + 1

    def _add(self, piece: bytes) -> None:
        event = self.event
        if isinstance(event, ArrivingEvent):
            event.feed(piece)
        elif len(event) + len(piece) <= self._max_event:
            event += piece
        else:
            self.event = ArrivingEvent()
            self.event.feed(event)
            self.event.feed(piece)
