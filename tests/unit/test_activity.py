"""What goes on between turns: states, sub-agents, server-side tools, the availability of LLMs, and cumulative usage."""

from datetime import UTC, datetime
from typing import Any

import pytest

from exporter.analysis.states import MOST_LLMS, MOST_OPEN_TOOLS, MOST_USED_MODELS
from exporter.metrics.label_limits import LabelLimits
from exporter.sessions.registry import SessionTimeouts
from tests.support.core import BEGINNING, Connection, Core

STATES = "agentstack_state_duration_seconds_total"
TOOL_DURATION = "agentstack_agent_tool_duration_seconds"
EXECUTIONS = "agentstack_tool_executions_total"
AVAILABLE = "agentstack_llm_available"
INPUT = "agentstack_usage_input_tokens_total"
AUDIO = "agentstack_usage_audio_duration_seconds_total"


@pytest.fixture
def core() -> Core:
    """A core with default limits and waits."""
    return Core()


@pytest.fixture
def call(core: Core) -> Connection:
    """A call that has begun."""
    return core.call()


def at(seconds: float) -> str:
    """A timestamp so many seconds after the beginning of the test."""
    return datetime.fromtimestamp(BEGINNING + seconds, UTC).isoformat()


def test_states_last_from_timestamp_to_timestamp(core: Core, call: Connection) -> None:
    """A state lasts from its own timestamp to that of the next, whenever they are received."""
    call.send("user.state_changed", new_state="speaking", timestamp=at(1))
    call.send("agent.state_changed", new_state="listening", timestamp=at(1))
    call.send("user.state_changed", new_state="listening", timestamp=at(3.5))
    call.send("agent.state_changed", new_state="thinking", timestamp=at(4))
    assert core.value(STATES, participant="user", state="speaking", agent="support") == 2.5
    assert core.value(STATES, participant="agent", state="listening") == 3
    assert core.value(STATES) == 5.5


def test_states_without_timestamps_last_from_receipt_to_receipt(core: Core, call: Connection) -> None:
    """Where the platform gives no time, the time of receipt counts."""
    call.send("agent.state_changed", new_state="thinking")
    core.let_pass(2)
    call.send("agent.state_changed", new_state="speaking")
    assert core.value(STATES, state="thinking") == 2


def test_the_first_state_began_with_the_session(core: Core, call: Connection) -> None:
    """The state that the first change ends has lasted since the session's start, if that was seen."""
    core.let_pass(3)
    call.send("agent.state_changed", old_state="idle", new_state="speaking")
    nameless = core.connect()
    nameless.send("user.dtmf")
    core.let_pass(3)
    nameless.send("agent.state_changed", old_state="idle", new_state="speaking")
    assert core.value(STATES, state="idle") == 3


def test_states_out_of_order(core: Core, call: Connection) -> None:
    """A change that arrives after a later one does not count time twice."""
    call.send("user.state_changed", new_state="speaking", timestamp=at(10))
    call.send("user.state_changed", new_state="away", timestamp=at(5))
    call.send("user.state_changed", new_state="listening", timestamp=at(20))
    assert core.value(STATES) == core.value(STATES, state="speaking") == 10


def test_a_clock_that_is_set_back(core: Core, call: Connection) -> None:
    """After the platform's clock was set back, states are measured by the new time."""
    call.send("user.state_changed", new_state="speaking", timestamp=at(3_600))
    call.send("user.state_changed", new_state="listening", timestamp=at(5))
    call.send("user.state_changed", new_state="away", timestamp=at(7))
    assert core.value(STATES) == core.value(STATES, state="listening") == 2


def test_a_state_of_days_is_a_wrong_clock(core: Core, call: Connection) -> None:
    """A state that would have lasted longer than a day is not counted."""
    call.send("user.state_changed", new_state="speaking", timestamp=at(0))
    call.send("user.state_changed", new_state="listening", timestamp=at(100_000))
    assert core.value(STATES) == 0


def test_unknown_states_are_other(core: Core, call: Connection) -> None:
    """A state that the protocol does not know counts as other, a missing one as unknown, a participant's own only for it."""
    for seconds, state in enumerate(["humming", "thinking", None, "away"]):
        call.send("user.state_changed", new_state=state, timestamp=at(seconds))
    assert core.value(STATES, state="other") == 2
    assert core.value(STATES, state="unknown") == 1


def test_the_last_states_end_with_the_session(core: Core, call: Connection) -> None:
    """The states a session ends in lasted to its end, or to its last event where its connection was lost."""
    call.send("user.state_changed", new_state="listening", timestamp=at(-100))
    core.let_pass(4)
    call.send("session.ended")
    assert core.value(STATES, state="listening") == 4
    lost = core.call("as-2")
    lost.send("user.state_changed", new_state="away")
    core.let_pass(5)
    lost.turn(1)
    core.let_pass(6)
    lost.close()
    core.let_pass(31)
    assert core.value(STATES, state="away") == 5


