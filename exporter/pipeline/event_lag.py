"""How late events arrive: the time between an event's own timestamp and its receipt."""

from typing import Final

from exporter.metrics.store import Observe

STALE: Final = 3600.0
"""An event with a longer lag, in seconds, is a replay and not a late event."""


class EventLag:
    """Observes lags with ``observe``. A negative one means that the platform's clock is ahead of ours."""

    def __init__(self, observe: Observe) -> None:
        self._observe = observe
        self._has_least = False
        self._least = 0.0

    def note(self, lag: float) -> None:
        """Record the time between an event's timestamp and its receipt, in seconds."""
        if -STALE < lag < STALE:
            if lag < self._least or not self._has_least:
                self._least, self._has_least = lag, True
            if lag >= 0.0:
                self._observe(lag)

    def take_least(self) -> float | None:
        """The smallest lag since the last call, if there was one."""
        least = self._least if self._has_least else None
        self._has_least = False
        return least
