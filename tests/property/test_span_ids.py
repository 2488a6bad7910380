"""Whatever events come, in whatever order, no two spans of a process have the same trace and span id."""

from collections import Counter
from typing import Any

import msgspec
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from exporter.metrics.label_limits import LabelLimits
from exporter.pipeline.call_feed import CallFeed
from exporter.pipeline.pipeline import Pipeline, Tracing
from exporter.pipeline.tap_feed import TapFeed
from exporter.sessions.registry import SessionTimeouts
from exporter.tracing.sampling import SpanOptions
from tests.support.core import Connection, Core

_sessions = st.sampled_from(["as-1", "as-2", "call-1", None])
_calls = st.sampled_from(["call-1", None])
_numbers = st.sampled_from([0, 1, 2, None])
_tools = st.sampled_from([None, "at-1", "unnumbered", "late:", "late:at-1", "late:late:"])


class Traced(Core):
    """A core that makes spans, and keeps them."""

    def __init__(self, options: SpanOptions) -> None:
        super().__init__()
        self.spans: list[bytes] = []
        tracing = Tracing(options, self.spans.extend)
        self.pipeline = Pipeline(LabelLimits(), SessionTimeouts(idle=100), self, self.now, tracing=tracing)


class Hostile(RuleBasedStateMachine):
    """Several connections, few ids, and a clock."""

    connections: Bundle[Connection] = Bundle("connections")
    options = SpanOptions()

    def __init__(self) -> None:
        super().__init__()
        self.core = Traced(self.options)

    @rule(target=connections, relayed=st.booleans())
    def connect(self, relayed: bool) -> Connection:
        """A connection opens."""
        return self.core.connect(relayed=relayed)

    @rule(target=connections, session=_sessions.filter(bool))
    def call(self, session: str) -> Connection:
        """A connection opens and names its session."""
        return self.core.call(session)

    @rule(connection=consumes(connections))
    def close(self, connection: Connection) -> None:
        """A connection is gone."""
        connection.close()

    @rule(connection=connections, session=_sessions, call=_calls, agent=st.sampled_from(["sales", "support", None]))
    def start(self, connection: Connection, session: str | None, call: str | None, agent: str | None) -> None:
        """A session.started with any mixture of names."""
        connection.send("session.started", agent_session_id=session, call_id=call, agent_id=agent)

    @rule(connection=connections, call=_calls)
    def stream(self, connection: Connection, call: str | None) -> None:
        """The start of an audio stream."""
        connection.stream("start", streamId="st-1", start={"callId": call})

    @rule(connection=connections, name=st.sampled_from(["session.ended", "session.error"]))
    def end(self, connection: Connection, name: str) -> None:
        """The session ends or fails."""
        connection.send(name)

    @rule(connection=connections, number=_numbers, tool=_tools, interrupted=st.booleans())
    def turn(self, connection: Connection, number: int | None, tool: str | None, interrupted: bool) -> None:
        """A turn.metrics."""
        connection.turn(number, agent_tool_id=tool, llm_ttft_ms=200, interrupted=interrupted)

    @rule(connection=connections, number=_numbers, tool=_tools, turn_id=st.sampled_from(["t-1", None]))
    def completed(self, connection: Connection, number: int | None, tool: str | None, turn_id: str | None) -> None:
        """A turn.completed."""
        connection.completed(number, agent_tool_id=tool, turn_id=turn_id, llm_ttft_s=0.2)

    @rule(connection=connections, name=st.sampled_from(["tool.called", "tool.executed"]))
    def tool(self, connection: Connection, name: str) -> None:
        """A tool runs."""
        connection.send(name, name="weather", id="t-1", tool_name="weather")

    @rule(connection=connections, name=st.sampled_from(["started", "completed", "failed"]), tool=_tools)
    def agent_tool(self, connection: Connection, name: str, tool: str | None) -> None:
        """A sub-agent starts or ends."""
        connection.send(f"agent_tool.{name}", agent_tool_id=tool, agent_tool_type="sub")

    @rule(seconds=st.sampled_from([0.0, 0.5, 11.0, 31.0, 101.0]))
    def wait(self, seconds: float) -> None:
        """Time passes."""
        self.core.let_pass(seconds)

    @invariant()
    def span_ids_are_unique(self) -> None:
        """Each pair of trace and span id is there once."""
        assert repeated(self.core.spans) == []

    def teardown(self) -> None:
        """The process stops."""
        self.core.pipeline.close(self.core.now)
        assert repeated(self.core.spans) == []


class HostilePerTurn(Hostile):
    """The same with a trace for each turn."""

    options = SpanOptions(per_turn=True)