def test_sub_agents_last_from_start_to_end(core: Core, call: Connection) -> None:
    """A sub-agent's time is observed by type and outcome when it ends, once, and never for one that did not end or begin."""
    call.send("agent_tool.started", agent_tool_type="collect_email", agent_tool_id="at-1")
    call.send("agent_tool.started", agent_tool_type="collect_digits", agent_tool_id="at-2")
    call.send("agent_tool.started", agent_tool_type="collect_name", agent_tool_id="at-3")
    core.let_pass(6)
    call.send("agent_tool.completed", agent_tool_id="at-1")
    call.send("agent_tool.failed", agent_tool_type="collect_digits", agent_tool_id="at-2")
    core.let_pass(6)
    call.send("agent_tool.completed", agent_tool_id="at-1")
    call.send("agent_tool.completed", agent_tool_id="at-9")
    call.send("session.ended")
    assert core.value(TOOL_DURATION, agent="support", agent_tool="collect_email", outcome="completed") == 6
    assert core.value(TOOL_DURATION, agent_tool="collect_digits", outcome="failed") == 6
    assert core.observations(TOOL_DURATION) == 2


def test_sub_agents_that_never_end_give_way(core: Core, call: Connection) -> None:
    """Of sub-agents that never end only the latest are remembered, by little however long their ids and types."""
    for number in range(MOST_OPEN_TOOLS + 5):
        call.send("agent_tool.started", agent_tool_type="k" * 10_000, agent_tool_id=f"{number}" + "x" * 10_000)
    held = call.session.agent_tools or {}
    assert len(held) == MOST_OPEN_TOOLS
    assert max(len(tool_id) + len(kind) for tool_id, (kind, _) in held.items()) < 400
    call.send("agent_tool.completed", agent_tool_id="0" + "x" * 10_000)
    assert core.observations(TOOL_DURATION) == 0
    call.send("agent_tool.completed", agent_tool_id=f"{MOST_OPEN_TOOLS}" + "x" * 10_000)
    assert core.observations(TOOL_DURATION) == 1


def test_tools_that_ran(core: Core, call: Connection) -> None:
    """tool.executed counts every call by tool and outcome; of the second generation's one tool the outcome is unknown."""
    call.send("tool.executed", calls=[{"name": "find", "is_error": False}, {"name": "note", "is_error": True}, {"name": "find"}])
    call.send("tool.executed", tool_name="find")
    call.send("tool.executed", calls=[])
    assert core.value(EXECUTIONS, agent="support", tool="find", outcome="ok") == 2
    assert core.value(EXECUTIONS, tool="note", outcome="error") == 1
    assert core.value(EXECUTIONS, tool="find", outcome="unknown") == 1
    assert core.value(EXECUTIONS) == 4


def test_llm_availability_has_two_sources(core: Core, call: Connection) -> None:
    """The gauge follows llm.availability_changed and turn.metrics alike: the last word counts."""
    call.send("llm.availability_changed", llm="openai/gpt-4o", available=False)
    assert core.value(AVAILABLE, llm="openai/gpt-4o") == 0
    assert len(core.series(AVAILABLE)) == 1
    call.turn(1, llm_availability={"openai/gpt-4o": True, "groq/llama": False})
    assert core.value(AVAILABLE, llm="openai/gpt-4o") == 1
    assert core.value(AVAILABLE, llm="groq/llama") == 0
    call.send("llm.availability_changed", llm="groq/llama")
    call.send("llm.availability_changed", available=True)
    assert len(core.series(AVAILABLE)) == 2


def test_llms_without_room_say_nothing_together() -> None:
    """LLMs that found no room have no common availability, and of a hostile map only the first are looked at."""
    core = Core(LabelLimits(values=2))
    core.call().turn(1, llm_availability={f"llm-{number}": True for number in range(1_000)})
    assert sorted(series.labels for series in core.series(AVAILABLE)) == [("llm-0",), ("llm-1",)]
    assert core.value("agentstack_exporter_label_overflow_total", label="llm") == MOST_LLMS - 2


def usage(call: Connection, **fields: Any) -> None:
    """Send a session.usage of one LLM."""
    call.send("session.usage", models=[{"type": "llm_usage", "provider": "openai", "model": "gpt-4o", **fields}])


def test_usage_counts_what_it_grew_by(core: Core, call: Connection) -> None:
    """Cumulative reports add their growth, by component, provider and model."""
    for tokens in (100, 150, 150, 400):
        usage(call, input_tokens=tokens, input_cached_tokens=tokens / 2, output_tokens=10, session_duration=0.5)
    assert core.value(INPUT, component="llm", provider="openai", model="gpt-4o") == 400
    assert core.value("agentstack_usage_cached_input_tokens_total") == 200
    assert core.value("agentstack_usage_output_tokens_total") == 10
    assert core.value("agentstack_usage_session_duration_seconds_total") == 0.5


