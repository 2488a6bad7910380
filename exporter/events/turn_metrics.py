"""``turn.metrics``: the measurements of one turn, in sections by the platform's metrics classes."""

from typing import Annotated

from exporter.catalogue import buckets
from exporter.catalogue.declarations import (
    AliasOf,
    BecomesLabel,
    DrivesLogic,
    Flag,
    GenAiMetric,
    Labels,
    Source,
    SpanAttribute,
    SpanTime,
    Text,
    counter,
    histogram,
    labels,
)
from exporter.catalogue.quantities import (
    Characters,
    Count,
    DateTime,
    DurationMs,
    DurationS,
    LatencyMs,
    Ordinal,
    Ratio,
    Tokens,
    TokensPerSecond,
    UnixTime,
    WordsPerSecond,
)
from exporter.events.base import AGENT, ANSWERED_BY, Event

PIPELINE = Text("pipeline")
TURN: Labels = labels(agent=AGENT, pipeline=PIPELINE, interrupted=Flag("interrupted"), answered_by=ANSWERED_BY)
BY_PIPELINE: Labels = labels(pipeline=PIPELINE)
METHOD = Text("turn_method")
DECISION: Labels = labels(agent=AGENT, pipeline=PIPELINE, method=METHOD)
BY_METHOD: Labels = labels(method=METHOD)
_STT: dict[str, Source] = {"provider": Text("stt_provider"), "model": Text("stt_model")}
_LLM: dict[str, Source] = {"provider": Text("llm_provider"), "model": Text("llm_model"), "cancelled": Flag("llm_cancelled")}
_TTS: dict[str, Source] = {"provider": Text("tts_provider"), "model": Text("tts_model"), "cancelled": Flag("tts_cancelled")}
_REALTIME: dict[str, Source] = {
    "provider": Text("realtime_provider"),
    "model": Text("realtime_model"),
    "cancelled": Flag("realtime_cancelled"),
}
_ALSO = ("error_source",)  # which the GenAI metrics of the same component read
STT: Labels = labels("stt", _ALSO, **_STT)
LLM: Labels = labels("llm", _ALSO, **_LLM)
TTS: Labels = labels("tts", _ALSO, **_TTS)
REALTIME: Labels = labels("realtime", _ALSO, **_REALTIME)
STT_BY_AGENT: Labels = labels("stt", _ALSO, agent=AGENT, **_STT)
LLM_BY_AGENT: Labels = labels("llm", _ALSO, agent=AGENT, **_LLM)
TTS_BY_AGENT: Labels = labels("tts", _ALSO, agent=AGENT, **_TTS)
REALTIME_BY_AGENT: Labels = labels("realtime", _ALSO, agent=AGENT, **_REALTIME)

TURNS = "agentstack.turns"
CALLER_TURNS = "agentstack.caller_turns"
_BREAKDOWN = ("agentstack.turn_component", "agentstack.turn_component_negative_rest", "agentstack.slow_turns")
_WAIT = DrivesLogic((CALLER_TURNS, *_BREAKDOWN), "is what the components of the turn add up to; the caller was answered")
_PART = DrivesLogic(_BREAKDOWN, "is a part of the caller's wait")
_AUDIO = DrivesLogic((CALLER_TURNS, *_BREAKDOWN), "is a part of the caller's wait; the caller was answered")


class TurnContext(Event, frozen=True, gc=False, forbid_unknown_fields=True):
    """Which turn it is, and what was said."""

    turn_number: Annotated[
        Ordinal | None,
        DrivesLogic((TURNS,), "with the session and agent_tool_id it names the turn, which counts once"),
        SpanAttribute("turn", "agentstack.turn.number"),
    ] = None
    interrupted: Annotated[
        bool | None,
        BecomesLabel("interrupted"),
        DrivesLogic((TURNS,), "tells interrupted turns apart"),
        SpanAttribute("turn", "agentstack.turn.interrupted"),
    ] = None
    agent_first: Annotated[
        bool | None,
        DrivesLogic((TURNS, CALLER_TURNS), "tells turns the agent began (initiator)"),
        SpanAttribute("turn", "agentstack.turn.agent_first"),
    ] = None
    agent_tool_id: Annotated[
        str | None,
        DrivesLogic((TURNS,), "tells turns of a sub-agent apart"),
        SpanAttribute("turn", "agentstack.agent_tool.id"),
    ] = None
    user_text: Annotated[str | None, SpanAttribute("turn", "agentstack.turn.user_text", personal=True)] = None
    agent_text: Annotated[str | None, SpanAttribute("turn", "agentstack.turn.agent_text", personal=True)] = None
    pipeline: Annotated[str | None, BecomesLabel("pipeline"), SpanAttribute("turn", "agentstack.turn.pipeline")] = None


