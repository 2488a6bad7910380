"""Turn anatomy: which component takes the time between the caller's last word and the agent's first."""

from grafana_foundation_sdk.models.dashboard import Panel

from grafana.board import Board, PanelRow, Placed, Section, even
from grafana.objective import CRITICAL, SLO_BOUND
from grafana.panels import heat_map, lines, ranking
from grafana.queries import (
    CALLERS,
    PERCEIVED,
    SMOOTH,
    Query,
    buckets,
    increase,
    mean,
    now,
    part_of,
    per_minute,
    quantile,
    share,
)
from grafana.style import COLOURS, Steps

_SPENT = "agentstack_turn_component_seconds_total"
_CONTRIBUTED = "agentstack_turn_contribution_seconds_total"
_DECISION = "agentstack_turn_decision_seconds"
_CALLBACK = "agentstack_turn_completed_callback_seconds"
_LLM = "agentstack_llm_time_to_first_token_seconds"
_TTS = "agentstack_tts_time_to_first_byte_seconds"
_STT = "agentstack_stt_delay_seconds"
_FINISHED = {"cancelled": "false"}
_BOUNDS: Steps = ((None, "transparent"), (SLO_BOUND, "orange"), (CRITICAL, "red"))
_STAGES: dict[str, tuple[str, str, dict[str, str]]] = {
    "speech to text": (_STT, "stt", {}),
    "turn decision": (_DECISION, "endpointing", {}),
    "callback": (_CALLBACK, "callback", {}),
    "LLM first token": (_LLM, "llm", _FINISHED),
    "TTS first byte": (_TTS, "tts", _FINISHED),
    "realtime first token": ("agentstack_realtime_time_to_first_token_seconds", "realtime", _FINISHED),
}
_STAGE_COLOURS = {stage: COLOURS[component] for stage, (_, component, _) in _STAGES.items()}


def _stages(q: float) -> list[Query]:
    return [Query(quantile(q, name, **matchers), stage) for stage, (name, _, matchers) in _STAGES.items()]


_STACK = lines(
    "Where the time of a turn goes",
    "Mean seconds per measured caller turn, by component; the stack's height is the mean wait. The band that grew is the cause. "
    "Grey is what no component accounts for: network, playout, queueing. Sums are stacked, never percentiles.",
    "s",
    Query(part_of(increase(_SPENT, "component"), increase(PERCEIVED, suffix="_count", **CALLERS)), "{{component}}"),
    stacked=True,
    colours=COLOURS,
    side=True,
    values=("mean", "max"),
)
_SHARES = ranking(
    "Share of all waiting, time shown",
    "Of every second callers waited, how much went where. Work on the longest bar first.",
    "percentunit",
    now(part_of(increase(_SPENT, "component", window="$__range"), increase(_SPENT, window="$__range")), "{{component}}"),
    colours=COLOURS,
)
_BOTTLENECKS = ranking(
    "Slow turns by bottleneck, time shown",
    "Turns slower than the slow-turn threshold, by the component that took longest in them. Differs from the share beside it: what "
    "usually takes the time is not what makes a turn slow.",
    "turns",
    now(increase("agentstack_slow_turns_total", "component", window="$__range"), "{{component}}"),
    colours=COLOURS,
)

_WAIT_MAP = heat_map(
    "What callers wait",
    "Each column is a step of time; the more a cell stands out, the more turns. A second band above the first is a kind of turn: "
    "tools, a slow model, a "
    "cold start. Click a dot to open that turn's trace.",
    buckets(PERCEIVED, **CALLERS),
)
_WAIT_KINDS = lines(
    "p95 wait by pipeline and interruption",
    "What interrupted turns and each pipeline wait. Speech to speech should lie below the cascade; interrupted turns above the others "
    "mean that callers speak because they wait.",
    "s",
    Query(quantile(0.95, PERCEIVED, "pipeline", "interrupted", **CALLERS, window=SMOOTH), "{{pipeline}}, interrupted {{interrupted}}"),
    steps=_BOUNDS,
)

_USUAL = lines(
    "p50 of each stage",
    "What is usual. Stages overlap (speech to text and turn decision both run from the end of speech), so do not add them up: the "
    "stack above does that rightly.",
    "s",
    *_stages(0.5),
    colours=_STAGE_COLOURS,
    side=True,
    values=("mean", "max"),
)
_SLOW = lines(
    "p95 of each stage",
    "What is slow. The line that moved with the callers' wait is the cause; Providers and models says whose. Cancelled generations "
    "are kept out.",
    "s",
    *_stages(0.95),
    colours=_STAGE_COLOURS,
    side=True,
    values=("mean", "max"),
)


def _map(title: str, what: str, name: str, **matchers: str) -> Panel:
    return heat_map(title, f"{what} Two bands: two kinds of request. Click a dot for its trace.", buckets(name, **matchers))


_MAPS = (
    _map("Speech to text", "End of speech to the final transcript.", _STT),
    _map("Turn decision", "End of speech to the decision that the turn is over.", _DECISION),
    _map("LLM first token", "Request to first token.", _LLM, **_FINISHED),
    _map("TTS first byte", "Text to first audio.", _TTS, **_FINISHED),
)

