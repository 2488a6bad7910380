"""Metrics that only a relay can measure: of the customer's app, and of the audio between it and the platform."""

from typing import Final

from exporter.catalogue import buckets
from exporter.catalogue.declarations import PREFIX, MetricSpec, counter_spec

APP_COMMANDS: Final = counter_spec(
    "app_commands", "{command}", "Commands the customer's app sent to the platform, by kind.", *("agent", "kind")
)
TOOL_DURATION: Final = MetricSpec(
    kind="histogram",
    otel_name=PREFIX + "tool.duration",
    unit="s",
    help="From tool.called to the answer of the customer's app, by tool and whether that was a result or an error.",
    labels=("agent", "tool", "outcome"),
    bounds=buckets.COMPONENT,
)
TOOL_CALLS_UNANSWERED: Final = counter_spec(
    "tool.calls_unanswered",
    "{call}",
    "Tool calls that the customer's app had not answered when the session ended, by tool.",
    *("agent", "tool"),
)
TOOL_ANSWERS_UNMATCHED: Final = counter_spec(
    "tool.answers_unmatched",
    "{answer}",
    "Answers of the customer's app to tool calls that are not known or were answered before.",
    "agent",
)
APP_LLM_TIME_TO_FIRST_TOKEN: Final = MetricSpec(
    kind="histogram",
    otel_name=PREFIX + "app_llm.time_to_first_token",
    unit="s",
    help="From the last final transcription to the first text token of the customer's own LLM.",
    labels=("agent",),
    bounds=buckets.COMPONENT,
)
APP_LLM_DURATION: Final = MetricSpec(
    kind="histogram",
    otel_name=PREFIX + "app_llm.duration",
    unit="s",
    help="From the last final transcription to the last text token of the customer's own LLM, for answers that were finished.",
    labels=("agent",),
    bounds=buckets.COMPONENT,
)
APP_LLM_ANSWERS: Final = counter_spec(
    "app_llm.answers",
    "{answer}",
    "Streamed answers of the customer's own LLM: completed, or abandoned before their last token.",
    *("agent", "outcome"),
)
_BY_DIRECTION: Final = ("agent", "direction")
AUDIO_FRAMES: Final = counter_spec(
    "audio.frames", "{frame}", "Audio messages relayed, from the caller and from the agent.", *_BY_DIRECTION
)
AUDIO_TRANSFERRED: Final = counter_spec(
    "audio.transferred", "By", "Bytes of audio messages relayed, as they are on the wire.", *_BY_DIRECTION
)
AUDIO_GAPS: Final = counter_spec(
    "audio.gaps",
    "{gap}",
    "Pauses of more than 0.2 s between audio messages; from the agent at most 1 s, since longer ones are between utterances.",
    *_BY_DIRECTION,
)
AUDIO_JITTER: Final = MetricSpec(
    kind="histogram",
    otel_name=PREFIX + "audio.jitter",
    unit="s",
    help="Difference between the interval of two audio messages and the interval before it; gaps are left out.",
    labels=_BY_DIRECTION,
    bounds=buckets.MICRO,
)

APP_METRICS: Final = (
    APP_COMMANDS,
    TOOL_DURATION,
    TOOL_CALLS_UNANSWERED,
    TOOL_ANSWERS_UNMATCHED,
    APP_LLM_TIME_TO_FIRST_TOKEN,
    APP_LLM_DURATION,
    APP_LLM_ANSWERS,
    AUDIO_FRAMES,
    AUDIO_TRANSFERRED,
    AUDIO_GAPS,
    AUDIO_JITTER,
)
