"""What a session keeps for its spans. It is small while the session is idle, and bounded whatever events come."""

from collections.abc import Mapping
from typing import Final, NamedTuple, Protocol

from exporter.bounded_dict import BoundedDict
from exporter.protocol.ids import TurnKey
from exporter.sessions.app_state import AppState
from exporter.sessions.call_journal import CallJournal
from exporter.sessions.clock import PlatformClock

MAX_EVENTS: Final = 32
"""Events that one span can carry. Further events are dropped; the span says how many."""
MAX_TOOLS: Final = 32
"""Tool calls that wait for their turn. Further calls are dropped and counted."""
MAX_WAITING_TURNS: Final = 8
"""Completed turns that wait for their turn.metrics."""
MAX_WITHOUT_METRICS: Final = 256
"""Remembered turns that were written without metrics; if their metrics come after all, they are recognised as late."""


MOST_TURNS_KNOWN: Final = 128
"""Turns written from which on a session may have forgotten the first: it remembers 256 keys, at most two a turn."""


class TracedSession(Protocol):
    """What spans need to know of a session. Times are unix seconds on our clock."""

    id: str
    agent: str | None
    has_generated_id: bool
    continued: int
    started_at: float
    last_event_at: float
    spans: "SpanState | None"
    app: AppState | None
    journal: CallJournal | None

    @property
    def turns(self) -> Mapping[TurnKey, object] | None:
        """The turns that were counted; those that were counted without metrics have a value."""

    @property
    def trace_id(self) -> str:
        """The session's trace, 32 hexadecimal digits."""


class ToolCall(NamedTuple):
    """The span of a tool call or sub-agent: times (unix nanoseconds), serialised name and attributes, and whether it failed."""

    start: int
    end: int
    name: bytes
    attributes: bytes
    failed: bool


class RunningAgent(NamedTuple):
    """A sub-agent that started and has not ended: its type, and its start (unix nanoseconds)."""

    agent_type: str | None
    start: int


class OpenToolCall(NamedTuple):
    """A tool call that the customer's app has not answered: the tool, its start (unix nanoseconds), and serialised attributes."""

    tool: str | None
    start: int
    attributes: bytes


class ReportedTimes(NamedTuple):
    """What session.ended reports: start and end (unix nanoseconds), duration (nanoseconds), and whether it gives a reason.

    A time that is unknown is 0.
    """

    start: int = 0
    end: int = 0
    duration: int = 0
    has_reason: bool = False


_NOT_REPORTED: Final = ReportedTimes()


class SpanBuffer:
    """What events contribute to spans that are written later.

    ``attributes`` are serialised, by slot. A slot stands for one event type and one span; a later event of the type replaces its value.
    """

    __slots__ = ("attributes", "dropped", "events", "tools")

    def __init__(self) -> None:
        self.attributes: dict[int, bytes] = {}
        self.events: list[bytes] = []
        self.tools: list[ToolCall] = []
        self.dropped = 0

    def add_event(self, event: bytes) -> None:
        """Add a span event, or count it as dropped if there is no room."""
        if len(self.events) < MAX_EVENTS:
            self.events.append(event)
        else:
            self.dropped += 1

    def add_tool(self, call: ToolCall) -> bool:
        """Add a tool call; returns whether there was room."""
        if len(self.tools) >= MAX_TOOLS:
            return False
        self.tools.append(call)
        return True

    def merge(self, other: "SpanBuffer") -> int:
        """Add the events and tool calls of a buffer whose turn was never written; returns how many calls found no room."""
        for event in other.events:
            self.add_event(event)
        self.dropped += other.dropped
        return sum(not self.add_tool(call) for call in other.tools)


class UnwrittenRoot(NamedTuple):
    """A session's span that was not exported, because its trace is not sampled. A turn that is kept later exports it after all."""

    buffer: SpanBuffer
    reason: str
    end: int


