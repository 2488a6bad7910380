"""A call that continues in another process: its memory is handed over, and a peer's text is checked."""

import json
import math
from base64 import b85encode
from pathlib import Path
from typing import Any

import msgspec
import pytest

from exporter.metrics.label_limits import LabelLimits
from exporter.pipeline.diagnostics import NoDiagnostics
from exporter.pipeline.pipeline import Pipeline
from exporter.pipeline.restart_handoff import decode, encode, snapshot
from exporter.pipeline.tap_feed import TapFeed
from exporter.sessions.registry import SessionTimeouts
from tests.support.core import BEGINNING, Core

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
        state = self.feed.hand_off(self.core.now)
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


@pytest.mark.parametrize(
    "stamp", ["0001-01-01T00:00:00Z", "0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-23:59", "1969-01-01T00:00:00Z"]
)
def test_a_time_that_makes_no_sense_costs_nothing_else(stamp: str) -> None:
    """A call is handed over whatever times the platform sent: what counted does not count again, and a turn that waits counts once."""
    call = Call()
    call.send(usage(100))
    for event in ("user.state_changed", "agent.state_changed"):
        call.send({"type": event, "old_state": "listening", "new_state": "speaking", "timestamp": stamp})
    call.send({"type": "turn.metrics", "turn_number": 1})
    call.send({"type": "turn.completed", "turn_number": 2, "timestamp": stamp, "agent_started_speaking_at": stamp})
    call.move()
    call.send(usage(130))
    call.send({"type": "turn.metrics", "turn_number": 1})
    call.core.let_pass(20)
    assert call.total(TURNS) == 2
    assert call.total(USED) == 130


def test_an_error_at_one_call_costs_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    """A call that cannot be written down is reported, and those after it are handed over."""
    core, errors = Core(), list[Exception]()
    monkeypatch.setattr(core, "internal_error", errors.append)
    first, second = TapFeed(core.pipeline, "as-1"), TapFeed(core.pipeline, "as-2")
    for feed, name in ((first, "as-1"), (second, "as-2")):
        feed.consume(msgspec.json.encode({"type": "session.started", "agent_session_id": name}), core.now)
    monkeypatch.setattr("exporter.pipeline.tap_feed.snapshot", lambda session: 1 // 0 if session.id == "as-1" else snapshot(session))
    assert first.hand_off(core.now) is None
    assert second.hand_off(core.now) is not None
    assert [type(error) for error in errors] == [ZeroDivisionError]


def test_a_call_that_is_over() -> None:
    """What still comes of it counts, and it does not begin again."""
    call = Call()
    call.send({"type": "session.ended", "reason": "completed"})
    call.move()
    call.send({"type": "turn.metrics", "turn_number": 1})
    assert call.total(TURNS) == call.total("agentstack_sessions_total") == call.total("agentstack_sessions_ended_total") == 1
    assert call.core.value("agentstack_sessions_active") == 0


def _encoded(**fields: Any) -> str:
    return b85encode(msgspec.msgpack.encode(fields)).decode()


@pytest.mark.parametrize(
    "state",
    [
        "",
        "é",
        "not ours",
        _encoded(version=2),
        _encoded(started_at=math.nan),
        _encoded(started_at=-1.0),
        _encoded(answered_by="somebody"),
        _encoded(turns={("", 1): ["no_such_field"]}),
        _encoded(usage={("llm", "p", "m"): {"input_tokens": math.inf}}),
        _encoded(turns={("", number): None for number in range(300)}),
        _encoded(floor={"told": math.nan}),
        _encoded(floor={"turn": [math.nan, 1.0]}),
        _encoded(agent="x" * 10_000),
    ],
    ids=range(13),
)
def test_a_state_that_is_not_ours(state: str) -> None:
    """It is not taken, and the call goes on without it."""
    assert decode(state) is None
    core = Core()
    feed = TapFeed(core.pipeline, "as-1")
    feed.resume(START, state, core.now)
    assert core.value("agentstack_sessions_active", agent="support") == 1


def test_labels_in_a_state_are_not_believed() -> None:
    """States of callers and agents are of a closed set, whatever a peer makes of them."""
    core = Core()
    feed = TapFeed(core.pipeline, "as-1")
    feed.resume(START, _encoded(states={"user": ["hostile", core.now - 5, core.now - 5]}), core.now)
    feed.consume(msgspec.json.encode({"type": "session.ended"}), core.now)
    (series,) = core.series("agentstack_state_duration_seconds_total")
    assert "hostile" not in series.labels


def test_every_part_of_the_memory_comes_back() -> None:
    """A restored session hands over what it was given, so that no field is lost on the way."""
    call = Call()
    for event in (usage(5), {"type": "turn.completed", "turn_number": 1}, {"type": "turn.metrics", "turn_number": 2}):
        call.send(event)
    assert call.feed.session is not None
    before = snapshot(call.feed.session)
    call.move()
    assert call.feed.session is not None
    assert snapshot(call.feed.session) == before


RECORDED = json.loads((Path(__file__).parents[1] / "data" / "handoff.json").read_text())
"""Calls, and the text that an earlier version of the exporter handed over after their events."""


@pytest.fixture(params=RECORDED, ids=lambda call: str(call["name"]))
def recorded(request: pytest.FixtureRequest) -> dict[str, Any]:
    """A call that an earlier version handed over."""
    call: dict[str, Any] = request.param
    return call


def test_the_text_is_that_of_earlier_versions(recorded: dict[str, Any]) -> None:
    """The same events lead to the same text, so that an earlier version can continue the call after a downgrade."""
    pipeline = Pipeline(LabelLimits(), SessionTimeouts(), NoDiagnostics(), BEGINNING)
    feed = TapFeed(pipeline, "as-1")
    for at, event in recorded["events"]:
        pipeline.tick(BEGINNING + at)
        feed.consume(msgspec.json.encode(event), BEGINNING + at)
    pipeline.tick(BEGINNING + recorded["handed_over_at"])
    assert feed.hand_off(BEGINNING + recorded["handed_over_at"]) == recorded["text"]


def test_the_text_of_earlier_versions_is_read(recorded: dict[str, Any]) -> None:
    """Nothing in the text of an earlier version is lost: what is read of it makes the same text again."""
    saved = decode(recorded["text"])
    assert saved is not None
    assert encode(saved) == recorded["text"]
    core = Core()
    feed = TapFeed(core.pipeline, "as-1")
    feed.resume(msgspec.json.encode(recorded["events"][0][1]), recorded["text"], core.now + recorded["handed_over_at"])
    assert feed.hand_off(core.now + recorded["handed_over_at"]) == recorded["text"]
