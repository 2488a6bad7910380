"""Derived metrics: session logic computes them from several events."""

from itertools import chain
from typing import Final

from exporter.catalogue import buckets
from exporter.catalogue.app_metrics import APP_METRICS
from exporter.catalogue.declarations import PREFIX, MetricSpec, counter_spec, gauge_spec
from exporter.catalogue.genai import AGENT_NAME, TOOL_NAME
from exporter.catalogue.operator_metrics import OPERATOR_METRICS

SESSIONS: Final = counter_spec("sessions", "{session}", "Sessions started.", "agent")
SESSIONS_ACTIVE: Final = gauge_spec("sessions_active", "{session}", "Sessions in progress.", "agent")
SESSIONS_ENDED: Final = counter_spec(
    "sessions_ended",
    "{session}",
    "Sessions ended, by reason: the platform's, or the exporter's own (disconnected, idle, superseded, shutdown, stopped).",
    *("agent", "reason"),
)
SESSION_RESUMPTIONS: Final = counter_spec(
    "session.resumptions", "{resumption}", "Sessions that came back on a new connection after losing theirs.", "agent"
)
SESSION_CONFLICTS: Final = counter_spec(
    "session.conflicts",
    "{session}",
    "Sessions whose id a live session of another agent or call had: each is counted as a session of its own, under its own agent.",
    "agent",
)
FRAMEWORK_INFO: Final = gauge_spec(
    "framework_info",
    "",
    "Always 1; its labels say which framework, in which version, feeds sessions of the agent through a tap.",
    *("agent", "framework", "framework_version"),
)
SESSIONS_WITHOUT_TURN_METRICS: Final = counter_spec(
    "sessions_without_turn_metrics",
    "{session}",
    "Sessions whose turns completed while no turn.metrics came: metrics events are not enabled for the agent.",
    "agent",
)
TURNS: Final = counter_spec(
    "turns",
    "{turn}",
    "Turns, each once: when its turn.metrics comes, or 10 s after turn.completed if none does.",
    *("agent", "pipeline", "initiator", "interrupted", "cancelled", "sub_agent", "answered_by"),
)
TURNS_WITHOUT_METRICS: Final = counter_spec(
    "turns_without_metrics", "{turn}", "Turns that completed and whose turn.metrics did not come in time.", "agent"
)
TURN_METRICS_LATE: Final = counter_spec(
    "turn_metrics.late", "{turn}", "Late turn.metrics events: their turn had been counted without them.", "agent"
)
TURN_METRICS_DUPLICATES: Final = counter_spec(
    "turn_metrics.duplicates", "{event}", "Duplicate turn.metrics events: their turn had its own already; they are ignored.", "agent"
)
STATE_DURATION: Final = counter_spec(
    "state_duration", "s", "Time the user and the agent spent in each state.", *("agent", "participant", "state")
)
TOOL_EXECUTIONS: Final = counter_spec(
    "tool.executions", "{execution}", "Server-side tools that ran, by outcome.", *("agent", "tool", "outcome")
)
AGENT_TOOL_DURATION: Final = MetricSpec(
    kind="histogram",
    otel_name=PREFIX + "agent_tool.duration",
    unit="s",
    help="From the start of a sub-agent to its end, by type and outcome.",
    labels=("agent", "agent_tool", "outcome"),
    bounds=buckets.DURATION,
)
LLM_AVAILABLE: Final = gauge_spec("llm.available", "{llm}", "Whether an LLM was available when last reported: 1 or 0.", "llm")

_USAGE_LABELS = ("component", "provider", "model")
USAGE_INPUT_TOKENS: Final = counter_spec("usage.input_tokens", "{token}", "Tokens in, from session.usage.", *_USAGE_LABELS)
USAGE_CACHED_INPUT_TOKENS: Final = counter_spec(
    "usage.cached_input_tokens", "{token}", "Cached tokens in, from session.usage. Part of the tokens in.", *_USAGE_LABELS
)
USAGE_OUTPUT_TOKENS: Final = counter_spec("usage.output_tokens", "{token}", "Tokens out, from session.usage.", *_USAGE_LABELS)
USAGE_SESSION_DURATION: Final = counter_spec(
    "usage.session_duration", "s", "Time billed by connection, from session.usage.", *_USAGE_LABELS
)
USAGE_CHARACTERS: Final = counter_spec("usage.characters", "{character}", "Characters synthesised, from session.usage.", *_USAGE_LABELS)
USAGE_AUDIO_DURATION: Final = counter_spec(
    "usage.audio_duration", "s", "Audio transcribed or synthesised, from session.usage.", *_USAGE_LABELS
)
USAGE_REQUESTS: Final = counter_spec("usage.requests", "{request}", "Requests, from session.usage.", *_USAGE_LABELS)

_LABELS_FROM_THE_WIRE: Final = frozenset({"agent", "agent_tool", "framework", "framework_version", "llm", "pipeline", "reason", "tool"})
_ATTRIBUTES_FROM_THE_WIRE: Final = {AGENT_NAME: ("agent",), TOOL_NAME: ("tool", "agent_tool")}
USAGE_PAIRS: Final = "usage"
"""The table of all components' (provider, model) pairs in session.usage."""


def tables(spec: MetricSpec) -> frozenset[str]:
    """The tables of label values that bound the series of a derived metric; its other labels have a few fixed values."""
    if "provider" in spec.labels:
        return frozenset({USAGE_PAIRS})
    attributes = (_ATTRIBUTES_FROM_THE_WIRE.get(label, ()) for label in spec.labels)
    return _LABELS_FROM_THE_WIRE.intersection(chain(spec.labels, *attributes))


DERIVED: Final[tuple[MetricSpec, ...]] = (
    SESSIONS,
    SESSIONS_ACTIVE,
    SESSIONS_ENDED,
    SESSION_RESUMPTIONS,
    SESSION_CONFLICTS,
    FRAMEWORK_INFO,
    SESSIONS_WITHOUT_TURN_METRICS,
    TURNS,
    TURNS_WITHOUT_METRICS,
    TURN_METRICS_LATE,
    TURN_METRICS_DUPLICATES,
    STATE_DURATION,
    TOOL_EXECUTIONS,
    AGENT_TOOL_DURATION,
    LLM_AVAILABLE,
    USAGE_INPUT_TOKENS,
    USAGE_CACHED_INPUT_TOKENS,
    USAGE_OUTPUT_TOKENS,
    USAGE_SESSION_DURATION,
    USAGE_CHARACTERS,
    USAGE_AUDIO_DURATION,
    USAGE_REQUESTS,
    *OPERATOR_METRICS,
    *APP_METRICS,
)
