"""The memory for messages that have not arrived completely, shared by all connections of a receiver."""

from typing import Final

MOST_PARTLY_READ: Final = 64 * 1024 * 1024
"""Bytes of partly read messages that all connections may hold together."""


class ReadBudget:
    """Counts the bytes of partly read messages. ``left`` is what may still be held."""

    __slots__ = ("left",)

    def __init__(self, size: int = MOST_PARTLY_READ) -> None:
        self.left = size

    def resize(self, held: int, wanted: int) -> bool:
        """A holder of ``held`` bytes wants to hold ``wanted``. Returns whether it may; if not, it still has ``held``."""
        if wanted - held > self.left:
            return False
        self.left -= wanted - held
        return True