class ChatMessage(TurnContext, frozen=True, gc=False, forbid_unknown_fields=True):
    """The user-perceived latency, and the latencies that the pipeline's own chat-message report measured."""

    user_perceived_ms: Annotated[
        LatencyMs | None,
        histogram(
            "user_perceived_latency",
            "What the caller waited: end of the user's speech to the first agent audio. Not for turns the agent began.",
            buckets.USER_PERCEIVED,
            TURN,
            exemplars=True,
        ),
        _WAIT,
        SpanAttribute("turn", "agentstack.turn.user_perceived_latency"),
    ] = None
    sdk_llm_ttft_ms: Annotated[
        LatencyMs | None,
        histogram(
            "sdk.llm.time_to_first_token",
            "LLM request to first token, as the pipeline's chat-message report measured it.",
            buckets.COMPONENT,
            BY_PIPELINE,
        ),
        SpanAttribute("chat", "agentstack.sdk.llm.time_to_first_token"),
    ] = None
    sdk_tts_ttfb_ms: Annotated[
        LatencyMs | None,
        histogram(
            "sdk.tts.time_to_first_byte",
            "Text to first audio byte, as the pipeline's chat-message report measured it.",
            buckets.COMPONENT,
            BY_PIPELINE,
        ),
        SpanAttribute("text_to_speech", "agentstack.sdk.tts.time_to_first_byte"),
    ] = None
    sdk_transcription_delay_ms: Annotated[
        LatencyMs | None,
        histogram(
            "sdk.transcription_delay",
            "End of speech to final transcript, as the pipeline's chat-message report measured it.",
            buckets.COMPONENT,
            BY_PIPELINE,
            zero_is_unknown=True,
        ),
        SpanAttribute("speech_to_text", "agentstack.sdk.transcription_delay"),
    ] = None
    sdk_end_of_turn_delay_ms: Annotated[
        LatencyMs | None,
        histogram(
            "sdk.end_of_turn_delay",
            "End of speech to the decision that the turn is over, as the pipeline's chat-message report measured it.",
            buckets.COMPONENT,
            BY_PIPELINE,
            zero_is_unknown=True,
        ),
        SpanAttribute("turn_detection", "agentstack.sdk.end_of_turn_delay"),
    ] = None
    sdk_turn_completed_callback_ms: Annotated[
        LatencyMs | None,
        histogram(
            "sdk.turn_completed_callback",
            "Time in the on-turn-completed callback, as the pipeline's chat-message report measured it.",
            buckets.COMPONENT,
            BY_PIPELINE,
        ),
        SpanAttribute("turn", "agentstack.sdk.turn_completed_callback"),
    ] = None
    sdk_started_speaking_at: Annotated[UnixTime | None, SpanTime("user_speech", "start")] = None
    sdk_stopped_speaking_at: Annotated[UnixTime | None, SpanTime("user_speech", "end")] = None


