"""What was said in a turn, in the form that the GenAI conventions give to messages: for spans of models, with content capture on.

The form is that of the conventions' ``gen-ai-input-messages.json`` and ``gen-ai-output-messages.json``. The newest schema no longer
asks for a finish reason, but viewers that follow an older one show no answer without it. The platform only says whether an answer was
cancelled.
"""

from typing import Any, Final

import msgspec

from exporter.catalogue.genai import INPUT_MESSAGES, OUTPUT_MESSAGES
from exporter.events.turn_metrics import TurnMetrics
from exporter.protobuf import encoded_key, text_attribute
from exporter.tracing.encoder import ON_SPAN
from exporter.tracing.timeline import CHAT, REALTIME

_INPUT: Final = encoded_key(INPUT_MESSAGES)
_OUTPUT: Final = encoded_key(OUTPUT_MESSAGES)


class Messages:
    """Adds the messages of a turn to its model's span. Their JSON has at most ``length`` characters: the text is shortened to fit."""

    def __init__(self, length: int) -> None:
        self._length = length

    def add(self, event: TurnMetrics, present: list[int], written: list[bytes]) -> None:
        """Add what was said to ``written``, the attributes by stage, if a model's stage is among those ``present``."""
        stage = CHAT if CHAT in present else REALTIME
        if stage not in present:
            return
        if event.user_text:
            written[stage] += self._attribute(_INPUT, event.user_text, role="user")
        if event.agent_text:
            cancelled = event.llm_cancelled if stage == CHAT else event.realtime_cancelled
            reason = "cancelled" if cancelled else "stop"
            written[stage] += self._attribute(_OUTPUT, event.agent_text, role="assistant", finish_reason=reason)

    def _attribute(self, key: bytes, text: str, **message: str) -> bytes:
        """The attribute, or nothing if not even a message without text has room."""
        text = text[: self._length]
        while len(found := _json(text, message)) > self._length:
            if not text:
                return b""
            text = text[: -max(1, (len(found) - self._length) // 6)]  # a character takes up to six, as an escape
        return text_attribute(ON_SPAN, key, found.encode())


def _json(text: str, message: dict[str, str]) -> str:
    found: dict[str, Any] = {**message, "parts": [{"type": "text", "content": text}]}
    return msgspec.json.encode([found]).decode()
