"""What a session remembers for its spans: little while it is idle, and bounded however many events come."""

from collections.abc import Container
from typing import Final, NamedTuple, Protocol

from exporter.protocol.ids import TurnKey
from exporter.sessions.app_state import AppState
from exporter.sessions.clock import Clock

MOST_EVENTS: Final = 32
"""Events that wait for their span; further ones are left out, and the span says how many."""
MOST_TOOLS: Final = 32
"""Tool calls that wait for their turn; further ones are counted as lost."""
MOST_WAITING: Final = 8
"""Completed turns that wait for their turn.metrics with what was collected for them."""
MOST_STOOD_IN: Final = 64
"""Turns without metrics that are remembered, to tell metrics that come after all."""


class Traced(Protocol):
    """What must be known of a session. Times are unix seconds by our clock."""

    id: str
    agent: str | None
    has_generated_id: bool
    continued: int
    started_at: float
    last_event_at: float
    spans: "SpanState | None"
    app: AppState | None

    @property
    def turns(self) -> Container[TurnKey] | None:
        """The turns that were counted."""

    @property
    def trace_id(self) -> str:
        """The session's trace, 32 hexadecimal digits."""


class ToolCall(NamedTuple):
    """A tool call or a sub-agent: its times (unix nanoseconds), serialised name and attributes, and whether it failed."""

    start: int
    end: int
    name: bytes
    attributes: bytes
    failed: bool


class Collected:
    """What small events brought for spans that are yet to be written.

    ``attributes`` are by slot: which event type wrote them on which span; the last one stands.
    """

    __slots__ = ("attributes", "dropped", "events", "tools")

    def __init__(self) -> None:
        self.attributes: dict[int, bytes] = {}
        self.events: list[bytes] = []
        self.tools: list[ToolCall] = []
        self.dropped = 0

    def event(self, event: bytes) -> None:
        """Add an event, or note that it found no room."""
        if len(self.events) < MOST_EVENTS:
            self.events.append(event)
        else:
            self.dropped += 1

    def tool(self, call: ToolCall) -> bool:
        """Add a tool call; returns whether there was room."""
        if len(self.tools) >= MOST_TOOLS:
            return False
        self.tools.append(call)
        return True

    def take_over(self, left: "Collected") -> int:
        """Add the events and tool calls that found no turn; returns how many calls found no room here either."""
        for event in left.events:
            self.event(event)
        self.dropped += left.dropped
        return sum(not self.tool(call) for call in left.tools)


class SpanState:
    """A session's spans so far. Serialised parts that every turn needs are kept, and renewed when the session's name changes."""

    __slots__ = (
        "agent",
        "agent_tools",
        "app_calls",
        "began",
        "clock",
        "collects",
        "continued",
        "done",
        "ended",
        "failed",
        "id",
        "identity",
        "kept",
        "open",
        "parent_part",
        "root",
        "root_id",
        "sampled",
        "span_end",
        "span_start",
        "stood_in",
        "tools",
        "trace",
        "trace_part",
        "turn_name",
        "unnumbered",
        "unwritten",
        "waiting",
    )

    def __init__(self) -> None:
        self.id = ""
        self.agent: str | None = None
        self.trace = ""
        self.root_id = b""
        self.continued = 0
        self.trace_part = self.parent_part = self.identity = b""
        self.turn_name = b""
        self.sampled = self.collects = self.kept = self.done = self.failed = False
        self.clock = Clock()
        self.began = 0.0
        self.root: Collected | None = None
        self.open: Collected | None = None
        self.waiting: dict[TurnKey, Collected] | None = None
        self.stood_in: dict[TurnKey, None] | None = None
        self.agent_tools: dict[str, tuple[str | None, int]] | None = None
        self.app_calls: dict[str, tuple[str | None, int, bytes]] | None = None
        self.ended: tuple[int, int, int, bool] = (0, 0, 0, False)
        self.span_start = self.span_end = 0
        self.tools = self.unnumbered = 0
        self.unwritten: tuple[Collected, str, int] | None = None
        """What a root needs that was not exported, in case that a turn comes which keeps it: collected, end reason, and end."""

    def for_turn(self) -> Collected:
        """Where what belongs to the open turn is collected."""
        if self.open is None:
            self.open = Collected()
        return self.open

    def for_root(self) -> Collected:
        """Where what belongs to the session is collected."""
        if self.root is None:
            self.root = Collected()
        return self.root

    def wait(self, key: TurnKey) -> Collected | None:
        """The open turn is complete and waits for its metrics; returns what had to make room."""
        if self.open is None:
            return None
        if self.waiting is None:
            self.waiting = {}
        if key in self.waiting:
            return None
        self.waiting[key], self.open = self.open, None
        return self.waiting.pop(next(iter(self.waiting))) if len(self.waiting) > MOST_WAITING else None

    def take(self, key: TurnKey) -> Collected | None:
        """What was collected for a turn that is now written: of its own if it was seen to complete, else what is open."""
        if self.waiting and key in self.waiting:
            return self.waiting.pop(key)
        taken, self.open = self.open, None
        return taken

    def stand_in(self, key: TurnKey) -> None:
        """Remember that the turn was written without metrics."""
        if self.stood_in is None:
            self.stood_in = {}
        self.stood_in[key] = None
        if len(self.stood_in) > MOST_STOOD_IN:
            del self.stood_in[next(iter(self.stood_in))]

    def is_late(self, key: TurnKey | None) -> bool:
        """Whether the turn was written without metrics, so that those that come now are late."""
        return self.stood_in is not None and key in self.stood_in

    def cover(self, start: int, end: int) -> None:
        """The session lasted at least from ``start`` to ``end``."""
        if not self.span_start or start < self.span_start:
            self.span_start = start
        self.span_end = max(self.span_end, end)

    def next_tool(self) -> int:
        """The number of a tool call that is now written."""
        self.tools += 1
        return self.tools
