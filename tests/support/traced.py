"""A session as spans see it, and a way to play recorded events into them without the rest of the pipeline."""

from dataclasses import dataclass, field
from typing import Any

import msgspec
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from exporter.events.session import SessionEnded
from exporter.events.turn_metrics import TurnMetrics
from exporter.protocol.decoder import SPECS, PartialEvent, decode
from exporter.protocol.ids import TurnKey, trace_id, turn_key
from exporter.sessions.app_state import AppState
from exporter.sessions.span_state import SpanState
from exporter.tracing.processor import Spans
from exporter.tracing.sampling import SpanOptions

RECEIPT = 1777885210.0
"""When the sample calls were going on, unix seconds."""


@dataclass
class TracedSession:
    """Stands for a session: only what spans ask of one."""

    id: str = "as-7f3c"
    agent: str | None = "agent-support"
    has_generated_id: bool = False
    continued: int = 0
    started_at: float = RECEIPT - 10
    last_event_at: float = RECEIPT
    turns: dict[TurnKey, Any] | None = None
    spans: SpanState | None = None
    app: AppState | None = None

    @property
    def trace_id(self) -> str:
        return trace_id(self.id)


@dataclass
class Player:
    """Spans of one session, and what they emitted."""

    options: SpanOptions = field(default_factory=SpanOptions)
    session: TracedSession = field(default_factory=TracedSession)
    raw: list[bytes] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.spans = Spans(self.options, SPECS, self.raw.extend)

    def play(self, *events: dict[str, Any], receipt: float = RECEIPT) -> "Player":
        """Take events in, as the pipeline would."""
        for document in events:
            event: Any = decode(msgspec.json.encode(document))
            event = event.event if isinstance(event, PartialEvent) else event
            step = self.spans.steps.get(type(event))
            self.session.last_event_at = receipt
            if step is not None:
                step(self.session, event, receipt)
            if isinstance(event, TurnMetrics) and event.turn_number is not None:
                self.session.turns = (self.session.turns or {}) | {turn_key(event.agent_tool_id, event.turn_number): "metrics"}
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
        """The one span whose name begins with that word."""
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
