"""The diagnostics of the pipeline, written to the log."""

import logging

from exporter.pipeline.diagnostics import Diagnostics

log = logging.getLogger(__name__)


class LoggingDiagnostics(Diagnostics):
    """Diagnostics that are written to the log."""

    def metrics_missing(self, agent: str) -> None:
        """Log that turns of ``agent`` complete without turn.metrics."""
        log.warning(
            "no turn.metrics received for completed turns of agent %s: enable metrics_events for it, or remove --no-subscribe",
            agent,
        )

    def internal_error(self, error: Exception) -> None:
        """Log an internal error of the exporter with its traceback."""
        log.error("internal error; event not recorded", exc_info=error)
