"""Providers and models: which are slow, which fail, which replaced another one."""

from grafana_foundation_sdk.models.dashboard import Panel

from grafana.board import Board, Section, even
from grafana.panels import BAD, GOOD, WARN, Steps, grid, heat_map, lines, number, states
from grafana.queries import Query, buckets, increase, mean, now, quantile, rate, ratio, select, share, tally

_MODEL = ("provider", "model")
_NAME = "{{provider}} {{model}}"
_KEYS = {"provider": "Provider", "model": "Model"}
_FINISHED = {"cancelled": "false"}
_FIRST = {
    "llm": "agentstack_llm_time_to_first_token_seconds",
    "tts": "agentstack_tts_time_to_first_byte_seconds",
    "realtime": "agentstack_realtime_time_to_first_token_seconds",
}
_STT = "agentstack_stt_delay_seconds"
_SOME: Steps = ((None, GOOD), (1, WARN))
_RARE: Steps = ((None, GOOD), (0.01, WARN), (0.05, BAD))


def _speed(title: str, what: str, name: str, alert: str, **matchers: str) -> Panel:
    return lines(
        title,
        f"{what} p95 by provider and model, so that they compare. One line up: that provider, see its status page; all of a kind up: "
        "look at the network and the agent's region. A gap: not used.",
        "s",
        Query(quantile(0.95, name, *_MODEL, **matchers), _NAME, exemplar=True),
        slow=True,
        side=True,
        values=("mean",),
        alerts=(alert,),
    )


def _table(title: str, name: str, **matchers: str) -> Panel:
    """Requests, p50 and p95 of each model over the time shown."""
    over = {"window": "$__range", **matchers}
    return grid(
        title,
        "Each model over the time shown. Compare only those with enough requests; a model that stands here with few is a fallback.",
        _KEYS,
        ("Requests", "count", now(increase(name, *_MODEL, suffix="_count", **over)), ()),
        ("p50", "s", now(quantile(0.5, name, *_MODEL, **over)), ()),
        ("p95", "s", now(quantile(0.95, name, *_MODEL, **over)), ()),
    )


_HEALTH = (
    number(
        "LLMs reported unavailable",
        "LLMs that the platform last reported as unavailable. Any: calls run on a fallback; see which in the table of changes.",
        "short",
        now(f"count({select('agentstack_llm_available')} == 0) or sum({select('agentstack_llm_available')}) * 0"),
        steps=_SOME,
        none="never reported",
        alerts=("AgentStackLlmUnavailable",),
    ),
    number(
        "Changes of provider or model",
        "Times a call changed its provider or model while it went on: a fallback took over. Many: the first choice fails, see errors.",
        "count",
        now(f"{increase('agentstack_model_changes_total', window='$__range')} or vector(0)"),
        steps=_SOME,
        decimals=0,
        alerts=("AgentStackProviderFallback",),
    ),
    number(
        "Turns with an error",
        "Share of turns in which a component failed. The panel beside says which component, Overview what callers notice of it.",
        "percentunit",
        now(
            share(
                increase("agentstack_turn_errors_total", window="$__range"),
                increase("agentstack_turns_total", window="$__range"),
            )
        ),
        steps=_RARE,
        decimals=2,
        none="no turns",
        alerts=("AgentStackTurnErrors",),
    ),
)
_ERRORS = lines(
    "Turns with an error, by component",
    "Turns in which a component failed. One colour alone: that provider's outage; all of them: the platform or the network.",
    "turns",
    Query(tally("agentstack_turn_errors_total", "component"), "{{component}}"),
    stacked=True,
    bars=True,
    values=("sum",),
)
_CHANGES = lines(
    "Fallbacks: changes within a call",
    "A call changed its provider or model, by component. A burst begins when the first choice fails, not when callers complain.",
    "short",
    Query(tally("agentstack_model_changes_total", "component", "change"), "{{component}}: {{change}}"),
    stacked=True,
    bars=True,
    values=("sum",),
)
_AVAILABILITY = states(
    "LLM availability",
    "Whether each LLM was available when last reported; those never reported are not shown. One that stays red: check its quota, key "
    "and status page.",
    Query(f"min by (llm) ({select('agentstack_llm_available')})", "{{llm}}"),
    {0: ("unavailable", BAD), 1: ("available", GOOD)},
)

