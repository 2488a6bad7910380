"""Turns: each counts once, with its turn.metrics if they come, without them if they do not."""

from collections.abc import Callable, Mapping
from functools import partial
from itertools import takewhile
from typing import Final

import msgspec

from exporter.bounded_dict import BoundedDict
from exporter.catalogue import derived, operator_metrics
from exporter.events.turn_metrics import TurnMetrics
from exporter.events.turns import TurnCompleted
from exporter.metrics.instrument import Instrument
from exporter.metrics.label_limits import UNKNOWN, LabelLimiter
from exporter.metrics.series_cache import TurnKind
from exporter.metrics.store import Row, Store
from exporter.protocol.field_getter import field_getter
from exporter.protocol.ids import TurnKey, is_by_id, turn_key, turn_key_by_id
from exporter.protocol.reasons import RefusalReason
from exporter.sessions.session import Session, StandInField, StoodIn

MOST_TURNS: Final = 256
"""Turns a session remembers to recognise duplicates; longer calls forget the oldest."""
MOST_WAITING: Final = 64
"""Turns of a session that may wait for their turn.metrics; when there are more, the oldest is counted without."""
_TURNS_BEFORE_REPORT: Final = 2
_STAND_INS: Final[dict[StandInField, tuple[str, str]]] = {
    "stt_delay_ms": ("agentstack_stt_delay_seconds", "transcription_delay_s"),
    "turn_decision_ms": ("agentstack_turn_decision_seconds", "turn_decision_s"),
    "llm_ttft_ms": ("agentstack_llm_time_to_first_token_seconds", "llm_ttft_s"),
    "tts_ttfb_ms": ("agentstack_tts_time_to_first_byte_seconds", "tts_ttfb_s"),
    "realtime_ttft_ms": ("agentstack_realtime_time_to_first_token_seconds", "realtime_ttft_s"),
}
"""Field of turn.metrics → its metric, and the field of turn.completed that stands in for it."""


