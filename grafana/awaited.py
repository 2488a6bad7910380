"""Metrics that are declared but not measured yet: panels and columns that need one are left out until the catalogue has it."""

from exporter import inventory
from exporter.catalogue.model import MetricSpec
from exporter.catalogue.names import Kind


def _awaited(kind: Kind, name: str, *labels: str) -> MetricSpec:
    bounds = (1.0,) if kind == "histogram" else ()
    unit = "s" if name.endswith("_seconds") else "{thing}"
    return MetricSpec(
        kind=kind, otel_name=f"agentstack.{name.removesuffix('_seconds')}", unit=unit, help="Awaited.", labels=labels, bounds=bounds
    )


_SPECS = (
    _awaited("counter", "premature_end_of_turns", "agent"),
    _awaited("counter", "dead_air", "agent"),
    _awaited("counter", "dead_air_seconds", "agent"),
    _awaited("counter", "sessions_ended_after_turn", "agent", "last_turn"),
    _awaited("counter", "model_changes", "agent", "component", "change"),
    _awaited("counter", "cost_usd", "component", "provider", "model"),
    _awaited("counter", "unpriced_usage", "component", "provider", "model", "kind"),
    _awaited("histogram", "barge_in_reaction_seconds", "agent"),
    _awaited("histogram", "user_perceived_latency_by_position_seconds", "agent", "position"),
    _awaited("histogram", "llm_prompt_tokens_by_position", "position"),
    _awaited("gauge", "turns_waiting", "agent"),
)
AWAITED = {spec.name: spec for spec in _SPECS}


def is_awaited(expr: str) -> bool:
    """Whether an expression needs a metric that is not there."""
    return any(name in expr for name in AWAITED.keys() - inventory.metrics().keys())
