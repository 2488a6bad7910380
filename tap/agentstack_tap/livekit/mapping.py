"""LiveKit's measurements → fields of our events: the table, and the conversion of values. docs/livekit.md has every row.

LiveKit measures in seconds. −1 stands for "did not happen", and 0.0 for "unknown" in the fields marked so.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timezone
from functools import lru_cache
from typing import Any, Final, Literal

Kind = Literal["seconds", "measured seconds", "amount", "flag", "text", "unix", "clock"]
"""How a value is converted: seconds become milliseconds; of ``measured seconds`` 0.0 is unknown; a ``clock`` becomes RFC 3339."""


_MOST: Final = 1e12
"""No amount that LiveKit reports is larger."""
_LATEST: Final = 2.0**36
"""Unix seconds that are surely no time of a call."""


@dataclass(frozen=True, slots=True)
class Row:
    """A field of LiveKit's and the field of our event that it becomes."""

    theirs: str
    ours: str
    kind: Kind
    simple: bool
    """Whether the field is the object's own, and not one of its parts'."""


def _rows(kind: Kind, **names: str) -> tuple[Row, ...]:
    return tuple(Row(theirs, ours, kind, "." not in theirs) for theirs, ours in names.items())


USER_REPORT: Final = (
    *_rows("measured seconds", transcription_delay="sdk_transcription_delay_ms", end_of_turn_delay="sdk_end_of_turn_delay_ms"),
    *_rows("seconds", on_user_turn_completed_delay="sdk_turn_completed_callback_ms"),
    *_rows("unix", started_speaking_at="sdk_started_speaking_at", stopped_speaking_at="sdk_stopped_speaking_at"),
    *_rows("clock", started_speaking_at="user_started_speaking_at", stopped_speaking_at="user_stopped_speaking_at"),
)
"""``ChatMessage.metrics`` of the user's message."""

AGENT_REPORT: Final = (
    *_rows("seconds", e2e_latency="user_perceived_ms", llm_node_ttft="sdk_llm_ttft_ms", tts_node_ttfb="sdk_tts_ttfb_ms"),
    *_rows("clock", started_speaking_at="agent_started_speaking_at", stopped_speaking_at="agent_stopped_speaking_at"),
)
"""``ChatMessage.metrics`` of the agent's message."""

END_OF_UTTERANCE: Final = (
    *_rows("measured seconds", transcription_delay="stt_delay_ms", end_of_utterance_delay="turn_decision_ms"),
    *_rows("seconds", on_user_turn_completed_delay="turn_completed_callback_ms"),
    *_rows("text", speech_id="eou_speech_id"),
)
"""``EOUMetrics``. Its ``last_speaking_time`` is the end of the user's speech where the user's message has no report."""

LLM_REQUEST: Final = (
    *_rows("seconds", ttft="llm_ttft_ms", duration="llm_duration_ms"),
    *_rows("amount", tokens_per_second="llm_tokens_per_second"),
    *_rows("unix", timestamp="llm_timestamp"),
    *_rows("text", label="llm_label", request_id="llm_request_id", speech_id="llm_speech_id"),
)
"""``LLMMetrics`` of the request that the answer came from."""
LLM_TOTAL: Final = _rows(
    "amount",
    prompt_tokens="llm_prompt_tokens",
    completion_tokens="llm_completion_tokens",
    total_tokens="llm_total_tokens",
    prompt_cached_tokens="llm_cache_read_tokens",
)
"""``LLMMetrics`` summed over the requests of the turn; with tools there are several."""

TTS_REQUEST: Final = (
    *_rows("seconds", ttfb="tts_ttfb_ms"),
    *_rows("flag", streamed="tts_streamed"),
    *_rows("text", label="tts_label", request_id="tts_request_id", speech_id="tts_speech_id", segment_id="tts_segment_id"),
)
"""``TTSMetrics`` of the request that the first audio came from."""
TTS_TOTAL: Final = (
    *_rows("seconds", audio_duration="tts_audio_duration_ms"),
    *_rows("amount", characters_count="tts_characters", input_tokens="tts_input_tokens", output_tokens="tts_output_tokens"),
)
"""``TTSMetrics`` summed over the requests of the turn; some voices take a request a sentence."""

