"""What the GenAI conventions ask for, as their own repository has it: metrics and spans, with units, buckets and attributes.

Source: github.com/open-telemetry/semantic-conventions-genai, ``model/gen-ai/metrics.yaml``, ``model/gen-ai/spans.yaml`` and
``docs/gen-ai/client-inference.md`` of :data:`COMMIT`. The names of before come from :data:`EARLIER`, the token histograms from
:data:`TOKENS`. Tests hold our declarations to these tables, and ``docs/semconv.md`` is written from them.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final, Literal

from exporter.catalogue.declarations import SpanName

REPOSITORY: Final = "https://github.com/open-telemetry/semantic-conventions-genai"
COMMIT: Final = "024a4f944a1291fcb627c9c47da69e79868dd15e"
EARLIER: Final = "004902b8cb70aa5ae6ca4ae07132b7daabcd3e10"
TOKENS: Final = "066d4a7f356f8600de6f10c42874626ab88692fb"

Level = Literal["required", "conditionally required", "recommended", "opt-in"]
"""How much the conventions want an attribute."""

_SECONDS: Final = (0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92)
_TOKENS: Final = (1.0, 4.0, 16.0, 64.0, 256.0, 1024.0, 4096.0, 16384.0, 65536.0, 262144.0, 1048576.0, 4194304.0, 16777216.0, 67108864.0)
_INVOCATION: Final = (0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 12.8, 25.6, 51.2, 102.4, 204.8, 409.6)

_CALL: Final[Mapping[str, Level]] = MappingProxyType(
    {
        "gen_ai.operation.name": "required",
        "gen_ai.provider.name": "required",
        "gen_ai.request.model": "conditionally required",
        "gen_ai.response.model": "recommended",
        "server.address": "recommended",
        "server.port": "conditionally required",
    }
)
_ERROR: Final[Mapping[str, Level]] = MappingProxyType({"error.type": "conditionally required"})


@dataclass(frozen=True, slots=True)
class MetricConvention:
    """A metric of the conventions. ``absent`` says why we do not have it; it is empty if we do."""

    name: str
    instrument: Literal["histogram", "counter"]
    unit: str
    attributes: Mapping[str, Level]
    bounds: tuple[float, ...] = ()
    commit: str = COMMIT
    absent: str = ""


@dataclass(frozen=True, slots=True)
class SpanConvention:
    """A span of the conventions, and the spans of ours that it describes. ``note`` says what there is to know of them."""

    type: str
    kind: Literal["client", "internal"]
    ours: tuple[SpanName, ...]
    attributes: Mapping[str, Level]
    note: str = field(default="")


_NO_CHUNKS: Final = "The platform does not report chunks after the first."
_SERVER: Final = "For servers of models. We see their clients."

METRICS: Final = (
    MetricConvention("gen_ai.client.operation.duration", "histogram", "s", {**_CALL, **_ERROR}, _SECONDS, EARLIER),
    MetricConvention("gen_ai.client.operation.time_to_first_chunk", "histogram", "s", _CALL, _SECONDS, EARLIER),
    MetricConvention("gen_ai.client.operation.time_per_output_chunk", "histogram", "s", _CALL, _SECONDS, EARLIER, _NO_CHUNKS),
    MetricConvention("gen_ai.client.token.usage", "histogram", "{token}", {**_CALL, "gen_ai.token.type": "required"}, _TOKENS, EARLIER),
    MetricConvention("gen_ai.client.inference.duration", "histogram", "s", {**_CALL, **_ERROR}, _SECONDS),
    MetricConvention("gen_ai.client.inference.time_to_first_chunk", "histogram", "s", _CALL, _SECONDS),
    MetricConvention("gen_ai.client.inference.time_per_output_chunk", "histogram", "s", _CALL, _SECONDS, absent=_NO_CHUNKS),
    MetricConvention("gen_ai.client.inference.operation.input_tokens", "histogram", "{token}", {**_CALL, **_ERROR}, _TOKENS, TOKENS),
    MetricConvention("gen_ai.client.inference.operation.output_tokens", "histogram", "{token}", {**_CALL, **_ERROR}, _TOKENS, TOKENS),
    *(
        MetricConvention(
            f"gen_ai.client.inference.usage.{kind}_tokens",
            "counter",
            "{token}",
            {**_CALL, "gen_ai.token.modality": "required"},
            commit=TOKENS,
            absent="" if kind in ("input", "output", "cache_read.input") else "The platform does not report them.",
        )
        for kind in ("input", "output", "cache_read.input", "cache_write.input", "reasoning.output")
    ),
    MetricConvention(
        "gen_ai.invoke_agent.duration",
        "histogram",
        "s",
        {**_ERROR, "gen_ai.agent.name": "conditionally required", "gen_ai.request.model": "recommended"},
        _INVOCATION,
    ),
    MetricConvention(
        "gen_ai.invoke_agent.inference_calls",
        "histogram",
        "{inference_call}",
        {"gen_ai.agent.name": "recommended"},
        absent="The platform reports one call of each model a turn, however many there were.",
    ),
    MetricConvention(
        "gen_ai.invoke_agent.tool_calls",
        "histogram",
        "{tool_call}",
        {"gen_ai.agent.name": "recommended"},
        absent="Calls of tools do not say which turn they belong to. `agentstack_tool_calls_total` counts them.",
    ),
    MetricConvention(
        "gen_ai.invoke_workflow.duration",
        "histogram",
        "s",
        {**_ERROR, "gen_ai.workflow.name": "conditionally required"},
        absent="A call is no workflow.",
    ),
    MetricConvention(
        "gen_ai.execute_tool.duration",
        "histogram",
        "s",
        {
            **_ERROR,
            "gen_ai.tool.name": "required",
            "gen_ai.tool.type": "recommended",
            "gen_ai.agent.name": "conditionally required",
        },
        _SECONDS,
    ),
    *(
        MetricConvention(f"gen_ai.server.{name}", "histogram", "s", _CALL, absent=_SERVER)
        for name in ("request.duration", "time_per_output_token", "time_to_first_token")
    ),
)

_REQUEST: Final[Mapping[str, Level]] = MappingProxyType(
    {
        "gen_ai.request.choice.count": "conditionally required",
        "gen_ai.request.frequency_penalty": "recommended",
        "gen_ai.request.max_tokens": "recommended",
        "gen_ai.request.presence_penalty": "recommended",
        "gen_ai.request.seed": "conditionally required",
        "gen_ai.request.stop_sequences": "recommended",
        "gen_ai.request.temperature": "recommended",
        "gen_ai.request.top_p": "recommended",
    }
)
_CONTENT: Final[Mapping[str, Level]] = MappingProxyType(
    {
        "gen_ai.input.messages": "opt-in",
        "gen_ai.output.messages": "opt-in",
        "gen_ai.system_instructions": "opt-in",
        "gen_ai.tool.definitions": "opt-in",
    }
)
_USAGE: Final[Mapping[str, Level]] = MappingProxyType(
    dict.fromkeys(
        (
            "gen_ai.usage.input_tokens",
            "gen_ai.usage.output_tokens",
            *(f"gen_ai.usage.{modality}.input_tokens" for modality in ("text", "image", "audio")),
            *(f"gen_ai.usage.{modality}.cache_read.input_tokens" for modality in ("text", "image", "audio")),
            *(f"gen_ai.usage.{modality}.output_tokens" for modality in ("text", "image", "audio")),
            "gen_ai.usage.cache_read.input_tokens",
            "gen_ai.usage.cache_write.input_tokens",
            "gen_ai.usage.reasoning.output_tokens",
        ),
        "recommended",
    )
)

SPANS: Final = (
    SpanConvention(
        "gen_ai.client.inference",
        "client",
        ("chat", "realtime_inference", "speech_to_text", "text_to_speech"),
        {
            **_CALL,
            **_ERROR,
            **_REQUEST,
            **_USAGE,
            **_CONTENT,
            "gen_ai.conversation.compacted": "recommended",
            "gen_ai.conversation.id": "conditionally required",
            "gen_ai.output.type": "conditionally required",
            "gen_ai.prompt.name": "conditionally required",
            "gen_ai.prompt.variable": "opt-in",
            "gen_ai.prompt.version": "conditionally required",
            "gen_ai.request.previous_response.id": "recommended",
            "gen_ai.request.reasoning.level": "recommended",
            "gen_ai.request.stream": "conditionally required",
            "gen_ai.request.top_k": "conditionally required",
            "gen_ai.response.finish_reasons": "recommended",
            "gen_ai.response.id": "recommended",
            "gen_ai.response.time_to_first_chunk": "recommended",
        },
        "The conventions have no operations for speech yet. `realtime_inference`, `speech_to_text` and `text_to_speech` are named as "
        "pull requests 390 and 394 of their repository propose; names of one's own are allowed where none is registered.",
    ),
    SpanConvention(
        "gen_ai.invoke_agent.internal",
        "internal",
        ("turn",),
        {
            **_ERROR,
            **_REQUEST,
            **_CONTENT,
            "gen_ai.agent.description": "conditionally required",
            "gen_ai.agent.name": "conditionally required",
            "gen_ai.conversation.id": "conditionally required",
            "gen_ai.data_source.id": "conditionally required",
            "gen_ai.operation.name": "required",
            "gen_ai.output.type": "conditionally required",
            "gen_ai.request.model": "recommended",
            "gen_ai.response.finish_reasons": "recommended",
            "gen_ai.usage.input_tokens": "recommended",
            "gen_ai.usage.output_tokens": "recommended",
        },
        "One span for each turn. It also has `gen_ai.agent.id`, which the conventions want on calls of remote agents only.",
    ),
    SpanConvention(
        "gen_ai.execute_tool.internal",
        "internal",
        ("execute_tool",),
        {
            **_ERROR,
            "gen_ai.agent.name": "conditionally required",
            "gen_ai.conversation.id": "conditionally required",
            "gen_ai.operation.name": "required",
            "gen_ai.tool.call.arguments": "opt-in",
            "gen_ai.tool.call.id": "recommended",
            "gen_ai.tool.call.result": "opt-in",
            "gen_ai.tool.description": "recommended",
            "gen_ai.tool.name": "required",
            "gen_ai.tool.type": "recommended",
        },
        "A span whose tool's beginning or end is not reported has no length and `agentstack.tool.duration_unknown`.",
    ),
)

NOT_REPORTED: Final[Mapping[str, str]] = MappingProxyType(
    {
        **dict.fromkeys(
            (*_REQUEST, "gen_ai.request.top_k", "gen_ai.request.reasoning.level"), "The platform does not report requests."
        ),
        **dict.fromkeys(("server.address", "server.port"), "The platform does not report which server it called."),
        **dict.fromkeys(
            ("gen_ai.prompt.name", "gen_ai.prompt.variable", "gen_ai.prompt.version"), "The platform does not report prompts."
        ),
        "gen_ai.agent.description": "The platform does not report it.",
        "gen_ai.conversation.compacted": "The platform does not report it.",
        "gen_ai.data_source.id": "The platform does not report it.",
        "gen_ai.request.previous_response.id": "The platform does not report it.",
        "gen_ai.response.finish_reasons": "The platform does not report it. `agentstack.llm.cancelled` marks a cancelled answer.",
        "gen_ai.response.model": "The platform reports one name for the model.",
        "gen_ai.system_instructions": "The platform does not report them.",
        "gen_ai.tool.definitions": "The platform does not report them.",
        "gen_ai.tool.description": "The platform does not report it.",
        "gen_ai.usage.cache_write.input_tokens": "The platform does not report it.",
        "gen_ai.usage.reasoning.output_tokens": "The platform does not report it.",
    }
)
"""Attribute that none of our events has → why."""
ELSEWHERE: Final[Mapping[str, str]] = MappingProxyType(
    {
        "gen_ai.input.messages": "On the spans of models. The turn has `agentstack.turn.user_text`, with content capture on.",
        "gen_ai.output.messages": "On the spans of models. The turn has `agentstack.turn.agent_text`, with content capture on.",
        "gen_ai.output.type": "On the spans of models.",
        "gen_ai.request.model": "On the spans of models: a turn uses several.",
        "gen_ai.usage.input_tokens": "On the spans of models.",
        "gen_ai.usage.output_tokens": "On the spans of models.",
    }
)
"""Attribute that the span of a turn does not have, but another one → where it is."""
