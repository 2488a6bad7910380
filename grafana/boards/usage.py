"""Usage and cost: what is consumed, how much of it is thrown away, and what it costs."""

from collections.abc import Sequence

from grafana_foundation_sdk.models.dashboard import Panel

from grafana.board import Board, PanelRow, Placed, Section, even
from grafana.numbers import Of, at_least, number
from grafana.panels import lines
from grafana.queries import SMOOTH, Query, increase, now, per_minute, rate, ratio, select, share
from grafana.style import BAD, COLOURS, GOOD, WARN, Steps
from grafana.tables import Column, grid

_RANGE = "$__range"
_MODEL = ("provider", "model")
_NAME = "{{provider}} {{model}}"
_COST = "agentstack_cost_usd_total"
_UNPRICED = "agentstack_unpriced_usage_total"
_NO_PRICES = "no price file"
_LLM = ("agentstack_llm_prompt_tokens_total", "agentstack_llm_completion_tokens_total")
_CHARACTERS = "agentstack_tts_characters_total"
_WASTE: Steps = ((None, GOOD), (0.1, WARN), (0.25, BAD))


def _sum_of(names: tuple[str, ...], **options: str) -> str:
    return " + ".join(f"({increase(name, **options)} or vector(0))" for name in names)


def _used(component: str, *names: str, unit: float = 1) -> str:
    """Usage of a component in the unit of its prices, with the label that unpriced usage has."""
    summed = " + ".join(f"({increase(name, window=_RANGE)} or vector(0))" for name in names)
    return f'label_replace(({summed}) / {unit:g}, "component", "{component}", "", "")'


def _unpriced() -> str:
    """Share of each component's usage that has no price; no value where all of it has one."""
    whole = " or ".join(
        (
            _used("llm", *_LLM),
            _used("tts", _CHARACTERS),
            _used("stt", "agentstack_stt_audio_duration_seconds_total", unit=60),
            _used("realtime", "agentstack_realtime_input_tokens_total", "agentstack_realtime_output_tokens_total"),
        )
    )
    return f"clamp_max(({increase(_UNPRICED, 'component', window=_RANGE)} > 0) / on (component) ({whole} > 0), 1)"


def _dollars(
    title: str, description: str, cost: str, *, unpriced: bool = False, decimals: int = 2, alerts: Sequence[str] = ()
) -> Panel:
    """A cost that says itself if it leaves out usage without a price: ≥ before the number, and the shares with ``unpriced``."""
    left_out = f"sum(increase({select(_UNPRICED)}[{_RANGE}])) > 0"
    shares = _unpriced() if unpriced else None
    return at_least(title, description, cost, left_out, shares=shares, none=_NO_PRICES, decimals=decimals, alerts=alerts)


_NUMBERS = (
    _dollars(
        "Cost",
        "What the usage of the time shown costs at the prices of the price file. With ≥ it costs more: the shares beside it are usage "
        "of models without a price. The table below says which; add them to the price file.",
        increase(_COST, window=_RANGE),
        unpriced=True,
    ),
    _dollars(
        "Cost an hour, now",
        "At the rate of the last minutes. Far above its own past: look at tokens by model below, then at turns of a call.",
        f"{increase(_COST, window=SMOOTH)} * 12",
        alerts=("AgentStackCostHigh",),
    ),
    _dollars(
        "Cost a call",
        "Cost over calls that ended. Long calls with growing prompts cost most: see prompt tokens by position on Turn anatomy.",
        ratio(increase(_COST, window=_RANGE), increase("agentstack_sessions_ended_total", window=_RANGE)),
        decimals=3,
    ),
    number(
        "LLM tokens",
        "Prompt and completion tokens. Mostly prompt: every turn sends the whole conversation again.",
        "tokens",
        now(_sum_of(_LLM, window=_RANGE)),
        decimals=1,
    ),
    number(
        "Wasted tokens",
        "Share of completion tokens that were thrown away: interrupted or superseded answers. High: shorter answers, or no preemptive "
        "generation.",
        "percentunit",
        now(share(increase(_LLM[1], window=_RANGE, cancelled="true"), increase(_LLM[1], window=_RANGE))),
        steps=_WASTE,
        decimals=1,
        none="no tokens",
        of=Of("tokens", now(increase(_LLM[1], window=_RANGE))),
    ),
)

_COST_PARTS = lines(
    "Cost by component",
    "US dollars an hour. The band that grew is what became dear. Empty without a price file.",
    "dollars",
    Query(f"{rate(_COST, 'component')} * 3600", "{{component}}"),
    axis="US dollars an hour",
    stacked=True,
    colours=COLOURS,
)
_COST_MODELS = grid(
    "Cost by model, over the time shown",
    "What each model cost. The first line is where a cheaper model or a better cache saves most.",
    {"component": "Component", "provider": "Provider", "model": "Model"},
    Column("Cost", "dollars", now(increase(_COST, "component", *_MODEL, window=_RANGE))),
)
_COST_UNPRICED = grid(
    "Usage without a price, over the time shown",
    "Units used of models that the price file does not name. Add a price for each line that is not empty.",
    {"component": "Component", "provider": "Provider", "model": "Model", "kind": "Kind"},
    Column("Units", "count", now(f"{increase(_UNPRICED, 'component', *_MODEL, 'kind', window=_RANGE)} > 0")),
    none="none",
)

