"""The list of calls: what happens in each, its waits, and the differences between two messages."""

from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exporter.exporters.live.channel import MOST_GONE, Channel
from exporter.exporters.live.messages import Change, State
from tests.support.core import BEGINNING
from tests.support.live import LiveCore


def test_the_waiting_clock_starts_and_stops_with_the_events() -> None:
    """It counts from the end of the caller's speech, while the platform decides and the agent thinks, until the agent is heard."""
    core = LiveCore()
    call = core.call()
    call.send("agent.state_changed", old_state="idle", new_state="listening")
    core.let_pass(1)
    call.send("user.speech_started")
    assert (core.row().activity, core.row().waiting_since) == ("listening", None)
    core.let_pass(2)
    call.send("user.speech_stopped")
    silent = core.now
    core.let_pass(0.5)
    assert (core.row().activity, core.row().waiting_since) == ("deciding", silent)
    call.send("user.turn_completed")
    assert (core.row().activity, core.row().waiting_since) == ("thinking", silent)
    core.let_pass(0.5)
    call.send("agent.state_changed", old_state="listening", new_state="thinking")
    call.send("agent_tool.started", agent_tool_id="t", agent_tool_type="search")
    assert (core.row().activity, core.row().waiting_since) == ("tool", silent)
    call.send("agent_tool.completed", agent_tool_id="t")
    assert core.full().summary.waiting == 1
    core.let_pass(0.1)
    call.send("agent.state_changed", old_state="thinking", new_state="speaking")
    assert (core.row().activity, core.row().waiting_since) == ("speaking", None)
    assert core.full().summary.waiting == 0


def test_a_pause_is_no_decision_for_ever() -> None:
    """A caller whose turn is never judged complete is not shown as waiting for ever."""
    core = LiveCore()
    call = core.call()
    call.send("user.speech_started")
    call.send("user.speech_stopped")
    assert core.row().activity == "deciding"
    core.let_pass(11)
    assert (core.row().activity, core.row().waiting_since) == ("listening", None)


def test_a_row_adds_up_its_turns() -> None:
    """Last and worst wait with their bottlenecks, slow and unanswered turns, interruptions and errors are those of the events."""
    core = LiveCore()
    call = core.call()
    call.turn(1, agent_first=True, user_perceived_ms=9000)
    call.turn(2, user_perceived_ms=2300, llm_ttft_ms=1650, stt_delay_ms=200)
    call.turn(2, user_perceived_ms=2300, llm_ttft_ms=1650)
    call.turn(3, user_perceived_ms=700, tts_ttfb_ms=400)
    call.turn(4)
    call.send("agent.speech_interrupted")
    call.send("session.error", code="llm_timeout")
    row = core.row()
    assert (row.turns, row.slow_turns, row.unanswered, row.interruptions, row.errors) == (4, 1, 1, 1, 1)
    assert (row.last_wait, row.last_bottleneck, row.worst_wait, row.worst_bottleneck) == (0.7, "tts", 2.3, "llm")


def test_a_turn_counts_once_when_its_metrics_come_late() -> None:
    """A turn that was counted without metrics is not counted again, and its late metrics replace it."""
    core = LiveCore()
    call = core.call()
    call.completed(1, llm_ttft_s=0.5)
    assert [turn.state for turn in core.detail().turns] == ["completed"]
    core.let_pass(11)
    assert [turn.state for turn in core.detail().turns] == ["without_metrics"]
    assert core.row().turns == 1
    call.turn(1, user_perceived_ms=800)
    assert [turn.state for turn in core.detail().turns] == ["counted"]
    assert (core.row().turns, core.row().last_wait) == (1, 0.8)


def test_slow_and_failed_turns_outlive_their_call() -> None:
    """They are listed for an hour, also when nothing else of their call is kept."""
    core = LiveCore()
    call = core.call()
    call.turn(1, user_perceived_ms=2300, llm_ttft_ms=1650, error_source="tts")
    call.turn(2, error_source="stt")
    core.kept_calls.forget(core.journal())
    core.let_pass(3)
    notes = core.full().slow_turns
    assert [(note.turn, note.wait, note.bottleneck, note.error) for note in notes] == [
        ("2", None, None, "stt"),
        ("1", 2.3, "llm", "tts"),
    ]
    core.let_pass(3601)
    assert not core.full().slow_turns


@pytest.mark.parametrize("exponential", [False, True])
def test_summary_is_that_of_the_store(exponential: bool) -> None:
    """Quantiles, the share that met the objective, and shares of components are what the metrics say, however finely they count."""
    core = LiveCore(exponential=exponential)
    sample(core)
    call = core.call()
    for number in range(20):
        call.turn(number, user_perceived_ms=2500 if number == 0 else 650, llm_ttft_ms=400)
    call.turn(30)
    core.let_pass(5)
    sample(core)
    summary = core.full().summary
    for window in summary.windows:
        assert (window.count, window.turns, window.unanswered, window.slow) == (20, 21, 1, 1)
        assert window.p50 == pytest.approx(0.65, abs=0.05)
        assert window.met == pytest.approx(19 / 21, abs=1e-5)
    assert {share.component: share.seconds for share in summary.shares}["llm"] == 8.0
    heat = core.full().heat
    assert sum(map(sum, heat.columns)) == 20
    assert [sum(column) for column in heat.columns][-1] == 20
    core.let_pass(301)
    sample(core)
    five, fifteen = core.full().summary.windows
    assert (five.count, fifteen.count) == (0, 20)


