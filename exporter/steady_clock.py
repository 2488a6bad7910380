"""The time of everything that is received: unix seconds that go on evenly, whatever is done to the system's clock.

A clock that is set, by hand, by NTP, or because a virtual machine was paused, would shift every wait, timer and length of the
calls that go on. So the system's clock is read once, and counted on with the monotonic clock. What is too small to matter is
followed at once, and a jump when no call goes on.
"""

from time import monotonic, time
from typing import Final

LARGEST_CORRECTION: Final = 1.0
"""Seconds that are followed at once."""


class SteadyClock:
    """A clock. ``offset`` is what makes unix seconds of ``time.monotonic()``."""

    __slots__ = ("offset",)

    def __init__(self) -> None:
        self.offset = time() - monotonic()

    def time(self) -> float:
        """Unix seconds."""
        return monotonic() + self.offset

    def follow(self, *, jump: bool) -> float:
        """Follow the system's clock, but not a jump of it unless ``jump`` is set. To be called about once a second.

        Returns how many seconds the system's clock is ahead of this one afterwards.
        """
        ahead = time() - self.time()
        if not jump and abs(ahead) > LARGEST_CORRECTION:
            return ahead
        self.offset += ahead
        return 0.0


CLOCK: Final = SteadyClock()
"""That of this process."""
