"""Where the time of a caller's turn went, and which component made a slow turn slow.

Stages overlap: the transcript and the decision that the turn is over both start at the end of speech, so the longer of the two counts.
The rest of the wait is unexplained (network, playout, tools). If the stages take longer than the wait, the excess is counted apart.
"""

from collections.abc import Callable
from functools import partial
from typing import Final

from exporter.catalogue import operator_metrics
from exporter.catalogue.operator_metrics import TURN_COMPONENTS, TurnComponent
from exporter.events.turn_metrics import TurnMetrics
from exporter.metrics.instrument import Instrument
from exporter.metrics.label_limits import LabelLimiter
from exporter.metrics.series_cache import WaitRows
from exporter.metrics.store import Row, Store
from exporter.protocol.field_getter import field_getter
from exporter.sessions.session import MACHINE, Session

SLOW_TURN: Final = 1.5
"""The default of the wait, in seconds, above which a turn is slow."""


_stages_of = field_getter(
    TurnMetrics,
    *("stt_delay_ms", "turn_decision_ms", "turn_completed_callback_ms", "on_user_turn_completed_ms"),
    *("llm_ttft_ms", "tts_ttfb_ms", "realtime_ttft_ms"),
)


def parts_of(event: TurnMetrics, perceived_ms: float) -> tuple[float, ...]:
    """The wait of the turn split into :data:`TURN_COMPONENTS`, in milliseconds.

    The parts add up to ``perceived_ms``. The last part is negative if the stages took longer than the wait.
    """
    stt_delay, turn_decision, completed, on_completed, llm_ttft, tts_ttfb, realtime_ttft = _stages_of(event)
    stt, decision = stt_delay or 0.0, turn_decision or 0.0
    detection = stt if stt > decision else decision  # noqa: FURB136 - with every turn
    callback = (on_completed if completed is None else completed) or 0.0
    llm, tts, realtime = llm_ttft or 0.0, tts_ttfb or 0.0, realtime_ttft or 0.0
    return detection, callback, llm, tts, realtime, perceived_ms - (detection + callback + llm + tts + realtime)


class LatencyBreakdown:
    """Adds up the waits of turns by component. A turn whose wait is above ``slow_turn`` (seconds) is slow."""

    def __init__(self, store: Store, limiter: LabelLimiter, slow_turn: float) -> None:
        self._store = store
        self._limiter = limiter
        self._slow_turn_ms = slow_turn * 1000.0
        self._component = Instrument(store, operator_metrics.TURN_COMPONENT)
        self._negative_rest = Instrument(store, operator_metrics.TURN_COMPONENT_NEGATIVE_REST)
        self._slow = Instrument(store, operator_metrics.SLOW_TURNS)
        self.on_slow: Callable[[Session, TurnMetrics, TurnComponent, float], None] | None = None
        """Called with each slow turn, the component that took longest, and the time."""

    def add(self, session: Session, event: TurnMetrics, now: float) -> None:
        """Add a turn. A turn for which no human waited has no parts."""
        perceived = event.user_perceived_ms
        if perceived is None or event.agent_first or session.answered_by == MACHINE:
            return
        waits = session.series_cache.latency_breakdown.get(event.pipeline) or self._waits(session, event.pipeline, now)
        parts, rows = parts_of(event, perceived), waits.rows
        for index, part in enumerate(parts):
            if part > 0.0:
                (rows[index] or self._row(waits, index, session.agent_label, now))[0] += part / 1000.0
        if parts[-1] < 0.0:
            self._negative_rest.add(-parts[-1] / 1000.0, agent=session.agent_label, pipeline=waits.pipeline, now=now)
        if perceived > self._slow_turn_ms:
            component = TURN_COMPONENTS[parts.index(max(parts))]
            self._slow.add(1, agent=session.agent_label, pipeline=waits.pipeline, component=component, now=now)
            if self.on_slow is not None:
                self.on_slow(session, event, component, now)

    def _waits(self, session: Session, pipeline: str | None, now: float) -> WaitRows:
        """The rows of a pipeline, as the event names it. They are remembered under that name if it is its label: there are few."""
        known = session.series_cache.latency_breakdown
        label = self._limiter.value("pipeline", pipeline, now)
        waits = known.get(label)
        if waits is None:
            waits = known[label] = WaitRows(label, [None] * len(TURN_COMPONENTS))
        if pipeline is None:
            known[None] = waits
        return waits

    def _row(self, waits: WaitRows, index: int, agent: str, now: float) -> Row:
        find = partial(self._component.row, agent=agent, pipeline=waits.pipeline, component=TURN_COMPONENTS[index], now=now)
        return self._store.cached(waits.rows, index, find)
