"""A player that passes recorded events to the spans of a session, without the rest of the pipeline."""

from dataclasses import dataclass, field
from typing import Any

import msgspec
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from exporter.bounded_dict import BoundedDict
from exporter.events.session import SessionEnded
from exporter.events.turn_metrics import TurnMetrics
from exporter.metrics.series_cache import SeriesCache
from exporter.protocol.decoder import SPECS, PartialEvent, decode
from exporter.protocol.ids import turn_key
from exporter.sessions.session import Session
from exporter.tracing.processor import SpanProcessor
from exporter.tracing.sampling import SpanOptions

RECEIPT = 1777885210.0
"""A time within the sample calls, unix seconds."""


def new_session(session_id: str = "as-7f3c", agent: str | None = "agent-support") -> Session:
    """A session in the middle of the sample calls."""
    session = Session(session_id, agent, SeriesCache(agent or "", "unknown", 0), agent or "", RECEIPT)
    session.started_at = RECEIPT - 10
    return session


@dataclass
class Player:
    """A span processor with one session, and the spans it emitted."""

    options: SpanOptions = field(default_factory=SpanOptions)
    session: Session = field(default_factory=new_session)
    raw: list[bytes] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.spans = SpanProcessor(self.options, SPECS, self.raw.extend)

    def play(self, *events: dict[str, Any], receipt: float = RECEIPT) -> "Player":
        """Handle events, as the pipeline would."""
        for document in events:
            event: Any = decode(msgspec.json.encode(document))
            event = event.event if isinstance(event, PartialEvent) else event
            handle = self.spans.handlers.get(type(event))
            self.session.last_event_at = receipt
            if handle is not None:
                handle(self.session, event, receipt)
            if isinstance(event, TurnMetrics) and event.turn_number is not None:
                self.session.turns = self.session.turns or BoundedDict(256)
                self.session.turns[turn_key(event.agent_tool_id, event.turn_number)] = None
            if isinstance(event, SessionEnded):
                self.finish(event.reason or "unknown", receipt)
        return self

    def finish(self, reason: str = "shutdown", receipt: float = RECEIPT) -> "Player":
        self.spans.finish(self.session, reason, receipt)
        return self

    @property
    def emitted(self) -> list[Span]:
        return [Span.FromString(raw) for raw in self.raw]

    def named(self, name: str) -> Span:
        """The only span whose name begins with that word."""
        (found,) = [span for span in self.emitted if span.name.split()[0] == name]
        return found


def value_of(value: Any) -> Any:
    """The Python value of an ``AnyValue``."""
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return [value_of(item) for item in value.array_value.values]
    return getattr(value, kind)


def values(entries: Any) -> dict[str, Any]:
    """Attributes as a dictionary; fails if a key comes twice."""
    found = [(entry.key, value_of(entry.value)) for entry in entries]
    assert len(dict(found)) == len(found), sorted(key for key, _ in found)
    return dict(found)
