"""Tool calls and sub-agents → ``execute_tool`` spans of the turn they fall in."""

from typing import Final

import msgspec

from exporter.catalogue.genai import EXTENSION, FUNCTION, TOOL_TYPE, constants
from exporter.catalogue.inspect import inspect_entry, inspect_event
from exporter.events import Event
from exporter.events.tools import AgentToolCompleted, AgentToolFailed, AgentToolStarted, ToolCalled, ToolExecuted, ToolExecution
from exporter.protobuf import attribute, attributes
from exporter.protocol.ids import shorten_id
from exporter.sessions.span_state import OpenToolCall, RunningAgent, SpanState, ToolCall
from exporter.tracing.attributes import Write, attributes_of, compile_attributes, label_text, span_attributes
from exporter.tracing.encoder import INTERNAL, ON_SPAN, SpanNameCache
from exporter.tracing.sampling import SpanOptions

MAX_RUNNING: Final = 32
"""Sub-agents that may run at the same time in a session; also tool calls that may wait for the app's answer."""
_LONGEST_TYPE: Final = 128
_TOOL_FAILED: Final = attribute(ON_SPAN, "error.type", "tool_error")
_UNKNOWN_LENGTH: Final = attribute(ON_SPAN, "agentstack.tool.duration_unknown", value=True)
_FUNCTION: Final = attribute(ON_SPAN, TOOL_TYPE, FUNCTION)
_EXTENSION: Final = attribute(ON_SPAN, TOOL_TYPE, EXTENSION)
_UNANSWERED: Final = attribute(ON_SPAN, "agentstack.tool.unanswered", value=True)
_AGENT_FAILED: Final = attribute(ON_SPAN, "error.type", "agent_tool_error")


class ToolSpans:
    """Adds tool calls to the open turn's buffer, until the turn is written. Times are unix nanoseconds."""

    def __init__(self, options: SpanOptions) -> None:
        self.dropped = 0
        """Calls that were dropped because there was no room."""
        self._names = SpanNameCache("execute_tool", INTERNAL, label_text(options))
        self._constants = attributes(ON_SPAN, constants("execute_tool"))
        self._write = {
            kind: _writer(kind, options) for kind in (ToolCalled, ToolExecuted, AgentToolStarted, AgentToolCompleted, AgentToolFailed)
        }
        fields = inspect_entry(ToolExecution, ToolExecuted)
        self._write_execution = compile_attributes(list(attributes_of(fields, "execute_tool", options)), options)

    def called(self, state: SpanState, event: ToolCalled, at: int) -> None:
        """Add a call of a tool of the customer's app. Its span has no length and says so, because the end is not reported."""
        self._add(state, self._call(event.tool_name, at, at, _FUNCTION + self._write[ToolCalled](event) + _UNKNOWN_LENGTH))

    def call_opened(self, state: SpanState, event: ToolCalled, at: int) -> None:
        """As :meth:`called`, where the app is seen too: the span ends with the app's answer."""
        if state.open_tool_calls is None:
            state.open_tool_calls = {}
        if event.id is None:
            self.called(state, event, at)
        elif len(state.open_tool_calls) < MAX_RUNNING:
            tool = event.tool_name and event.tool_name[:_LONGEST_TYPE]
            state.open_tool_calls[shorten_id(event.id)] = OpenToolCall(tool, at, _FUNCTION + self._write[ToolCalled](event))
        else:
            self.dropped += 1

    def call_answered(self, state: SpanState, call_id: str, at: int, *, failed: bool) -> None:
        """The app answered a call: add it. An answer to an unknown call is ignored."""
        call = state.open_tool_calls.pop(call_id, None) if state.open_tool_calls else None
        if call is not None:
            self._add(state, self._call(call.tool, min(call.start, at), at, call.attributes, _TOOL_FAILED if failed else b""))

    def executed(self, state: SpanState, event: ToolExecuted, at: int) -> None:
        """Add the tools that the server ran. Their spans have no length and say so, because it is not reported."""
        for call in event.calls or ():
            written = _EXTENSION + self._write_execution(call) + _UNKNOWN_LENGTH
            self._add(state, self._call(call.name, at, at, written, _TOOL_FAILED if call.is_error else b""))
        if event.tool_name:
            self._add(state, self._call(event.tool_name, at, at, _EXTENSION + self._write[ToolExecuted](event) + _UNKNOWN_LENGTH))

    def agent_started(self, state: SpanState, event: AgentToolStarted, at: int) -> None:
        """A sub-agent started. Without an id its end cannot be recognised, so it is added at once, without length."""
        if state.running_agents is None:
            state.running_agents = {}
        if event.agent_tool_id is None:
            self._add(state, self._call(event.agent_tool_type, at, at, self._agent(event) + _UNKNOWN_LENGTH))
        elif len(state.running_agents) < MAX_RUNNING:
            agent_type = (event.agent_tool_type or "")[:_LONGEST_TYPE] or None
            state.running_agents[shorten_id(event.agent_tool_id)] = RunningAgent(agent_type, at)
        else:
            self.dropped += 1

    def agent_ended(self, state: SpanState, event: AgentToolCompleted | AgentToolFailed, at: int) -> None:
        """A sub-agent completed or failed: add it, with the type from its start if the end has none."""
        agent = (
            state.running_agents.pop(shorten_id(event.agent_tool_id), None) if state.running_agents and event.agent_tool_id else None
        )
        start = at if agent is None else min(agent.start, at)
        if event.agent_tool_type is None and agent is not None and agent.agent_type is not None:
            event = msgspec.structs.replace(event, agent_tool_type=agent.agent_type)
        failed = _AGENT_FAILED if isinstance(event, AgentToolFailed) else b""
        written = self._agent(event) + (_UNKNOWN_LENGTH if agent is None else b"")
        self._add(state, self._call(event.agent_tool_type, start, at, written, failed))

    def unfinished(self, state: SpanState, at: int) -> list[ToolCall]:
        """The session is over: the tool calls without an answer, and the sub-agents that still run, all ending at ``at``."""
        open_calls, state.open_tool_calls = state.open_tool_calls or {}, None
        agents, state.running_agents = state.running_agents or {}, None
        unanswered = [self._call(call.tool, min(call.start, at), at, call.attributes + _UNANSWERED) for call in open_calls.values()]
        return unanswered + [
            self._call(agent.agent_type, min(agent.start, at), at, self._agent(AgentToolStarted(agent.agent_type, agent_id)))
            for agent_id, agent in agents.items()
        ]

    def _agent(self, event: AgentToolStarted | AgentToolCompleted | AgentToolFailed) -> bytes:
        return _EXTENSION + self._write[type(event)](event)

    def _add(self, state: SpanState, call: ToolCall) -> None:
        self.dropped += not state.for_turn().add_tool(call)

    def _call(self, name: str | None, start: int, end: int, written: bytes, failed: bytes = b"") -> ToolCall:
        return ToolCall(start, end, self._names[name], self._constants + written + failed, bool(failed))


def _writer(kind: type[Event], options: SpanOptions) -> Write:
    return compile_attributes(span_attributes(inspect_event(kind), "execute_tool", options), options)
