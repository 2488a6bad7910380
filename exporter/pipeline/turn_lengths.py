"""How long each turn took, for the metric that the GenAI conventions have for it: as long as its span, where it has one.

To place all stages of a turn costs as much as to record it. So a turn without a span is measured from its two outer times, which are
the edges of the span too, and its stages are only placed if one of these times is missing.
"""

from typing import Final

from exporter.analysis.genai_durations import GenAiDurations
from exporter.events.turn_metrics import TurnMetrics
from exporter.protocol.field_getter import field_getter
from exporter.protocol.moments import seconds_between
from exporter.sessions.clock import SECOND, PlatformClock
from exporter.sessions.session import Session
from exporter.tracing.timeline import turn_length

_NO_CLOCK: Final = PlatformClock()
_LONGEST: Final = 3600.0
"""A turn that seems longer, in seconds, has times that do not belong together."""


class TurnLengths:
    """Observes the length of turns."""

    def __init__(self, durations: GenAiDurations) -> None:
        self._durations = durations

    def observe(self, session: Session, event: TurnMetrics, receipt: float) -> None:
        """A turn is recorded, and its span is written if it has one. If no time of the turn is known, nothing is observed."""
        state = session.spans
        seconds = state.turn_length / SECOND if state is not None and state.turn_length else _from_outer_times(event)
        if not seconds:
            clock = _NO_CLOCK if state is None else state.clock
            seconds = turn_length(event, clock.window(session.started_at, receipt)) / SECOND
        if seconds:
            self._durations.turn(session, seconds, event.error_source, receipt)


_outer_times_of = field_getter(TurnMetrics, "user_started_speaking_at", "agent_stopped_speaking_at", "agent_first")


def _from_outer_times(event: TurnMetrics) -> float:
    """From the start of the user's speech to the end of the agent's; 0 if that is not known. A greeting begins with its synthesis."""
    start, end, agent_first = _outer_times_of(event)
    if start is None or end is None or agent_first:
        return 0.0
    seconds = seconds_between(start, end)
    return seconds if 0.0 < seconds <= _LONGEST else 0.0
