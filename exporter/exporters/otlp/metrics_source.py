"""The metrics sender's source: the store's snapshot, encoded for one receiver."""

from collections.abc import Callable, Sequence

from exporter.exporters.otlp.metrics import EncodedSnapshot, MetricsEncoder
from exporter.exporters.otlp.sender import ExportRequest
from exporter.metrics.snapshot import Snapshot


class SnapshotSource:
    """A :class:`exporter.exporters.otlp.sender.MetricsSource` that takes a snapshot for each collection, as one request."""

    def __init__(self, snapshot: Callable[[], Snapshot], encoder: MetricsEncoder) -> None:
        self._snapshot = snapshot
        self._encoder = encoder
        self._last: EncodedSnapshot | None = None

    async def collect(self) -> Sequence[ExportRequest]:
        """The request for a new snapshot; none if it has no data points."""
        self._last = await self._encoder.encode_in_slices(self._snapshot())
        return [ExportRequest(self._last.body, self._last.points)] if self._last.points else []

    def delivered(self) -> None:
        """The last collection was delivered: deltas start at its snapshot."""
        if self._last is not None:
            self._encoder.commit(self._last)
