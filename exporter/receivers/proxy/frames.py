"""Finds WebSocket messages in a stream of bytes that the relay forwards.

The relay needs to know two things: the messages, to measure them, and the places between messages, to insert its own. Frames follow
RFC 6455, section 5.2, without extensions. The peers validate the frames, so the scanner does not. Bytes that cannot be frames make it
give up; they are forwarded all the same. A long message is not kept: it is shortened while it arrives.
"""

from typing import Final, NamedTuple

from websockets.speedups import apply_mask

from exporter.protocol.arriving_event import ArrivingEvent
from exporter.receivers.read_budget import ReadBudget

TEXT, BINARY, CLOSE, PING, PONG = 0x1, 0x2, 0x8, 0x9, 0xA
_CONTINUATION: Final = 0x0
_DATA: Final = (_CONTINUATION, TEXT, BINARY)
_CONTROL: Final = (CLOSE, PING, PONG)
_FIN, _RESERVED, _MASKED = 0x80, 0x70, 0x80
_MAX_HEADER: Final = 14
_SHORT, _MEDIUM = 125, 126
"""Largest length in the second byte of a header, and the value that announces a length of two bytes."""


class Message(NamedTuple):
    """A whole message. ``payload`` is still masked unless ``mask`` is empty. It is ``None`` if there was no room for it."""

    opcode: int
    payload: bytes | ArrivingEvent | None
    mask: bytes

    def unmasked(self) -> bytes:
        """The payload without its mask, shortened if the message is long. Raises :class:`FrameRejected` if it cannot be shortened."""
        payload = self.payload or b""
        if isinstance(payload, ArrivingEvent):
            return payload.document()
        return apply_mask(payload, self.mask) if self.mask else payload