_CONFIDENCE = lines(
    "Confidence of transcripts",
    "Mean confidence of the recogniser. A fall after a change of model, language or audio format: callers are misunderstood; listen "
    "to a call.",
    "percentunit",
    Query(mean("agentstack_stt_confidence", *_MODEL), _NAME),
    top=1,
    slow=True,
    side=True,
    values=("mean",),
)
_AUDIO = lines(
    "Audio transcribed and synthesised",
    "Seconds of audio per second: how many callers are heard and how many agents speak on average. It follows the active calls; if "
    "not, look for silence on Conversation quality.",
    "none",
    Query(rate("agentstack_stt_audio_duration_seconds_total", *_MODEL), f"heard by {_NAME}"),
    Query(rate("agentstack_tts_audio_duration_seconds_total", *_MODEL), f"spoken by {_NAME}"),
    slow=True,
    side=True,
    values=("mean",),
)
_LLM_SPEED = lines(
    "LLM tokens per second",
    "Median speed of generation. Below what speech takes (about 5 tokens a second) the voice stutters.",
    "none",
    Query(quantile(0.5, "agentstack_llm_tokens_per_second", *_MODEL, **_FINISHED), _NAME),
    slow=True,
    side=True,
    values=("mean",),
)
_LLM_CACHE = lines(
    "Prompt tokens from the cache",
    "Share of prompt tokens that the provider had cached. A fall raises both wait and cost: the beginning of the prompt changed, or "
    "calls are too far apart.",
    "percentunit",
    Query(
        share(
            increase("agentstack_llm_cache_read_tokens_total", *_MODEL),
            increase("agentstack_llm_prompt_tokens_total", *_MODEL),
        ),
        _NAME,
    ),
    top=1,
    slow=True,
    side=True,
    values=("mean",),
)
_LLM_CANCELLED = lines(
    "Cancelled generations",
    "Share of LLM requests thrown away before they ended: interruptions, and answers begun too early. Much more than the "
    "interruptions: "
    "preemptive generation guesses wrong.",
    "percentunit",
    Query(
        share(
            increase("agentstack_llm_duration_seconds", *_MODEL, suffix="_count", cancelled="true"),
            increase("agentstack_llm_duration_seconds", *_MODEL, suffix="_count"),
        ),
        _NAME,
    ),
    slow=True,
    side=True,
    values=("mean",),
)
_LLM_LENGTH = lines(
    "Whole generation, p95",
    "Request to last token. Rises with the length of answers; alone, without the first token, it delays only long answers.",
    "s",
    Query(quantile(0.95, "agentstack_llm_duration_seconds", *_MODEL, **_FINISHED), _NAME),
    slow=True,
    side=True,
    values=("mean",),
)
_TTS_LENGTH = lines(
    "Whole synthesis, p95",
    "Text to last audio. Longer than the audio itself: the voice stutters.",
    "s",
    Query(quantile(0.95, "agentstack_tts_duration_seconds", *_MODEL, **_FINISHED), _NAME),
    slow=True,
    side=True,
    values=("mean",),
)
_TTS_FACTOR = lines(
    "Synthesis faster than speech",
    "Seconds of audio made per second of synthesis. Near 1 or below, callers hear pauses within sentences.",
    "none",
    Query(
        ratio(
            increase("agentstack_tts_audio_duration_seconds_total", *_MODEL),
            increase("agentstack_tts_duration_seconds", *_MODEL, suffix="_sum"),
        ),
        _NAME,
    ),
    slow=True,
    side=True,
    values=("mean",),
)
_REALTIME_SPEED = lines(
    "Realtime tokens per second",
    "Median speed of the speech-to-speech model. Falling while the first token is fast: answers stutter.",
    "none",
    Query(quantile(0.5, "agentstack_realtime_tokens_per_second", *_MODEL, **_FINISHED), _NAME),
    slow=True,
    values=("mean",),
)
_REALTIME_CACHE = lines(
    "Realtime input from the cache",
    "Share of input tokens that were cached. Long calls live on it: a fall multiplies their cost.",
    "percentunit",
    Query(
        share(
            increase("agentstack_realtime_cached_tokens_total", *_MODEL),
            increase("agentstack_realtime_input_tokens_total", *_MODEL),
        ),
        _NAME,
    ),
    top=1,
    slow=True,
    values=("mean",),
)

BOARD = Board(
    name="providers",
    title="AgentStack / Providers and models",
    description="Recognisers, language models, voices and speech-to-speech side by side: speed, errors, fallbacks, throughput, cache.",
    sections=(
        Section("Is a provider failing? Numbers over the time shown", (even(4, *_HEALTH), even(8, _ERRORS, _CHANGES, _AVAILABILITY))),
        Section(
            "Speed side by side",
            (
                even(
                    8,
                    _speed("Speech to text delay, p95", "End of speech to the final transcript.", _STT, "AgentStackSttSlow"),
                    _speed("LLM first token, p95", "Request to first token.", _FIRST["llm"], "AgentStackLlmSlow", **_FINISHED),
                ),
                even(
                    8,
                    _speed("TTS first byte, p95", "Text to first audio.", _FIRST["tts"], "AgentStackTtsSlow", **_FINISHED),
                    _speed(
                        "Realtime first token, p95",
                        "Request to first audio token.",
                        _FIRST["realtime"],
                        "AgentStackRealtimeSlow",
                        **_FINISHED,
                    ),
                ),
                even(
                    7,
                    _table("Speech to text, over the time shown", _STT),
                    _table("LLM, over the time shown", _FIRST["llm"], **_FINISHED),
                ),
                even(
                    7,
                    _table("Text to speech, over the time shown", _FIRST["tts"], **_FINISHED),
                    _table("Realtime, over the time shown", _FIRST["realtime"], **_FINISHED),
                ),
            ),
        ),
        Section("Language models", (even(8, _LLM_SPEED, _LLM_CACHE), even(8, _LLM_CANCELLED, _LLM_LENGTH))),
        Section("Recognisers and voices", (even(8, _CONFIDENCE, _AUDIO), even(8, _TTS_LENGTH, _TTS_FACTOR))),
        Section(
            "Speech to speech",
            (
                even(
                    8,
                    heat_map(
                        "Realtime first token",
                        "The more a cell stands out, the more responses. A second, higher band: responses that wait for a tool or a "
                        "cold connection.",
                        buckets(_FIRST["realtime"], **_FINISHED),
                    ),
                    _REALTIME_SPEED,
                    _REALTIME_CACHE,
                ),
            ),
        ),
    ),
)
