"""The platform's clock as a session sees it, and which of its time stamps are plausible. Times are unix nanoseconds."""

from datetime import datetime
from typing import Final

from exporter.protocol.moments import unix_seconds

SECOND: Final = 1_000_000_000
EARLIEST: Final = 1_000_000_000 * SECOND
"""A stamp before this (2001) is not a measured time."""
LATEST: Final = 9_000_000_000 * SECOND
"""A stamp from this on (2255) is not a measured time. Up to here, sums and differences fit signed 64 bits."""
_FLOOR: Final = 10 * 86_400 * SECOND
_LONGEST_JUMP: Final = 3600 * SECOND
_BEFORE_SESSION: Final = 60 * SECOND
_AFTER_RECEIPT: Final = SECOND


class PlatformClock:
    """The platform's clock as a session sees it. Receipt is always unix seconds on our clock.

    The lag is our clock at receipt minus the platform's stamp. The smallest lag seen is the best estimate of how far the clocks differ.
    """

    __slots__ = ("_earliest", "_lag")

    def __init__(self, earliest: int = 0, lag: int = 0) -> None:
        self._earliest = earliest
        self._lag = lag

    @property
    def earliest(self) -> int:
        """The earliest plausible stamp so far; 0 if there is none."""
        return self._earliest

    @property
    def lag(self) -> int:
        """The smallest lag so far."""
        return self._lag

    @property
    def known(self) -> bool:
        """Whether any event carried a plausible time."""
        return self._earliest != 0

    def at(self, receipt: float) -> int:
        """The platform's time at ``receipt``, estimated from the smallest lag."""
        return max(_nanoseconds(receipt) - self._lag, _FLOOR)

    def event_time(self, stamp: datetime | None, receipt: float) -> int:
        """When an event happened: its ``stamp``, or the estimate :meth:`at` if the stamp is missing or not plausible."""
        if stamp is not None:
            moment = _rounded(unix_seconds(stamp))
            if EARLIEST <= moment < LATEST and self.learn(moment, receipt):
                return moment
        return self.at(receipt)

    def learn(self, moment: int, receipt: float) -> bool:
        """Learn the lag from something that happened at ``moment``; returns whether ``moment`` is plausible.

        A moment is not plausible if its lag differs by an hour or more from the smallest lag so far.
        """
        lag = _nanoseconds(receipt) - moment
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

    def window(self, started_at: float, receipt: float) -> tuple[int, int]:
        """The earliest and latest plausible stamp in something received at ``receipt``; the session started at ``started_at``.

        The window reaches from 60 s before the session's start to 1 s after receipt.
        """
        if not self._earliest:
            return EARLIEST, LATEST
        first = min(self._earliest, _nanoseconds(started_at) - self._lag)
        return max(first - _BEFORE_SESSION, EARLIEST), _nanoseconds(receipt) - self._lag + _AFTER_RECEIPT


def nanoseconds(stamp: datetime) -> int:
    """A date-time in unix nanoseconds, or 0 if it is not a measured time."""
    found = _rounded(unix_seconds(stamp))
    return found if EARLIEST <= found < LATEST else 0


def _nanoseconds(seconds: float) -> int:
    """The whole microseconds of unix seconds, in nanoseconds."""
    microseconds = int(seconds * 1e6)
    return microseconds * 1000


def _rounded(seconds: float) -> int:
    """The nearest microsecond to unix seconds, in nanoseconds."""
    microseconds = int(seconds * 1e6 + 0.5)
    return microseconds * 1000