class Scanner:
    """Finds the messages in one direction of a connection.

    A message of more than ``max_message`` bytes is shortened while it arrives. ``budget`` counts what is held of messages that have not
    arrived completely.
    """

    __slots__ = (
        "_body",
        "_budget",
        "_fragments",
        "_head",
        "_header",
        "_held",
        "_left",
        "_long",
        "_lost",
        "_max_message",
        "_opcode",
        "_size",
        "closing",
        "gap",
        "gave_up",
    )

    def __init__(self, max_message: int, budget: ReadBudget) -> None:
        self._max_message = max_message
        self._budget = budget
        self._head = b""
        self._header: tuple[int, bytes, int] | None = None
        self._body = bytearray()
        self._left = 0
        self._opcode = 0
        self._size = 0
        self._fragments = bytearray()
        self._long: ArrivingEvent | None = None
        """The current message, once it is known to be long."""
        self._lost = False
        """Whether there was no room to read the current message."""
        self._held = 0
        """Bytes that are counted in the budget."""
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

    def close(self) -> None:
        """No more bytes follow: hold nothing."""
        self._body, self._fragments, self._long = bytearray(), bytearray(), None
        self._count_held()

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
            self.close()
            return at
        after = at + length
        if after <= len(data):
            self._frame(first, mask, length, data[at:after], found)
            return after
        self._header = (first, mask, length)
        self._left = length
        if first & 0x0F in _DATA:
            self._shorten_if_long(length)
        return at

    def _continue_frame(self, data: bytes, at: int, found: list[Message]) -> int:
        """Read more of the body of the current frame. Returns the offset after it."""
        assert self._header is not None  # noqa: S101 - for the types
        first, mask, length = self._header
        taken = min(self._left, len(data) - at)
        piece = data[at : at + taken]
        if self._long is not None and first & 0x0F in _DATA:
            self._long.feed(_unmasked(piece, mask, length - self._left))
        elif not self._lost or first & 0x0F in _CONTROL:
            self._body += piece
        self._left -= taken
        if not self._left:
            self._header = None
            body, self._body = bytes(self._body), bytearray()
            self._frame(first, mask, length, body, found)
        self._count_held()
        return at + taken

    def _is_plausible(self, first: int, length: int) -> bool:
        opcode = first & 0x0F
        if first & _RESERVED or length >= 1 << 63:
            return False
        if opcode in _CONTROL:
            return bool(first & _FIN) and length <= _SHORT
        return opcode in _DATA and (opcode == _CONTINUATION) == bool(self._opcode)

    def _frame(self, first: int, mask: bytes, length: int, body: bytes, found: list[Message]) -> None:
        """A frame is complete. ``body`` is empty if it was read as it arrived."""
        opcode, last = first & 0x0F, bool(first & _FIN)
        if opcode in _CONTROL:
            self.closing = self.closing or opcode == CLOSE
            self._control(opcode, _unmasked(body, mask, 0))
        elif last and not self._opcode and length <= self._max_message and not self._lost:
            found.append(Message(opcode, body, mask))
        else:
            self._fragment(opcode, last, _unmasked(body, mask, 0), length, found)

    def _control(self, opcode: int, body: bytes) -> None:
        """A control frame has passed. The peers answer it."""

    def _fragment(self, opcode: int, last: bool, body: bytes, length: int, found: list[Message]) -> None:
        self._opcode = self._opcode or opcode
        self._shorten_if_long(length)
        self._size += length
        if self._long is not None:
            self._long.feed(body)
        elif not self._lost:
            self._fragments += body
        self._count_held()
        if last:
            payload = None if self._lost else bytes(self._fragments) if self._long is None else self._long
            found.append(Message(self._opcode, payload, b""))
            self._opcode = self._size = 0
            self._fragments, self._long, self._lost = bytearray(), None, False
            self._count_held()

    def _shorten_if_long(self, length: int) -> None:
        """Shorten the message while it arrives if it becomes too long with the next ``length`` bytes."""
        if self._size + length > self._max_message and self._long is None and not self._lost:
            self._long = ArrivingEvent()
            self._long.feed(self._fragments)
            self._fragments = bytearray()

    def _count_held(self) -> None:
        """Count what is held. Drop the message if there is no room for it."""
        held = len(self._body) + len(self._fragments) + (0 if self._long is None else self._long.held)
        if not self._budget.resize(self._held, held):
            self._lost = True
            self._body, self._fragments, self._long, held = bytearray(), bytearray(), None, 0
            self._budget.resize(self._held, held)
        self._held = held


def _unmasked(body: bytes, mask: bytes, offset: int) -> bytes:
    """Bytes of a frame without their mask. They stand at ``offset`` in the frame."""
    if not mask or not body:
        return body
    turn = offset % 4
    return apply_mask(body, mask[turn:] + mask[:turn])


def _header_size(head: bytes) -> int:
    """The length of the frame's header, or 0 if it is not complete."""
    if len(head) < 2:
        return 0
    length = head[1] & 0x7F
    size = 2 + (0 if length <= _SHORT else 2 if length == _MEDIUM else 8) + (4 if head[1] & _MASKED else 0)
    return size if len(head) >= size else 0


def text_frame(text: bytes) -> bytes:
    """A text frame of a server."""
    return server_frame(TEXT, text)


def close_frame(code: int, reason: str, *, mask: bytes = b"") -> bytes:
    """A close frame. With a ``mask`` it is a client's frame, else a server's."""
    payload = code.to_bytes(2, "big") + reason.encode()
    if not mask:
        return server_frame(CLOSE, payload)
    return bytes((_FIN | CLOSE, _MASKED | len(payload))) + mask + apply_mask(payload, mask)


def server_frame(opcode: int, payload: bytes) -> bytes:
    """A frame of a server that holds a whole message."""
    size = len(payload)
    if size <= _SHORT:
        length = bytes((size,))
    elif size < 1 << 16:
        length = bytes((_MEDIUM,)) + size.to_bytes(2, "big")
    else:
        length = b"\x7f" + size.to_bytes(8, "big")
    return bytes((_FIN | opcode,)) + length + payload