class HostileSampled(Hostile):
    """The same where only interrupted turns are kept."""

    options = SpanOptions(sampler="always_off", keep_interrupted=True)


def repeated(spans: list[bytes]) -> list[str]:
    """The names of the spans whose ids an earlier one has."""
    seen: Counter[tuple[bytes, bytes]] = Counter()
    found = []
    for span in map(Span.FromString, spans):
        seen[span.trace_id, span.span_id] += 1
        if seen[span.trace_id, span.span_id] > 1:
            found.append(span.name)
    return found


_settings = settings(max_examples=20, stateful_step_count=30, deadline=None)
TestHostile, TestHostilePerTurn, TestHostileSampled = Hostile.TestCase, HostilePerTurn.TestCase, HostileSampled.TestCase
TestHostile.settings = TestHostilePerTurn.settings = TestHostileSampled.settings = _settings


def send(call: CallFeed, core: Core, event_type: str, **fields: Any) -> None:
    """Send an event of a tap's call."""
    call.consume(msgspec.json.encode({"type": event_type, **fields}), core.now)


def test_a_handoff_repeats_no_span() -> None:
    """Turns without numbers, late metrics and sub-agents that end after a handoff have spans of their own."""
    core = Traced(SpanOptions())
    first = TapFeed(core.pipeline, "as-1")
    start = msgspec.json.encode({"type": "session.started", "agent_session_id": "as-1"})
    first.consume(start, core.now)
    for _ in range(2):
        send(first, core, "turn.metrics", llm_ttft_ms=200)
    send(first, core, "turn.completed", turn_number=1, llm_ttft_s=0.2)
    core.let_pass(11)
    state = first.hand_off(core.now)
    core.let_pass(1)
    second = TapFeed(core.pipeline, "as-1")
    second.resume(start, state, core.now)
    for _ in range(2):
        send(second, core, "turn.metrics", llm_ttft_ms=200)
    send(second, core, "turn.metrics", turn_number=1, llm_ttft_ms=200)
    send(second, core, "session.ended")
    assert repeated(core.spans) == []
    assert sum(Span.FromString(span).name.startswith("invoke_agent") for span in core.spans) == 6


def test_turns_of_long_ago_repeat_no_span() -> None:
    """When metrics come again, or come at last, for a turn that the call has forgotten after 256 others, their spans are new ones."""
    core = Traced(SpanOptions())
    call = core.call()
    call.completed(1, llm_ttft_s=0.2)
    core.let_pass(11)
    for number in range(2, 300):
        call.turn(number, llm_ttft_ms=200)
    for number in (1, 2, 1, 299):
        call.turn(number, llm_ttft_ms=200)
    assert repeated(core.spans) == []


def test_late_metrics_after_many_turns_without_repeat_no_span() -> None:
    """Turns that were written without metrics are known as long as the session remembers them."""
    core = Traced(SpanOptions())
    call = core.call()
    for number in range(1, 101):
        call.completed(number, llm_ttft_s=0.2)
        core.let_pass(11)
    for number in range(1, 101):
        call.turn(number, llm_ttft_ms=200)
    assert repeated(core.spans) == []


def test_a_session_that_begins_again_repeats_no_span() -> None:
    """A second session of an id that ended has spans of its own, its tools and sub-agents too."""
    core = Traced(SpanOptions())
    for reason in ("session.ended", None, None):
        call = core.call()
        call.send("agent_tool.started", agent_tool_id="at-1", agent_tool_type="sub")
        call.turn(1, llm_ttft_ms=200)
        call.send("tool.called", name="weather", id="t-1")
        if reason:
            call.send(reason)
        call.close()
        core.let_pass(31)
    assert repeated(core.spans) == []
    roots = [span for span in map(Span.FromString, core.spans) if span.name == "session"]
    assert [bool(span.parent_span_id) for span in roots] == [False, True, True]


def test_hostile_sub_agents_repeat_no_span() -> None:
    """No id that a sub-agent has makes its turn's key that of another turn."""
    core = Traced(SpanOptions())
    call = core.call()
    call.turn(None, llm_ttft_ms=200)
    call.turn(1, agent_tool_id="unnumbered", llm_ttft_ms=200)
    call.completed(1, agent_tool_id="at-1", llm_ttft_s=0.2)
    call.completed(2, llm_ttft_s=0.2)
    core.let_pass(11)
    for number, tool in ((1, "at-1"), (1, "late:at-1"), (2, None), (2, "late:")):
        call.turn(number, agent_tool_id=tool, llm_ttft_ms=200)
    assert repeated(core.spans) == []
