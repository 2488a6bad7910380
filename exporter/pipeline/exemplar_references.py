"""The turns that exemplars point at."""

from exporter.events.turn_metrics import TurnMetrics
from exporter.protocol.field_getter import field_getter
from exporter.protocol.ids import TurnRef, turn_key
from exporter.sessions.session import Session
from exporter.tracing.processor import SpanProcessor

_key_of = field_getter(TurnMetrics, "agent_tool_id", "turn_number")


class ExemplarReferences:
    """Makes the references: only to turns whose span is exported, or to all if no spans are made here at all."""

    def __init__(self, spans: SpanProcessor | None) -> None:
        self._spans = spans

    def of(self, session: Session, event: TurnMetrics) -> TurnRef | None:
        """The reference to the turn of an event."""
        if self._spans is not None:
            return self._spans.reference(session, event)
        agent_tool, number = _key_of(event)
        return None if number is None else TurnRef(session.trace_id, turn_key(agent_tool, number))
