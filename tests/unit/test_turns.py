"""Turns: each counts once, whatever comes, in whatever order, and however late."""

from typing import Any

import pytest

from exporter.analysis.turn_counter import MOST_TURNS, MOST_WAITING
from tests.support.core import Connection, Core

TURNS = "agentstack_turns_total"
WITHOUT = "agentstack_turns_without_metrics_total"
LATE = "agentstack_turn_metrics_late_total"
DUPLICATES = "agentstack_turn_metrics_duplicates_total"
UNTOLD = "agentstack_sessions_without_turn_metrics_total"
LATENCY = "agentstack_user_perceived_latency_seconds"
LLM = "agentstack_llm_time_to_first_token_seconds"


@pytest.fixture
def core() -> Core:
    """A core with the default waits: 10 s for turn.metrics."""
    return Core()


@pytest.fixture
def call(core: Core) -> Connection:
    """A call that has begun."""
    return core.call()


@pytest.mark.parametrize("order", ["metrics, completed", "completed, metrics", "metrics", "completed"])
def test_a_turn_counts_once(core: Core, call: Connection, order: str) -> None:
    """turn.completed and turn.metrics of a turn, or one of them, in any order, make one turn and one latency of each stage."""
    for event in order.split(", "):
        if event == "metrics":
            call.turn(3, llm_ttft_ms=400)
        else:
            call.completed(3, llm_ttft_s=0.4)
    core.let_pass(11)
    assert core.value(TURNS) == 1
    assert core.observations(LLM) == 1
    assert core.value(WITHOUT) == (order == "completed")


def test_a_repeated_turn_metrics_is_ignored(core: Core, call: Connection) -> None:
    """turn.metrics that come twice are counted as duplicates and recorded once."""
    for _ in range(3):
        call.turn(1, user_perceived_ms=900)
    assert core.value(TURNS) == 1
    assert core.observations(LATENCY) == 1
    assert core.value(DUPLICATES) == 2
    assert core.value("agentstack_exporter_frames_total", outcome="ignored") == 2


@pytest.mark.parametrize("number", [5, None])
def test_a_repeated_turn_completed_counts_once(core: Core, call: Connection, number: int | None) -> None:
    """turn.completed that comes again before and after its turn counted makes no second turn, with number or id."""
    for _ in range(2):
        call.completed(number, turn_id="t-5", llm_ttft_s=0.4)
    core.let_pass(10)
    call.completed(number, turn_id="t-5", llm_ttft_s=0.4)
    core.let_pass(10)
    assert core.value(TURNS) == core.value(WITHOUT) == 1
    assert core.observations(LLM) == 1


def test_it_waits_ten_seconds(core: Core, call: Connection) -> None:
    """A turn without turn.metrics counts 10 s after turn.completed, not before."""
    call.completed(1)
    core.let_pass(9.9)
    assert core.value(TURNS) == 0
    core.let_pass(0.1)
    assert core.value(TURNS) == 1


def test_late_turn_metrics_count_but_not_twice(core: Core, call: Connection) -> None:
    """turn.metrics after the wait add what turn.completed could not say, and nothing that was already observed."""
    call.completed(1, llm_ttft_s=0.4, transcription_delay_s=0.2)
    core.let_pass(10)
    call.turn(1, llm_ttft_ms=400, stt_delay_ms=200, tts_ttfb_ms=150, user_perceived_ms=900)
    assert core.value(TURNS) == core.value(LATE) == core.value(WITHOUT) == 1
    assert core.observations(LLM) == 1
    assert core.observations("agentstack_stt_delay_seconds") == 1
    assert core.observations("agentstack_tts_time_to_first_byte_seconds") == 1
    assert core.observations(LATENCY) == 1
    call.turn(1, user_perceived_ms=900)
    assert core.value(DUPLICATES) == 1


def test_late_turn_metrics_answer_no_other_turn(core: Core, call: Connection) -> None:
    """Late turn.metrics of one turn leave a turn that is known only by its id waiting for its own."""
    call.completed(1)
    core.let_pass(10)
    call.completed(None, turn_id="t-2")
    call.turn(1)
    core.let_pass(10)
    assert core.value(TURNS) == core.value(WITHOUT) == 2