class TurnCounter:
    """Counts turns. For a turn that never gets turn.metrics, it observes the values of its turn.completed.

    ``timeout`` is how long a completed turn waits for its turn.metrics, in seconds. ``refuse`` is called with each value that does not
    apply, ``on_missing`` with the label of each agent whose turns complete without any turn.metrics, and ``on_without_metrics`` with
    each turn that is counted without its turn.metrics.
    """

    def __init__(
        self,
        store: Store,
        limiter: LabelLimiter,
        timeout: float,
        refuse: Callable[[str, RefusalReason], None],
        on_missing: Callable[[str], None],
        *,
        on_without_metrics: Callable[[Session, TurnCompleted, float], None] | None = None,
    ) -> None:
        self._store = store
        self._limiter = limiter
        self._timeout = timeout
        self._refuse = refuse
        self._on_missing = on_missing
        self._on_without_metrics = on_without_metrics
        self._due: dict[tuple[Session, TurnKey], float] = {}
        self._turns = Instrument(store, derived.TURNS)
        self._caller_turns = Instrument(store, operator_metrics.CALLER_TURNS)
        self._without = Instrument(store, derived.TURNS_WITHOUT_METRICS)
        self._late = Instrument(store, derived.TURN_METRICS_LATE)
        self._duplicates = Instrument(store, derived.TURN_METRICS_DUPLICATES)
        self._sessions_without = Instrument(store, derived.SESSIONS_WITHOUT_TURN_METRICS)
        self._stand_ins = {field: (Instrument(store, store.spec(metric)), source) for field, (metric, source) in _STAND_INS.items()}

    def turn_metrics(self, session: Session, event: TurnMetrics, now: float) -> TurnMetrics | None:
        """Count the turn of a turn.metrics. Returns what of the event is to be recorded, ``None`` for a duplicate."""
        number, agent_tool, agent_first, wait = _identity_of(event)
        key = None if number is None else turn_key(agent_tool, number)
        counted_before, stood_in = False, None
        if key is not None and session.turns is not None and key in session.turns:
            counted_before, stood_in = True, session.turns[key]
        if counted_before and stood_in is None:
            self._duplicates.add(1, agent=session.agent_label, now=now)
            return None
        session.metrics_received += 1
        if agent_first and wait is not None:
            self._refuse("user_perceived_ms", RefusalReason.NOT_APPLICABLE)
            event = msgspec.structs.replace(event, user_perceived_ms=None)
        if counted_before:
            self._late.add(1, agent=session.agent_label, now=now)
            event = msgspec.structs.replace(event, **dict.fromkeys(stood_in)) if stood_in else event
        else:
            self._count(session, event, now)
            self._match(session, key)
        if key is not None:
            _remember(session, key, None)
        return event

    def turn_completed(self, session: Session, event: TurnCompleted, now: float) -> TurnCompleted:
        """A turn completed: wait for its turn.metrics."""
        if event.turn_number is not None:
            key = turn_key(event.agent_tool_id, event.turn_number)
        else:
            key = turn_key_by_id(event.turn_id or f"#{session.turns_completed}")
        if session.turns and key in session.turns:
            if session.unmatched_metrics and not is_by_id(key):
                session.unmatched_metrics -= 1
        elif not session.pending_turns or key not in session.pending_turns:
            session.turns_completed += 1
            if is_by_id(key) and session.unmatched_metrics:
                session.unmatched_metrics -= 1
                _remember(session, key, None)
            else:
                self._wait(session, key, event, now)
        return event

    @property
    def waiting(self) -> int:
        """How many turns wait for their turn.metrics."""
        return len(self._due)

    def tick(self, now: float) -> None:
        """Count the turns whose turn.metrics did not come in time."""
        for session, key in [turn for turn, _ in takewhile(lambda entry: entry[1] <= now, self._due.items())]:
            self._count_without_metrics(session, key, now)

    def finish(self, session: Session, now: float) -> None:
        """The session ended: count its turns that still wait."""
        for key in list(session.pending_turns or ()):
            self._count_without_metrics(session, key, now)

    def detach(self, session: Session) -> None:
        """Another process continues the session and waits for the turn.metrics of its pending turns."""
        for key in session.pending_turns or ():
            self._due.pop((session, key), None)

    def restore(self, session: Session, pending: Mapping[TurnKey, TurnCompleted], now: float) -> None:
        """Wait for the turn.metrics of turns that completed while the session was in another process."""
        for key, event in pending.items():
            self._wait(session, key, event, now)

    def close(self, now: float) -> None:
        """The process stops: count the turns that still wait, also those of sessions that ended."""
        for session, key in list(self._due):
            self._count_without_metrics(session, key, now)

    def _wait(self, session: Session, key: TurnKey, event: TurnCompleted, now: float) -> None:
        if session.pending_turns is None:
            session.pending_turns = BoundedDict(MOST_WAITING)
        elif len(session.pending_turns) >= MOST_WAITING:
            self._count_without_metrics(session, next(iter(session.pending_turns)), now)
        if event.user_text or event.agent_text:
            event = msgspec.structs.replace(event, user_text=None, agent_text=None)
        session.pending_turns[key] = event
        self._due[session, key] = now + self._timeout

    def _match(self, session: Session, key: TurnKey | None) -> None:
        """Stop waiting for the turn.metrics of the turn that ``key`` names.

        If turn.completed or turn.metrics has no turn number, they are matched in order: the oldest turn that fits.
        """
        pending = session.pending_turns
        if pending is None:
            if session.unmatched_metrics < MOST_TURNS:
                session.unmatched_metrics += 1
            return
        if key is None or key not in pending:
            key = next((waiting for waiting in pending if key is None or is_by_id(waiting)), None)
            if key is None:
                session.unmatched_metrics = min(session.unmatched_metrics + 1, MOST_TURNS)
                return
            _remember(session, key, None)
        self._stop_waiting(session, key)

    def _stop_waiting(self, session: Session, key: TurnKey) -> TurnCompleted | None:
        self._due.pop((session, key), None)
        event = session.pending_turns.pop(key, None) if session.pending_turns else None
        session.pending_turns = session.pending_turns or None
        return event

    def _count_without_metrics(self, session: Session, key: TurnKey, now: float) -> None:
        event = self._stop_waiting(session, key)
        if event is None:
            return
        _remember(session, key, self._observe_stand_ins(session, event, now))
        self._turns.add(
            1,
            agent=session.agent_label,
            pipeline=UNKNOWN,
            initiator="agent" if event.agent_first else "user",
            interrupted=UNKNOWN,
            cancelled=UNKNOWN,
            sub_agent=_text(bool(event.agent_tool_id)),
            answered_by=session.answered_by,
            now=now,
        )
        if not event.agent_first:
            self._caller_turn_row(session, UNKNOWN, answered=was_answered_without_metrics(event), now=now)[0] += 1.0
        self._without.add(1, agent=session.agent_label, now=now)
        if self._on_without_metrics is not None:
            self._on_without_metrics(session, event, now)
        self._report_missing(session, now)

    def _report_missing(self, session: Session, now: float) -> None:
        """Report once that the session's turns complete and no turn.metrics arrive at all."""
        if session.reported_missing or session.metrics_received or session.turns_completed < _TURNS_BEFORE_REPORT:
            return
        session.reported_missing = True
        self._sessions_without.add(1, agent=session.agent_label, now=now)
        self._on_missing(session.agent_label)

    def _observe_stand_ins(self, session: Session, event: TurnCompleted, now: float) -> tuple[StandInField, ...]:
        """Observe the values of turn.completed in place of turn.metrics. Returns the turn.metrics fields they stood in for."""
        known = {"agent": session.agent_label, "cancelled": "false"}
        stood_in = []
        for field, (instrument, source) in self._stand_ins.items():
            value = getattr(event, source)
            if value:
                instrument.observe(value, now=now, **{name: known.get(name, UNKNOWN) for name in instrument.label_names})
                stood_in.append(field)
        return tuple(stood_in)

    def _count(self, session: Session, event: TurnMetrics, now: float) -> None:
        """Count the turn. The rows are remembered by the values of the event, before they become label values."""
        pipeline, agent_first, interrupted, llm, tts, realtime, agent_tool, wait, answered_at, tts_ttfb, realtime_ttft = _kind_of(event)
        answered = wait is not None or answered_at is not None or bool(tts_ttfb or realtime_ttft)
        key = (pipeline, agent_first, interrupted, llm or tts or realtime, not agent_tool, answered)
        for row in session.series_cache.turns.get(key) or self._rows(session, TurnKind(*key), now):
            row[0] += 1.0

    def _rows(self, session: Session, turn: TurnKind, now: float) -> tuple[Row, ...]:
        """The rows of such a turn. They are remembered if the pipeline's name, if any, is its label: there are few of those."""
        pipeline = self._limiter.value("pipeline", turn.pipeline, now)
        find = partial(self._find_rows, session, turn, pipeline, now)
        return self._store.cached(session.series_cache.turns, turn, find) if turn.pipeline in (pipeline, None) else find()

    def _find_rows(self, session: Session, turn: TurnKind, pipeline: str, now: float) -> tuple[Row, ...]:
        turns = self._turns.row(
            agent=session.agent_label,
            pipeline=pipeline,
            initiator="agent" if turn.agent_first else "user",
            interrupted=_text(turn.interrupted),
            cancelled=_text(turn.cancelled),
            sub_agent=_text(not turn.main_agent),
            answered_by=session.answered_by,
            now=now,
        )
        return (turns,) if turn.agent_first else (turns, self._caller_turn_row(session, pipeline, answered=turn.answered, now=now))

    def _caller_turn_row(self, session: Session, pipeline: str, *, answered: bool, now: float) -> Row:
        """The row that counts callers' turns with this outcome."""
        return self._caller_turns.row(
            agent=session.agent_label,
            pipeline=pipeline,
            outcome="answered" if answered else "unanswered",
            answered_by=session.answered_by,
            now=now,
        )


