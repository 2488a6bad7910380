"""What each event type brings to spans that are written later: attributes by slot, and events."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

from exporter.catalogue.genai import AGENT, CONVERSATION
from exporter.catalogue.inspect import EventSpec, inspect_event
from exporter.catalogue.model import SpanAttribute, SpanName
from exporter.events.audio_stream import Start
from exporter.events.session import SessionStarted
from exporter.events.turn_metrics import TurnMetrics
from exporter.events.turns import TurnCompleted
from exporter.sessions.span_state import Collected
from exporter.tracing.attributes import Write, WriteEvent, compile_attributes, compile_event, is_span_event, span_attributes
from exporter.tracing.sampling import SpanOptions
from exporter.tracing.turn_spans import CHILDREN, SLOTS, TURN

IDENTITY: Final = frozenset({CONVERSATION, AGENT})
"""Attributes that the spans of a session get from the session itself."""
_ALTERNATIVES: Final[dict[type, type]] = {Start: SessionStarted}
"""Event types of which a session has either one or the other."""
_OF_TURN: Final[tuple[SpanName, ...]] = (*(name for name, _ in CHILDREN), "turn")


@dataclass(frozen=True, slots=True)
class Part:
    """What an event type brings to one span: a slot and what writes into it, and an event."""

    slots: tuple[tuple[int, Write], ...]
    event: WriteEvent | None

    def collect(self, into: Collected, event: object, at: int) -> None:
        """Add what ``event``, which happened at ``at`` (unix nanoseconds), brings."""
        if self.event is not None:
            into.event(self.event(event, at))
        for slot, write in self.slots:
            written = write(event)
            if written:
                into.attributes[slot] = written


def turn_part(spec: EventSpec, number: int, options: SpanOptions) -> Part | None:
    """What the event brings to the spans of the turn it falls in; ``number`` is different for every event type."""
    without = _keys(inspect_event(TurnMetrics)) if spec.type is TurnCompleted else ()
    slots = []
    for child, name in enumerate(_OF_TURN):
        slots += [(child * SLOTS + number, write) for write in _writes(spec, name, options, without)]
    return _part(spec, "turn", slots, options)


def session_part(spec: EventSpec, number: int, options: SpanOptions) -> Part | None:
    """What the event brings to the session's span."""
    slots = [((TURN + 1) * SLOTS + number, write) for write in _writes(spec, "session", options, IDENTITY)]
    return _part(spec, "session", slots, options)


def slot_numbers(specs: Collection[EventSpec]) -> dict[type, int]:
    """A number for each event type; alternatives share theirs."""
    numbers: dict[type, int] = {spec.type: number for number, spec in enumerate(specs)}
    if len(numbers) >= SLOTS:
        raise ValueError(f"as many event types as slots ({SLOTS}): raise SLOTS")
    return {kind: numbers[_ALTERNATIVES.get(kind, kind)] for kind in numbers}


def _part(spec: EventSpec, span: SpanName, slots: list[tuple[int, Write]], options: SpanOptions) -> Part | None:
    event = compile_event(spec, span, options) if is_span_event(spec, span) else None
    return Part(tuple(slots), event) if slots or event else None


def _writes(spec: EventSpec, span: SpanName, options: SpanOptions, without: Collection[str]) -> list[Write]:
    keyed = span_attributes(spec, span, options, without)
    return [compile_attributes(keyed, options)] if keyed else []


def _keys(spec: EventSpec) -> set[str]:
    return {item.name for field in spec.fields for item in field.declarations if isinstance(item, SpanAttribute)}
