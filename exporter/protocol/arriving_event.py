"""A long event while it arrives: its pieces are read at once, and only the shortened document is held."""

from typing import Final

from exporter.protocol.long_event import LONGEST_EVENT, LongEventReader
from exporter.protocol.reasons import FrameRejected, RejectionReason

_CHUNK: Final = 8192
"""Bytes that are read at once. Smaller pieces wait for each other, so that a peer cannot make reading dear by cutting small."""

_BEGINNING: Final = 64


class ArrivingEvent:
    """One long event. Nothing that arrives raises an error before :meth:`document` is called.

    ``size`` is the number of bytes that have arrived, ``beginning`` are the first of them.
    """

    __slots__ = ("_pending", "_reader", "_rejection", "beginning", "size")

    def __init__(self) -> None:
        self._pending = bytearray()
        self._reader: LongEventReader | None = LongEventReader()
        self._rejection: RejectionReason | None = None
        self.beginning = b""
        self.size = 0

    def __len__(self) -> int:
        """The number of bytes that have arrived, as of a frame that has arrived as a whole."""
        return self.size

    @property
    def held(self) -> int:
        """Bytes that are held, roughly."""
        return len(self._pending) + (0 if self._reader is None else self._reader.held)

    def feed(self, piece: bytes | bytearray) -> None:
        """Read the next bytes of the event."""
        if self.size < _BEGINNING:
            self.beginning += piece[: _BEGINNING - self.size]
        self.size += len(piece)
        if self.size > LONGEST_EVENT:
            self.reject(RejectionReason.TOO_LARGE)
        if self._reader is None:
            return
        pending = self._pending
        pending += piece
        if len(pending) >= _CHUNK:
            complete = len(pending) - len(pending) % _CHUNK
            for start in range(0, complete, _CHUNK):
                self._read(bytes(pending[start : start + _CHUNK]))
            del pending[:complete]

    def reject(self, reason: RejectionReason) -> None:
        """Read no more of the event, and hold nothing of it."""
        self._reader, self._rejection = None, reason
        self._pending = bytearray()

    def document(self) -> bytes:
        """The event is complete. Returns the shortened document, or raises :class:`FrameRejected`."""
        self._read(bytes(self._pending))
        self._pending = bytearray()
        if self._reader is None:
            raise FrameRejected(self._rejection or RejectionReason.TOO_LARGE)
        return self._reader.finish()

    def _read(self, chunk: bytes) -> None:
        if self._reader is not None:
            try:
                self._reader.feed(chunk)
            except FrameRejected as rejection:
                self.reject(rejection.reason)
