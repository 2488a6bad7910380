"""The interface of a way out that sends on its own. A way out that is only read, such as ``/metrics``, is a page instead."""

from collections.abc import Callable, Sequence
from typing import Protocol


class Exporter(Protocol):
    """Sends spans, metrics or both. Called on the event loop, which no method may block.

    An exporter of metrics is given the function that returns the current :class:`exporter.metrics.snapshot.Snapshot` when it is
    created.
    """

    @property
    def offer(self) -> Callable[[Sequence[bytes]], object]:
        """Takes serialised OTLP ``Span`` messages. Never waits; what cannot be queued is counted as dropped."""

    def start(self) -> None:
        """Start sending."""

    async def stop(self) -> None:
        """Send, store or count as lost whatever is left, within a bounded time."""