STT_REQUEST: Final = (
    *_rows("measured seconds", duration="stt_duration_ms"),
    *_rows("flag", streamed="stt_streamed"),
    *_rows("unix", timestamp="stt_timestamp"),
    *_rows("text", label="stt_label", request_id="stt_request_id"),
)
"""The latest ``STTMetrics`` before the end of the turn."""
STT_TOTAL: Final = (
    *_rows("seconds", audio_duration="stt_audio_duration_ms"),
    *_rows("amount", input_tokens="stt_input_tokens", output_tokens="stt_output_tokens"),
)
"""``STTMetrics`` summed since the last turn; they name no turn."""

VAD_TOTAL: Final = (
    *_rows("amount", inference_count="vad_inference_count"),
    *_rows("seconds", inference_duration_total="vad_inference_duration_total_ms"),
)
VAD_LATEST: Final = _rows("text", label="vad_label")
"""``VADMetrics`` summed since the last turn. ``idle_time`` is a reading of a clock that runs on, and cannot be summed."""

INTERRUPTION: Final = _rows(
    "measured seconds",
    total_duration="interruption_total_duration_ms",
    prediction_duration="interruption_prediction_ms",
    detection_delay="interruption_detection_delay_ms",
)
"""The latest ``InterruptionMetrics``."""
INTERRUPTION_TOTAL: Final = _rows(
    "amount",
    num_interruptions="num_interruptions",
    num_backchannels="num_backchannels",
    num_requests="interruption_num_requests",
)
"""``InterruptionMetrics`` summed since the last turn."""

REALTIME_RESPONSE: Final = (
    *_rows("seconds", ttft="realtime_ttft_ms", duration="realtime_duration_ms"),
    *_rows("measured seconds", session_duration="realtime_session_duration_ms"),
    *_rows("amount", tokens_per_second="realtime_tokens_per_second"),
    *_rows("text", label="realtime_label", request_id="realtime_request_id"),
)
"""``RealtimeModelMetrics`` of the first response of the turn with audio."""
REALTIME_TOTAL: Final = _rows(
    "amount",
    input_tokens="realtime_input_tokens",
    output_tokens="realtime_output_tokens",
    total_tokens="realtime_total_tokens",
    **{
        "input_token_details.audio_tokens": "realtime_input_audio_tokens",
        "input_token_details.text_tokens": "realtime_input_text_tokens",
        "input_token_details.image_tokens": "realtime_input_image_tokens",
        "input_token_details.cached_tokens": "realtime_cached_tokens",
        "input_token_details.cached_tokens_details.audio_tokens": "realtime_cached_audio_tokens",
        "input_token_details.cached_tokens_details.text_tokens": "realtime_cached_text_tokens",
        "input_token_details.cached_tokens_details.image_tokens": "realtime_cached_image_tokens",
        "output_token_details.audio_tokens": "realtime_output_audio_tokens",
        "output_token_details.text_tokens": "realtime_output_text_tokens",
        "output_token_details.image_tokens": "realtime_output_image_tokens",
    },
)
"""``RealtimeModelMetrics`` summed over the responses of the turn."""

OVERLAP: Final = (
    *_rows("flag", is_interruption="is_interruption"),
    *_rows("amount", probability="probability", num_requests="num_requests"),
    *_rows("measured seconds", detection_delay="detection_delay_ms", total_duration="total_duration_ms"),
    *_rows("measured seconds", prediction_duration="prediction_duration_ms"),
    *_rows("clock", overlap_started_at="overlap_started_at", created_at="timestamp"),
)
"""``overlapping_speech`` → ``user.backchannel``."""

