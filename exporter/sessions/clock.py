"""The platform's clock as a session sees it, and which of its stamps are believed. Times are unix nanoseconds."""

from datetime import datetime
from typing import Final

SECOND: Final = 1_000_000_000
EARLIEST: Final = 1_000_000_000 * SECOND
"""Stamps before this (2001) are no times anyone measured; nor are those from 2255 on, short of what 64 bits with a sign can hold."""
LATEST: Final = 9_000_000_000 * SECOND
_FLOOR: Final = 10 * 86_400 * SECOND
_LONGEST_JUMP: Final = 3600 * SECOND
_BEFORE_SESSION: Final = 60 * SECOND
_AFTER_RECEIPT: Final = SECOND


class Clock:
    """The platform's clock as a session sees it. Receipt is always unix seconds by our clock."""

    __slots__ = ("_earliest", "_lag")

    def __init__(self) -> None:
        self._earliest = 0
        self._lag = 0

    @property
    def known(self) -> bool:
        """Whether an event has said what time it is."""
        return self._earliest != 0

    def at(self, receipt: float) -> int:
        """The platform's time when we received something, as near as is known."""
        return max(int(receipt * 1e6) * 1000 - self._lag, _FLOOR)

    def stamped(self, stamp: datetime | None, receipt: float) -> int:
        """When an event happened that carries ``stamp``; one that is far off the others is not believed."""
        if stamp is not None:
            moment = int(stamp.timestamp() * 1e6 + 0.5) * 1000
            if EARLIEST <= moment < LATEST and self.note(moment, receipt):
                return moment
        return self.at(receipt)

    def note(self, moment: int, receipt: float) -> bool:
        """Learn that something received now happened at ``moment``; returns whether that can be."""
        lag = int(receipt * 1e6) * 1000 - moment
        earliest = self._earliest
        if not earliest:
            self._earliest, self._lag = moment, lag
            return True
        closer = self._lag - lag
        if not -_LONGEST_JUMP < closer < _LONGEST_JUMP:
            return False
        if closer > 0:
            self._lag = lag
        if moment < earliest:
            self._earliest = moment
        return True

    def window(self, began: float, receipt: float) -> tuple[int, int]:
        """Between which times a stamp must lie that came with something received now, in a session that began at ``began``."""
        if not self._earliest:
            return EARLIEST, LATEST
        first = min(self._earliest, int(began * 1e6) * 1000 - self._lag)
        return max(first - _BEFORE_SESSION, EARLIEST), int(receipt * 1e6) * 1000 - self._lag + _AFTER_RECEIPT


def nanoseconds(stamp: datetime) -> int:
    """A date-time in unix nanoseconds, or 0 where it is no time anyone measured."""
    found = int(stamp.timestamp() * 1e6 + 0.5) * 1000
    return found if EARLIEST <= found < LATEST else 0
