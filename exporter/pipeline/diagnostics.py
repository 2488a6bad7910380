"""What the core reports to people. It writes no log itself: the composition passes an object that does."""

from typing import Protocol


class Diagnostics(Protocol):
    """Takes the core's reports."""

    def metrics_missing(self, agent: str) -> None:
        """Turns of ``agent`` complete, but no turn.metrics arrives."""

    def internal_error(self, error: Exception) -> None:
        """The exporter failed at a frame. The frame was not recorded."""


class NoDiagnostics:
    """Discards the core's reports."""

    def metrics_missing(self, agent: str) -> None:
        """Ignore the report."""

    def internal_error(self, error: Exception) -> None:
        """Ignore the report."""