def test_what_turn_completed_stands_in_for(core: Core, call: Connection) -> None:
    """Every *_s field of turn.completed is observed where no turn.metrics comes, in seconds and under the agent."""
    call.completed(1, transcription_delay_s=0.21, turn_decision_s=0.32, llm_ttft_s=0.43, tts_ttfb_s=0.14, realtime_ttft_s=0.25)
    core.let_pass(10)
    assert core.value("agentstack_stt_delay_seconds", agent="support", provider="unknown") == 0.21
    assert core.value("agentstack_turn_decision_seconds", agent="support", method="unknown") == 0.32
    assert core.value(LLM, agent="support", cancelled="false") == 0.43
    assert core.value("agentstack_tts_time_to_first_byte_seconds", agent="support") == 0.14
    assert core.value("agentstack_realtime_time_to_first_token_seconds", agent="support") == 0.25


def test_the_end_of_the_session_settles_its_turns(core: Core, call: Connection) -> None:
    """Turns that wait when the session ends count at once, and once."""
    call.completed(1)
    call.completed(2)
    call.send("session.ended")
    assert core.value(TURNS) == core.value(WITHOUT) == 2
    core.let_pass(20)
    assert core.value(TURNS) == 2


def test_a_turn_may_complete_after_the_end(core: Core, call: Connection) -> None:
    """A turn.completed after session.ended is waited for as any other, though its connection goes."""
    call.send("session.ended")
    call.completed(1)
    call.close()
    core.let_pass(10)
    assert core.value(TURNS) == 1


def test_shutdown_settles_every_turn(core: Core, call: Connection) -> None:
    """When the process stops, turns still waiting count, also those of sessions that are over."""
    call.send("session.ended")
    call.completed(1)
    call.close()
    core.call("as-2").completed(1)
    core.pipeline.close(core.now)
    assert core.value(TURNS) == 2


@pytest.mark.parametrize(
    ("fields", "labels"),
    [
        ({}, {"initiator": "user", "interrupted": "false", "cancelled": "false", "sub_agent": "false", "pipeline": "unknown"}),
        ({"agent_first": True}, {"initiator": "agent"}),
        ({"interrupted": True, "tts_cancelled": True}, {"interrupted": "true", "cancelled": "true"}),
        ({"llm_cancelled": True}, {"interrupted": "false", "cancelled": "true"}),
        ({"pipeline": "s2s", "realtime_cancelled": True}, {"pipeline": "s2s", "cancelled": "true"}),
        ({"agent_tool_id": "at-1"}, {"sub_agent": "true"}),
    ],
)
def test_labels_of_a_turn(core: Core, call: Connection, fields: dict[str, Any], labels: dict[str, str]) -> None:
    """A turn is told apart by who began it, what became of it, its pipeline, and whether a sub-agent had it."""
    call.turn(1, **fields)
    assert core.value(TURNS, agent="support", answered_by="unknown", **labels) == 1
    assert core.value(TURNS) == 1


def test_labels_of_a_turn_without_metrics(core: Core, call: Connection) -> None:
    """Of a turn without turn.metrics only what turn.completed says is told."""
    call.completed(1, agent_first=True, agent_tool_id="at-1")
    core.let_pass(10)
    assert core.value(TURNS, initiator="agent", sub_agent="true", interrupted="unknown", cancelled="unknown") == 1


def test_turns_of_machines_are_kept_apart(core: Core, call: Connection) -> None:
    """Turns and latencies after voicemail.detected carry who answered."""
    call.turn(1, user_perceived_ms=900)
    call.send("voicemail.detected", result="machine", method="audio")
    call.turn(2, user_perceived_ms=500)
    call.completed(3)
    core.let_pass(10)
    assert core.value(TURNS, answered_by="unknown") == 1
    assert core.value(TURNS, answered_by="machine") == 2
    assert core.value(LATENCY, answered_by="machine") == 0.5


def test_turns_the_agent_began_have_no_user_perceived_latency(core: Core, call: Connection) -> None:
    """A user_perceived_ms on an agent-first turn is refused as not applicable; that of an interrupted turn counts."""
    call.turn(1, agent_first=True, user_perceived_ms=900)
    call.turn(2, interrupted=True, user_perceived_ms=800)
    refused = core.value("agentstack_exporter_values_refused_total", field="user_perceived_ms", reason="not_applicable")
    assert refused == 1
    assert core.value(LATENCY) == core.value(LATENCY, interrupted="true") == 0.8


