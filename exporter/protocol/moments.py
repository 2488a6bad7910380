"""What time stamps of events say, as numbers: in C if it was compiled, with the same results."""

from collections.abc import Callable
from datetime import datetime
from typing import Final

from exporter import compiled


def _seconds_between(start: datetime, end: datetime) -> float:
    return (end - start).total_seconds()


unix_seconds: Final[Callable[[datetime], float]] = compiled.unix_seconds or datetime.timestamp
"""A date-time in unix seconds."""
seconds_between: Final[Callable[[datetime, datetime], float]] = compiled.seconds_between or _seconds_between
"""The seconds from one date-time to another."""
