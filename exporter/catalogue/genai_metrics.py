"""The metrics of the GenAI conventions: what they are called, and which fields of events feed them.

The conventions renamed their client metrics. Dashboards still read the earlier names, so these are the default: a *generation* is a set
of names, and the setting ``--genai-metrics`` chooses one. Both are fed by the same fields, with the same buckets.
"""

from collections.abc import Mapping
from typing import Final, Literal, get_args

from exporter.catalogue.declarations import Const, Feeds, GenAiMeasure, GenAiMetric, Labels, MetricSpec, OneIf, Source, Text
from exporter.catalogue.genai import (
    AGENT_NAME,
    ERROR_TYPE,
    MODEL,
    OPERATION,
    OPERATIONS,
    PROVIDER,
    TOKEN_MODALITY,
    TOKEN_TYPE,
    TOOL_NAME,
    TOOL_TYPE,
    provider_name,
)

Generation = Literal["operation", "inference"]
"""The names of the client metrics: ``client.operation.*`` and ``client.token.usage``, or ``client.inference.*``."""
GENERATIONS: Final[tuple[Generation, ...]] = get_args(Generation)
DEFAULT: Final[Generation] = "operation"

SECONDS: Final = tuple(round(0.01 * 2**power, 2) for power in range(14))
TOKENS: Final = tuple(float(4**power) for power in range(14))
INVOCATION: Final = tuple(round(0.1 * 2**power, 1) for power in range(13))
"""The buckets that the conventions recommend: 0.01 … 81.92 s, 1 … 67,108,864 tokens, 0.1 … 409.6 s."""

COMPONENTS: Final[Mapping[str, str]] = {
    "llm": OPERATIONS["chat"],
    "stt": OPERATIONS["speech_to_text"],
    "tts": OPERATIONS["text_to_speech"],
    "realtime": OPERATIONS["realtime_inference"],
}
"""Component → the operation that its measurements are of."""
_ERRORS: Final[Mapping[str, tuple[str, ...]]] = {
    "llm": ("llm",),
    "stt": ("stt",),
    "tts": ("tts",),
    "realtime": ("realtime", "realtime_model", "s2s"),
}
"""Component → the values of ``error_source`` that say that it failed."""
ERROR_SOURCES: Final = frozenset({"vad", "eou", "turn_detection"}.union(*_ERRORS.values()))
_UNKNOWN: Final = "unknown"
_CALL: Final = (OPERATION, PROVIDER, MODEL)
_NAMED: Final = {"provider": PROVIDER, "model": MODEL, "agent": AGENT_NAME, "tool": TOOL_NAME, "agent_tool": TOOL_NAME}
"""Label of our own metrics → the attribute that holds the same."""


def _spec(name: str, text: str, labels: tuple[str, ...], bounds: tuple[float, ...]) -> MetricSpec:
    unit = "{token}" if bounds is TOKENS else "s"
    return MetricSpec(kind="histogram", otel_name="gen_ai." + name, unit=unit, help=text, labels=labels, bounds=bounds)


OPERATION_DURATION: Final = _spec(
    "client.operation.duration",
    "Duration of calls of models: generation, synthesis, speech-to-speech, and transcription that does not stream.",
    (*_CALL, ERROR_TYPE),
    SECONDS,
)
OPERATION_FIRST_CHUNK: Final = _spec(
    "client.operation.time_to_first_chunk", "Request to first token or first audio byte of a model.", _CALL, SECONDS
)
TOKEN_USAGE: Final = _spec("client.token.usage", "Tokens that a call of a model took and gave.", (*_CALL, TOKEN_TYPE), TOKENS)
INFERENCE_DURATION: Final = _spec(
    "client.inference.duration",
    "As gen_ai_client_operation_duration_seconds, with --genai-metrics=inference.",
    (*_CALL, ERROR_TYPE),
    SECONDS,
)
INFERENCE_FIRST_CHUNK: Final = _spec(
    "client.inference.time_to_first_chunk",
    "As gen_ai_client_operation_time_to_first_chunk_seconds, with --genai-metrics=inference.",
    _CALL,
    SECONDS,
)
INPUT_TOKENS: Final = _spec(
    "client.inference.operation.input_tokens",
    "Tokens that a call of a model took, with --genai-metrics=inference.",
    (*_CALL, ERROR_TYPE),
    TOKENS,
)
OUTPUT_TOKENS: Final = _spec(
    "client.inference.operation.output_tokens",
    "Tokens that a call of a model gave, with --genai-metrics=inference.",
    (*_CALL, ERROR_TYPE),
    TOKENS,
)