def test_sub_agents_count_their_own_turns(core: Core, call: Connection) -> None:
    """The same number in the main agent and in two sub-agents names three turns; a whole float is the same number."""
    for agent_tool_id in (None, "at-1", "at-2"):
        call.turn(1, agent_tool_id=agent_tool_id)
        call.turn(1.0, agent_tool_id=agent_tool_id)
    assert core.value(TURNS) == 3


def test_missing_turn_metrics_are_told_once_a_session(core: Core, call: Connection) -> None:
    """Two turns of a session without any turn.metrics are said in a metric and a notice, once."""
    call.completed(1)
    core.let_pass(10)
    assert core.complaints == []
    for number in (2, 3, 4):
        call.completed(number)
        core.let_pass(10)
    assert core.complaints == ["support"]
    assert core.value(UNTOLD, agent="support") == 1


def test_one_turn_metrics_is_enough(core: Core, call: Connection) -> None:
    """A session in which some turn.metrics came is not complained of."""
    call.turn(1)
    for number in range(2, 8):
        call.completed(number)
    core.let_pass(10)
    assert core.value(WITHOUT) == 6
    assert core.complaints == []


def test_turns_of_the_second_generation(core: Core, call: Connection) -> None:
    """turn.completed without a number and numbered turn.metrics are the same turn in either order, also when one is repeated."""
    call.completed(None, turn_id="t-1")
    call.turn(1)
    call.turn(2)
    call.completed(None, turn_id="t-2")
    call.completed(None, turn_id="t-1")
    call.turn(3)
    call.completed(None, turn_id="t-2")
    call.completed(None, turn_id="t-3")
    core.let_pass(10)
    assert core.value(TURNS) == 3
    assert core.value(WITHOUT) == 0


def test_turns_without_any_name(core: Core, call: Connection) -> None:
    """turn.completed with neither number nor id are turns of their own."""
    for _ in range(2):
        call.completed(None)
    core.let_pass(10)
    call.completed(None)
    core.let_pass(10)
    assert core.value(TURNS) == 3


def test_turn_metrics_without_number_answer_the_oldest(core: Core, call: Connection) -> None:
    """turn.metrics that do not say their turn belong to the turn that has waited longest."""
    call.completed(1)
    call.turn(None)
    core.let_pass(10)
    assert core.value(TURNS) == 1
    assert core.value(WITHOUT) == 0


@pytest.mark.parametrize("number", [-1, 1e9, -5.5])
def test_implausible_turn_numbers_are_refused(core: Core, call: Connection, number: float) -> None:
    """A negative or huge turn number is refused; the turn counts all the same."""
    call.turn(number, user_perceived_ms=900)
    assert core.value("agentstack_exporter_values_refused_total", field="turn_number") == 1
    assert core.value(TURNS) == core.observations(LATENCY) == 1


def test_an_id_may_look_like_anything(core: Core, call: Connection) -> None:
    """A sub-agent's id never passes for a turn that is known by its id."""
    call.completed(1, agent_tool_id="id:t-1")
    call.turn(2)
    core.let_pass(10)
    assert core.value(TURNS) == 2
    assert core.value(WITHOUT) == 1


def test_what_is_remembered_of_turns_is_bounded(core: Core, call: Connection) -> None:
    """However many turns come, and however long their ids, a session keeps the latest few and counts all."""
    for number in range(1_000):
        call.turn(number, agent_tool_id="x" * 10_000)
        call.completed(None, turn_id=f"{number}" + "y" * 10_000, user_text="z" * 10_000)
        call.completed(number, user_text="z" * 10_000)
    session = call.session
    assert len(session.turns or ()) <= MOST_TURNS
    assert len(session.pending_turns or ()) <= MOST_WAITING
    assert max(len(key[0]) for key in session.turns or ()) < 200
    assert all(waiting.user_text is None for waiting in (session.pending_turns or {}).values())
    assert len(core.pipeline.trackers.turns._due) <= MOST_WAITING
    core.let_pass(10)
    assert not core.pipeline.trackers.turns._due
    assert core.value(TURNS) == 2_000


def test_turns_that_were_answered_are_waited_for_no_longer(core: Core, call: Connection) -> None:
    """What waits is let go with its turn.metrics, not after the wait, and so is its session."""
    for number in range(100):
        call.completed(number)
        call.turn(number)
    assert not core.pipeline.trackers.turns._due
    assert call.session.pending_turns is None
