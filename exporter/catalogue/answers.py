"""Metrics that answer an operator's questions: is anybody waiting, where did the time go, who got no answer."""

from typing import Final, Literal, get_args

from exporter.catalogue.model import MetricSpec, counter_spec

TurnComponent = Literal["endpointing", "callback", "llm", "tts", "realtime", "unexplained"]
"""What the caller's wait is made of, in the order in which it happens; the last is what no stage accounts for."""
TURN_COMPONENTS: Final[tuple[TurnComponent, ...]] = get_args(TurnComponent)

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
    "By how much the stages of turns, added up, exceed what the caller waited: they overlapped, as with preemptive generation.",
    *("agent", "pipeline"),
)
SLOW_TURNS: Final = counter_spec(
    "slow_turns",
    "{turn}",
    "Caller turns slower than --slow-turn, by the component that took the largest part of the wait. "
    "Calls answered by a machine are left out.",
    *_BY_COMPONENT,
)

ANSWERS: Final[tuple[MetricSpec, ...]] = (
    CALLER_TURNS,
    TURN_COMPONENT,
    TURN_COMPONENT_NEGATIVE_REST,
    SLOW_TURNS,
)
