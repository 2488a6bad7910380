"""Sub-agents, server-side tools, and the availability of LLMs."""

import pytest

from exporter.analysis.tools import MOST_LLMS, MOST_OPEN_TOOLS
from exporter.metrics.label_limits import LabelLimits
from tests.support.core import Connection, Core

TOOL_DURATION = "agentstack_agent_tool_duration_seconds"
EXECUTIONS = "agentstack_tool_executions_total"
AVAILABLE = "agentstack_llm_available"


@pytest.fixture
def core() -> Core:
    """A core with default limits and waits."""
    return Core()


@pytest.fixture
def call(core: Core) -> Connection:
    """A call that has begun."""
    return core.call()


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
    held = call.session.running_agent_tools
    assert held is not None
    assert len(held) == MOST_OPEN_TOOLS
    assert max(len(tool_id) + len(tool.type) for tool_id, tool in held.items()) < 400
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
