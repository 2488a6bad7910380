"""What the pipeline does with an event of one type."""

from collections.abc import Callable
from datetime import datetime
from typing import Any, TypeVar

from exporter.events import Wire
from exporter.metrics.recorder import Record
from exporter.metrics.store import Row
from exporter.pipeline.event_handlers import Handler
from exporter.protocol.ids import TurnRef
from exporter.sessions.kept_events import Keep
from exporter.sessions.session import Session

E = TypeVar("E", bound=Wire)
AfterRecording = Callable[[Session, E, float], None]


class Step:
    """What is done with an event of one type, in this order.

    ``timestamp`` reads when the event happened, if events of this type say so. ``handler`` is the logic of sessions and analysis;
    it returns the event to record. ``record`` adds that event to the metrics that its fields declare, with the turn that
    ``turn_reference`` returns for their exemplars. ``add_to_spans`` gets the event as it arrived: spans also show what was recorded
    before. With a turn.metrics, the length of the turn is observed then, too. ``events_row`` counts the events of this type. At last
    ``keep`` says what of the event goes to the session's journal.
    """

    __slots__ = ("add_to_spans", "events_row", "handler", "keep", "record", "timestamp", "turn_reference")

    def __init__(
        self,
        *,
        timestamp: Callable[[Any], datetime | None] | None,
        handler: Handler[Any] | None,
        turn_reference: Callable[[Session, Any], TurnRef | None] | None,
        record: Record[Any],
        add_to_spans: AfterRecording[Any] | None,
        events_row: Row,
        keep: Keep | None,
    ) -> None:
        self.timestamp = timestamp
        self.handler = handler
        self.turn_reference = turn_reference
        self.record = record
        self.add_to_spans = add_to_spans
        self.events_row = events_row
        self.keep = keep