class TurnDetection(ChatMessage, frozen=True, gc=False, forbid_unknown_fields=True):
    """How the end of the user's turn was detected. A delay of 0 means that the end of speech was not seen; it is not observed."""

    stt_delay_ms: Annotated[
        LatencyMs | None,
        histogram(
            "stt.delay",
            "End of the user's speech to the final transcript.",
            buckets.COMPONENT,
            STT_BY_AGENT,
            exemplars=True,
            zero_is_unknown=True,
        ),
        _PART,
        SpanTime("speech_to_text", "duration"),
    ] = None
    turn_decision_ms: Annotated[
        LatencyMs | None,
        histogram(
            "turn_decision",
            "End of the user's speech (or final transcript) to the decision that the turn is over.",
            buckets.COMPONENT,
            DECISION,
            exemplars=True,
            zero_is_unknown=True,
        ),
        _PART,
        SpanTime("turn_detection", "duration"),
    ] = None
    turn_completed_callback_ms: Annotated[
        LatencyMs | None,
        histogram("turn_completed_callback", "Time in the on-turn-completed callback.", buckets.COMPONENT, BY_PIPELINE),
        _PART,
        SpanAttribute("turn", "agentstack.turn.completed_callback"),
    ] = None
    eou_speech_id: Annotated[str | None, SpanAttribute("turn_detection", "agentstack.eou.speech_id")] = None
    turn_method: Annotated[str | None, BecomesLabel("method"), SpanAttribute("turn_detection", "agentstack.turn.method")] = None
    turn_probability: Annotated[
        Ratio | None,
        histogram(
            "turn_probability",
            "Confidence of the end-of-utterance model that the turn was over.",
            buckets.RATIO,
            BY_METHOD,
            unit="1",
        ),
        SpanAttribute("turn_detection", "agentstack.turn.probability"),
    ] = None
    turn_unlikely_threshold: Annotated[
        Ratio | None,
        histogram(
            "turn_unlikely_threshold",
            "The probability below which the end-of-utterance model calls an end of turn unlikely.",
            buckets.RATIO,
            BY_METHOD,
            unit="1",
        ),
        SpanAttribute("turn_detection", "agentstack.turn.unlikely_threshold"),
    ] = None
    endpointing_min_delay_ms: Annotated[
        LatencyMs | None,
        histogram("endpointing.min_delay", "Least wait of dynamic endpointing in this turn.", buckets.COMPONENT),
        SpanAttribute("turn_detection", "agentstack.endpointing.min_delay"),
    ] = None
    endpointing_max_delay_ms: Annotated[
        LatencyMs | None,
        histogram("endpointing.max_delay", "Longest wait of dynamic endpointing in this turn.", buckets.COMPONENT),
        SpanAttribute("turn_detection", "agentstack.endpointing.max_delay"),
    ] = None


class Vad(TurnDetection, frozen=True, gc=False, forbid_unknown_fields=True):
    """Voice activity detection during the turn."""

    vad_idle_time_s: Annotated[
        DurationS | None,
        counter("vad.idle_time", "Time without speech that the voice activity detector saw, from turn.metrics.", unit="s"),
        SpanAttribute("user_speech", "agentstack.vad.idle_time"),
    ] = None
    vad_inference_count: Annotated[
        Count | None,
        counter("vad.inferences", "Inferences of the voice activity detector, from turn.metrics.", unit="{inference}"),
        SpanAttribute("user_speech", "agentstack.vad.inferences"),
    ] = None
    vad_inference_duration_total_ms: Annotated[
        DurationMs | None,
        counter("vad.inference_duration", "Time the voice activity detector spent on inference, from turn.metrics.", unit="s"),
        SpanAttribute("user_speech", "agentstack.vad.inference_duration"),
    ] = None
    vad_label: Annotated[str | None, SpanAttribute("user_speech", "agentstack.vad.label")] = None