class SpanState:
    """A session's spans so far.

    ``turn_length`` is that of the turn that was written last, in nanoseconds, or 0 if that turn was not exported.
    ``trace_part``, ``parent_part``, ``turn_name``, ``identity`` (the session and its agent, for the spans of turns and the session) and
    ``session_part`` (the same for spans below a turn) are serialised once, because every turn needs them; they change with
    the session's name. ``sampled`` says that the trace is exported, ``collects`` that a span of the session can be, ``kept`` that a
    turn was. ``finished`` says that the session is over. ``own_id`` is the id of the session's span, ``root_id`` that of the span its
    turns belong to: another one where the session continues one of the same id.
    """

    __slots__ = (
        "agent",
        "clock",
        "collects",
        "continued",
        "failed",
        "finished",
        "highest_turn",
        "id",
        "identity",
        "kept",
        "open_tool_calls",
        "own_id",
        "parent_part",
        "reported",
        "root_buffer",
        "root_id",
        "running_agents",
        "sampled",
        "session_part",
        "span_end",
        "span_start",
        "started_at",
        "tool_count",
        "trace",
        "trace_part",
        "turn_buffer",
        "turn_count",
        "turn_length",
        "turn_name",
        "unnumbered",
        "unwritten_root",
        "waiting_turns",
        "without_metrics",
    )

    def __init__(self) -> None:
        self.id = ""
        self.agent: str | None = None
        self.trace = ""
        self.root_id = self.own_id = b""
        self.continued = 0
        self.trace_part = self.parent_part = self.identity = self.session_part = b""
        self.turn_name = b""
        self.sampled = self.collects = self.kept = self.finished = self.failed = False
        self.clock = PlatformClock()
        self.started_at = 0.0
        self.root_buffer: SpanBuffer | None = None
        self.turn_buffer: SpanBuffer | None = None
        self.waiting_turns: BoundedDict[TurnKey, SpanBuffer] | None = None
        self.without_metrics: BoundedDict[TurnKey, None] | None = None
        self.running_agents: dict[str, RunningAgent] | None = None
        self.open_tool_calls: dict[str, OpenToolCall] | None = None
        self.reported = _NOT_REPORTED
        self.span_start = self.span_end = 0
        self.tool_count = self.unnumbered = self.turn_count = self.highest_turn = 0
        self.turn_length = 0
        self.unwritten_root: UnwrittenRoot | None = None

    def for_turn(self) -> SpanBuffer:
        """The buffer of the open turn."""
        if self.turn_buffer is None:
            self.turn_buffer = SpanBuffer()
        return self.turn_buffer

    def for_root(self) -> SpanBuffer:
        """The buffer of the session's span."""
        if self.root_buffer is None:
            self.root_buffer = SpanBuffer()
        return self.root_buffer

    def complete_turn(self, key: TurnKey) -> SpanBuffer | None:
        """Let the open turn's buffer wait for the turn's metrics; returns the buffer that was evicted to make room, if any."""
        if self.turn_buffer is None:
            return None
        if self.waiting_turns is None:
            self.waiting_turns = BoundedDict(MAX_WAITING_TURNS)
        if key in self.waiting_turns:
            return None
        evicted = self.waiting_turns.add(key, self.turn_buffer)
        self.turn_buffer = None
        return None if evicted is None else evicted[1]

    def pop_buffer(self, key: TurnKey | None) -> SpanBuffer | None:
        """The buffer of a turn that is written now: its own if it was seen to complete, else that of the open turn."""
        if key is not None and self.waiting_turns and key in self.waiting_turns:
            return self.waiting_turns.pop(key)
        buffer, self.turn_buffer = self.turn_buffer, None
        return buffer

    def note_without_metrics(self, key: TurnKey) -> None:
        """Remember that the turn was written without metrics."""
        if self.without_metrics is None:
            self.without_metrics = BoundedDict(MAX_WITHOUT_METRICS)
        self.without_metrics[key] = None

    def is_late(self, key: TurnKey | None) -> bool:
        """Whether metrics that come now are late: the turn was written without them."""
        return self.without_metrics is not None and key in self.without_metrics

    def note_turn(self, key: TurnKey) -> None:
        """Count a turn."""
        self.turn_count += 1
        self.highest_turn = max(self.highest_turn, key[1])

    def may_repeat(self, key: TurnKey) -> bool:
        """Whether the turn may have been written so long ago that the session does not remember it."""
        return self.turn_count >= MOST_TURNS_KNOWN and key[1] <= self.highest_turn

    def extend(self, start: int, end: int) -> None:
        """Make the session's span cover ``start`` to ``end``."""
        if not self.span_start or start < self.span_start:
            self.span_start = start
        self.span_end = max(self.span_end, end)

    def next_tool(self) -> int:
        """The number of the next tool span; its id is made of it."""
        self.tool_count += 1
        return self.tool_count