def _usage(name: str, text: str) -> MetricSpec:
    labels = (*_CALL, TOKEN_MODALITY)
    return MetricSpec(kind="counter", otel_name=f"gen_ai.client.inference.usage.{name}", unit="{token}", help=text, labels=labels)


USAGE_INPUT: Final = _usage("input_tokens", "Tokens into models, by modality, with --genai-metrics=inference.")
USAGE_OUTPUT: Final = _usage("output_tokens", "Tokens out of models, by modality, with --genai-metrics=inference.")
USAGE_CACHE_READ: Final = _usage(
    "cache_read.input_tokens", "Tokens read from the cache, part of those into models, with --genai-metrics=inference."
)
INVOKE_AGENT_DURATION: Final = _spec(
    "invoke_agent.duration",
    "Length of turns: from the start of the user's speech to the end of the agent's, as far as both are known.",
    (AGENT_NAME, ERROR_TYPE),
    INVOCATION,
)
EXECUTE_TOOL_DURATION: Final = _spec(
    "execute_tool.duration",
    "Duration of tools whose beginning and end are seen: the app's behind a relay, and sub-agents.",
    (TOOL_NAME, TOOL_TYPE, AGENT_NAME, ERROR_TYPE),
    SECONDS,
)
LOGIC_METRICS: Final = (INVOKE_AGENT_DURATION, EXECUTE_TOOL_DURATION)
"""The metrics that several events feed together; they are the same in all generations."""

_BY_MEASURE: Final[Mapping[Generation, Mapping[GenAiMeasure, MetricSpec]]] = {
    "operation": {
        "duration": OPERATION_DURATION,
        "time_to_first_chunk": OPERATION_FIRST_CHUNK,
        "input_tokens": TOKEN_USAGE,
        "output_tokens": TOKEN_USAGE,
    },
    "inference": {
        "duration": INFERENCE_DURATION,
        "time_to_first_chunk": INFERENCE_FIRST_CHUNK,
        "input_tokens": INPUT_TOKENS,
        "output_tokens": OUTPUT_TOKENS,
    },
}
"""What observes a measurement of a whole operation."""
_BY_MODALITY: Final[Mapping[Generation, Mapping[GenAiMeasure, MetricSpec]]] = {
    "operation": {},
    "inference": {"input_tokens": USAGE_INPUT, "output_tokens": USAGE_OUTPUT, "cache_read_tokens": USAGE_CACHE_READ},
}
"""What counts tokens of a known modality."""


def metrics_of(generation: Generation) -> tuple[MetricSpec, ...]:
    """The metrics of a generation, those of several events included."""
    return (*dict.fromkeys((*_BY_MEASURE[generation].values(), *_BY_MODALITY[generation].values())), *LOGIC_METRICS)


def genai_feeds(item: GenAiMetric, generation: Generation) -> tuple[Feeds, ...]:
    """What a field feeds in that generation. A value of 0 means that the component has no such thing; it is not observed."""
    whole = None if item.part else _BY_MEASURE[generation].get(item.measure)
    by_modality = _BY_MODALITY[generation].get(item.measure) if item.modality else None
    return tuple(Feeds(spec, _labels(item, spec), zero_is_unknown=True) for spec in (whole, by_modality) if spec is not None)


def _labels(item: GenAiMetric, spec: MetricSpec) -> Labels:
    component = item.component
    sources: dict[str, Source] = {
        OPERATION: Const(COMPONENTS[component]),
        PROVIDER: Text(f"{component}_provider"),
        MODEL: Text(f"{component}_model"),
        TOKEN_TYPE: Const(item.measure.removesuffix("_tokens")),
        TOKEN_MODALITY: Const(item.modality or ""),
        ERROR_TYPE: OneIf("error_source", _ERRORS[component]),
    }
    read = ("error_source",) if component == "stt" else ("error_source", f"{component}_cancelled")
    return Labels(tuple((name, sources[name]) for name in spec.labels), component, read)


def label_value(label: str, value: str, component: str) -> str:
    """The value of an attribute from that of our own label. A model or agent that is not known is left out."""
    if value == _UNKNOWN:
        return "" if label in (MODEL, AGENT_NAME) else value
    return provider_name(value, component) if label == PROVIDER else value


def evicted_labels(component: str, values: Mapping[str, str]) -> dict[str, str]:
    """The attributes of the series that have these values of our own labels; ``component`` is that of a pair, or empty."""
    found = {_NAMED[name]: label_value(_NAMED[name], value, component) for name, value in values.items() if name in _NAMED}
    return found | ({OPERATION: COMPONENTS[component]} if component in COMPONENTS else {})