_DECISIONS = lines(
    "Turn decision by method",
    "How long the agent waits before it believes the caller has finished. Long: lower the endpointing delays or use an end-of-turn "
    "model; mind the premature ends below.",
    "s",
    Query(quantile(0.5, _DECISION, "method", window=SMOOTH), "{{method}} p50"),
    Query(quantile(0.95, _DECISION, "method", window=SMOOTH), "{{method}} p95"),
    alerts=("AgentStackTurnDecisionSlow",),
    side=True,
    values=("mean",),
)
_PREMATURE = lines(
    "Premature ends of turn",
    "Share of user turns after which the caller went on speaking: the agent cut in too early. Rising after a change of the "
    "endpointing delays: they are too short. Where machines answer many calls it is more: their turns are in the whole only.",
    "percentunit",
    Query(share(increase("agentstack_premature_end_of_turns_total"), increase("agentstack_user_turns_total")), "premature"),
    colours={"premature": "blue"},
)
_TRIGGERS = lines(
    "Ends of turn by trigger",
    "What ended user turns, and by which method. Many by timeout: the detector is unsure, see its confidence above.",
    "per minute",
    Query(per_minute("agentstack_user_turns_total", "trigger", "method"), "{{trigger}} ({{method}})"),
    stacked=True,
    side=True,
    values=("mean",),
)
_CONFIDENCE = lines(
    "Confidence of the end-of-turn model",
    "Mean probability that the turn was over, and the bar under which it is called unlikely. Close together: the model hesitates and "
    "callers wait for the longest delay.",
    "percentunit",
    Query(mean("agentstack_turn_probability", "method", window=SMOOTH), "{{method}} probability"),
    Query(mean("agentstack_turn_unlikely_threshold", "method", window=SMOOTH), "{{method}} bar"),
    top=1,
    side=True,
    values=("mean",),
)
_DELAYS = lines(
    "Endpointing delays in force",
    "Mean of the least and the longest wait of dynamic endpointing. They are settings of the agent; a jump is a deployment.",
    "s",
    Query(mean("agentstack_endpointing_min_delay_seconds"), "least"),
    Query(mean("agentstack_endpointing_max_delay_seconds"), "longest"),
    colours={"least": "light-blue", "longest": "dark-blue"},
)
_CALLBACKS = lines(
    "On-turn-completed callback",
    "Time in the customer's own callback before the LLM is asked. Every turn pays it: above some tens of milliseconds, look at that "
    "code.",
    "s",
    Query(quantile(0.5, _CALLBACK), "p50"),
    Query(quantile(0.95, _CALLBACK), "p95"),
    colours={"p50": "light-purple", "p95": "purple"},
)

_POSITIONS = lines(
    "p95 wait by position in the call",
    "Higher for later turns: the context grows. Shorten or summarise the history, or look at the cache on Providers and models.",
    "s",
    Query(quantile(0.95, "agentstack_user_perceived_latency_by_position_seconds", "position", window=SMOOTH), "turn {{position}}"),
    steps=_BOUNDS,
)
_PROMPTS = lines(
    "Prompt tokens by position in the call",
    "Mean size of the prompt. Where it grows steeply the wait beside it follows, and so does the cost.",
    "tokens",
    Query(mean("agentstack_llm_prompt_tokens_by_position", "position", window=SMOOTH), "turn {{position}}"),
)
_EXCESS = lines(
    "Parts that exceed the whole",
    "Share of the waiting by which the parts of turns add up to more than the caller waited. Some is normal (work begun early "
    "overlaps); much more than before: do not trust the split of those turns.",
    "percentunit",
    Query(share(increase("agentstack_turn_component_negative_rest_seconds_total"), increase(_SPENT)), "excess"),
    colours={"excess": COLOURS["unexplained"]},
)

_TAKEN_APART = f"sum ({increase(PERCEIVED, 'agent', suffix='_count', **CALLERS)} and on (agent) {increase(_CONTRIBUTED, 'agent')})"
"""Turns with a wait, of the agents whose framework takes waits apart."""
_CONTRIBUTIONS = lines(
    "What spends the wait, by contribution",
    "Mean seconds per measured caller turn, as the framework takes its own waits apart; the stack's height is the mean wait. A band "
    "that grew: that step is the cause. Only for calls of Pipecat 1.9 and newer.",
    "s",
    Query(
        part_of(increase(_CONTRIBUTED, "contribution"), _TAKEN_APART),
        "{{contribution}}",
    ),
    stacked=True,
    side=True,
    values=("mean", "max"),
)
_OWNERS = ranking(
    "Who spends it, time shown",
    "The same by owner: a setting of the agent, a service, the customer's function, or the pipeline itself. Settings cost nothing to "
    "change: try the longest bar first.",
    "percentunit",
    now(
        part_of(increase(_CONTRIBUTED, "owner_kind", window="$__range"), increase(_CONTRIBUTED, window="$__range")),
        "{{owner_kind}}",
    ),
)

BOARD = Board(
    name="turns",
    title="AgentStack / Turn anatomy",
    description="Where the time between the caller's last word and the agent's first goes, component by component.",
    sections=(
        Section("Where the time goes", (PanelRow(9, (Placed(11, _STACK), Placed(6, _SHARES), Placed(7, _BOTTLENECKS))),)),
        Section("The wait", (even(9, _WAIT_MAP, _WAIT_KINDS),)),
        Section("Stages side by side", (even(9, _USUAL, _SLOW), even(8, *_MAPS))),
        Section(
            "Endpointing",
            (even(8, _DECISIONS, _CONFIDENCE), even(8, _PREMATURE, _TRIGGERS), even(8, _DELAYS, _CALLBACKS)),
        ),
        Section("As the call goes on", (even(8, _POSITIONS, _PROMPTS, _EXCESS),)),
        Section("As the framework takes waits apart", (PanelRow(9, (Placed(16, _CONTRIBUTIONS), Placed(8, _OWNERS))),), closed=True),
    ),
)