class Llm(Vad, frozen=True, gc=False, forbid_unknown_fields=True):
    """The language model (LLM)."""

    llm_ttft_ms: Annotated[
        LatencyMs | None,
        histogram("llm.time_to_first_token", "LLM request to first token.", buckets.COMPONENT, LLM_BY_AGENT, exemplars=True),
        GenAiMetric("time_to_first_chunk", "llm"),
        _PART,
        SpanTime("chat", "duration"),
        SpanAttribute("chat", "gen_ai.request.stream", as_flag=True),
        SpanAttribute("chat", "gen_ai.response.time_to_first_chunk"),
    ] = None
    llm_duration_ms: Annotated[
        DurationMs | None,
        histogram("llm.duration", "Whole generation of the LLM.", buckets.DURATION, LLM),
        GenAiMetric("duration", "llm"),
        SpanTime("chat", "duration"),
    ] = None
    llm_cancelled: Annotated[
        bool | None,
        BecomesLabel("cancelled"),
        DrivesLogic((TURNS,), "tells turns with cancelled work apart"),
        SpanAttribute("chat", "agentstack.llm.cancelled"),
    ] = None
    llm_prompt_tokens: Annotated[
        Tokens | None,
        counter("llm.prompt_tokens", "Tokens of prompts, cached ones included.", LLM, unit="{token}"),
        GenAiMetric("input_tokens", "llm", "text"),
        SpanAttribute("chat", "gen_ai.usage.input_tokens"),
    ] = None
    llm_completion_tokens: Annotated[
        Tokens | None,
        counter("llm.completion_tokens", "Tokens of completions.", LLM, unit="{token}"),
        GenAiMetric("output_tokens", "llm", "text"),
        SpanAttribute("chat", "gen_ai.usage.output_tokens"),
    ] = None
    llm_total_tokens: Annotated[
        Tokens | None,
        counter(
            "llm.total_tokens",
            "Tokens of prompts and completions as the platform sums them. Contains the prompt and completion tokens.",
            LLM,
            unit="{token}",
        ),
        SpanAttribute("chat", "agentstack.llm.total_tokens"),
    ] = None
    llm_tokens_per_second: Annotated[
        TokensPerSecond | None,
        histogram("llm.tokens", "Speed of the LLM's generation.", buckets.TOKENS_PER_SECOND, LLM, unit="{token}/s"),
        SpanAttribute("chat", "agentstack.llm.tokens_per_second"),
    ] = None
    llm_cache_read_tokens: Annotated[
        Tokens | None,
        counter(
            "llm.cache_read_tokens",
            "Prompt tokens read from the provider's cache. Part of the prompt tokens.",
            LLM,
            unit="{token}",
        ),
        GenAiMetric("cache_read_tokens", "llm", "text", part=True),
        SpanAttribute("chat", "gen_ai.usage.cache_read.input_tokens"),
    ] = None
    llm_cache_hit_ratio: Annotated[
        Ratio | None,
        histogram("llm.cache_hit_ratio", "Share of the prompt read from the provider's cache.", buckets.RATIO, LLM, unit="1"),
        SpanAttribute("chat", "agentstack.llm.cache_hit_ratio"),
    ] = None
    llm_model: Annotated[str | None, BecomesLabel("model"), SpanAttribute("chat", "gen_ai.request.model")] = None
    llm_provider: Annotated[str | None, BecomesLabel("provider"), SpanAttribute("chat", "gen_ai.provider.name")] = None
    llm_label: Annotated[str | None, SpanAttribute("chat", "agentstack.llm.label")] = None
    llm_request_id: Annotated[str | None, SpanAttribute("chat", "gen_ai.response.id")] = None
    llm_timestamp: Annotated[UnixTime | None, SpanTime("chat", "end")] = None
    llm_speech_id: Annotated[str | None, SpanAttribute("chat", "agentstack.llm.speech_id")] = None


class Tts(Llm, frozen=True, gc=False, forbid_unknown_fields=True):
    """Speech synthesis (TTS)."""

    tts_ttfb_ms: Annotated[
        LatencyMs | None,
        histogram("tts.time_to_first_byte", "Text to first audio byte.", buckets.COMPONENT, TTS_BY_AGENT, exemplars=True),
        GenAiMetric("time_to_first_chunk", "tts"),
        _AUDIO,
        SpanTime("text_to_speech", "duration"),
    ] = None
    tts_duration_ms: Annotated[
        DurationMs | None,
        histogram("tts.duration", "Whole synthesis.", buckets.DURATION, TTS),
        GenAiMetric("duration", "tts"),
        SpanTime("text_to_speech", "duration"),
    ] = None
    tts_audio_duration_ms: Annotated[
        DurationMs | None,
        counter("tts.audio_duration", "Audio synthesised, from turn.metrics.", TTS, unit="s"),
        SpanAttribute("text_to_speech", "agentstack.tts.audio_duration"),
    ] = None
    tts_cancelled: Annotated[
        bool | None,
        BecomesLabel("cancelled"),
        DrivesLogic((TURNS,), "tells turns with cancelled work apart"),
        SpanAttribute("text_to_speech", "agentstack.tts.cancelled"),
    ] = None
    tts_characters: Annotated[
        Characters | None,
        counter("tts.characters", "Characters synthesised, from turn.metrics.", TTS, unit="{character}"),
        SpanAttribute("text_to_speech", "agentstack.tts.characters"),
    ] = None
    tts_streamed: Annotated[bool | None, SpanAttribute("text_to_speech", "gen_ai.request.stream")] = None
    tts_input_tokens: Annotated[
        Tokens | None,
        counter("tts.input_tokens", "Text tokens taken by token-priced synthesis.", TTS, unit="{token}"),
        GenAiMetric("input_tokens", "tts", "text"),
        SpanAttribute("text_to_speech", "gen_ai.usage.input_tokens", zero_is_absent=True),
    ] = None
    tts_output_tokens: Annotated[
        Tokens | None,
        counter("tts.output_tokens", "Audio tokens given by token-priced synthesis.", TTS, unit="{token}"),
        GenAiMetric("output_tokens", "tts", "audio"),
        SpanAttribute("text_to_speech", "gen_ai.usage.output_tokens", zero_is_absent=True),
    ] = None
    tts_model: Annotated[str | None, BecomesLabel("model"), SpanAttribute("text_to_speech", "gen_ai.request.model")] = None
    tts_provider: Annotated[str | None, BecomesLabel("provider"), SpanAttribute("text_to_speech", "gen_ai.provider.name")] = None
    tts_label: Annotated[str | None, SpanAttribute("text_to_speech", "agentstack.tts.label")] = None
    tts_request_id: Annotated[str | None, SpanAttribute("text_to_speech", "agentstack.tts.request_id")] = None
    tts_timestamp: Annotated[UnixTime | None, SpanTime("text_to_speech", "end")] = None
    tts_speech_id: Annotated[str | None, SpanAttribute("text_to_speech", "agentstack.tts.speech_id")] = None
    tts_segment_id: Annotated[str | None, SpanAttribute("text_to_speech", "agentstack.tts.segment_id")] = None


