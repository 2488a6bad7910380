"""The metrics sender's source: the store's snapshot, encoded for one receiver."""

from collections.abc import Callable, Sequence
from typing import Final

from exporter.exporters.otlp.metrics import EncodedSnapshot, MetricsEncoder
from exporter.exporters.otlp.sender import ExportRequest
from exporter.metrics.snapshot import Snapshot

LEAST_SIZE: Final = 16_384
"""No receiver that works refuses a request for having so many bytes."""


class SnapshotSource:
    """A :class:`exporter.exporters.otlp.sender.MetricsSource` that takes a snapshot for each collection."""

    def __init__(self, snapshot: Callable[[], Snapshot], encoder: MetricsEncoder) -> None:
        self._snapshot = snapshot
        self._encoder = encoder
        self._last: EncodedSnapshot | None = None

    async def collect(self) -> Sequence[ExportRequest]:
        """The requests for a new snapshot; none if it has no data points."""
        self._last = await self._encoder.encode_in_slices(self._snapshot())
        return [ExportRequest(body, points) for body, points in self._last.requests if points]

    @property
    def repeatable(self) -> bool:
        """Whether a new collection may follow on one that was delivered in part: totals may, differences would count twice."""
        return not self._encoder.has_deltas

    def refused(self, size: int) -> bool:
        """The receiver refused a request of ``size`` bytes for its length: the next ones are half as long, if they were not short."""
        if size <= LEAST_SIZE:
            return False
        self._encoder.max_size = max(LEAST_SIZE, min(self._encoder.max_size, size) // 2)
        return True

    def delivered(self) -> None:
        """The last collection was delivered, or the rest of it is lost: deltas start at its snapshot."""
        if self._last is not None:
            self._encoder.commit(self._last)
