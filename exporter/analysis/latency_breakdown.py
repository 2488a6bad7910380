"""Where the time of a caller's turn went, and which component made a slow one slow.

Stages overlap: the transcript and the decision that the turn is over both run from the end of speech, so the longer of them counts.
The rest of the wait is unexplained (network, playout, tools); if the stages exceed the wait, the excess is counted apart.
"""

from typing import Final

from exporter.catalogue import operator_metrics
from exporter.catalogue.operator_metrics import TURN_COMPONENTS
from exporter.events.turn_metrics import TurnMetrics
from exporter.metrics.label_limits import LabelLimiter
from exporter.metrics.store import Instrument, Row, Store
from exporter.sessions.registry import MACHINE, Session

SLOW_TURN: Final = 1.5
"""The wait above which a turn is slow unless the operator says otherwise, in seconds."""


def parts_of(event: TurnMetrics, perceived_ms: float) -> tuple[float, ...]:
    """The wait of the turn split into :data:`TURN_COMPONENTS`, in milliseconds.

    The parts add up to ``perceived_ms``; the last of them is negative where the stages overlapped.
    """
    stt, decision = event.stt_delay_ms or 0.0, event.turn_decision_ms or 0.0
    detection = stt if stt > decision else decision  # noqa: FURB136 - with every turn
    callback = event.turn_completed_callback_ms
    callback = (event.on_user_turn_completed_ms if callback is None else callback) or 0.0
    llm, tts, realtime = event.llm_ttft_ms or 0.0, event.tts_ttfb_ms or 0.0, event.realtime_ttft_ms or 0.0
    return detection, callback, llm, tts, realtime, perceived_ms - (detection + callback + llm + tts + realtime)


class LatencyBreakdown:
    """Adds turns up by component. ``slow_above`` is the wait, in seconds, above which a turn is slow."""

    def __init__(self, store: Store, limiter: LabelLimiter, slow_above: float) -> None:
        self._store = store
        self._limiter = limiter
        self._slow_above = slow_above * 1000.0
        self._component = Instrument(store, operator_metrics.TURN_COMPONENT)
        self._negative_rest = Instrument(store, operator_metrics.TURN_COMPONENT_NEGATIVE_REST)
        self._slow = Instrument(store, operator_metrics.SLOW_TURNS)

    def add(self, session: Session, event: TurnMetrics, now: float) -> None:
        """Take in a turn; one nobody waited for, or for which a machine waited, has no parts."""
        perceived = event.user_perceived_ms
        if perceived is None or event.agent_first or session.answered_by == MACHINE:
            return
        agent, pipeline = session.agent_label, self._limiter.value("pipeline", event.pipeline, now)
        parts = parts_of(event, perceived)
        rows = session.series_cache.latency_breakdown.get(pipeline) or self._rows(session, pipeline)
        for index, part in enumerate(parts):
            if part > 0.0:
                row = rows[index]
                if row is None:
                    overflowed = self._store.overflowed
                    row = self._component.row(agent, pipeline, TURN_COMPONENTS[index], now=now)
                    if self._store.overflowed == overflowed:  # else there was no room, which is to be counted with every turn
                        rows[index] = row
                row[0] += part / 1000.0
        if parts[-1] < 0.0:
            self._negative_rest.add(-parts[-1] / 1000.0, agent, pipeline, now=now)
        if perceived > self._slow_above:
            self._slow.add(1, agent, pipeline, TURN_COMPONENTS[parts.index(max(parts))], now=now)

    def _rows(self, session: Session, pipeline: str) -> list[Row | None]:
        found = session.series_cache.latency_breakdown[pipeline] = [None] * len(TURN_COMPONENTS)
        return found