class Stt(Tts, frozen=True, gc=False, forbid_unknown_fields=True):
    """Transcription (STT)."""

    stt_duration_ms: Annotated[
        DurationMs | None,
        histogram(
            "stt.duration",
            "Transcription request of a recogniser that does not stream. A streaming one reports 0, which is not observed.",
            buckets.COMPONENT,
            STT,
            zero_is_unknown=True,
        ),
        GenAiMetric("duration", "stt"),
        SpanAttribute("speech_to_text", "agentstack.stt.duration"),
    ] = None
    stt_audio_duration_ms: Annotated[
        DurationMs | None,
        counter("stt.audio_duration", "Audio transcribed, from turn.metrics.", STT, unit="s"),
        SpanAttribute("speech_to_text", "agentstack.stt.audio_duration"),
    ] = None
    stt_streamed: Annotated[bool | None, SpanAttribute("speech_to_text", "gen_ai.request.stream")] = None
    stt_input_tokens: Annotated[
        Tokens | None,
        counter("stt.input_tokens", "Audio tokens taken by token-priced transcription.", STT, unit="{token}"),
        GenAiMetric("input_tokens", "stt", "audio"),
        SpanAttribute("speech_to_text", "gen_ai.usage.input_tokens", zero_is_absent=True),
    ] = None
    stt_output_tokens: Annotated[
        Tokens | None,
        counter("stt.output_tokens", "Text tokens given by token-priced transcription.", STT, unit="{token}"),
        GenAiMetric("output_tokens", "stt", "text"),
        SpanAttribute("speech_to_text", "gen_ai.usage.output_tokens", zero_is_absent=True),
    ] = None
    stt_model: Annotated[str | None, BecomesLabel("model"), SpanAttribute("speech_to_text", "gen_ai.request.model")] = None
    stt_provider: Annotated[str | None, BecomesLabel("provider"), SpanAttribute("speech_to_text", "gen_ai.provider.name")] = None
    stt_confidence: Annotated[
        Ratio | None,
        histogram("stt.confidence", "Confidence of the recogniser in its transcript.", buckets.RATIO, STT, unit="1"),
        SpanAttribute("speech_to_text", "agentstack.stt.confidence"),
    ] = None
    stt_label: Annotated[str | None, SpanAttribute("speech_to_text", "agentstack.stt.label")] = None
    stt_request_id: Annotated[str | None, SpanAttribute("speech_to_text", "agentstack.stt.request_id")] = None
    stt_timestamp: Annotated[UnixTime | None, SpanTime("speech_to_text", "end")] = None


