"""A long WebSocket message, of which the application receives each piece as it arrives."""

import codecs

from websockets.speedups import apply_mask


class LongMessage:
    """The frames of one message. Raises ``UnicodeDecodeError`` for text that is not UTF-8.

    The application receives at most ``longest`` bytes and one more. The rest is skipped, and so is everything of a message that is
    ``lost`` because there was no room for it. ``size`` is the number of bytes that have arrived, and ``left`` the number of bytes that
    are missing of the current frame, whose first byte is ``first``.
    """

    __slots__ = ("_longest", "_mask", "_utf8", "first", "left", "lost", "size")

    def __init__(self, longest: int, *, is_text: bool, lost: bool) -> None:
        self._longest = longest
        self._utf8 = codecs.getincrementaldecoder("utf-8")() if is_text else None
        self._mask = b""
        self.lost = lost
        self.first = self.left = self.size = 0

    @property
    def skips(self) -> bool:
        """Whether further bytes are skipped."""
        return self.lost or self.size > self._longest

    def begin_frame(self, first: int, length: int, mask: bytes) -> None:
        """A frame begins."""
        self.first, self.left, self._mask = first, length, mask

    def skip(self, size: int) -> None:
        """Bytes of the current frame have arrived that are not read."""
        self.left -= size
        self.size += size

    def read(self, masked: bytes) -> bytes:
        """Bytes of the current frame have arrived. Returns what the application receives of them."""
        turn = len(masked) % 4
        piece = apply_mask(masked, self._mask)
        self._mask = self._mask[turn:] + self._mask[:turn]
        self.left -= len(masked)
        return self.add(piece)

    def add(self, piece: bytes) -> bytes:
        """Bytes without a mask have arrived. Returns what the application receives of them."""
        room = max(0, self._longest + 1 - self.size)
        self.size += len(piece)
        if self.skips:
            return b"" if self.lost else piece[:room]
        if self._utf8 is not None:
            self._utf8.decode(piece)
        return piece

    def end(self) -> None:
        """The message is complete."""
        if self._utf8 is not None and not self.skips:
            self._utf8.decode(b"", final=True)
