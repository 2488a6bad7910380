"""A session: one call, and everything the exporter remembers of it."""

from typing import Final, Literal, NamedTuple

from exporter.bounded_dict import BoundedDict
from exporter.events.turns import TurnCompleted
from exporter.metrics.series_cache import SeriesCache
from exporter.protocol.ids import TurnKey, trace_id
from exporter.sessions.app_state import AppState
from exporter.sessions.call_journal import CallJournal
from exporter.sessions.shown_text import shown_id
from exporter.sessions.span_state import SpanState
from exporter.sessions.turn_taking_state import TurnTakingState

AnsweredBy = Literal["human", "machine", "unknown"]
"""Who answered the call."""
MACHINE: Final = "machine"
"""``answered_by`` of a call that a machine answered: no caller waits for anything."""
Participant = Literal["user", "agent"]
StandInField = Literal["stt_delay_ms", "turn_decision_ms", "llm_ttft_ms", "tts_ttfb_ms", "realtime_ttft_ms"]
"""A field of turn.metrics for which turn.completed has a value too."""
Models = tuple[str | None, ...]
"""Provider and model of STT, LLM, TTS and realtime, as a turn names them: eight texts."""
StoodIn = tuple[StandInField, ...] | None
"""How a turn was counted: ``None`` with its turn.metrics, otherwise the fields for which turn.completed stood in."""


class ParticipantState:
    """The state that the user or the agent is in: since when by the event's clock, and when the event was received. Unix seconds."""

    __slots__ = ("name", "received", "since")

    def __init__(self, name: str, since: float, received: float) -> None:
        self.name = name
        self.since = since
        self.received = received


class RunningAgentTool(NamedTuple):
    """A sub-agent that has not ended: its type, and when its start was received, in unix seconds."""

    type: str
    started: float


class UsedModel(NamedTuple):
    """A model as session.usage names it."""

    type: str
    provider: str
    model: str


class Session:
    """What is known of one call. Collections are made when first needed: most sessions are idle most of the time.

    Identity: ``id``, ``trace_id``, ``has_generated_id`` (the platform has not named the session yet), ``call_id`` of the phone call if
    it is known, ``agent`` as on the wire and ``agent_label``, the label value made of it. ``numbers`` are the digits of the caller and
    callee, which no label may show. ``series_cache`` finds the rows of metrics with this label.

    Life: ``connections`` counts the open ones. ``ended``: the session no longer counts as active. ``over``: the session cannot resume;
    one that was merely silent may. ``end_recorded``: its session.ended was recorded. ``continued`` is how many sessions had this
    id before. ``saw_start``: all its usage is new. Times are unix seconds of receipt.

    Turns: ``turns`` remembers how each counted turn was counted, ``pending_turns`` holds those that wait for their turn.metrics.
    ``turns_completed`` and ``metrics_received`` count events; ``unmatched_metrics`` counts turn.metrics that came before the turn's
    turn.completed and cannot be matched by number. ``reported_missing``: it was reported that no turn.metrics arrive.

    ``journal`` is what is kept for /live. ``app`` is set where the customer's app is seen too. ``models`` are those of the latest turn,
    which began at ``models_at``.
    ``usage`` holds the latest totals of each model, by field of session.usage.
    """

    __slots__ = (
        "agent",
        "agent_label",
        "answered_by",
        "app",
        "call_id",
        "connections",
        "continued",
        "end_recorded",
        "ended",
        "format_counted",
        "has_generated_id",
        "id",
        "journal",
        "last_event_at",
        "metrics_received",
        "models",
        "models_at",
        "numbers",
        "over",
        "pending_turns",
        "reported_missing",
        "running_agent_tools",
        "saw_start",
        "series_cache",
        "spans",
        "started_at",
        "states",
        "trace_id",
        "turn_taking",
        "turns",
        "turns_completed",
        "unmatched_metrics",
        "usage",
    )

    def __init__(self, session_id: str, agent: str | None, series_cache: SeriesCache, agent_label: str, now: float) -> None:
        self.id = session_id
        self.trace_id = trace_id(session_id)
        self.has_generated_id = False
        self.call_id: str | None = None
        self.agent = agent
        self.agent_label = agent_label
        self.numbers: tuple[str, ...] = ()
        self.answered_by: AnsweredBy = "unknown"
        self.series_cache = series_cache

        self.started_at = now
        self.last_event_at = now
        self.saw_start = False
        self.connections = 0
        self.continued = 0
        self.ended = False
        self.over = False
        self.end_recorded = False
        self.format_counted = False

        self.turns: BoundedDict[TurnKey, StoodIn] | None = None
        self.pending_turns: BoundedDict[TurnKey, TurnCompleted] | None = None
        self.turns_completed = 0
        self.metrics_received = 0
        self.unmatched_metrics = 0
        self.reported_missing = False

        self.states: dict[Participant, ParticipantState] | None = None
        self.running_agent_tools: BoundedDict[str, RunningAgentTool] | None = None
        self.usage: dict[UsedModel, dict[str, float]] | None = None
        self.models: Models | None = None
        self.models_at = 0.0

        self.turn_taking: TurnTakingState | None = None
        self.spans: SpanState | None = None
        self.app: AppState | None = None
        self.journal: CallJournal | None = None


class SessionIdentity(NamedTuple):
    """Who a session is, as people see it. ``id`` is ``None`` if the platform has not named it."""

    id: str | None
    call_id: str | None
    trace_id: str
    agent_label: str
    answered_by: AnsweredBy
    started_at: float
    traced: bool


def is_traced(session: Session) -> bool:
    """Whether spans of the session are exported."""
    return session.spans is not None and (session.spans.sampled or session.spans.kept)


def identity_of(session: Session) -> SessionIdentity:
    """Who the session is."""
    return SessionIdentity(
        None if session.has_generated_id else shown_id(session.id, session.numbers),
        shown_id(session.call_id, session.numbers),
        session.trace_id,
        session.agent_label,
        session.answered_by,
        session.started_at,
        is_traced(session),
    )
