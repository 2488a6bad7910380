"""The diagnostics of the pipeline, written to the log."""

import logging
from collections.abc import Mapping

from exporter.pipeline.diagnostics import Diagnostics

log = logging.getLogger(__name__)


class LoggingDiagnostics(Diagnostics):
    """Diagnostics that are written to the log. ``subscribes`` says that the exporter asks for turn.metrics itself."""

    def __init__(self, *, subscribes: bool = True) -> None:
        self._subscribes = subscribes

    def metrics_missing(self, agent: str) -> None:
        """Log that turns of ``agent`` complete without turn.metrics."""
        remedy = "enable metrics_events for it" + ("" if self._subscribes else ", or remove --no-subscribe")
        log.warning("no turn.metrics received for completed turns of agent %s: %s", agent, remedy)

    def internal_error(self, error: Exception) -> None:
        """Log an internal error of the exporter with its traceback."""
        log.error("internal error; event not recorded", exc_info=error)

    def store_full(self, limit: int, largest: Mapping[str, int]) -> None:
        """Log that new label values have no series of their own, and which metrics have most series."""
        most = ", ".join(f"{name} {series}" for name, series in largest.items())
        log.warning("limit of %d series reached: new combinations of label values are counted as _other; most series: %s", limit, most)
