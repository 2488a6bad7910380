"""Moments of a call in the wire's formats. Inside the simulator, a moment is in whole milliseconds since the call's start."""

from datetime import UTC, datetime
from typing import Any

Event = dict[str, Any]
"""An event in wire form."""

Timed = tuple[int, Event]
"""When the platform sends an event, in milliseconds since the call's start, and the event."""


class Moments:
    """The wall clock of one call."""

    __slots__ = ("_start_ms",)

    def __init__(self, started_at: float) -> None:
        """``started_at`` is in unix seconds. It is rounded to the millisecond, as on the wire."""
        self._start_ms = round(started_at * 1000)

    def rfc3339(self, at: int) -> str:
        """The moment as an RFC 3339 date-time in UTC with milliseconds: ``2026-05-04T09:00:00.120Z``."""
        seconds, milliseconds = divmod(self._start_ms + at, 1000)
        return f"{datetime.fromtimestamp(seconds, UTC).isoformat()[:19]}.{milliseconds:03d}Z"

    def unix(self, at: int) -> float:
        """The moment in unix seconds, exact to the millisecond."""
        return (self._start_ms + at) / 1000
