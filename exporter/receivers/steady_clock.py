"""The time of everything that is received: unix seconds that go on evenly, whatever is done to the system's clock.

A clock that is set, by hand, by NTP, or because a virtual machine was paused, would shift every wait, timer and length of the
calls that go on. So the system's clock is read once, and counted on with the monotonic clock. What is too small to matter is
followed at once, and a jump when no call goes on. Until then the clock runs faster or slower, so that it is right again in the end
where some call always goes on.
"""

from math import copysign
from time import monotonic, time
from typing import Final

LARGEST_CORRECTION: Final = 1.0
"""Seconds that are followed at once."""
SLEW: Final = 0.05
"""Seconds by which a jump is followed each second: what is measured meanwhile is wrong by 5 % at most."""


class SteadyClock:
    """A clock. ``offset`` is what makes unix seconds of ``time.monotonic()``."""

    __slots__ = ("offset",)

    def __init__(self) -> None:
        self.offset = time() - monotonic()

    def time(self) -> float:
        """Unix seconds."""
        return monotonic() + self.offset

    def follow(self, *, jump: bool) -> float:
        """Follow the system's clock, and a jump of it slowly unless ``jump`` is set. To be called about once a second.

        Returns how many seconds the system's clock is ahead of this one afterwards.
        """
        ahead = time() - self.time()
        if not jump and abs(ahead) > LARGEST_CORRECTION:
            step = copysign(SLEW, ahead)
            self.offset += step
            return ahead - step
        self.offset += ahead
        return 0.0


CLOCK: Final = SteadyClock()
"""That of this process."""
