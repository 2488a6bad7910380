"""All of the analysis, created together: one tracker for each question that a single event does not answer."""

from collections.abc import Callable
from dataclasses import dataclass

from exporter.analysis.app_latency import AppLatencyTracker
from exporter.analysis.audio_jitter import AudioJitterTracker
from exporter.analysis.cost import CostCounter
from exporter.analysis.genai_durations import GenAiDurations
from exporter.analysis.latency_breakdown import LatencyBreakdown
from exporter.analysis.prices import PriceList
from exporter.analysis.provenance import ProvenanceTracker
from exporter.analysis.state_durations import StateTracker
from exporter.analysis.tools import ToolTracker
from exporter.analysis.turn_counter import TurnCounter
from exporter.analysis.turn_position import TurnPositionTracker
from exporter.analysis.turn_taking import TurnTakingTracker
from exporter.analysis.usage import UsageTracker
from exporter.metrics.label_limits import LabelLimiter
from exporter.metrics.store import Store
from exporter.protocol.reasons import RefusalReason


@dataclass(frozen=True, slots=True)
class Trackers:
    """The trackers of one process; ``turns`` counts turns, the others are named after what they measure."""

    turns: TurnCounter
    latency_breakdown: LatencyBreakdown
    turn_position: TurnPositionTracker
    turn_taking: TurnTakingTracker
    states: StateTracker
    usage: UsageTracker
    tools: ToolTracker
    cost: CostCounter
    app_latency: AppLatencyTracker
    audio_jitter: AudioJitterTracker
    genai_durations: GenAiDurations
    provenance: ProvenanceTracker


def create_trackers(
    store: Store,
    limiter: LabelLimiter,
    turns: TurnCounter,
    refuse: Callable[[str, RefusalReason], None],
    *,
    slow_turn: float,
    prices: PriceList | None,
    genai: bool,
) -> Trackers:
    """Create the trackers around ``turns``.

    ``refuse`` is called with the field and reason of each value that cannot be right. Turns whose caller waited longer than
    ``slow_turn`` (seconds) are slow. ``genai`` says whether the store has the metrics of the GenAI conventions.
    """
    genai_durations = GenAiDurations(store, wanted=genai)
    return Trackers(
        turns=turns,
        latency_breakdown=LatencyBreakdown(store, limiter, slow_turn),
        turn_position=TurnPositionTracker(store),
        turn_taking=TurnTakingTracker(store, slow_turn),
        states=StateTracker(store),
        usage=UsageTracker(store, limiter, refuse),
        tools=ToolTracker(store, limiter, genai_durations),
        cost=CostCounter(store, limiter, prices),
        app_latency=AppLatencyTracker(store, limiter, genai_durations),
        audio_jitter=AudioJitterTracker(store),
        genai_durations=genai_durations,
        provenance=ProvenanceTracker(store, limiter),
    )
