"""A call that goes on in another process: what it knew comes along, and what comes from a peer is not believed."""

import math
from base64 import b85encode
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from exporter.pipeline.handoff import Carried, unpack
from exporter.pipeline.tap_feed import TapFeed
from exporter.sessions.registry import SessionTimeouts
from tests.support.core import Core

START = msgspec.json.encode({"type": "session.started", "agent_session_id": "as-1", "agent_id": "support"})
TURNS = "agentstack_turns_total"
USED = "agentstack_usage_input_tokens_total"


def usage(tokens: int) -> dict[str, Any]:
    return {"type": "session.usage", "models": [{"type": "llm_usage", "provider": "p", "model": "m", "input_tokens": tokens}]}


class Call:
    """A tapped call in a process of its own, which may move to another one."""

    def __init__(self) -> None:
        self.cores = [Core(waits=SessionTimeouts(turn=10.0))]
        self.feed = TapFeed(self.core.pipeline, "as-1")
        self.send(msgspec.json.decode(START))

    @property
    def core(self) -> Core:
        """The process it is in."""
        return self.cores[-1]

    def send(self, event: dict[str, Any]) -> None:
        """An event comes."""
        self.feed.consume(msgspec.json.encode(event), self.core.now)

    def move(self) -> None:
        """The process stops, and another one goes on."""
        state = self.feed.hand_over(self.core.now)
        assert state is not None
        self.core.pipeline.close(self.core.now)
        self.cores.append(Core(waits=SessionTimeouts(turn=10.0)))
        self.feed = TapFeed(self.core.pipeline, "as-1")
        self.feed.resume(START, state, self.core.now)

    def total(self, name: str, **labels: str) -> float:
        """What all processes counted."""
        return sum(core.value(name, **labels) for core in self.cores)


def test_a_call_is_one_call() -> None:
    """It has begun once and ended once, and is going on in one process at a time."""
    call = Call()
    call.move()
    assert [core.value("agentstack_sessions_active") for core in call.cores] == [0, 1]
    call.send({"type": "session.ended", "reason": "completed"})
    assert call.total("agentstack_sessions_total") == call.total("agentstack_sessions_ended_total", reason="completed") == 1
    assert call.total("agentstack_sessions_ended_total") == 1


def test_usage_grows_from_where_it_was() -> None:
    """What was used before is counted once."""
    call = Call()
    call.send(usage(100))
    call.move()
    call.send(usage(130))
    assert call.total(USED) == 130


@pytest.mark.parametrize("moves", [(0,), (1,), (0, 1), (2,), (0, 1, 2)], ids=str)
def test_a_turn_counts_once(moves: tuple[int, ...]) -> None:
    """A turn whose metrics come in another process than its completion, and once more in a third, counts once."""
    call = Call()
    events = [{"type": "turn.completed", "turn_number": 1}, *[{"type": "turn.metrics", "turn_number": 1}] * 2]
    for step, event in enumerate(events):
        if step in moves:
            call.move()
        call.send(event)
    assert call.total(TURNS) == 1
    assert call.total("agentstack_turn_metrics_duplicates_total") == 1
    assert call.total("agentstack_turns_without_metrics_total") == 0


def test_a_turn_that_waits_in_vain() -> None:
    """A turn without metrics counts in the process that has waited long enough."""
    call = Call()
    call.send({"type": "turn.completed", "turn_number": 1})
    call.move()
    assert call.total(TURNS) == 0
    call.core.let_pass(11)
    assert call.total(TURNS) == call.total("agentstack_turns_without_metrics_total") == 1


def test_who_answered_and_what_goes_on() -> None:
    """A machine stays a machine, and a sub-agent's time runs on."""
    call = Call()
    call.send({"type": "voicemail.detected", "result": "machine"})
    call.send({"type": "agent_tool.started", "agent_tool_id": "t", "agent_tool_type": "collect"})
    call.move()
    call.send({"type": "agent_tool.completed", "agent_tool_id": "t"})
    call.send({"type": "turn.metrics", "turn_number": 1})
    assert call.total(TURNS, answered_by="machine") == 1
    assert call.core.observations("agentstack_agent_tool_duration_seconds", agent_tool="collect") == 1


def test_a_call_that_is_over() -> None:
    """What still comes of it counts, and it does not begin again."""
    call = Call()
    call.send({"type": "session.ended", "reason": "completed"})
    call.move()
    call.send({"type": "turn.metrics", "turn_number": 1})
    assert call.total(TURNS) == call.total("agentstack_sessions_total") == call.total("agentstack_sessions_ended_total") == 1
    assert call.core.value("agentstack_sessions_active") == 0


def _packed(**fields: Any) -> str:
    return b85encode(msgspec.msgpack.encode(fields)).decode()


@pytest.mark.parametrize(
    "state",
    [
        "",
        "é",
        "not ours",
        _packed(version=2),
        _packed(started_at=math.nan),
        _packed(started_at=-1.0),
        _packed(answered_by="somebody"),
        _packed(turns={("", 1): ["no_such_field"]}),
        _packed(usage={("llm", "p", "m"): {"input_tokens": math.inf}}),
        _packed(turns={("", number): None for number in range(300)}),
        _packed(turn_taking={"told": math.nan}),
        _packed(turn_taking={"turn": [math.nan, 1.0]}),
        _packed(agent="x" * 10_000),
    ],
    ids=range(13),
)
def test_a_state_that_is_not_ours(state: str) -> None:
    """It is not taken, and the call goes on without it."""
    assert unpack(state) is None
    core = Core()
    feed = TapFeed(core.pipeline, "as-1")
    feed.resume(START, state, core.now)
    assert core.value("agentstack_sessions_active", agent="support") == 1


def test_labels_in_a_state_are_not_believed() -> None:
    """States of callers and agents are of a closed set, whatever a peer makes of them."""
    core = Core()
    feed = TapFeed(core.pipeline, "as-1")
    feed.resume(START, _packed(states={"user": ["hostile", core.now - 5, core.now - 5]}), core.now)
    feed.consume(msgspec.json.encode({"type": "session.ended"}), core.now)
    (series,) = core.series("agentstack_state_duration_seconds_total")
    assert "hostile" not in series.labels


def test_every_part_of_the_memory_comes_back() -> None:
    """What is packed is what is unpacked, so that no field is left behind by its encoding."""
    call = Call()
    for event in (usage(5), {"type": "turn.completed", "turn_number": 1}, {"type": "turn.metrics", "turn_number": 2}):
        call.send(event)
    session: Callable[[], Any] = lambda: call.feed.session  # noqa: E731 - read again after the move
    before = {name: getattr(session(), name) for name in Carried.__struct_fields__ if hasattr(session(), name)}
    call.move()
    assert {name: getattr(session(), name) for name in before} == before
