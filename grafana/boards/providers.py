"""Providers and models: which are slow, which fail, which replaced another one."""

from grafana_foundation_sdk.models.dashboard import Panel

from grafana.board import Board, PanelRow, Section, even
from grafana.numbers import Of, number
from grafana.panels import heat_map, lines, states
from grafana.queries import SMOOTH, Query, buckets, increase, mean, now, quantile, rate, ratio, select, share, tally
from grafana.style import BAD, COLOURS, GOOD, WARN, Steps
from grafana.tables import Column, grid

_MODEL = ("provider", "model")
_NAMED = {"provider": "!=unknown"}
"""Leaves out turns whose provider is not reported: a row of "unknown" compares nothing."""
_NAME = "{{provider}} {{model}}"
_KEYS = {"provider": "Provider", "model": "Model"}
_FINISHED = {"cancelled": "false"}
_FIRST = {
    "llm": "agentstack_llm_time_to_first_token_seconds",
    "tts": "agentstack_tts_time_to_first_byte_seconds",
    "realtime": "agentstack_realtime_time_to_first_token_seconds",
}
_STT = "agentstack_stt_delay_seconds"
_ALL: Steps = ((None, BAD), (0.5, WARN), (1, GOOD))
_RARE: Steps = ((None, GOOD), (0.01, WARN), (0.05, BAD))


def _speed(title: str, what: str, name: str, alert: str, **matchers: str) -> Panel:
    return lines(
        title,
        f"{what} p95 by provider and model, so that they compare. One line up: that provider, see its status page; all of a kind up: "
        "look at the network and the agent's region. A gap: not used.",
        "s",
        Query(quantile(0.95, name, *_MODEL, **_NAMED, **matchers, window=SMOOTH), _NAME),
        side=True,
        values=("mean",),
        alerts=(alert,),
    )


def _table(title: str, name: str, **matchers: str) -> Panel:
    """Requests, p50 and p95 of each model over the time shown."""
    over = {"window": "$__range", **matchers, **_NAMED}
    return grid(
        title,
        "Each model over the time shown. Compare only those with enough requests; a model that stands here with few is a fallback.",
        _KEYS,
        Column("Requests", "count", now(increase(name, *_MODEL, suffix="_count", **over))),
        Column("p50", "s", now(quantile(0.5, name, *_MODEL, **over))),
        Column("p95", "s", now(quantile(0.95, name, *_MODEL, **over))),
    )