_PROMPT = lines(
    "LLM prompt tokens",
    "Tokens per minute sent to each model, cached ones included. Growing faster than the calls: prompts grow; see Turn anatomy.",
    "per minute",
    Query(per_minute(_LLM[0], *_MODEL), _NAME),
    stacked=True,
    side=True,
    values=("mean",),
)
_COMPLETION = lines(
    "LLM completion tokens",
    "Tokens per minute generated by each model. Dear ones by far: long answers are slow, dear, and get interrupted.",
    "per minute",
    Query(per_minute(_LLM[1], *_MODEL), _NAME),
    stacked=True,
    side=True,
    values=("mean",),
)
_CACHED = lines(
    "Prompt tokens from the cache",
    "Share of the prompt read from the provider's cache, which is cheaper. A fall after a deployment: the prompt no longer begins "
    "the same way.",
    "percentunit",
    Query(
        share(increase("agentstack_llm_cache_read_tokens_total", *_MODEL, window=SMOOTH), increase(_LLM[0], *_MODEL, window=SMOOTH)),
        _NAME,
    ),
    top=1,
    side=True,
    values=("mean",),
)
_WASTED_TOKENS = lines(
    "Thrown away: completion tokens",
    "Share of completion tokens of cancelled generations, by model: paid for and never heard.",
    "percentunit",
    Query(share(increase(_LLM[1], *_MODEL, cancelled="true", window=SMOOTH), increase(_LLM[1], *_MODEL, window=SMOOTH)), _NAME),
    side=True,
    values=("mean",),
)
_WASTED_CHARACTERS = lines(
    "Thrown away: characters",
    "Share of synthesised characters of cancelled speech, by voice. Long answers that callers interrupt: cut them shorter.",
    "percentunit",
    Query(share(increase(_CHARACTERS, *_MODEL, cancelled="true", window=SMOOTH), increase(_CHARACTERS, *_MODEL, window=SMOOTH)), _NAME),
    side=True,
    values=("mean",),
)
_VOICES = lines(
    "Characters synthesised",
    "Characters per minute, by voice: what synthesis is billed by.",
    "per minute",
    Query(per_minute(_CHARACTERS, *_MODEL), _NAME),
    stacked=True,
)
_HEARD = lines(
    "Audio transcribed",
    "Minutes of audio in an hour, by recogniser: what recognition is billed by. 60 is one caller heard all the time; more than the "
    "active calls: audio is transcribed twice.",
    "factor",
    Query(per_minute("agentstack_stt_audio_duration_seconds_total", *_MODEL), _NAME),
    axis="minutes an hour",
    stacked=True,
)
_REALTIME = lines(
    "Realtime tokens by kind",
    "Tokens per minute of speech-to-speech models. Audio tokens cost a multiple of text ones.",
    "per minute",
    *(
        Query(per_minute(f"agentstack_realtime_{way}_{kind}_tokens_total"), f"{kind} {way}")
        for way in ("input", "output")
        for kind in ("audio", "text")
    ),
    stacked=True,
)
_REPORTED = grid(
    "As the platform bills it, over the time shown",
    "session.usage reports, per model: compare with the provider's invoice. They count a whole call at once, and what turns do not "
    "show. Cached tokens are part of those in; seconds are of audio.",
    {"component": "Component", "provider": "Provider", "model": "Model"},
    *(
        Column(heading, "count", now(increase(f"agentstack_usage_{name}_total", "component", *_MODEL, window=_RANGE)))
        for heading, name in (
            ("Requests", "requests"),
            ("Tokens in", "input_tokens"),
            ("Cached in", "cached_input_tokens"),
            ("Tokens out", "output_tokens"),
            ("Characters", "characters"),
            ("Seconds", "audio_duration_seconds"),
        )
    ),
)

BOARD = Board(
    name="usage",
    title="AgentStack / Usage and cost",
    description="What models consume, what of it is thrown away, and what it costs at your prices. Not filtered by agent or pipeline.",
    sections=(
        Section("At a glance, over the time shown", (PanelRow(4, tuple(map(Placed, (8, 4, 4, 4, 4), _NUMBERS))),)),
        Section("Cost", (even(8, _COST_PARTS, _COST_MODELS), even(7, _COST_UNPRICED))),
        Section("Language models", (even(8, _PROMPT, _COMPLETION), even(8, _CACHED, _WASTED_TOKENS))),
        Section("Speech", (even(8, _VOICES, _HEARD), even(7, _WASTED_CHARACTERS))),
        Section("Speech to speech", (even(8, _REALTIME),), closed=True),
        Section("By model", (even(9, _REPORTED),)),
    ),
)
