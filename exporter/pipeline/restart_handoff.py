"""Handoff of a call: a process that stops writes down what it knows of a session, and the next process continues with it.

The text is opaque to the tap that keeps it in between. It comes back from a peer, so all of it is checked, and it is bounded as a
session is. Its keys and shapes are a wire format: versions of the exporter exchange it with the versions before and after them.
"""

import math
from base64 import b85decode, b85encode
from datetime import datetime
from typing import Annotated, Final, Literal, NamedTuple

import msgspec

from exporter.analysis.tools import MOST_OPEN_TOOLS
from exporter.analysis.turn_counter import MOST_TURNS, MOST_WAITING
from exporter.analysis.usage import MOST_USED_MODELS
from exporter.bounded_dict import BoundedDict
from exporter.events.speech import AGENT_STATES, USER_STATES
from exporter.events.turns import TurnCompleted
from exporter.metrics.label_limits import MAX_RAW
from exporter.metrics.recorder import one_of
from exporter.protocol.ids import TurnKey
from exporter.sessions.session import AnsweredBy, Participant, ParticipantState, RunningAgentTool, Session, StoodIn, UsedModel
from exporter.sessions.turn_taking_state import Moment, TurnTakingState

_STATES: Final[dict[Participant, tuple[str, ...]]] = {"user": USER_STATES, "agent": AGENT_STATES}
_Time = Annotated[float, msgspec.Meta(ge=0, le=2**40)]
_Stamp = Annotated[float, msgspec.Meta(ge=-(2**40), le=2**40)]
"""A time that the platform sent: any year of a date-time."""
_Amount = Annotated[float, msgspec.Meta(ge=0, le=1e12)]
_Text = Annotated[str, msgspec.Meta(max_length=MAX_RAW)]
_Count = Annotated[int, msgspec.Meta(ge=0, le=2**31)]
_Usage = Annotated[dict[str, _Amount], msgspec.Meta(max_length=16)]


class StateSnapshot(NamedTuple):
    """:class:`~exporter.sessions.session.ParticipantState` on the wire."""

    name: _Text
    since: _Stamp
    received: _Time


class AgentToolSnapshot(NamedTuple):
    """:class:`~exporter.sessions.session.RunningAgentTool` on the wire."""

    type: _Text
    started: _Time


class ModelSnapshot(NamedTuple):
    """:class:`~exporter.sessions.session.UsedModel` on the wire."""

    type: _Text
    provider: _Text
    model: _Text


_MomentPair = tuple[float | None, float]
"""A :class:`~exporter.sessions.turn_taking_state.Moment` on the wire."""


def _pair(moment: Moment | None) -> _MomentPair | None:
    return None if moment is None else (moment.stamp, moment.received)


def _moment(pair: _MomentPair | None) -> Moment | None:
    return None if pair is None else Moment(*pair)


class TurnTakingSnapshot(msgspec.Struct, frozen=True, kw_only=True):
    """:class:`~exporter.sessions.turn_taking_state.TurnTakingState` on the wire."""

    user_started: _MomentPair | None = msgspec.field(default=None, name="user_began")
    user_stopped: _MomentPair | None = None
    agent_started: _MomentPair | None = msgspec.field(default=None, name="agent_began")
    agent_reported: bool = msgspec.field(default=False, name="agent_shows")
    turn_end: _MomentPair | None = msgspec.field(default=None, name="turn")
    answered: _MomentPair | None = None
    waiting_for: str | None = msgspec.field(default=None, name="waits_for")
    reported_silence: float = msgspec.field(default=0.0, name="told")
    unanswered: float = msgspec.field(default=0.0, name="silence")
    last_wait: float = msgspec.field(default=0.0, name="wait")

    @classmethod
    def of(cls, state: TurnTakingState) -> "TurnTakingSnapshot":
        """The state as it is now."""
        return cls(
            user_started=_pair(state.user_started),
            user_stopped=_pair(state.user_stopped),
            agent_started=_pair(state.agent_started),
            agent_reported=state.agent_reported,
            turn_end=_pair(state.turn_end),
            answered=_pair(state.answered),
            waiting_for=state.waiting_for,
            reported_silence=state.reported_silence,
            unanswered=state.unanswered,
            last_wait=state.last_wait,
        )

    def state(self) -> TurnTakingState:
        """A state equal to the one the snapshot was made of."""
        state = TurnTakingState()
        state.user_started = _moment(self.user_started)
        state.user_stopped = _moment(self.user_stopped)
        state.agent_started = _moment(self.agent_started)
        state.agent_reported = self.agent_reported
        state.turn_end = _moment(self.turn_end)
        state.answered = _moment(self.answered)
        state.waiting_for = self.waiting_for
        state.reported_silence = self.reported_silence
        state.unanswered = self.unanswered
        state.last_wait = self.last_wait
        return state

    @property
    def is_finite(self) -> bool:
        """Whether no number is infinite or not a number."""
        moments = (self.user_started, self.user_stopped, self.agent_started, self.turn_end, self.answered)
        numbers = [number for moment in moments if moment for number in moment if number]
        return all(map(math.isfinite, (self.reported_silence, self.unanswered, self.last_wait, *numbers)))


