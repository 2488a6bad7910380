"""Tool calls and sub-agents → ``execute_tool`` spans of the turn they fall in."""

from typing import Final

import msgspec

from exporter.catalogue.genai import constants
from exporter.catalogue.inspect import inspect_entry, inspect_event
from exporter.events import Event
from exporter.events.tools import AgentToolCompleted, AgentToolFailed, AgentToolStarted, ToolCalled, ToolExecuted, ToolExecution
from exporter.protocol.ids import shorten_id
from exporter.sessions.span_state import SpanState, ToolCall
from exporter.tracing.attributes import Write, attributes_of, compile_attributes, span_attributes
from exporter.tracing.encoder import INTERNAL, ON_SPAN, attribute, attributes
from exporter.tracing.sampling import SpanOptions
from exporter.tracing.turn_spans import Names

MOST_RUNNING: Final = 32
"""Sub-agents that may run at once in a session."""
_LONGEST_TYPE: Final = 128
_TOOL_FAILED: Final = attribute(ON_SPAN, "error.type", "tool_error")
_UNANSWERED: Final = attribute(ON_SPAN, "agentstack.tool.unanswered", value=True)
_AGENT_FAILED: Final = attribute(ON_SPAN, "error.type", "agent_tool_error")


class ToolSpans:
    """Turns tool events into calls that wait for their turn. Times are unix nanoseconds."""

    def __init__(self, options: SpanOptions) -> None:
        self.lost = 0
        """Calls for which there was no room."""
        self._names = Names("execute_tool", INTERNAL)
        self._constants = attributes(ON_SPAN, constants("execute_tool", proposals=options.proposals))
        self._write = {
            kind: _writer(kind, options) for kind in (ToolCalled, ToolExecuted, AgentToolStarted, AgentToolCompleted, AgentToolFailed)
        }
        fields = inspect_entry(ToolExecution, ToolExecuted)
        self._execution = compile_attributes(list(attributes_of(fields, "execute_tool", options)), options)

    def called(self, state: SpanState, event: ToolCalled, at: int) -> None:
        """The agent calls a tool of the customer's app; how long that takes is not told."""
        self._add(state, event.tool_name, (at, at), self._write[ToolCalled](event))

    def awaited(self, state: SpanState, event: ToolCalled, at: int) -> None:
        """As :meth:`called`, but the app is seen, so that its answer tells how long it took."""
        if state.app_calls is None:
            state.app_calls = {}
        if event.id is None:
            self.called(state, event, at)
        elif len(state.app_calls) < MOST_RUNNING:
            state.app_calls[shorten_id(event.id)] = (
                event.tool_name and event.tool_name[:_LONGEST_TYPE],
                at,
                self._write[ToolCalled](event),
            )
        else:
            self.lost += 1

    def answered(self, state: SpanState, call_id: str, at: int, *, failed: bool) -> None:
        """The app answered a call."""
        awaited = state.app_calls.pop(call_id, None) if state.app_calls else None
        if awaited is not None:
            name, start, written = awaited
            self._add(state, name, (min(start, at), at), written, _TOOL_FAILED if failed else b"")

    def executed(self, state: SpanState, event: ToolExecuted, at: int) -> None:
        """The server ran tools; when is known, how long is not."""
        for call in event.calls or ():
            self._add(state, call.name, (at, at), self._execution(call), _TOOL_FAILED if call.is_error else b"")
        if event.tool_name:
            self._add(state, event.tool_name, (at, at), self._write[ToolExecuted](event))

    def agent_started(self, state: SpanState, event: AgentToolStarted, at: int) -> None:
        """A sub-agent took over; one without a name can never be seen to end."""
        if state.agent_tools is None:
            state.agent_tools = {}
        if event.agent_tool_id is None:
            self._add(state, event.agent_tool_type, (at, at), self._write[AgentToolStarted](event))
        elif len(state.agent_tools) < MOST_RUNNING:
            state.agent_tools[shorten_id(event.agent_tool_id)] = ((event.agent_tool_type or "")[:_LONGEST_TYPE] or None, at)
        else:
            self.lost += 1

    def agent_ended(self, state: SpanState, event: AgentToolCompleted | AgentToolFailed, at: int) -> None:
        """A sub-agent did its part, or failed; what only its start told is added."""
        began = state.agent_tools.pop(shorten_id(event.agent_tool_id), None) if state.agent_tools and event.agent_tool_id else None
        kind, start = began or (None, at)
        if event.agent_tool_type is None and kind is not None:
            event = msgspec.structs.replace(event, agent_tool_type=kind)
        failed = _AGENT_FAILED if isinstance(event, AgentToolFailed) else b""
        self._add(state, event.agent_tool_type, (min(start, at), at), self._write[type(event)](event), failed)

    def unfinished(self, state: SpanState, at: int) -> list[ToolCall]:
        """The session is over, and with it its sub-agents and what the app has not answered."""
        running, state.agent_tools = state.agent_tools or {}, None
        awaited, state.app_calls = state.app_calls or {}, None
        unanswered = [self._call(name, (min(start, at), at), written + _UNANSWERED, b"") for name, start, written in awaited.values()]
        return unanswered + [
            self._call(kind, (min(start, at), at), self._write[AgentToolStarted](AgentToolStarted(kind, tool_id)), b"")
            for tool_id, (kind, start) in running.items()
        ]

    def _add(self, state: SpanState, name: str | None, edges: tuple[int, int], written: bytes, failed: bytes = b"") -> None:
        self.lost += not state.for_turn().tool(self._call(name, edges, written, failed))

    def _call(self, name: str | None, edges: tuple[int, int], written: bytes, failed: bytes) -> ToolCall:
        return ToolCall(*edges, self._names[name], self._constants + written + failed, bool(failed))


def _writer(kind: type[Event], options: SpanOptions) -> Write:
    return compile_attributes(span_attributes(inspect_event(kind), "execute_tool", options), options)
