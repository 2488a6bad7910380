"""Answers of the customer's own LLM → ``chat`` spans of the turn they fall in."""

from typing import Final

from exporter.catalogue.genai import constants
from exporter.sessions.span_state import SpanState, ToolCall
from exporter.tracing.encoder import CLIENT, ON_SPAN, attribute, attributes, event, event_name, name_part
from exporter.tracing.sampling import SpanOptions

_NAME: Final = name_part("chat", CLIENT)
_FIRST_TOKEN: Final = event_name("first_token")
_OF_APP: Final = attribute(ON_SPAN, "agentstack.llm.source", "app")
_ABANDONED: Final = attribute(ON_SPAN, "agentstack.llm.abandoned", value=True)


class ChatSpans:
    """Turns answers into calls that wait for their turn, as tool calls do."""

    def __init__(self, options: SpanOptions) -> None:
        self._constants = attributes(ON_SPAN, constants("chat", proposals=options.proposals)) + _OF_APP

    def answered(self, state: SpanState, edges: tuple[int, int], first_token: int, *, abandoned: bool) -> bool:
        """An answer came between ``edges``, its first token at ``first_token`` (unix nanoseconds); returns whether there was room."""
        written = self._constants + (_ABANDONED if abandoned else b"") + event(first_token, _FIRST_TOKEN)
        return state.for_turn().tool(ToolCall(*edges, _NAME, written, failed=False))
