"""What the pipeline does with an event of one type, put together once at the start."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from operator import attrgetter
from typing import Any, Generic, Protocol, TypeVar, cast

from exporter.events import Wire
from exporter.events.session import SessionEnded
from exporter.events.turn_metrics import TurnMetrics
from exporter.metrics.recorder import Recorder
from exporter.metrics.self_metrics import SelfMetrics
from exporter.metrics.series_cache import SeriesCache
from exporter.metrics.store import Row
from exporter.pipeline.event_handlers import EventHandlers, Handler
from exporter.pipeline.turn_lengths import TurnLengths
from exporter.protocol.decoder import SPECS
from exporter.protocol.ids import TurnRef
from exporter.sessions.kept_events import Keep, keeper
from exporter.sessions.session import Session
from exporter.tracing.processor import SpanProcessor

E = TypeVar("E", bound=Wire)
AfterRecording = Callable[[Session, E, float], None]


@dataclass(frozen=True, slots=True)
class Step(Generic[E]):
    """What is done with an event of type ``E``, in this order.

    ``timestamp`` reads when the event happened, if events of this type say so. ``handler`` is the logic of sessions and analysis;
    it returns the event to record. ``record`` adds that event to the metrics that its fields declare, with the turn that
    ``turn_reference`` returns for their exemplars. ``add_to_spans`` gets the event as it arrived: spans also show what was recorded
    before. With a turn.metrics, the length of the turn is observed then, too. ``events_row`` counts the events of this type. At last
    ``keep`` says what of the event goes to the session's journal.
    """

    timestamp: Callable[[E], datetime | None] | None
    handler: Handler[E] | None
    turn_reference: Callable[[Session, E], TurnRef | None] | None
    record: Callable[[E, SeriesCache, float, TurnRef | None], None]
    add_to_spans: "AfterRecording[E] | None"
    events_row: Row
    keep: Keep | None


class StepsByType(Protocol):
    """A dictionary of steps in which the step found for an event type takes events of that type."""

    def __getitem__(self, event_type: type[E], /) -> Step[E]:
        """The step of an event type."""


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
    steps: dict[type[Wire], Step[Any]] = {}
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
    return cast("StepsByType", steps)


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