USAGE: Final = {
    "llm_usage": ("input_tokens", "input_cached_tokens", "output_tokens", "session_duration"),
    "tts_usage": ("input_tokens", "output_tokens", "characters_count", "audio_duration"),
    "stt_usage": ("input_tokens", "output_tokens", "audio_duration"),
    "interruption_usage": ("total_requests",),
    "eot_usage": ("total_requests",),
}
"""``session_usage_updated`` → ``session.usage``: the fields of each kind of usage, which have the same names here and there."""

COLLECTED: Final = {
    "llm_metrics": (
        "llm_usage",
        {"prompt_tokens": "input_tokens", "prompt_cached_tokens": "input_cached_tokens", "completion_tokens": "output_tokens"},
    ),
    "realtime_model_metrics": (
        "llm_usage",
        {
            "input_tokens": "input_tokens",
            "input_token_details.cached_tokens": "input_cached_tokens",
            "output_tokens": "output_tokens",
            "session_duration": "session_duration",
        },
    ),
    "tts_metrics": ("tts_usage", {name: name for name in ("input_tokens", "output_tokens", "characters_count", "audio_duration")}),
    "stt_metrics": ("stt_usage", {name: name for name in ("input_tokens", "output_tokens", "audio_duration")}),
}
"""Where the session adds up no usage itself: the metrics that the same totals are made of."""


def read(source: Any, path: str) -> Any:
    """A field of an object or a dictionary, below its parts if the path has dots. What is missing is ``None``."""
    for step in path.split(".") if "." in path else (path,):
        source = source.get(step) if isinstance(source, dict) else getattr(source, step, None)
    return source


def converted(source: Any, rows: Iterable[Row]) -> dict[str, Any]:
    """The fields of our event that an object or a dictionary of LiveKit's says something of."""
    found = {}
    get: Callable[[str], Any] = source.get if isinstance(source, dict) else lambda name: getattr(source, name, None)
    for row in rows:
        value = get(row.theirs) if row.simple else read(source, row.theirs)
        if value is not None:
            value = CONVERSIONS[row.kind](value)
            if value is not None:
                found[row.ours] = value
    return found


def add(totals: dict[str, Any], source: Any, rows: Iterable[Row]) -> None:
    """Add the fields of an object to ``totals``."""
    for name, value in converted(source, rows).items():
        totals[name] = totals.get(name, 0) + value


def is_amount(value: Any) -> bool:
    """Whether a value says something: −1 does not."""
    return isinstance(value, (int, float)) and 0 <= value <= _MOST


def _amount(value: Any) -> Any:
    return value if is_amount(value) else None


def _milliseconds(value: Any) -> float | None:
    return round(value * 1000, 3) if is_amount(value) else None


def _measured(value: Any) -> float | None:
    return _milliseconds(value) or None


def _clock(value: Any) -> str | None:
    return rfc3339(value) if isinstance(value, (int, float)) and 0 <= value < _LATEST else None


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None


CONVERSIONS: Final[dict[Kind, Callable[[Any], Any]]] = {
    "seconds": _milliseconds,
    "measured seconds": _measured,
    "amount": _amount,
    "flag": bool,
    "text": _text,
    "unix": _amount,
    "clock": _clock,
}
"""Kind → a value that is there, in our unit, or ``None`` if it says nothing."""


def rfc3339(moment: float) -> str:
    """Unix seconds as a date-time."""
    second, thousandths = divmod(round(moment * 1000), 1000)
    return f"{_date(second)}.{thousandths:03}+00:00"


@lru_cache(maxsize=64)
def _date(second: int) -> str:
    """The moments of an event and of a turn are in few seconds, and formatting one takes as long as sending a short event."""
    return datetime.fromtimestamp(second, timezone.utc).strftime("%Y-%m-%dT%H:%M:%S")