class SessionSnapshot(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What another process needs to continue a session. Times are unix seconds.

    ``name=`` is the key on the wire where the attribute of :class:`~exporter.sessions.session.Session` has another name.
    ``keep_trace``: spans of the session were exported, so the next process must export its root.
    """

    version: Literal[1] = 1
    agent: _Text | None = None
    answered_by: AnsweredBy = "unknown"
    started_at: _Time = 0.0
    last_event_at: _Time = 0.0
    saw_start: bool = False
    format_counted: bool = False
    over: bool = False
    end_recorded: bool = msgspec.field(default=False, name="end_taken_in")
    reported_missing: bool = msgspec.field(default=False, name="told_missing")
    turns_completed: _Count = 0
    unmatched_metrics: _Count = 0
    metrics_received: _Count = msgspec.field(default=0, name="turn_metrics")
    turns: Annotated[dict[TurnKey, StoodIn], msgspec.Meta(max_length=MOST_TURNS)] | None = None
    pending_turns: Annotated[dict[TurnKey, TurnCompleted], msgspec.Meta(max_length=MOST_WAITING)] | None = None
    states: dict[Participant, StateSnapshot] | None = None
    running_agent_tools: Annotated[dict[str, AgentToolSnapshot], msgspec.Meta(max_length=MOST_OPEN_TOOLS)] | None = msgspec.field(
        default=None, name="agent_tools"
    )
    usage: Annotated[dict[ModelSnapshot, _Usage], msgspec.Meta(max_length=MOST_USED_MODELS)] | None = None
    models: Annotated[tuple[_Text | None, ...], msgspec.Meta(min_length=8, max_length=8)] | None = None
    models_at: _Time = 0.0
    continued: _Count = 0
    turn_taking: TurnTakingSnapshot | None = msgspec.field(default=None, name="floor")
    keep_trace: bool = msgspec.field(default=False, name="kept")


_decoder = msgspec.msgpack.Decoder(SessionSnapshot)


def snapshot(session: Session) -> SessionSnapshot:
    """What another process needs to continue ``session``."""
    states, tools, usage = session.states, session.running_agent_tools, session.usage
    return SessionSnapshot(
        agent=session.agent,
        answered_by=session.answered_by,
        started_at=session.started_at,
        last_event_at=session.last_event_at,
        saw_start=session.saw_start,
        format_counted=session.format_counted,
        over=session.over,
        end_recorded=session.end_recorded,
        reported_missing=session.reported_missing,
        turns_completed=session.turns_completed,
        unmatched_metrics=session.unmatched_metrics,
        metrics_received=session.metrics_received,
        turns=session.turns,
        pending_turns=None if session.pending_turns is None else {key: _writable(turn) for key, turn in session.pending_turns.items()},
        states=None
        if states is None
        else {who: StateSnapshot(state.name, state.since, state.received) for who, state in states.items()},
        running_agent_tools=None if tools is None else {key: AgentToolSnapshot(*tool) for key, tool in tools.items()},
        usage=None if usage is None else {ModelSnapshot(*model): totals for model, totals in usage.items()},
        models=session.models,
        models_at=session.models_at,
        continued=session.continued,
        turn_taking=None if session.turn_taking is None else TurnTakingSnapshot.of(session.turn_taking),
        keep_trace=session.spans is not None and session.spans.kept,
    )


def _writable(turn: TurnCompleted) -> TurnCompleted:
    """The turn, without date-times that no year of UTC holds, as 0001-01-01T00:00:00+01:00: they cannot be written down."""
    try:
        msgspec.msgpack.encode(turn)
    except OverflowError:
        found = msgspec.structs.asdict(turn)
        return msgspec.structs.replace(turn, **{name: None for name, value in found.items() if isinstance(value, datetime)})
    return turn


def restore(session: Session, saved: SessionSnapshot) -> None:
    """Give a session of this process the memory in ``saved``.

    Left to the caller, because trackers and registry must know of it: ``agent``, ``over``, ``answered_by``, ``pending_turns``,
    ``turn_taking`` and ``keep_trace``.
    """
    session.started_at = saved.started_at
    session.last_event_at = saved.last_event_at
    session.saw_start = saved.saw_start
    session.format_counted = saved.format_counted
    session.end_recorded = saved.end_recorded
    session.reported_missing = saved.reported_missing
    session.turns_completed = saved.turns_completed
    session.unmatched_metrics = saved.unmatched_metrics
    session.metrics_received = saved.metrics_received
    session.models = saved.models
    session.models_at = saved.models_at
    session.continued = saved.continued
    if saved.turns is not None:
        session.turns = BoundedDict(MOST_TURNS, saved.turns)
    if saved.states is not None:
        session.states = {
            who: ParticipantState(one_of(state.name, _STATES[who]), state.since, state.received) for who, state in saved.states.items()
        }
    if saved.running_agent_tools is not None:
        tools = {key: RunningAgentTool(*tool) for key, tool in saved.running_agent_tools.items()}
        session.running_agent_tools = BoundedDict(MOST_OPEN_TOOLS, tools)
    if saved.usage is not None:
        session.usage = {UsedModel(*model): totals for model, totals in saved.usage.items()}


def encode(saved: SessionSnapshot) -> str:
    """A snapshot as text."""
    return b85encode(msgspec.msgpack.encode(saved)).decode()


def decode(text: str) -> SessionSnapshot | None:
    """The snapshot in a text, or ``None`` if the text is not a valid snapshot."""
    try:
        saved = _decoder.decode(b85decode(text))
    except (ValueError, msgspec.MsgspecError, UnicodeError, RecursionError):
        return None
    return saved if saved.turn_taking is None or saved.turn_taking.is_finite else None
