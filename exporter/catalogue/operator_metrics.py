"""Metrics that answer an operator's questions: is anybody waiting, where did the time go, who got no answer."""

from typing import Final, Literal, get_args

from exporter.catalogue import buckets
from exporter.catalogue.declarations import PREFIX, MetricSpec, counter_spec, gauge_spec

TurnComponent = Literal["endpointing", "callback", "llm", "tts", "realtime", "unexplained"]
"""The parts of the caller's wait, in the order in which they happen; ``unexplained`` is what no stage accounts for."""
TURN_COMPONENTS: Final[tuple[TurnComponent, ...]] = get_args(TurnComponent)

BadTurn = Literal["slow", "silent"]
"""How the last turn of a call can be bad: the answer came late (``slow``) or never (``silent``)."""

_BY_COMPONENT = ("agent", "pipeline", "component")
CALLER_TURNS: Final = counter_spec(
    "caller_turns",
    "{turn}",
    "Turns the caller began, each once, by whether any agent audio answered them.",
    *("agent", "pipeline", "outcome", "answered_by"),
)
TURN_COMPONENT: Final = counter_spec(
    "turn_component",
    "s",
    "Where the time of answered caller turns went; with the negative rest taken off, the components add up to their "
    "user-perceived latency. Calls answered by a machine are left out.",
    *_BY_COMPONENT,
)
TURN_COMPONENT_NEGATIVE_REST: Final = counter_spec(
    "turn_component_negative_rest",
    "s",
    "By how much the stages of turns add up to more than the caller's wait: they overlapped, for example in preemptive generation.",
    *("agent", "pipeline"),
)
SLOW_TURNS: Final = counter_spec(
    "slow_turns",
    "{turn}",
    "Caller turns slower than --slow-turn, by the component that took the largest part of the wait. "
    "Calls answered by a machine are left out.",
    *_BY_COMPONENT,
)
TURNS_WAITING: Final = gauge_spec(
    "turns_waiting",
    "{turn}",
    "Caller turns that wait for agent audio right now. Needs turn and speech events, like all metrics of callers' waits.",
    "agent",
)
DEAD_AIR: Final = counter_spec("dead_air", "{silence}", "Silences longer than 3 s while a caller waited for the agent.", "agent")
DEAD_AIR_TIME: Final = counter_spec(
    "dead_air.seconds",
    "s",
    "Time in silences longer than 3 s while a caller waited; each counts from its start, while it lasts, up to 120 s.",
    "agent",
)
PREMATURE_ENDS_OF_TURN: Final = counter_spec(
    "premature_end_of_turns",
    "{turn}",
    "Caller turns ended too early: the caller went on speaking within 3 s and before the agent, or within 0.5 s after it began.",
    "agent",
)
BARGE_IN_REACTION: Final = MetricSpec(
    kind="histogram",
    otel_name=PREFIX + "barge_in_reaction",
    unit="s",
    help="How long caller and agent spoke at once until the interrupted agent fell silent.",
    labels=("agent",),
    bounds=buckets.COMPONENT,
)
SESSIONS_ENDED_AFTER_TURN: Final = counter_spec(
    "sessions_ended_after_turn",
    "{session}",
    "Sessions whose last caller turn was bad: slow (answered or given up after more than --slow-turn) or silent (no answer for 3 s).",
    *("agent", "last_turn"),
)

POSITIONS: Final = ("1", "2-5", "6-10", "11-20", "21+")
"""The position of a turn in its call, as ranges of turn numbers."""
MODEL_CHANGES: Final = counter_spec(
    "model_changes",
    "{change}",
    "Times that a component's provider (or only its model) changed from one turn of a session to a later one; usually a fallback.",
    *("agent", "component", "change"),
)
LATENCY_BY_POSITION: Final = MetricSpec(
    kind="histogram",
    otel_name=PREFIX + "user_perceived_latency_by_position",
    unit="s",
    help="User-perceived latency by where in its call the turn is: 1, 2-5, 6-10, 11-20, 21+. Calls answered by a machine are left out.",
    labels=("agent", "position"),
    bounds=buckets.DURATION,
)
PROMPT_BY_POSITION: Final = MetricSpec(
    kind="histogram",
    otel_name=PREFIX + "llm.prompt_tokens_by_position",
    unit="{token}",
    help="Prompt tokens of a turn by where in its call it is: 1, 2-5, 6-10, 11-20, 21+.",
    labels=("position",),
    bounds=buckets.TOKENS,
)
_BY_MODEL = ("component", "provider", "model")
COST: Final = counter_spec(
    "cost_usd",
    "{usd}",
    "What turns cost by the prices of --prices; what has no price is in agentstack_unpriced_usage_total.",
    *_BY_MODEL,
)
UNPRICED_USAGE: Final = counter_spec(
    "unpriced_usage",
    "{unit}",
    "Tokens, characters or minutes, by kind, for which --prices has no price: they are missing from the cost.",
    *(*_BY_MODEL, "kind"),
)

OPERATOR_METRICS: Final[tuple[MetricSpec, ...]] = (
    CALLER_TURNS,
    TURN_COMPONENT,
    TURN_COMPONENT_NEGATIVE_REST,
    SLOW_TURNS,
    TURNS_WAITING,
    DEAD_AIR,
    DEAD_AIR_TIME,
    PREMATURE_ENDS_OF_TURN,
    BARGE_IN_REACTION,
    SESSIONS_ENDED_AFTER_TURN,
    MODEL_CHANGES,
    LATENCY_BY_POSITION,
    PROMPT_BY_POSITION,
    COST,
    UNPRICED_USAGE,
)