def test_usage_that_decreases_began_again(core: Core, call: Connection) -> None:
    """A report below the one before it starts from zero; one that is only rounded differently does not."""
    for tokens in (100, 30, 50):
        usage(call, input_tokens=tokens)
    assert core.value(INPUT) == 150
    for seconds in (4.3, 4.2999999, 5.3):
        call.send("session.usage", models=[{"type": "tts_usage", "audio_duration": seconds}])
    assert core.value(AUDIO) == 5.3


def test_usage_of_sessions_whose_start_was_not_seen(core: Core) -> None:
    """The first report of a session that was going on already is a baseline, also for a model it names later."""
    connection = core.connect()
    usage(connection, input_tokens=1_000)
    usage(connection, input_tokens=1_010)
    assert core.value(INPUT) == 10
    connection.send("session.usage", models=[{"type": "llm_usage", "provider": "groq", "input_tokens": 7}])
    assert core.value(INPUT) == 17


def test_usage_of_a_session_that_was_cut_off(core: Core, call: Connection) -> None:
    """Use that was counted before the connection was lost is not counted again when it comes back after the wait."""
    usage(call, input_tokens=1_000)
    call.close()
    core.let_pass(40)
    again = core.call()
    usage(again, input_tokens=1_100)
    usage(again, input_tokens=1_150)
    assert core.value(INPUT) == 1_050


def test_usage_of_a_session_that_comes_back(core: Core, call: Connection) -> None:
    """A session that comes back in time, or speaks again, goes on from its last report."""
    usage(call, input_tokens=1_000)
    call.close()
    core.let_pass(20)
    again = core.call()
    usage(again, input_tokens=1_100)
    assert core.value(INPUT) == 1_100
    silent = Core(waits=SessionTimeouts(idle=60))
    connection = silent.call()
    usage(connection, input_tokens=1_000)
    silent.let_pass(61)
    usage(connection, input_tokens=1_100)
    assert silent.value(INPUT) == 1_100


def test_audio_has_two_names(core: Core, call: Connection) -> None:
    """audio_duration and audio_duration_s are the same; where both come, one counts."""
    call.send("session.usage", models=[{"type": "stt_usage", "model": "nova-3", "audio_duration_s": 4.5}])
    call.send("session.usage", models=[{"type": "stt_usage", "model": "nova-3", "audio_duration": 6.0, "audio_duration_s": 6.0}])
    assert core.value(AUDIO, component="stt", provider="unknown", model="nova-3") == 6


def test_usage_of_unknown_types_is_kept_apart(core: Core, call: Connection) -> None:
    """Types that the protocol does not know are other; each goes on from its own last report."""
    for tokens in (100, 110):
        models = [{"type": f"{kind}_usage", "model": "m", "input_tokens": tokens * factor} for kind, factor in (("a", 1), ("b", 10))]
        call.send("session.usage", models=[*models, {"input_tokens": 1}])
    assert core.value(INPUT, component="other", model="m") == 1_210
    assert core.value(INPUT, component="other", model="unknown") == 1


def test_entries_of_one_model_are_one(core: Core, call: Connection) -> None:
    """Two entries of the same model in a report are added up before they are compared with the last."""
    for primary, fallback in ((100, 5), (120, 5)):
        entries = [{"type": "llm_usage", "model": "m", "input_tokens": tokens} for tokens in (primary, fallback)]
        call.send("session.usage", models=entries)
    assert core.value(INPUT) == 125


@pytest.mark.parametrize(("value", "reason"), [(-1, "negative"), (1e300, "too_large")])
def test_hostile_usage_is_refused(core: Core, call: Connection, value: float, reason: str) -> None:
    """A number that cannot be right is counted as refused and leaves the rest of the report alone."""
    usage(call, input_tokens=value, output_tokens=5)
    assert core.value(INPUT) == 0
    assert core.value("agentstack_usage_output_tokens_total") == 5
    assert core.value("agentstack_exporter_values_refused_total", field="models.input_tokens", reason=reason) == 1


def test_what_is_remembered_of_usage_is_bounded(core: Core, call: Connection) -> None:
    """A session remembers few models, by little each."""
    for number in range(2 * MOST_USED_MODELS):
        call.send("session.usage", models=[{"type": "x" * 9_000, "model": f"{number}" + "y" * 9_000, "input_tokens": 1}])
    held = call.session.usage or {}
    assert len(held) == MOST_USED_MODELS
    assert max(len(part) for key in held for part in key) < 200
    assert core.value(INPUT) == MOST_USED_MODELS
