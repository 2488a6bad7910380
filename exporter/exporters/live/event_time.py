"""When something happened, as /live shows it: one implausible time stamp must not move a turn by centuries."""

from typing import Final

from exporter.sessions.clock import EARLIEST, LATEST, SECOND, PlatformClock

_LONGEST_JUMP: Final = 3600.0
"""Seconds by which a stamp may differ from what the clock says, as for spans."""


def event_time(stamp: float | None, received: float, clock: PlatformClock) -> float:
    """The ``stamp`` on the platform's clock, or an estimate if it is missing or not plausible. All are unix seconds."""
    estimate = clock.at(received) / SECOND
    if stamp is None:
        return estimate
    plausible = abs(stamp - estimate) < _LONGEST_JUMP if clock.known else EARLIEST <= stamp * SECOND < LATEST
    return stamp if plausible else estimate
