"""What the core reports to people. It writes no log itself: the composition passes an object that does."""

from collections.abc import Mapping
from typing import Protocol


class Diagnostics(Protocol):
    """Takes the core's reports."""

    def metrics_missing(self, agent: str) -> None:
        """Turns of ``agent`` complete, but no turn.metrics arrives."""

    def internal_error(self, error: Exception) -> None:
        """The exporter failed at a frame. The frame was not recorded."""

    def store_full(self, limit: int, largest: Mapping[str, int]) -> None:
        """The store holds ``limit`` series and takes no more. ``largest`` has the metrics that have most of them."""


class NoDiagnostics:
    """Discards the core's reports."""

    def metrics_missing(self, agent: str) -> None:
        """Ignore the report."""

    def internal_error(self, error: Exception) -> None:
        """Ignore the report."""

    def store_full(self, limit: int, largest: Mapping[str, int]) -> None:
        """Ignore the report."""
