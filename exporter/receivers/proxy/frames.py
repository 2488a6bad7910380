"""Finds WebSocket messages in a stream of bytes that the relay forwards.

The relay needs to know two things: the messages, to measure them, and the places between messages, to insert its own. Frames follow
RFC 6455, section 5.2, without extensions. The peers validate the frames, so the scanner does not. Bytes that cannot be frames make it
give up; they are forwarded all the same.
"""

from typing import Final, NamedTuple

from websockets.speedups import apply_mask

TEXT, BINARY, CLOSE = 0x1, 0x2, 0x8
_CONTINUATION: Final = 0x0
_DATA: Final = (_CONTINUATION, TEXT, BINARY)
_CONTROL: Final = (CLOSE, 0x9, 0xA)
_FIN, _RESERVED, _MASKED = 0x80, 0x70, 0x80
_MAX_HEADER: Final = 14
_SHORT, _MEDIUM = 125, 126
"""Largest length in the second byte of a header, and the value that announces a length of two bytes."""


class Message(NamedTuple):
    """A whole message. ``payload`` is still masked unless ``mask`` is empty. It is ``None`` if the message was too large."""

    opcode: int
    payload: bytes | None
    mask: bytes

    def unmasked(self) -> bytes:
        """The payload without its mask; empty if it was too large."""
        payload = self.payload or b""
        return apply_mask(payload, self.mask) if self.mask else payload


class Scanner:
    """Finds the messages in one direction of a connection. The content of messages of more than ``max_message`` bytes is not kept."""

    __slots__ = ("_body", "_fragments", "_head", "_header", "_left", "_max_message", "_opcode", "_size", "closing", "gap", "gave_up")

    def __init__(self, max_message: int) -> None:
        self._max_message = max_message
        self._head = b""
        self._header: tuple[int, bytes, int] | None = None
        self._body = bytearray()
        self._left = 0
        self._opcode = 0
        self._size = 0
        self._fragments = bytearray()
        self.gave_up = False
        """Whether the bytes are no WebSocket frames. The scanner has given up."""
        self.closing = False
        """Whether a close frame has passed. No other frame may follow it."""
        self.gap = 0
        """The first offset in the bytes scanned last at which a message may be inserted, or -1."""

    @property
    def between(self) -> bool:
        """Whether no message is under way, so that one may be inserted after the bytes scanned so far."""
        return not (self.gave_up or self.closing or self._head or self._header or self._opcode)

    def scan(self, data: bytes) -> list[Message]:
        """Scan the next bytes. Returns the messages that end in them."""
        found: list[Message] = []
        self.gap = 0 if self.between else -1
        at, end = 0, len(data)
        while at < end and not self.gave_up:
            at = self._continue_frame(data, at, found) if self._header is not None else self._begin_frame(data, at, found)
            if self.gap < 0 and self.between:
                self.gap = at
        return found

    def _begin_frame(self, data: bytes, at: int, found: list[Message]) -> int:
        """Read the header of a frame, and its body if it is complete. Returns the offset after them."""
        kept = len(self._head)
        head = self._head + data[at : at + _MAX_HEADER - kept] if kept else data[at : at + _MAX_HEADER]
        size = _header_size(head)
        if size == 0:
            self._head = head
            return len(data)
        self._head = b""
        first, second = head[0], head[1]
        length = second & 0x7F
        if length > _SHORT:
            length = int.from_bytes(head[2 : 4 if length == _MEDIUM else 10], "big")
        mask = head[size - 4 : size] if second & _MASKED else b""
        at += size - kept
        if not self._is_plausible(first, length):
            self.gave_up = True
            return at
        after = at + length
        if after <= len(data):
            self._frame(first, mask, length, data[at:after], found)
            return after
        self._header = (first, mask, length)
        self._left = length
        self._body = bytearray()
        return at

    def _continue_frame(self, data: bytes, at: int, found: list[Message]) -> int:
        """Read more of the body of the current frame. Returns the offset after it."""
        assert self._header is not None  # noqa: S101 - for the types
        first, mask, length = self._header
        taken = min(self._left, len(data) - at)
        if length <= self._max_message:
            self._body += data[at : at + taken]
        self._left -= taken
        if not self._left:
            self._header = None
            self._frame(first, mask, length, bytes(self._body), found)
            self._body = bytearray()
        return at + taken

    def _is_plausible(self, first: int, length: int) -> bool:
        opcode = first & 0x0F
        if first & _RESERVED or length >= 1 << 63:
            return False
        if opcode in _CONTROL:
            return bool(first & _FIN) and length <= _SHORT
        return opcode in _DATA and (opcode == _CONTINUATION) == bool(self._opcode)

    def _frame(self, first: int, mask: bytes, length: int, body: bytes, found: list[Message]) -> None:
        opcode, last = first & 0x0F, bool(first & _FIN)
        if opcode in _CONTROL:
            self.closing = self.closing or opcode == CLOSE
        elif last and not self._opcode:
            found.append(Message(opcode, body if length <= self._max_message else None, mask))
        else:
            self._fragment(opcode, last, apply_mask(body, mask) if mask else body, length, found)

    def _fragment(self, opcode: int, last: bool, body: bytes, length: int, found: list[Message]) -> None:
        self._opcode = self._opcode or opcode
        self._size += length
        if self._size <= self._max_message:
            self._fragments += body
        if last:
            kept = bytes(self._fragments) if self._size <= self._max_message else None
            found.append(Message(self._opcode, kept, b""))
            self._opcode = self._size = 0
            self._fragments = bytearray()


def _header_size(head: bytes) -> int:
    """The length of the frame's header, or 0 if it is not complete."""
    if len(head) < 2:
        return 0
    length = head[1] & 0x7F
    size = 2 + (0 if length <= _SHORT else 2 if length == _MEDIUM else 8) + (4 if head[1] & _MASKED else 0)
    return size if len(head) >= size else 0


def text_frame(text: bytes) -> bytes:
    """A text frame of a server."""
    return _server_frame(TEXT, text)


def close_frame(code: int, reason: str, *, mask: bytes = b"") -> bytes:
    """A close frame. With a ``mask`` it is a client's frame, else a server's."""
    payload = code.to_bytes(2, "big") + reason.encode()
    if not mask:
        return _server_frame(CLOSE, payload)
    return bytes((_FIN | CLOSE, _MASKED | len(payload))) + mask + apply_mask(payload, mask)


def _server_frame(opcode: int, payload: bytes) -> bytes:
    size = len(payload)
    if size <= _SHORT:
        length = bytes((size,))
    elif size < 1 << 16:
        length = bytes((_MEDIUM,)) + size.to_bytes(2, "big")
    else:
        length = b"\x7f" + size.to_bytes(8, "big")
    return bytes((_FIN | opcode,)) + length + payload