class Interruption(Stt, frozen=True, gc=False, forbid_unknown_fields=True):
    """Barge-ins and backchannels within the turn. A duration of 0 means that there was none; it is not observed."""

    interruption_total_duration_ms: Annotated[
        LatencyMs | None,
        histogram(
            "interruption.duration",
            "From the start of overlapping speech until it was judged, from turn.metrics.",
            buckets.COMPONENT,
            zero_is_unknown=True,
        ),
        SpanAttribute("turn", "agentstack.interruption.duration"),
    ] = None
    interruption_prediction_ms: Annotated[
        LatencyMs | None,
        histogram(
            "interruption.prediction",
            "Inference of the interruption model, from turn.metrics.",
            buckets.MICRO,
            zero_is_unknown=True,
        ),
        SpanAttribute("turn", "agentstack.interruption.prediction"),
    ] = None
    interruption_detection_delay_ms: Annotated[
        LatencyMs | None,
        histogram(
            "interruption.detection_delay",
            "Start of overlapping speech to its detection as an interruption, from turn.metrics.",
            buckets.COMPONENT,
            zero_is_unknown=True,
        ),
        SpanAttribute("turn", "agentstack.interruption.detection_delay"),
    ] = None
    num_interruptions: Annotated[
        Count | None,
        counter(
            "turn.interruptions",
            "Interruptions as turn.metrics counts them; agentstack_interruptions_total counts the events.",
            BY_PIPELINE,
            unit="{interruption}",
        ),
        SpanAttribute("turn", "agentstack.turn.interruptions"),
    ] = None
    num_backchannels: Annotated[
        Count | None,
        counter(
            "turn.backchannels",
            "Backchannels as turn.metrics counts them; agentstack_backchannels_total counts the events.",
            BY_PIPELINE,
            unit="{backchannel}",
        ),
        SpanAttribute("turn", "agentstack.turn.backchannels"),
    ] = None
    interruption_num_requests: Annotated[
        Count | None,
        counter("interruption.requests", "Requests to the interruption model, from turn.metrics.", unit="{request}"),
        SpanAttribute("turn", "agentstack.interruption.requests"),
    ] = None


