"""What each number in Pipecat's metrics means: its unit, what it becomes here, and where Pipecat says so.

The table drives the code: a number that has no row is not used. Pipecat counts in seconds, with one exception.
"""

from dataclasses import dataclass
from typing import Any, Final, Literal

Unit = Literal["s", "1", "token", "character"]
Quantity = Literal[
    "first_output",
    "duration",
    "audio",
    "characters",
    "prompt_tokens",
    "completion_tokens",
    "total_tokens",
    "cache_read_tokens",
    "cache_creation_tokens",
    "input_audio_tokens",
    "output_audio_tokens",
    "cache_read_audio_tokens",
    "turn_complete",
    "turn_probability",
]
_METRICS: Final = "pipecat/metrics/metrics.py"
_COLLECTOR: Final = "pipecat/processors/metrics/frame_processor_metrics.py"


@dataclass(frozen=True)
class Reading:
    """One number: the class and attribute that hold it, its unit, what it becomes, and the source of all that."""

    of: str
    attribute: str
    unit: Unit
    becomes: Quantity
    source: str


READINGS: Final[tuple[Reading, ...]] = (
    # From the request to the first output of any kind; for STT from the end of speech (VAD stop less stop_secs) to the transcript.
    Reading("TTFBMetricsData", "value", "s", "first_output", f"{_METRICS}: TTFBMetricsData; {_COLLECTOR}: stop_ttfb_metrics"),
    # LLM: the whole completion. TTS: one call of run_tts, where synthesis ends within it. STT: the request for one segment.
    Reading(
        "ProcessingMetricsData", "value", "s", "duration", f"{_METRICS}: ProcessingMetricsData; {_COLLECTOR}: stop_processing_metrics"
    ),
    Reading(
        "LLMUsageMetricsData", "value.prompt_tokens", "token", "prompt_tokens", f"{_METRICS}: LLMTokenUsage, net or gross of the cache"
    ),
    Reading("LLMUsageMetricsData", "value.completion_tokens", "token", "completion_tokens", f"{_METRICS}: LLMTokenUsage"),
    Reading("LLMUsageMetricsData", "value.total_tokens", "token", "total_tokens", f"{_METRICS}: LLMTokenUsage, gross of the cache"),
    Reading("LLMUsageMetricsData", "value.cache_read_input_tokens", "token", "cache_read_tokens", f"{_METRICS}: LLMTokenUsage"),
    Reading("LLMUsageMetricsData", "value.cache_creation_input_tokens", "token", "cache_creation_tokens", f"{_METRICS}: LLMTokenUsage"),
    Reading("LLMUsageMetricsData", "value.input_audio_tokens", "token", "input_audio_tokens", f"{_METRICS}: LLMTokenUsage"),
    Reading("LLMUsageMetricsData", "value.output_audio_tokens", "token", "output_audio_tokens", f"{_METRICS}: LLMTokenUsage"),
    Reading(
        "LLMUsageMetricsData", "value.cache_read_input_audio_tokens", "token", "cache_read_audio_tokens", f"{_METRICS}: LLMTokenUsage"
    ),
    # What was added since the last report of the service.
    Reading("STTUsageMetricsData", "value.audio_seconds", "s", "audio", f"{_METRICS}: STTUsage"),
    Reading("TTSUsageMetricsData", "value", "character", "characters", f"{_METRICS}: TTSUsageMetricsData"),
    Reading("TurnMetricsData", "is_complete", "1", "turn_complete", f"{_METRICS}: TurnMetricsData"),
    Reading("TurnMetricsData", "probability", "1", "turn_probability", f"{_METRICS}: TurnMetricsData"),
)
UNUSED: Final[dict[str, str]] = {
    "TTFAMetricsData": "seconds; TTFB plus the silence at the head of the audio. The wire has no field for it.",
    "TTFATMetricsData": "seconds; TTFB plus the time a model thinks before its answer. The wire has no field for it.",
    "TextAggregationMetricsData": "seconds; first token to first sentence: the contribution sentence_aggregation.",
    "TurnMetricsData.e2e_processing_time_ms": "milliseconds, the only such number; part of the turn decision.",
    "LLMTokenUsage.reasoning_tokens": "tokens; contained in the completion tokens.",
}
"""Numbers that are not used, and why."""
_Path = tuple[Quantity, tuple[str, ...]]
_paths: Final[dict[type, tuple[_Path, ...]]] = {}


def readings_of(data: Any) -> dict[str, float]:
    """The numbers in one of Pipecat's metrics objects. Seconds stay seconds: only the wire has milliseconds."""
    found: dict[str, float] = {}
    for becomes, path in _paths.get(type(data)) or _paths_of(type(data)):
        value: Any = data
        for name in path:
            value = getattr(value, name, None)
        if value is not None:
            found[becomes] = value
    return found


def _paths_of(kind: type) -> tuple[_Path, ...]:
    """Where the numbers of a class are: those of its base classes too."""
    names = {base.__name__ for base in kind.__mro__}
    found = _paths[kind] = tuple((reading.becomes, tuple(reading.attribute.split("."))) for reading in READINGS if reading.of in names)
    return found
