"""A turn.metrics → the turn as people see it: with the times of its spans, which the same code works out."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from exporter.analysis.latency_breakdown import parts_of
from exporter.analysis.turn_counter import was_answered
from exporter.catalogue.declarations import SpanAttribute
from exporter.catalogue.inspect import inspect_event
from exporter.catalogue.operator_metrics import TURN_COMPONENTS, TurnComponent
from exporter.events.turn_metrics import TurnMetrics
from exporter.exporters.live.fields import values
from exporter.exporters.live.messages import Part, Stage, StageName, Tool, Turn, TurnState
from exporter.exporters.live.recorded_turn import wait_of
from exporter.sessions.shown_text import shown
from exporter.tracing.timeline import AGENT_SPEECH, USER_SPEECH, is_timed, lay_out
from exporter.tracing.turn_spans import STAGE_OF_ERROR, STAGES

STAGE_NAMES: Final[tuple[StageName, ...]] = (
    "user_speech", "speech_to_text", "turn_detection", "chat", "text_to_speech", "agent_speech", "realtime_inference",
)  # fmt: skip
NANOSECOND: Final = 1e9
_BEFORE_ESTIMATED: Final = 120.0
_COMPONENT_NAMES: Final[dict[TurnComponent, str]] = {
    "endpointing": "Detecting the end of the caller's turn",
    "callback": "The app's callback after the caller's turn",
    "llm": "The LLM",
    "tts": "TTS",
    "realtime": "The realtime model",
    "unexplained": "Something that no stage reports (network, playout or tools)",
}
_MODELS: Final[dict[TurnComponent, str]] = {
    "endpointing": "stt_model",
    "llm": "llm_model",
    "tts": "tts_model",
    "realtime": "realtime_model",
}
_STAGE_ATTRIBUTES: Final = tuple(
    tuple(
        field.path[0]
        for field in inspect_event(TurnMetrics).fields
        if any(isinstance(item, SpanAttribute) and item.span == name and not item.personal for item in field.declarations)
    )
    for name, _ in STAGES
)


@dataclass(frozen=True, slots=True)
class TurnClock:
    """What a turn's timeline is made with: the earliest and latest plausible stamp, and the receipt, on the platform's clock.

    Unix nanoseconds. ``present`` are the stages that have a span, ``None`` if that is not known.
    """

    window: tuple[int, int]
    at: int
    present: Sequence[int] | None = None


@dataclass(frozen=True, slots=True)
class SeenTurn:
    """A turn, and when it began, the caller fell silent, and the agent began to speak: unix seconds on the platform's clock."""

    turn: Turn
    speech_end: float
    agent_start: float


def view(
    event: TurnMetrics,
    key: str,
    state: TurnState,
    clock: TurnClock,
    tools: list[Tool],
    *,
    slow_turn: float,
    content: bool,
    received: float,
) -> SeenTurn:
    """The turn of an event, with the ``tools`` that ran in it."""
    times = lay_out(event, clock.window)
    present = stages_of(event) if clock.present is None else clock.present
    start, end = (moment / NANOSECOND for moment in times.envelope(present, clock.at))
    if times.estimated:
        start = min(
            [start, *(tool.start for tool in tools if start - _BEFORE_ESTIMATED <= tool.start and (tool.end or tool.start) <= end)]
        )
    failed = STAGE_OF_ERROR.get(event.error_source.lower(), -1) if event.error_source else -1
    stages = [_stage(event, stage, times.starts, times.ends, failed) for stage in present]
    turn = Turn(
        key=key,
        state=state,
        number=None if event.turn_number is None else int(event.turn_number),
        agent_first=bool(event.agent_first),
        sub_agent=shown(event.agent_tool_id),
        start=start,
        end=end,
        estimated=times.estimated,
        received=received,
        stages=stages,
        tools=tools,
        unanswered=not event.agent_first and not was_answered(event),
        interrupted=bool(event.interrupted),
        cancelled=bool(event.llm_cancelled or event.tts_cancelled or event.realtime_cancelled),
        error=shown(event.error_source),
        fields={} if state == "without_metrics" else dict(values(event)),
        user_text=event.user_text if content else None,
        agent_text=event.agent_text if content else None,
        **_explained(event, slow_turn),
    )
    return SeenTurn(turn, times.ends[USER_SPEECH] / NANOSECOND, times.starts[AGENT_SPEECH] / NANOSECOND)


def stages_of(event: TurnMetrics) -> tuple[int, ...]:
    """The stages of which the event says anything."""
    return tuple(
        stage
        for stage in range(len(STAGE_NAMES))
        if is_timed(event, stage) or any(getattr(event, name) is not None for name in _STAGE_ATTRIBUTES[stage])
    )


def _stage(event: TurnMetrics, stage: int, starts: list[int], ends: list[int], failed: int) -> Stage:
    delay = (None, None, None, event.llm_ttft_ms, event.tts_ttfb_ms, None, event.realtime_ttft_ms)[stage]
    model = (None, event.stt_model, None, event.llm_model, event.tts_model, None, event.realtime_model)[stage]
    start = starts[stage]
    return Stage(
        stage=STAGE_NAMES[stage],
        start=start / NANOSECOND,
        end=ends[stage] / NANOSECOND,
        name=shown(model),
        first_output=None if delay is None else (start + int(delay * 1e6)) / NANOSECOND,
        failed=stage == failed,
    )


def _explained(event: TurnMetrics, slow_turn: float) -> dict[str, Any]:
    """How long the caller waited, and why."""
    wait = wait_of(event)
    if wait is None:
        return {"why": _failure(event)}
    milliseconds = parts_of(event, wait * 1000.0)
    longest = milliseconds.index(max(milliseconds))
    component, slow = TURN_COMPONENTS[longest], wait > slow_turn
    return {
        "wait": wait,
        "bottleneck": component,
        "parts": [
            Part(component=name, seconds=round(part / 1000.0, 6)) for name, part in zip(TURN_COMPONENTS, milliseconds, strict=True)
        ],
        "slow": slow,
        "why": _failure(event) or (_slowness(event, component, milliseconds[longest] / 1000.0, wait) if slow else None),
    }


def _failure(event: TurnMetrics) -> str | None:
    return f"A component failed: {shown(event.error_source)}." if event.error_source else None


def _slowness(event: TurnMetrics, component: TurnComponent, seconds: float, wait: float) -> str:
    model = shown(getattr(event, _MODELS[component])) if component in _MODELS else None
    name = f"{_COMPONENT_NAMES[component]} ({model})" if model else _COMPONENT_NAMES[component]
    return f"{name} took {seconds:.2f} s of the {wait:.2f} s that the caller waited."