class Realtime(Interruption, frozen=True, gc=False, forbid_unknown_fields=True):
    """The speech-to-speech model, which replaces STT, LLM and TTS."""

    realtime_ttft_ms: Annotated[
        LatencyMs | None,
        histogram(
            "realtime.time_to_first_token",
            "Request to first audio token of the speech-to-speech model.",
            buckets.COMPONENT,
            REALTIME_BY_AGENT,
            exemplars=True,
        ),
        _AUDIO,
        SpanTime("realtime_inference", "duration"),
    ] = None
    realtime_duration_ms: Annotated[
        DurationMs | None,
        histogram("realtime.duration", "Whole response of the speech-to-speech model.", buckets.DURATION, REALTIME),
        GenAiMetric("duration", "realtime"),
        SpanTime("realtime_inference", "duration"),
    ] = None
    realtime_session_duration_ms: Annotated[
        DurationMs | None,
        histogram(
            "realtime.session_duration",
            "How long the connection to the speech-to-speech model had been open.",
            buckets.SESSION,
            REALTIME,
        ),
        SpanAttribute("realtime_inference", "agentstack.realtime.session_duration"),
    ] = None
    realtime_cancelled: Annotated[
        bool | None,
        BecomesLabel("cancelled"),
        DrivesLogic((TURNS,), "tells turns with cancelled work apart"),
        SpanAttribute("realtime_inference", "agentstack.realtime.cancelled"),
    ] = None
    realtime_input_tokens: Annotated[
        Tokens | None,
        counter("realtime.input_tokens", "Tokens into the speech-to-speech model, of all kinds.", REALTIME, unit="{token}"),
        GenAiMetric("input_tokens", "realtime"),
        SpanAttribute("realtime_inference", "gen_ai.usage.input_tokens"),
    ] = None
    realtime_output_tokens: Annotated[
        Tokens | None,
        counter("realtime.output_tokens", "Tokens out of the speech-to-speech model, of all kinds.", REALTIME, unit="{token}"),
        GenAiMetric("output_tokens", "realtime"),
        SpanAttribute("realtime_inference", "gen_ai.usage.output_tokens"),
    ] = None
    realtime_total_tokens: Annotated[
        Tokens | None,
        counter(
            "realtime.total_tokens",
            "Tokens into and out of the speech-to-speech model. Contains the input and output tokens.",
            REALTIME,
            unit="{token}",
        ),
        SpanAttribute("realtime_inference", "agentstack.realtime.total_tokens"),
    ] = None
    realtime_tokens_per_second: Annotated[
        TokensPerSecond | None,
        histogram("realtime.tokens", "Speed of the speech-to-speech model.", buckets.TOKENS_PER_SECOND, REALTIME, unit="{token}/s"),
        SpanAttribute("realtime_inference", "agentstack.realtime.tokens_per_second"),
    ] = None
    realtime_label: Annotated[str | None, SpanAttribute("realtime_inference", "agentstack.realtime.label")] = None
    realtime_request_id: Annotated[str | None, SpanAttribute("realtime_inference", "gen_ai.response.id")] = None
    realtime_model: Annotated[str | None, BecomesLabel("model"), SpanAttribute("realtime_inference", "gen_ai.request.model")] = None
    realtime_provider: Annotated[str | None, BecomesLabel("provider"), SpanAttribute("realtime_inference", "gen_ai.provider.name")] = (
        None
    )
    realtime_input_audio_tokens: Annotated[
        Tokens | None,
        counter("realtime.input_audio_tokens", "Audio tokens in. Part of the input tokens.", REALTIME, unit="{token}"),
        GenAiMetric("input_tokens", "realtime", "audio", part=True),
        SpanAttribute("realtime_inference", "gen_ai.usage.audio.input_tokens", zero_is_absent=True),
    ] = None
    realtime_input_text_tokens: Annotated[
        Tokens | None,
        counter("realtime.input_text_tokens", "Text tokens in. Part of the input tokens.", REALTIME, unit="{token}"),
        GenAiMetric("input_tokens", "realtime", "text", part=True),
        SpanAttribute("realtime_inference", "gen_ai.usage.text.input_tokens", zero_is_absent=True),
    ] = None
    realtime_input_image_tokens: Annotated[
        Tokens | None,
        counter("realtime.input_image_tokens", "Image tokens in. Part of the input tokens.", REALTIME, unit="{token}"),
        GenAiMetric("input_tokens", "realtime", "image", part=True),
        SpanAttribute("realtime_inference", "gen_ai.usage.image.input_tokens", zero_is_absent=True),
    ] = None
    realtime_output_audio_tokens: Annotated[
        Tokens | None,
        counter("realtime.output_audio_tokens", "Audio tokens out. Part of the output tokens.", REALTIME, unit="{token}"),
        GenAiMetric("output_tokens", "realtime", "audio", part=True),
        SpanAttribute("realtime_inference", "gen_ai.usage.audio.output_tokens", zero_is_absent=True),
    ] = None
    realtime_output_text_tokens: Annotated[
        Tokens | None,
        counter("realtime.output_text_tokens", "Text tokens out. Part of the output tokens.", REALTIME, unit="{token}"),
        GenAiMetric("output_tokens", "realtime", "text", part=True),
        SpanAttribute("realtime_inference", "gen_ai.usage.text.output_tokens", zero_is_absent=True),
    ] = None
    realtime_output_image_tokens: Annotated[
        Tokens | None,
        counter("realtime.output_image_tokens", "Image tokens out. Part of the output tokens.", REALTIME, unit="{token}"),
        GenAiMetric("output_tokens", "realtime", "image", part=True),
        SpanAttribute("realtime_inference", "gen_ai.usage.image.output_tokens", zero_is_absent=True),
    ] = None
    realtime_cached_tokens: Annotated[
        Tokens | None,
        counter("realtime.cached_tokens", "Input tokens read from the cache. Part of the input tokens.", REALTIME, unit="{token}"),
        SpanAttribute("realtime_inference", "gen_ai.usage.cache_read.input_tokens"),
    ] = None
    realtime_cached_audio_tokens: Annotated[
        Tokens | None,
        counter("realtime.cached_audio_tokens", "Cached audio tokens. Part of the cached tokens.", REALTIME, unit="{token}"),
        GenAiMetric("cache_read_tokens", "realtime", "audio", part=True),
        SpanAttribute("realtime_inference", "gen_ai.usage.audio.cache_read.input_tokens", zero_is_absent=True),
    ] = None
    realtime_cached_text_tokens: Annotated[
        Tokens | None,
        counter("realtime.cached_text_tokens", "Cached text tokens. Part of the cached tokens.", REALTIME, unit="{token}"),
        GenAiMetric("cache_read_tokens", "realtime", "text", part=True),
        SpanAttribute("realtime_inference", "gen_ai.usage.text.cache_read.input_tokens", zero_is_absent=True),
    ] = None
    realtime_cached_image_tokens: Annotated[
        Tokens | None,
        counter("realtime.cached_image_tokens", "Cached image tokens. Part of the cached tokens.", REALTIME, unit="{token}"),
        GenAiMetric("cache_read_tokens", "realtime", "image", part=True),
        SpanAttribute("realtime_inference", "gen_ai.usage.image.cache_read.input_tokens", zero_is_absent=True),
    ] = None
    realtime_cache_hit_ratio: Annotated[
        Ratio | None,
        histogram("realtime.cache_hit_ratio", "Share of the input read from the cache.", buckets.RATIO, REALTIME, unit="1"),
        SpanAttribute("realtime_inference", "agentstack.realtime.cache_hit_ratio"),
    ] = None


