"""The steps of all event types, put together once at the start."""

from collections.abc import Callable
from operator import attrgetter
from typing import cast

from exporter.events import Wire
from exporter.events.session import SessionEnded
from exporter.events.turn_metrics import TurnMetrics
from exporter.metrics.recorder import Recorder
from exporter.metrics.self_metrics import SelfMetrics
from exporter.pipeline.event_handlers import EventHandlers
from exporter.pipeline.step import AfterRecording, E, Step
from exporter.pipeline.turn_lengths import TurnLengths
from exporter.protocol.decoder import SPECS
from exporter.protocol.ids import TurnRef
from exporter.sessions.kept_events import keeper
from exporter.sessions.session import Session
from exporter.tracing.processor import SpanProcessor

StepsByType = dict[type[Wire], Step]
"""The step of an event type takes events of that type."""


def create_steps(
    handlers: EventHandlers,
    turn_reference: Callable[[Session, TurnMetrics], TurnRef | None] | None,
    recorder: Recorder,
    metrics: SelfMetrics,
    *,
    spans: SpanProcessor | None,
    lengths: TurnLengths | None,
    keep_content: bool = False,
) -> StepsByType:
    """The steps of all event types. With ``keep_content``, journals keep what was said."""
    steps: StepsByType = {}
    for spec in SPECS:
        event_type = cast("type[Wire]", spec.type)
        has_timestamp = any(field.path == ("timestamp",) for field in spec.fields)
        handler_adds_to_spans = event_type is SessionEnded
        steps[event_type] = Step(
            timestamp=attrgetter("timestamp") if has_timestamp else None,
            handler=handlers.get(event_type),
            turn_reference=turn_reference if event_type is TurnMetrics else None,
            record=recorder.record[event_type],
            add_to_spans=_after_recording(event_type, None if handler_adds_to_spans else spans, lengths),
            events_row=metrics.events_row(spec.name),
            keep=keeper(spec, content=keep_content),
        )
    return steps


def _after_recording(event_type: type[E], spans: SpanProcessor | None, lengths: TurnLengths | None) -> AfterRecording[E] | None:
    """What is done with a recorded event: it is added to the spans, and the length of a turn is observed after that."""
    add = None if spans is None else spans.handlers.get(event_type)
    if event_type is not TurnMetrics or lengths is None:
        return add
    observe = cast("AfterRecording[E]", lengths.observe)
    if add is None:
        return observe
    add_to_spans = add

    def add_and_observe(session: Session, event: E, receipt: float) -> None:
        add_to_spans(session, event, receipt)
        observe(session, event, receipt)

    return add_and_observe
