"""How many spans a request holds: more while a backlog is delivered without a failure, and few again after one.

What has queued while the receiver was slow or away takes few requests then. A failure costs little: a request that has grown is never
sent a second time or dropped. Its spans are sent again in smaller ones, so that a receiver which refuses long requests, or one span
among many, gets all others.
"""

from dataclasses import dataclass
from typing import Final

from exporter.exporters.otlp.sender.export_result import PermanentFailure, RetryableFailure

_LEAST_SIZE: Final = 250_000
"""What 512 spans take, in bytes. Receivers that refuse that much are misconfigured."""


@dataclass(frozen=True, slots=True)
class BatchConfig:
    """A request is sent ``delay`` seconds after the first waiting span, or when ``max_items`` spans or ``max_size`` bytes wait.

    Collectors reject requests over 4 MiB by default. A request that ``grows`` may hold more than ``max_items`` if more wait.
    """

    delay: float = 5.0
    max_items: int = 512
    max_size: int = 4_000_000
    grows: bool = False


class BatchSize:
    """The limits of the next request: ``max_items`` spans and ``max_size`` bytes."""

    def __init__(self, config: BatchConfig) -> None:
        self._config = config
        self.max_items = config.max_items
        self.max_size = config.max_size

    def has_grown(self, items: int) -> bool:
        """Whether a request with so many spans is one that has grown."""
        return self._config.grows and items > self._config.max_items

    def delivered(self, waiting: int) -> None:
        """A request was delivered, and ``waiting`` spans wait. The next may be twice as long if they do not fit otherwise."""
        if self._config.grows and waiting > self.max_items:
            self.max_items *= 2

    def failed(self, result: RetryableFailure | PermanentFailure) -> None:
        """A request that has grown failed. If that may be due to its length, none is as long again."""
        self.max_items = self._config.max_items
        if isinstance(result, PermanentFailure) or result.reason == "timeout":
            self.max_size = max(self.max_size // 2, _LEAST_SIZE)