class WallClock(Realtime, frozen=True, gc=False, forbid_unknown_fields=True):
    """When the turn happened by the platform's clock, and the remaining fields."""

    user_started_speaking_at: Annotated[DateTime | None, SpanTime("user_speech", "start")] = None
    user_stopped_speaking_at: Annotated[DateTime | None, SpanTime("user_speech", "end")] = None
    agent_started_speaking_at: Annotated[
        DateTime | None, DrivesLogic((CALLER_TURNS,), "says that the caller was answered"), SpanTime("agent_speech", "start")
    ] = None
    agent_stopped_speaking_at: Annotated[DateTime | None, SpanTime("agent_speech", "end")] = None
    speaking_rate: Annotated[
        WordsPerSecond | None,
        histogram("speaking_rate", "How fast the user spoke, in words.", buckets.WORDS_PER_SECOND, unit="{word}/s"),
        SpanAttribute("user_speech", "agentstack.user.speaking_rate"),
    ] = None
    error_source: Annotated[
        str | None,
        counter(
            "turn.errors",
            "Turns in which a stage failed, by that stage; agentstack_errors_total counts session.error events.",
            labels(agent=AGENT, pipeline=PIPELINE, component=Text("error_source")),
            unit="{turn}",
            amount="presence",
        ),
        BecomesLabel("component"),
        SpanAttribute("turn", "error.type"),
    ] = None
    llm_availability: Annotated[
        dict[str, bool] | None,
        DrivesLogic(("agentstack.llm.available",), "sets the availability of each LLM it names"),
        SpanAttribute("turn", "agentstack.llm.availability"),
    ] = None


class TurnMetrics(WallClock, frozen=True, gc=False, forbid_unknown_fields=True, tag="turn.metrics"):
    """All measurements of one turn. The fields declared here are those that only an earlier generation of the protocol has."""

    tts_pipeline_ms: Annotated[
        LatencyMs | None,
        histogram("tts.pipeline", "First token to first audio, from servers of the second generation.", buckets.COMPONENT, BY_PIPELINE),
        SpanAttribute("text_to_speech", "agentstack.tts.pipeline"),
    ] = None
    tts_gate_wait_ms: Annotated[
        LatencyMs | None,
        histogram(
            "tts.gate_wait",
            "Wait before synthesis may start, from servers of the second generation.",
            buckets.COMPONENT,
            BY_PIPELINE,
        ),
        SpanAttribute("text_to_speech", "agentstack.tts.gate_wait"),
    ] = None
    fallback_silence_ms: Annotated[
        LatencyMs | None,
        histogram(
            "turn_fallback_silence",
            "Silence after which a turn ends anyway, from servers of the second generation.",
            buckets.COMPONENT,
        ),
        SpanAttribute("turn_detection", "agentstack.turn.fallback_silence"),
    ] = None
    context_msg_count: Annotated[
        Count | None,
        histogram(
            "llm.context_messages",
            "Messages in the LLM's context, from servers of the second generation.",
            buckets.COUNT,
            unit="{message}",
        ),
        SpanAttribute("chat", "agentstack.llm.context_messages"),
    ] = None
    interruption_reason: Annotated[str | None, SpanAttribute("turn", "agentstack.interruption.reason")] = None
    pause_duration_ms: Annotated[
        LatencyMs | None,
        histogram(
            "turn_pause",
            "Pause of the agent in the turn, from servers of the second generation.",
            buckets.COMPONENT,
            zero_is_unknown=True,
        ),
        SpanAttribute("turn", "agentstack.turn.pause"),
    ] = None
    on_user_turn_completed_ms: Annotated[LatencyMs | None, AliasOf("turn_completed_callback_ms")] = None