_identity_of = field_getter(TurnMetrics, "turn_number", "agent_tool_id", "agent_first", "user_perceived_ms")
_kind_of = field_getter(
    TurnMetrics,
    *("pipeline", "agent_first", "interrupted", "llm_cancelled", "tts_cancelled", "realtime_cancelled", "agent_tool_id"),
    *("user_perceived_ms", "agent_started_speaking_at", "tts_ttfb_ms", "realtime_ttft_ms"),
)


def was_answered(event: TurnMetrics) -> bool:
    """Whether the caller heard the agent in this turn: there is a wait, a start of the agent's speech, or at least audio."""
    return (
        event.user_perceived_ms is not None
        or event.agent_started_speaking_at is not None
        or bool(event.tts_ttfb_ms or event.realtime_ttft_ms)
    )


def was_answered_without_metrics(event: TurnCompleted) -> bool:
    """As :func:`was_answered`, by the turn.completed of a turn without turn.metrics."""
    return bool(event.agent_started_speaking_at or event.tts_ttfb_s or event.realtime_ttft_s)


def _text(flag: bool | None) -> str:
    return "true" if flag else "false"


def _remember(session: Session, key: TurnKey, stood_in: StoodIn) -> None:
    if session.turns is None:
        session.turns = BoundedDict(MOST_TURNS)
    session.turns.renew(key, stood_in)
