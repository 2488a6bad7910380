"""Shortens the JSON of a long event while it is read, so that what is counted of it survives: its type, ids, reasons and numbers.

Long strings become ``null``, long lists and objects become empty. However long the event is, the reader holds at most
:data:`MOST_KEPT` bytes of the shortened document and one short token. It checks the JSON only as far as it must: the decoder reads
what is kept, and nobody reads what is dropped.
"""

import re
from typing import Final, Literal

from exporter.protocol.reasons import FrameRejected, RejectionReason

LONGEST_EVENT: Final = 512 * 1024
"""Bytes of the longest event that is read. A longer one is too large."""
LONGEST_TOKEN: Final = 1_024
"""Bytes of the longest string, name or number that is kept, as written in the JSON."""
LONGEST_PART: Final = 16_384
"""Bytes of the longest list or object within the event that is kept."""
MOST_KEPT: Final = 49_152
"""Bytes of the shortened event. Further fields are dropped."""
DEEPEST: Final = 64
"""Lists and objects within each other. Deeper ones are dropped."""
MOST_STEPS: Final = 200_000
"""Tokens that are read one by one. An event with more is too large: reading it would delay the other calls."""
_SLICE: Final = 65_536
"""Bytes or characters that are read at once."""

STRING: Final = rb'"(?:[^"\\]++|\\.)*+"'
_FLAT: Final = rb'(?:[^"\[\]{}]++|%b)*+' % STRING
_token: Final = re.compile(rb'[ \t\r\n]*+([\[\]{}:,]|%b|[^ \t\r\n\[\]{}:,"]++)' % STRING, re.DOTALL)
_space: Final = re.compile(rb"[ \t\r\n]*+")
_rest_of_string: Final = re.compile(rb'(?:[^"\\]++|\\.)*+', re.DOTALL)
_rest_of_scalar: Final = re.compile(rb'[^ \t\r\n\[\]{}:,"]*+')
rest_of_part: Final = re.compile(rb'(?:[^"\[\]{}]++|%b|\[%b\]|\{%b\})*+' % (STRING, _FLAT, _FLAT), re.DOTALL)
"""Whatever needs no counting of brackets: lists and objects that hold no others are passed over at once."""
_QUOTE: Final = ord('"')
_BACKSLASH: Final = ord("\\")
_OPENING: Final = b"[{"
_MARKS: Final = b'[]{}:,"'
"""Bytes that end a token, so that the next piece cannot continue it."""
_EMPTY: Final = {ord("["): b"[]", ord("{"): b"{}"}


