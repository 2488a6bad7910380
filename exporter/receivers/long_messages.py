"""Long messages, which the listener passes on as they arrive: each piece is a ``websocket.receive`` message of its own."""

from collections.abc import Callable
from typing import Final, Generic, Protocol, TypeVar

from starlette.types import Message

from exporter.protocol.reasons import RejectionReason
from exporter.receivers.read_budget import ReadBudget

MORE: Final = "more_body"
"""Key of a ``websocket.receive`` message with a piece of a long message: whether more pieces follow."""
LOST: Final = "lost"
"""Key of the last piece of a long message: whether there was no room to read the message."""


class PieceReader(Protocol):
    """Reads the pieces of one long message."""

    @property
    def held(self) -> int:
        """Bytes that are held, roughly."""

    def feed(self, piece: bytes) -> None:
        """Read a piece."""

    def reject(self, reason: RejectionReason) -> None:
        """Read no more of the message, and hold nothing of it."""


R = TypeVar("R", bound=PieceReader)


class LongMessages(Generic[R]):
    """The long messages of one connection.

    ``new_reader`` makes the reader of a message. ``on_lost`` is called for a message for which there was no room.
    """

    __slots__ = ("_budget", "_held", "_new_reader", "_on_lost", "_reader")

    def __init__(self, budget: ReadBudget, new_reader: Callable[[], R], on_lost: Callable[[], None]) -> None:
        self._budget = budget
        self._new_reader = new_reader
        self._on_lost = on_lost
        self._reader: R | None = None
        self._held = 0

    def add(self, piece: Message) -> R | None:
        """Read a piece. Returns the reader of the message once the message is complete, unless it was lost."""
        reader = self._reader
        if reader is None:
            reader = self._reader = self._new_reader()
        reader.feed(piece["bytes"])
        if not self._hold(reader.held):
            reader.reject(RejectionReason.TOO_LARGE)
            self._hold(0)
        if piece[MORE]:
            return None
        self.close()
        if piece.get(LOST):
            self._on_lost()
            return None
        return reader

    def close(self) -> None:
        """No more pieces of the message follow."""
        self._reader = None
        self._hold(0)

    def _hold(self, size: int) -> bool:
        if not self._budget.resize(self._held, size):
            return False
        self._held = size
        return True
