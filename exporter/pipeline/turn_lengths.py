"""How long each turn took, for the metric that the GenAI conventions have for it: as long as its span, where it has one."""

from typing import Final

from exporter.analysis.genai_durations import GenAiDurations
from exporter.events.turn_metrics import TurnMetrics
from exporter.sessions.clock import SECOND, PlatformClock
from exporter.sessions.session import Session
from exporter.tracing.timeline import turn_length

_NO_CLOCK: Final = PlatformClock()


class TurnLengths:
    """Observes the length of turns."""

    def __init__(self, durations: GenAiDurations) -> None:
        self._durations = durations

    def observe(self, session: Session, event: TurnMetrics, receipt: float) -> None:
        """A turn is recorded, and its span is written if it has one. If no time of the turn is known, nothing is observed."""
        state = session.spans
        length = 0 if state is None else state.turn_length
        if not length:
            clock = _NO_CLOCK if state is None else state.clock
            length = turn_length(event, clock.window(session.started_at, receipt))
        if length:
            self._durations.turn(session, length / SECOND, event.error_source, receipt)
