"""Metrics that only a relay can tell: how the customer's app, and the audio between it and the platform, did."""

from typing import Final

from exporter.catalogue import buckets
from exporter.catalogue.model import PREFIX, MetricSpec

APP_COMMANDS: Final = MetricSpec(
    kind="counter",
    otel_name=PREFIX + "app_commands",
    unit="{command}",
    help="Commands the customer's app sent to the platform, by kind.",
    labels=("agent", "kind"),
)
TOOL_DURATION: Final = MetricSpec(
    kind="histogram",
    otel_name=PREFIX + "tool.duration",
    unit="s",
    help="From tool.called to the answer of the customer's app, by tool and whether that was a result or an error.",
    labels=("agent", "tool", "outcome"),
    bounds=buckets.COMPONENT,
)
TOOL_CALLS_UNANSWERED: Final = MetricSpec(
    kind="counter",
    otel_name=PREFIX + "tool.calls_unanswered",
    unit="{call}",
    help="Tool calls that the customer's app had not answered when the session ended, by tool.",
    labels=("agent", "tool"),
)
TOOL_ANSWERS_UNMATCHED: Final = MetricSpec(
    kind="counter",
    otel_name=PREFIX + "tool.answers_unmatched",
    unit="{answer}",
    help="Answers of the customer's app to tool calls that are not known or were answered before.",
    labels=("agent",),
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
APP_LLM_ANSWERS: Final = MetricSpec(
    kind="counter",
    otel_name=PREFIX + "app_llm.answers",
    unit="{answer}",
    help="Streamed answers of the customer's own LLM: completed, or abandoned before their last token.",
    labels=("agent", "outcome"),
)
_BY_DIRECTION: Final = ("agent", "direction")
AUDIO_FRAMES: Final = MetricSpec(
    kind="counter",
    otel_name=PREFIX + "audio.frames",
    unit="{frame}",
    help="Audio messages relayed, from the caller and from the agent.",
    labels=_BY_DIRECTION,
)
AUDIO_TRANSFERRED: Final = MetricSpec(
    kind="counter",
    otel_name=PREFIX + "audio.transferred",
    unit="By",
    help="Bytes of audio messages relayed, as they are on the wire.",
    labels=_BY_DIRECTION,
)
AUDIO_GAPS: Final = MetricSpec(
    kind="counter",
    otel_name=PREFIX + "audio.gaps",
    unit="{gap}",
    help="Pauses of more than 0.2 s between audio messages; from the agent only up to 1 s, longer ones lie between utterances.",
    labels=_BY_DIRECTION,
)
AUDIO_JITTER: Final = MetricSpec(
    kind="histogram",
    otel_name=PREFIX + "audio.jitter",
    unit="s",
    help="By how much the interval between audio messages differs from the one before it; gaps are left out.",
    labels=_BY_DIRECTION,
    bounds=buckets.MICRO,
)

FROM_APP: Final = (
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
