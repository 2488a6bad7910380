"""Answers of the customer's own LLM → ``chat`` spans of the turn they fall in."""

from typing import Final

from exporter.catalogue.genai import constants
from exporter.protobuf import attribute, attributes
from exporter.sessions.span_state import SpanState, ToolCall
from exporter.tracing.encoder import CLIENT, ON_SPAN, event, event_name, name_part

_NAME: Final = name_part("chat", CLIENT)
_FIRST_TOKEN: Final = event_name("first_token")
_FROM_APP: Final = attribute(ON_SPAN, "agentstack.llm.source", "app") + attribute(ON_SPAN, "gen_ai.request.stream", value=True)
_ABANDONED: Final = attribute(ON_SPAN, "agentstack.llm.abandoned", value=True)


class ChatSpans:
    """Adds answers to the open turn's buffer, as tool calls are added. Times are unix nanoseconds."""

    def __init__(self) -> None:
        self._constants = attributes(ON_SPAN, constants("chat")) + _FROM_APP

    def add(self, state: SpanState, *, start: int, first_token: int, end: int, abandoned: bool) -> bool:
        """Add an answer; returns whether there was room."""
        written = self._constants + (_ABANDONED if abandoned else b"") + event(first_token, _FIRST_TOKEN)
        return state.for_turn().add_tool(ToolCall(start, end, _NAME, written, failed=False))
