"""Tools, sub-agents, hand-offs and the availability of LLMs."""

from typing import Annotated, ClassVar

import msgspec

from exporter.catalogue.declarations import (
    BecomesLabel,
    DrivesLogic,
    Feeds,
    Flag,
    Labels,
    SpanAttribute,
    SpanEvent,
    Text,
    counter,
    labels,
)
from exporter.catalogue.quantities import Json
from exporter.events.base import AGENT, Event, Stamped

_BY_AGENT_TOOL: Labels = labels(agent=AGENT, agent_tool=Text("agent_tool_type"))
_DURATION = ("agentstack.agent_tool.duration",)
_TYPE_ATTRIBUTE = SpanAttribute("execute_tool", "gen_ai.tool.name")
_ID_ATTRIBUTE = SpanAttribute("execute_tool", "agentstack.agent_tool.id")


class ToolCalled(Event, frozen=True, gc=False, forbid_unknown_fields=True, tag="tool.called"):
    """The agent calls a tool of the customer's app. The app answers with tool.result or tool.error."""

    earlier_names: ClassVar[tuple[str, ...]] = ("tool_call",)
    metrics: ClassVar[tuple[Feeds, ...]] = (
        counter("tool.calls", "Calls of the customer's own tools, by tool.", labels(agent=AGENT, tool=Text("name")), unit="{call}"),
    )

    id: Annotated[
        str | None,
        DrivesLogic(
            ("agentstack.tool.duration", "agentstack.tool.calls_unanswered"), "starts the clock of the call, where the app is seen too"
        ),
        SpanAttribute("execute_tool", "gen_ai.tool.call.id"),
    ] = None
    tool_name: Annotated[str | None, BecomesLabel("tool"), SpanAttribute("execute_tool", "gen_ai.tool.name")] = msgspec.field(
        default=None, name="name"
    )
    arguments: Annotated[Json, SpanAttribute("execute_tool", "gen_ai.tool.call.arguments", personal=True)] = None


class ToolExecution(msgspec.Struct, frozen=True, gc=False):
    """One entry of tool.executed: a tool that the platform ran."""

    name: Annotated[str | None, SpanAttribute("execute_tool", "gen_ai.tool.name")] = None
    call_id: Annotated[str | None, SpanAttribute("execute_tool", "gen_ai.tool.call.id")] = None
    arguments: Annotated[Json, SpanAttribute("execute_tool", "gen_ai.tool.call.arguments", personal=True)] = None
    output: Annotated[Json, SpanAttribute("execute_tool", "gen_ai.tool.call.result", personal=True)] = None
    is_error: Annotated[bool | None, SpanAttribute("execute_tool", "agentstack.tool.is_error")] = None


class ToolExecuted(Stamped, frozen=True, gc=False, forbid_unknown_fields=True, tag="tool.executed"):
    """The platform ran tools on its servers."""

    calls: Annotated[
        list[ToolExecution] | None,
        DrivesLogic(("agentstack.tool.executions",), "counts each tool by outcome; each call is a span execute_tool"),
    ] = None
    tool_name: Annotated[
        str | None,
        DrivesLogic(("agentstack.tool.executions",), "counts the tool where a server of the second generation names just one"),
        SpanAttribute("execute_tool", "gen_ai.tool.name"),
    ] = None


class AgentToolStarted(Event, frozen=True, gc=False, forbid_unknown_fields=True, tag="agent_tool.started"):
    """A sub-agent took over a part of the call."""

    metrics: ClassVar[tuple[Feeds, ...]] = (
        counter("agent_tool.starts", "Sub-agents started, by type.", _BY_AGENT_TOOL, unit="{start}"),
    )

    agent_tool_type: Annotated[str | None, BecomesLabel("agent_tool"), _TYPE_ATTRIBUTE] = None
    agent_tool_id: Annotated[str | None, DrivesLogic(_DURATION, "starts the clock of the sub-agent"), _ID_ATTRIBUTE] = None


class AgentToolCompleted(Event, frozen=True, gc=False, forbid_unknown_fields=True, tag="agent_tool.completed"):
    """A sub-agent completed its part of the call."""

    metrics: ClassVar[tuple[Feeds, ...]] = (
        counter("agent_tool.completions", "Sub-agents that completed, by type.", _BY_AGENT_TOOL, unit="{completion}"),
    )

    agent_tool_type: Annotated[str | None, BecomesLabel("agent_tool"), _TYPE_ATTRIBUTE] = None
    agent_tool_id: Annotated[str | None, DrivesLogic(_DURATION, "stops the clock of the sub-agent"), _ID_ATTRIBUTE] = None
    result: Annotated[Json, SpanAttribute("execute_tool", "gen_ai.tool.call.result", personal=True)] = None


class AgentToolFailed(Event, frozen=True, gc=False, forbid_unknown_fields=True, tag="agent_tool.failed"):
    """A sub-agent failed."""

    metrics: ClassVar[tuple[Feeds, ...]] = (
        counter("agent_tool.failures", "Sub-agents that failed, by type.", _BY_AGENT_TOOL, unit="{failure}"),
    )

    agent_tool_type: Annotated[str | None, BecomesLabel("agent_tool"), _TYPE_ATTRIBUTE] = None
    agent_tool_id: Annotated[str | None, DrivesLogic(_DURATION, "stops the clock of the sub-agent"), _ID_ATTRIBUTE] = None
    error: Annotated[str | None, SpanAttribute("execute_tool", "agentstack.agent_tool.error", personal=True)] = None


class AgentHandoff(Event, frozen=True, gc=False, forbid_unknown_fields=True, tag="agent.handoff"):
    """The call was handed to another agent."""

    metrics: ClassVar[tuple[Feeds, ...]] = (
        counter(
            "handoffs",
            "Calls handed to another agent, by the new one.",
            labels(agent=AGENT, new_agent=Text("new_agent")),
            unit="{handoff}",
        ),
    )

    new_agent: Annotated[str | None, BecomesLabel("new_agent"), SpanEvent("session", "agent.handoff")] = None


class LlmAvailabilityChanged(Stamped, frozen=True, gc=False, forbid_unknown_fields=True, tag="llm.availability_changed"):
    """An LLM of a fallback chain became unavailable or available again."""

    metrics: ClassVar[tuple[Feeds, ...]] = (
        counter(
            "llm.availability_changes",
            "LLMs that became available or unavailable.",
            labels(llm=Text("llm"), available=Flag("available")),
            unit="{change}",
        ),
    )

    llm: Annotated[
        str | None,
        BecomesLabel("llm"),
        DrivesLogic(("agentstack.llm.available",), "names the LLM"),
        SpanEvent("session", "llm.availability_changed"),
    ] = None
    available: Annotated[
        bool | None,
        BecomesLabel("available"),
        DrivesLogic(("agentstack.llm.available",), "sets the LLM's availability"),
        SpanEvent("session", "llm.availability_changed"),
    ] = None
