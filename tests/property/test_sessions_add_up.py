"""Whatever connections do, in whatever order: sessions started less those ended are those going on, and all of them end."""

from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule

from exporter.sessions.registry import SessionTimeouts
from tests.support.core import Connection, Core

_ids = st.sampled_from(["as-1", "as-2", None, ""])
_calls = st.sampled_from(["call-1", "call-2", None])
_agents = st.sampled_from(["sales", "support", None])
_numbers = st.sampled_from([1, 2, None])


class Lives(RuleBasedStateMachine):
    """Several connections, few names, and a clock."""

    connections: Bundle[Connection] = Bundle("connections")

    def __init__(self) -> None:
        super().__init__()
        self.core = Core(waits=SessionTimeouts(idle=100))
        self.open: list[Connection] = []
        self.frames = 0

    @rule(target=connections)
    def connect(self) -> Connection:
        """A connection opens."""
        self.open.append(self.core.connect())
        return self.open[-1]

    @rule(connection=consumes(connections))
    def close(self, connection: Connection) -> None:
        """A connection is gone."""
        self.open.remove(connection)
        connection.close()

    def _send(self, connection: Connection, event: str, **fields: Any) -> None:
        self.frames += 1
        connection.send(event, **fields)

    @rule(connection=connections, session=_ids, call=_calls, agent=_agents)
    def start(self, connection: Connection, session: str | None, call: str | None, agent: str | None) -> None:
        """A session.started with any mixture of names."""
        self._send(connection, "session.started", agent_session_id=session, call_id=call, agent_id=agent)

    @rule(connection=connections, call=_calls, stream=st.sampled_from(["st-1", None]))
    def stream(self, connection: Connection, call: str | None, stream: str | None) -> None:
        """The start of an audio stream."""
        self.frames += 1
        connection.stream("start", streamId=stream, start={"callId": call})

    @rule(connection=connections, reason=st.sampled_from(["user_hangup", "idle", None]))
    def end(self, connection: Connection, reason: str | None) -> None:
        """The platform ends the session."""
        self._send(connection, "session.ended", reason=reason)

    @rule(connection=connections)
    def stop(self, connection: Connection) -> None:
        """An audio stream stops."""
        self.frames += 1
        connection.stream("stop")

    @rule(connection=connections, number=_numbers, agent_tool=st.sampled_from(["at-1", None]))
    def turn(self, connection: Connection, number: int | None, agent_tool: str | None) -> None:
        """A turn.metrics."""
        self._send(connection, "turn.metrics", turn_number=number, agent_tool_id=agent_tool)

    @rule(connection=connections, number=_numbers, turn_id=st.sampled_from(["t-1", "t-2", None]))
    def turn_completed(self, connection: Connection, number: int | None, turn_id: str | None) -> None:
        """A turn.completed."""
        self._send(connection, "turn.completed", turn_number=number, turn_id=turn_id)

    @rule(connection=connections, state=st.sampled_from(["speaking", "listening", "odd"]))
    def change(self, connection: Connection, state: str) -> None:
        """A state changes."""
        self._send(connection, "user.state_changed", new_state=state, old_state="away")

    @rule(seconds=st.sampled_from([0.5, 9.0, 20.0, 31.0, 101.0]))
    def wait(self, seconds: float) -> None:
        """Time passes."""
        self.core.let_pass(seconds)

    @invariant()
    def sessions_add_up(self) -> None:
        """Started less ended is going on, of which no agent has fewer than none."""
        core, sessions = self.core, self.core.pipeline.sessions
        started, ended = core.value("agentstack_sessions_total"), core.value("agentstack_sessions_ended_total")
        assert started - ended == core.value("agentstack_sessions_active") == sessions.active
        assert all(isinstance(series.value, float) and series.value >= 0 for series in core.series("agentstack_sessions_active"))

    @invariant()
    def connections_add_up(self) -> None:
        """Each session knows how many connections it has, and is kept only while it has some or may come back."""
        sessions = list(self.core.pipeline.sessions)
        attached = [connection.feed.session for connection in self.open if connection.feed.session]
        assert all(session.connections == attached.count(session) for session in sessions)
        assert set(attached) <= set(sessions)
        assert all(session.connections or not session.ended for session in sessions)

    @invariant()
    def frames_add_up(self) -> None:
        """Every frame has become exactly one of processed, ignored and rejected."""
        assert self.core.value("agentstack_exporter_frames_received_total") == self.frames
        assert self.core.value("agentstack_exporter_frames_total") == self.frames

    def teardown(self) -> None:
        """In the end nothing goes on, nothing waits, and nothing is remembered but a few names."""
        for connection in self.open:
            connection.close()
        self.core.let_pass(60)
        self.core.let_pass(60)
        assert self.core.value("agentstack_sessions_active") == 0
        assert len(self.core.pipeline.sessions) == 0
        assert not self.core.pipeline.trackers.turns._due
        assert not self.core.pipeline.sessions._by_id
        assert not self.core.pipeline.sessions._disconnected


TestLives = Lives.TestCase