class LongEventReader:
    """Reads one event, a piece at a time. Raises :class:`FrameRejected` if the event is no JSON object."""

    __slots__ = ("_complete", "_depth", "_kept", "_open", "_rest", "_skipping", "_steps")

    def __init__(self) -> None:
        self._kept = bytearray()
        self._open: list[int] = []
        """Where the open lists and objects begin in what is kept."""
        self._complete = 1
        """How much is kept up to the last complete field of the event."""
        self._skipping: Literal["", "string", "scalar"] = ""
        self._depth = 0
        """How many lists and objects are open in the part that is skipped, itself included."""
        self._rest = b""
        """The beginning of a token at the end of the last piece."""
        self._steps = 0

    @property
    def held(self) -> int:
        """Bytes that are held: of the shortened document, and of the token that has not arrived completely."""
        return len(self._kept) + len(self._rest)

    def feed(self, piece: bytes) -> None:
        """Read the next bytes of the event."""
        for start in range(0, len(piece), _SLICE):
            data = self._rest + piece[start : start + _SLICE]
            self._rest = b""
            at = 0
            while at < len(data):
                self._steps += 1
                if self._steps > MOST_STEPS:
                    raise FrameRejected(RejectionReason.TOO_LARGE)
                if self._skipping:
                    at = self._skip_token(data, at)
                else:
                    at = self._skip_part(data, at) if self._depth else self._read(data, at)

    def finish(self) -> bytes:
        """The event is complete. Returns the shortened document."""
        if not self._kept and not self._rest and not self._skipping:
            raise FrameRejected(RejectionReason.EMPTY)
        if self._rest or self._open or self._skipping or self._depth:
            raise FrameRejected(RejectionReason.NOT_JSON)
        return bytes(self._kept)

    def _read(self, data: bytes, at: int) -> int:
        """Keep or drop the token at ``at``. Returns the offset after it."""
        found = _token.match(data, at)
        if found is None or (found.end() == len(data) and data[-1] not in _MARKS):
            return self._read_beginning(data, at)
        token = found[1]
        if not self._open and (self._kept or token != b"{"):
            raise FrameRejected(RejectionReason.NOT_OBJECT if token[0] in b'["' and not self._kept else RejectionReason.NOT_JSON)
        self._take(token)
        return found.end()

    def _read_beginning(self, data: bytes, at: int) -> int:
        """The piece ends within the token at ``at``, or in white space: wait for more, unless the token is too long to be kept."""
        space = _space.match(data, at)
        start = at if space is None else space.end()
        if len(data) - start <= LONGEST_TOKEN:
            self._rest = data[start:]
            return len(data)
        is_string = data[start] == _QUOTE
        if not self._open:
            raise FrameRejected(RejectionReason.NOT_JSON)
        self._drop_token(is_string=is_string)
        self._skipping = "string" if is_string else "scalar"
        return start + 1

    def _skip_token(self, data: bytes, at: int) -> int:
        """Skip the rest of a string or number, as far as it has arrived."""
        if self._skipping == "scalar":
            found = _rest_of_scalar.match(data, at)
            end = at if found is None else found.end()
            self._skipping = "scalar" if end == len(data) else ""
            return end
        end = _end_of_string(data, at)
        if end == len(data):
            return end
        if data[end] == _QUOTE:
            self._skipping = ""
            return end + 1
        self._rest = data[end:]  # a backslash; what it escapes comes with the next piece
        return len(data)

    def _skip_part(self, data: bytes, at: int) -> int:
        """Skip the rest of a list or object, up to the next bracket that has to be counted."""
        found = rest_of_part.match(data, at)
        end = at if found is None else found.end()
        if end == len(data):
            return end
        mark = data[end]
        if mark == _QUOTE:
            self._skipping = "string"
        else:
            self._depth += 1 if mark in _OPENING else -1
        return end + 1

    def _take(self, token: bytes) -> None:
        """Keep a token, unless it is too long or too deep."""
        kept, mark = self._kept, token[0]
        if mark in _OPENING:
            if len(self._open) == DEEPEST:
                kept += b"null"
                self._depth = 1
                return
            self._open.append(len(kept))
        elif mark in b"]}":
            self._open.pop()
        elif mark == ord(",") and len(self._open) == 1:
            self._complete = len(kept)
        if len(token) > LONGEST_TOKEN:
            self._drop_token(is_string=mark == _QUOTE)
            return
        kept += token
        if self._open:
            self._limit()

    def _drop_token(self, *, is_string: bool) -> None:
        """Keep ``null`` instead of a string or number, or an empty name instead of a name."""
        kept = self._kept
        is_name = is_string and kept[self._open[-1]] == ord("{") and kept[-1] in b"{,"
        kept += b'""' if is_name else b"null"

    def _limit(self) -> None:
        """Drop the innermost part that makes most of a field too long, or all further fields of the event."""
        kept, parts = self._kept, self._open
        if len(kept) > MOST_KEPT:
            del kept[self._complete :]
            kept += b"}"
            self._depth = len(parts)
            parts.clear()
        elif len(parts) > 1 and len(kept) - parts[1] > LONGEST_PART:
            level = max(level for level in range(1, len(parts)) if len(kept) - parts[level] > LONGEST_PART // 2)
            start = parts[level]
            empty = _EMPTY[kept[start]]
            del kept[start:]
            kept += empty
            self._depth = len(parts) - level
            del parts[level:]


def _end_of_string(data: bytes, at: int) -> int:
    """The offset of the quote that ends the string, of a backslash that is the last byte, or of the end of ``data``."""
    end = data.find(_QUOTE, at)
    if end > at and data[end - 1] != _BACKSLASH:
        return end
    if end < 0 and data[-1] != _BACKSLASH:
        return len(data)
    found = _rest_of_string.match(data, at)
    return at if found is None else found.end()


def shorten(event: str | bytes) -> bytes:
    """The shortened document of a long event that has arrived as a whole. Raises :class:`FrameRejected`."""
    reader = LongEventReader()
    if isinstance(event, bytes):
        reader.feed(event)
    else:
        for start in range(0, len(event), _SLICE):
            reader.feed(event[start : start + _SLICE].encode("utf-8", "replace"))
    return reader.finish()
