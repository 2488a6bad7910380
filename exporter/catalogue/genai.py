"""The GenAI semantic conventions as spans use them: every name and value that comes from them, in one place.

Registered names are used as they are. Names that are only proposed (open-telemetry/semantic-conventions-genai, pull requests 390, 393
and 394) are used if the settings ask for proposals; otherwise the attribute has a name of our own.
"""

from typing import Final

from exporter.catalogue.declarations import SpanName

VERSION: Final = "1.44.0"
"""The version of the semantic conventions that has these names and values."""
SCHEMA_URL: Final = f"https://opentelemetry.io/schemas/{VERSION}"
"""The schema URL that spans are sent with."""

CONVERSATION: Final = "gen_ai.conversation.id"
AGENT: Final = "gen_ai.agent.id"
OPERATION: Final = "gen_ai.operation.name"
OUTPUT_TYPE: Final = "gen_ai.output.type"
PROVIDER: Final = "gen_ai.provider.name"
END_REASON: Final = "gen_ai.agent.invocation.end_reason"

PROVIDERS: Final = {
    "azure": "azure.ai.openai",
    "azure_openai": "azure.ai.openai",
    "gemini_live": "gcp.gemini",
    "google": "gcp.gemini",
    "mistral": "mistral_ai",
    "openai_realtime": "openai",
}
"""Provider on the wire → ``gen_ai.provider.name``. Any other provider keeps its name in lower case, as the conventions ask."""

PROPOSED: Final = {
    "gen_ai.agent.invocation.end_reason": "agentstack.turn.end_reason",
    "gen_ai.speech.input.language": "agentstack.stt.language",
    "gen_ai.usage.audio.input_tokens": "agentstack.realtime.input_audio_tokens",
    "gen_ai.usage.audio.output_tokens": "agentstack.realtime.output_audio_tokens",
}
"""Proposed attribute → our own name for it."""

OPERATIONS: Final[dict[SpanName, str]] = {"turn": "invoke_agent", "chat": "chat", "execute_tool": "execute_tool"}
"""Span → its registered operation."""
PROPOSED_OPERATIONS: Final[dict[SpanName, str]] = {
    "speech_to_text": "speech_to_text",
    "text_to_speech": "text_to_speech",
    "realtime_inference": "realtime_inference",
}
"""Span → its proposed operation."""
OUTPUT_TYPES: Final[dict[SpanName, str]] = {"text_to_speech": "speech", "realtime_inference": "speech"}
"""Span → ``gen_ai.output.type``."""


def provider_name(wire: str) -> str:
    """The name that the conventions have for a provider."""
    name = wire.strip().lower()
    return PROVIDERS.get(name, name)


def attribute_key(name: str, *, proposals: bool) -> str:
    """The key of a declared attribute: its own name, or ours if the name is only proposed and ``proposals`` is off."""
    return name if proposals else PROPOSED.get(name, name)


def constants(span: SpanName, *, proposals: bool) -> dict[str, str]:
    """The attributes that are the same on every span of that name."""
    operations = OPERATIONS | (PROPOSED_OPERATIONS if proposals else {})
    found = {OPERATION: operations.get(span), OUTPUT_TYPE: OUTPUT_TYPES.get(span)}
    return {key: value for key, value in found.items() if value}
