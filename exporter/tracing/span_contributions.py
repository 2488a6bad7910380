"""What each event type contributes to spans that are written later: attributes by slot, and span events."""

from collections.abc import Collection
from typing import Final

import msgspec

from exporter.catalogue.declarations import SpanAttribute, SpanName
from exporter.catalogue.genai import AGENT, CONVERSATION
from exporter.catalogue.inspect import EventSpec, inspect_event
from exporter.events.audio_stream import Start
from exporter.events.session import SessionStarted
from exporter.events.turn_metrics import TurnMetrics
from exporter.events.turns import TurnCompleted
from exporter.sessions.span_state import MAX_EVENTS, SpanBuffer
from exporter.tracing.attributes import Write, WriteEvent, compile_attributes, compile_event, is_span_event, span_attributes
from exporter.tracing.sampling import SpanOptions
from exporter.tracing.turn_spans import SLOTS, STAGES, TURN

IDENTITY: Final = frozenset({CONVERSATION, AGENT})
"""Attributes that the spans of a session get from the session itself."""
_ALTERNATIVES: Final[dict[type, type]] = {Start: SessionStarted}
"""Event types that say the same as another: their values replace each other's."""
_TURN_SPANS: Final[tuple[SpanName, ...]] = (*(name for name, _ in STAGES), "turn")


class Contribution:
    """What an event type contributes to one span: for each slot the function that writes its attributes, and a span event."""

    __slots__ = ("event", "slots")

    def __init__(self, slots: tuple[tuple[int, Write], ...] = (), event: WriteEvent | None = None) -> None:
        self.slots = slots
        self.event = event

    def add_to(self, buffer: SpanBuffer, event: msgspec.Struct, at: int) -> None:
        """Add what ``event``, which happened at ``at`` (unix nanoseconds), contributes."""
        if self.event is not None:
            if len(buffer.events) < MAX_EVENTS:
                buffer.events.append(self.event(event, at))
            else:
                buffer.dropped += 1
        for slot, write in self.slots:
            attributes = write(event)
            if attributes:
                buffer.attributes[slot] = attributes


def turn_contribution(spec: EventSpec, number: int, options: SpanOptions) -> Contribution | None:
    """What the event contributes to the spans of the turn it falls in. ``number`` is the event type's, see :func:`slot_numbers`."""
    without = _keys(inspect_event(TurnMetrics)) if spec.type is TurnCompleted else ()
    slots = []
    for index, name in enumerate(_TURN_SPANS):
        slots += [(index * SLOTS + number, write) for write in _writes(spec, name, options, without)]
    return _contribution(spec, "turn", slots, options)


def session_contribution(spec: EventSpec, number: int, options: SpanOptions) -> Contribution | None:
    """What the event contributes to the session's span."""
    slots = [((TURN + 1) * SLOTS + number, write) for write in _writes(spec, "session", options, IDENTITY)]
    return _contribution(spec, "session", slots, options)


def slot_numbers(specs: Collection[EventSpec]) -> dict[type, int]:
    """A number for each event type; event types that say the same share theirs. Raises ``ValueError`` if there are too many."""
    numbers: dict[type, int] = {spec.type: number for number, spec in enumerate(specs)}
    if len(numbers) >= SLOTS:
        raise ValueError(f"{len(numbers)} event types do not fit {SLOTS} slots: raise SLOTS")
    return {kind: numbers[_ALTERNATIVES.get(kind, kind)] for kind in numbers}


def _contribution(spec: EventSpec, span: SpanName, slots: list[tuple[int, Write]], options: SpanOptions) -> Contribution | None:
    event = compile_event(spec, span, options) if is_span_event(spec, span) else None
    return Contribution(tuple(slots), event) if slots or event else None


def _writes(spec: EventSpec, span: SpanName, options: SpanOptions, without: Collection[str]) -> list[Write]:
    fields = span_attributes(spec, span, options, without)
    return [compile_attributes(fields, options)] if fields else []


def _keys(spec: EventSpec) -> set[str]:
    return {item.name for field in spec.fields for item in field.declarations if isinstance(item, SpanAttribute)}