def test_problems_are_read_from_the_counters() -> None:
    """A rejected frame, a refused value, an unknown field and an unknown event are listed with their reasons, newest first."""
    core = LiveCore()
    call = core.call()
    core.state.look(core.now)
    call.feed.consume("no json", core.now)
    core.state.look(core.now)
    core.let_pass(1)
    call.turn(1, llm_ttft_ms=-1, llm_new_ms=3)
    call.send("agent.mood")
    core.state.look(core.now)
    found = [(problem.kind, problem.reason, problem.field, problem.count) for problem in core.full().problems]
    assert set(found[:3]) == {
        ("value_refused", "sentinel", "llm_ttft_ms", 1),
        ("unknown_field", "turn.metrics", "llm_new_ms", 1),
        ("unknown_event", "agent.mood", None, 1),
    }
    assert found[3:] == [("frame_rejected", "not_json", None, 1)]


def sample(core: LiveCore) -> None:
    """Read the store, as happens every five seconds."""
    for _ in core.state.last_minutes.sample(core.now):
        pass


ACTIONS = st.lists(st.tuples(st.sampled_from(["call", "turn", "end", "forget", "look"]), st.integers(0, 4)), min_size=1, max_size=30)


@settings(max_examples=40)
@given(ACTIONS)
def test_changes_lead_to_the_same_state(actions: list[tuple[str, int]]) -> None:
    """A viewer that applies the change since any earlier message has what a new viewer gets."""
    core = LiveCore()
    calls: dict[int, Any] = {}
    known: list[State] = [core.full()]
    for action, number in actions:
        core.let_pass(0.3)
        if action == "call" or number not in calls:
            calls[number] = core.call(f"as-{number}")
        elif action == "turn":
            calls[number].turn(core.now - BEGINNING, user_perceived_ms=500 + number)
        elif action == "end":
            calls[number].send("session.ended", reason="user_hangup")
            calls.pop(number).close()
        elif action == "forget":
            journal = next(iter(core.kept_calls), None)
            if journal is not None:
                core.kept_calls.forget(journal)
        else:
            known.append(core.full())
    now = core.full()
    for earlier in known:
        change = core.change_since(earlier.seq)
        assert applied(earlier, change) == comparable(now)


def applied(state: State, change: Change) -> dict[str, Any]:
    """The state after the change, as a viewer works it out."""
    calls = {call.id: call for call in state.calls} | {call.id: call for call in change.calls}
    parts = {name: getattr(change, name) for name in ("summary", "heat", "slow_turns", "problems", "left_out")}
    after = msgspec.structs.replace(
        state,
        calls=[call for key, call in calls.items() if key not in change.gone],
        **{name: part for name, part in parts.items() if part is not None},
    )
    return comparable(after)


def comparable(state: State) -> dict[str, Any]:
    """The state without what says when it was made, and its calls in order."""
    plain = msgspec.to_builtins(msgspec.structs.replace(state, seq=0, now=0.0))
    plain["calls"].sort(key=lambda call: call["id"])
    assert isinstance(plain, dict)
    return plain


def test_a_viewer_that_missed_too_much_begins_anew() -> None:
    """A change cannot bridge more removals than are remembered, nor lead from a number of the future."""
    channel = Channel(lambda *_: None, lambda *_: None)
    channel.set_item("first", 1)
    seen = channel.number
    for number in range(MOST_GONE + 2):
        channel.set_item(f"{number}", number)
        channel.remove(f"{number}")
    assert not channel.bridges(seen)
    assert channel.bridges(channel.number)
    assert not channel.bridges(channel.number + 1)


def test_a_message_is_encoded_once_for_all() -> None:
    """Two viewers that have seen the same get the very same bytes."""
    core = LiveCore()
    core.call("as-1")
    number = core.update().number
    core.call("as-2")
    channel = core.update()
    assert channel.change_since(number) is channel.change_since(number)
    assert channel.state() is channel.state()


def test_the_very_next_change_is_told() -> None:
    """A single item that is set, and a single one that is removed, is in the change since the number before, and in no later one."""
    channel = Channel(lambda *_: None, lambda _, parts, items, gone: [parts, items, gone])
    channel.set_item("a", 1)
    seen = channel.number
    channel.set_item("b", 2)
    assert msgspec.json.decode(channel.change_since(seen)) == [{}, [2], []]
    assert msgspec.json.decode(channel.change_since(channel.number)) == [{}, [], []]
    seen = channel.number
    channel.remove("a")
    assert msgspec.json.decode(channel.change_since(seen)) == [{}, [], ["a"]]
    seen = channel.number
    channel.set_part("p", 3)
    assert msgspec.json.decode(channel.change_since(seen)) == [{"p": 3}, [], []]
    channel.set_part("p", 3)
    channel.set_item("b", 2)
    assert channel.number == seen + 1
