"""The GenAI semantic conventions as spans use them: every name and value that comes from them, in one place.

Names are those of :data:`exporter.catalogue.genai_table.COMMIT`; ``docs/semconv.md`` lists each of its requirements with what we do.
Names that were only proposed (open-telemetry/semantic-conventions-genai, pull request 390) are used if the settings ask for proposals;
otherwise the attribute has a name of our own.
"""

from collections.abc import Mapping
from typing import Final

from exporter.catalogue.declarations import SpanName

VERSION: Final = "1.44.0"
"""The version of the semantic conventions that the GenAI conventions build on."""
SCHEMA_URL: Final = f"https://opentelemetry.io/schemas/{VERSION}"
"""The schema URL that spans are sent with."""

CONVERSATION: Final = "gen_ai.conversation.id"
AGENT: Final = "gen_ai.agent.id"
AGENT_NAME: Final = "gen_ai.agent.name"
OPERATION: Final = "gen_ai.operation.name"
OUTPUT_TYPE: Final = "gen_ai.output.type"
PROVIDER: Final = "gen_ai.provider.name"
MODEL: Final = "gen_ai.request.model"
TOKEN_MODALITY: Final = "gen_ai.token.modality"
TOKEN_TYPE: Final = "gen_ai.token.type"
TOOL_NAME: Final = "gen_ai.tool.name"
TOOL_TYPE: Final = "gen_ai.tool.type"
INPUT_MESSAGES: Final = "gen_ai.input.messages"
OUTPUT_MESSAGES: Final = "gen_ai.output.messages"
ERROR_TYPE: Final = "error.type"
FUNCTION: Final = "function"
EXTENSION: Final = "extension"
"""``gen_ai.tool.type`` of a tool that the customer's app runs, and of one that the platform runs, such as a sub-agent."""
END_REASON: Final = "gen_ai.agent.invocation.end_reason"

_MODELS: Final[dict[str, str]] = {"amazon": "aws.bedrock", "aws": "aws.bedrock", "azure": "azure.ai.openai", "google": "gcp.gemini"}
"""Cloud on the wire → the name of its service for models. Its speech services have no registered name."""
_ANYWHERE: Final[dict[str, str]] = {
    "amazon_bedrock": "aws.bedrock",
    "aws_bedrock": "aws.bedrock",
    "azure_ai": "azure.ai.inference",
    "azure_ai_inference": "azure.ai.inference",
    "azure_openai": "azure.ai.openai",
    "bedrock": "aws.bedrock",
    "gemini": "gcp.gemini",
    "gemini_live": "gcp.gemini",
    "google_gemini": "gcp.gemini",
    "google_genai": "gcp.gen_ai",
    "google_vertex": "gcp.vertex_ai",
    "grok": "x_ai",
    "mistral": "mistral_ai",
    "mistralai": "mistral_ai",
    "moonshot": "moonshot_ai",
    "openai_realtime": "openai",
    "vertex": "gcp.vertex_ai",
    "vertex_ai": "gcp.vertex_ai",
    "vertexai": "gcp.vertex_ai",
    "watsonx": "ibm.watsonx.ai",
    "xai": "x_ai",
}
_REGISTERED: Final = (
    *("anthropic", "aws.bedrock", "azure.ai.inference", "azure.ai.openai", "cohere", "deepseek", "gcp.gemini", "gcp.gen_ai"),
    *("gcp.vertex_ai", "groq", "ibm.watsonx.ai", "mistral_ai", "moonshot_ai", "openai", "perplexity", "x_ai"),
)
_SPEECH: Final[dict[str, str]] = {**dict(zip(_REGISTERED, _REGISTERED, strict=True)), **_ANYWHERE}
PROVIDERS: Final[Mapping[str, Mapping[str, str]]] = {
    "llm": _SPEECH | _MODELS,
    "stt": _SPEECH,
    "tts": _SPEECH,
    "realtime": _SPEECH | _MODELS,
}
"""Component → provider on the wire, in lower case → ``gen_ai.provider.name``. Any other provider keeps its name."""

PROPOSED: Final = {
    "gen_ai.agent.invocation.end_reason": "agentstack.turn.end_reason",
    "gen_ai.speech.input.language": "agentstack.stt.language",
}
"""Proposed attribute → our own name for it."""

OPERATIONS: Final[Mapping[SpanName, str]] = {
    "turn": "invoke_agent",
    "speech_to_text": "speech_to_text",
    "chat": "chat",
    "text_to_speech": "text_to_speech",
    "realtime_inference": "realtime_inference",
    "execute_tool": "execute_tool",
}
"""Span → its operation. Those for speech are not registered; the conventions allow names of one's own for what they do not name."""
OUTPUT_TYPES: Final[Mapping[SpanName, str]] = {"text_to_speech": "speech", "realtime_inference": "speech"}
"""Span → ``gen_ai.output.type``."""


def provider_name(wire: str, component: str) -> str:
    """The name that the conventions have for a provider of ``component``, or ``wire`` unchanged if they have none."""
    return PROVIDERS[component].get(wire.strip().lower().replace("-", "_"), wire)


def attribute_key(name: str, *, proposals: bool) -> str:
    """The key of a declared attribute: its own name, or ours if the name is only proposed and ``proposals`` is off."""
    return name if proposals else PROPOSED.get(name, name)


def constants(span: SpanName) -> dict[str, str]:
    """The attributes that are the same on every span of that name."""
    found = {OPERATION: OPERATIONS.get(span), OUTPUT_TYPE: OUTPUT_TYPES.get(span)}
    return {key: value for key, value in found.items() if value}
