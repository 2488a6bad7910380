"""How many spans a request holds: more while a backlog is delivered without a failure, and few again after one.

What has queued while the receiver was slow or away takes few requests then. A failure costs little: a request that has grown is never
sent a second time or dropped. Its spans are sent again in smaller ones, so that a receiver which refuses long requests, or one span
among many, gets all others. So is a request of the usual number of spans, if it is too long for the receiver or does not get there in
time: spans with what was said are long, and some servers take no more than 1 MB.
"""

import math
from dataclasses import dataclass
from typing import Final

from exporter.exporters.otlp.sender.export_result import Delivered, ExportResult, PermanentFailure
from exporter.exporters.otlp.sender.sending_queue import Batch

_LEAST_SIZE: Final = 250_000
"""What 512 spans take, in bytes. A request that failed for another reason than its length is not made shorter."""
LEAST_ACCEPTED: Final = 16_384
"""No receiver that works refuses a request for having so many bytes."""
_TIMEOUTS: Final = ("timeout", "grpc_deadline_exceeded")


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

    def divides(self, result: ExportResult, batch: Batch) -> bool:
        """Whether the spans of a failed request are sent again in smaller ones."""
        if isinstance(result, Delivered):
            return False
        if self._config.grows and batch.items > self._config.max_items:
            return True
        return len(batch.bodies) > 1 and _length(batch) > _least(result)

    def delivered(self, waiting: int) -> None:
        """A request was delivered, and ``waiting`` spans wait. The next may be twice as long if they do not fit otherwise."""
        if self._config.grows and waiting > self.max_items:
            self.max_items *= 2

    def failed(self, result: ExportResult, batch: Batch) -> None:
        """The spans of a failed request are sent again in smaller ones. If its length may be the reason, none is as long again."""
        self.max_items = self._config.max_items
        if (least := _least(result)) < math.inf:
            self.max_size = min(self.max_size, max(_length(batch) // 2, int(least)))
        elif isinstance(result, PermanentFailure):
            self.max_size = max(self.max_size // 2, _LEAST_SIZE)


def _length(batch: Batch) -> int:
    return sum(map(len, batch.bodies))


def _least(result: ExportResult) -> float:
    """How many bytes a request must have for its length to be the reason of a failure; infinity if that was none."""
    if isinstance(result, PermanentFailure):
        return LEAST_ACCEPTED if result.too_long else math.inf
    return _LEAST_SIZE if not isinstance(result, Delivered) and result.reason in _TIMEOUTS else math.inf