_HEALTH = (
    number(
        "LLMs available",
        "Share of the LLMs that were available when the platform last reported them. Not all: calls run on a fallback; see which "
        "below.",
        "percentunit",
        now(f"avg(min by (llm) ({select('agentstack_llm_available')}))"),
        steps=_ALL,
        decimals=0,
        none="never reported",
        of=Of("LLMs", now(f"count(min by (llm) ({select('agentstack_llm_available')}))")),
        alerts=("AgentStackLlmUnavailable",),
    ),
    number(
        "Fallbacks a call",
        "Changes of the provider or model while a call goes on, over the calls that began: a fallback took over. Many: the first "
        "choice fails, see errors.",
        "percentunit",
        now(
            share(
                increase("agentstack_model_changes_total", window="$__range"), increase("agentstack_sessions_total", window="$__range")
            )
        ),
        steps=_RARE,
        decimals=1,
        none="no calls",
        of=Of("calls", now(increase("agentstack_sessions_total", window="$__range"))),
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
        decimals=1,
        none="no turns",
        of=Of("turns", now(increase("agentstack_turns_total", window="$__range"))),
        alerts=("AgentStackTurnErrors",),
    ),
)
_ERRORS = lines(
    "Turns with an error, by component",
    "Turns in which a component failed. One colour alone: that provider's outage; all of them: the platform or the network.",
    "turns",
    Query(tally("agentstack_turn_errors_total", "component"), "{{component}}"),
    colours=COLOURS,
    stacked=True,
    bars=True,
    values=("sum",),
)
_CHANGES = lines(
    "Fallbacks: changes within a call",
    "A call changed its provider, or only its model, by component. A burst begins when the first choice fails, not when callers "
    "complain.",
    "count",
    Query(tally("agentstack_model_changes_total", "component"), "{{component}}"),
    axis="changes",
    colours=COLOURS,
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
    Query(mean("agentstack_stt_confidence", *_MODEL, **_NAMED, window=SMOOTH), _NAME),
    top=1,
    side=True,
    values=("mean",),
)
_AUDIO = lines(
    "Audio transcribed and synthesised",
    "How many callers are heard and how many agents speak at once, on average. It follows the active calls; if not, look for silence "
    "on Conversation quality.",
    "calls",
    Query(rate("agentstack_stt_audio_duration_seconds_total", *_MODEL, **_NAMED), f"heard by {_NAME}"),
    Query(rate("agentstack_tts_audio_duration_seconds_total", *_MODEL, **_NAMED), f"spoken by {_NAME}"),
    side=True,
    values=("mean",),
)
_LLM_SPEED = lines(
    "LLM tokens per second",
    "Median speed of generation. Below what speech takes (about 5 tokens a second) the voice stutters.",
    "factor",
    Query(quantile(0.5, "agentstack_llm_tokens_per_second", *_MODEL, **_NAMED, **_FINISHED, window=SMOOTH), _NAME),
    axis="tokens a second",
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
            increase("agentstack_llm_cache_read_tokens_total", *_MODEL, **_NAMED, window=SMOOTH),
            increase("agentstack_llm_prompt_tokens_total", *_MODEL, **_NAMED, window=SMOOTH),
        ),
        _NAME,
    ),
    top=1,
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
            increase("agentstack_llm_duration_seconds", *_MODEL, **_NAMED, suffix="_count", cancelled="true", window=SMOOTH),
            increase("agentstack_llm_duration_seconds", *_MODEL, **_NAMED, suffix="_count", window=SMOOTH),
        ),
        _NAME,
    ),
    side=True,
    values=("mean",),
)
_LLM_LENGTH = lines(
    "Whole generation, p95",
    "Request to last token. Rises with the length of answers; alone, without the first token, it delays only long answers.",
    "s",
    Query(quantile(0.95, "agentstack_llm_duration_seconds", *_MODEL, **_NAMED, **_FINISHED, window=SMOOTH), _NAME),
    side=True,
    values=("mean",),
)
_TTS_LENGTH = lines(
    "Whole synthesis, p95",
    "Text to last audio. Longer than the audio itself: the voice stutters.",
    "s",
    Query(quantile(0.95, "agentstack_tts_duration_seconds", *_MODEL, **_NAMED, **_FINISHED, window=SMOOTH), _NAME),
    side=True,
    values=("mean",),
)
_TTS_FACTOR = lines(
    "Synthesis faster than speech",
    "Seconds of audio made per second of synthesis. Near 1 or below, callers hear pauses within sentences.",
    "factor",
    Query(
        ratio(
            increase("agentstack_tts_audio_duration_seconds_total", *_MODEL, **_NAMED, window=SMOOTH),
            increase("agentstack_tts_duration_seconds", *_MODEL, **_NAMED, suffix="_sum", window=SMOOTH),
        ),
        _NAME,
    ),
    axis="times as fast",
    side=True,
    values=("mean",),
)
_REALTIME_SPEED = lines(
    "Realtime tokens per second",
    "Median speed of the speech-to-speech model. Falling while the first token is fast: answers stutter.",
    "factor",
    Query(quantile(0.5, "agentstack_realtime_tokens_per_second", *_MODEL, **_NAMED, **_FINISHED, window=SMOOTH), _NAME),
    axis="tokens a second",
    side=True,
    values=("mean",),
)
_REALTIME_CACHE = lines(
    "Realtime input from the cache",
    "Share of input tokens that were cached. Long calls live on it: a fall multiplies their cost.",
    "percentunit",
    Query(
        share(
            increase("agentstack_realtime_cached_tokens_total", *_MODEL, **_NAMED, window=SMOOTH),
            increase("agentstack_realtime_input_tokens_total", *_MODEL, **_NAMED, window=SMOOTH),
        ),
        _NAME,
    ),
    top=1,
    side=True,
    values=("mean",),
)

_REALTIME_WAITS = heat_map(
    "Realtime first token",
    "The more a cell stands out, the more responses. A second, higher band: responses that wait for a tool or a cold connection.",
    buckets(_FIRST["realtime"], **_FINISHED),
)


def _compared(kind: str, what: str, meaning: str, name: str, alert: str, **matchers: str) -> PanelRow:
    """The models of a kind over time, and beside them over all the time shown."""
    over_time = _speed(f"{kind} {what}, p95", meaning, name, alert, **matchers)
    return even(8, over_time, _table(f"{kind}, over the time shown", name, **matchers))


BOARD = Board(
    name="providers",
    title="AgentStack / Providers and models",
    description="Recognisers, language models, voices and speech-to-speech side by side: speed, errors, fallbacks, throughput, cache.",
    sections=(
        Section(
            "Is a provider failing? Numbers over the time shown",
            (even(4, *_HEALTH), even(8, _ERRORS, _CHANGES), even(7, _AVAILABILITY)),
        ),
        Section(
            "Speed side by side",
            (
                _compared("Speech to text", "delay", "End of speech to the final transcript.", _STT, "AgentStackSttSlow"),
                _compared("LLM", "first token", "Request to first token.", _FIRST["llm"], "AgentStackLlmSlow", **_FINISHED),
                _compared("Text to speech", "first byte", "Text to first audio.", _FIRST["tts"], "AgentStackTtsSlow", **_FINISHED),
            ),
        ),
        Section("Language models", (even(8, _LLM_SPEED, _LLM_CACHE), even(8, _LLM_CANCELLED, _LLM_LENGTH))),
        Section("Recognisers and voices", (even(8, _CONFIDENCE, _AUDIO), even(8, _TTS_LENGTH, _TTS_FACTOR))),
        Section(
            "Speech to speech",
            (
                _compared(
                    "Realtime",
                    "first token",
                    "Request to first audio token.",
                    _FIRST["realtime"],
                    "AgentStackRealtimeSlow",
                    **_FINISHED,
                ),
                even(8, _REALTIME_SPEED, _REALTIME_CACHE),
                even(8, _REALTIME_WAITS),
            ),
            closed=True,
        ),
    ),
)
