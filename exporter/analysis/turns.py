"""Turns: each counts once, with its turn.metrics if they come, without them if they do not."""

from collections.abc import Callable, Mapping
from itertools import takewhile
from typing import Final

import msgspec

from exporter.catalogue import derived, operator_metrics
from exporter.events.turn_metrics import TurnMetrics
from exporter.events.turns import TurnCompleted
from exporter.metrics.label_limits import UNKNOWN, LabelLimiter
from exporter.metrics.recorder import TurnKind
from exporter.metrics.store import Instrument, Row, Store
from exporter.protocol.decoder import RefusalReason
from exporter.protocol.ids import TurnKey, is_by_id, turn_key, turn_key_by_id
from exporter.sessions.registry import Session

MOST_TURNS: Final = 256
"""Turns a session remembers to tell duplicates; longer calls forget the oldest."""
MOST_WAITING: Final = 64
"""Turns of a session that may wait for their turn.metrics; the oldest waits no longer when there are more."""
_TURNS_BEFORE_COMPLAINT: Final = 2
_NEW: Final = ("",)
"""Stands for what a turn that has not counted yet would be remembered by."""
_STAND_INS: Final = {
    "stt_delay_ms": ("agentstack_stt_delay_seconds", "transcription_delay_s"),
    "turn_decision_ms": ("agentstack_turn_decision_seconds", "turn_decision_s"),
    "llm_ttft_ms": ("agentstack_llm_time_to_first_token_seconds", "llm_ttft_s"),
    "tts_ttfb_ms": ("agentstack_tts_time_to_first_byte_seconds", "tts_ttfb_s"),
    "realtime_ttft_ms": ("agentstack_realtime_time_to_first_token_seconds", "realtime_ttft_s"),
}
"""turn.metrics field → the metric it moves and the turn.completed field that stands in for it."""


class Turns:
    """Counts turns, and observes what turn.completed says of those that never get metrics.

    ``refuse`` is told of values that do not apply, ``missing`` of agents whose turns complete without any turn.metrics,
    ``without`` of each turn that is counted without its own.
    """

    def __init__(
        self,
        store: Store,
        limiter: LabelLimiter,
        wait: float,
        refuse: Callable[[str, RefusalReason], None],
        missing: Callable[[str], None],
        *,
        without: Callable[[Session, TurnCompleted, float], None] | None = None,
    ) -> None:
        self._store = store
        self._limiter = limiter
        self._wait = wait
        self._refuse = refuse
        self._missing = missing
        self._written_without = without
        self._due: dict[tuple[Session, TurnKey], float] = {}
        self._turns = Instrument(store, derived.TURNS)
        self._caller_turns = Instrument(store, operator_metrics.CALLER_TURNS)
        self._without = Instrument(store, derived.TURNS_WITHOUT_METRICS)
        self._late = Instrument(store, derived.TURN_METRICS_LATE)
        self._duplicates = Instrument(store, derived.TURN_METRICS_DUPLICATES)
        self._sessions_without = Instrument(store, derived.SESSIONS_WITHOUT_TURN_METRICS)
        self._stand_ins = {field: (Instrument(store, store.spec(metric)), source) for field, (metric, source) in _STAND_INS.items()}

    def metrics(self, session: Session, event: TurnMetrics, now: float) -> TurnMetrics | None:
        """Count the turn of a turn.metrics; returns what of the event is to be recorded, ``None`` for a duplicate."""
        key = None if event.turn_number is None else turn_key(event.agent_tool_id, event.turn_number)
        stood_in = session.turns.get(key, _NEW) if session.turns and key else _NEW
        if stood_in is None:
            self._duplicates.add(1, session.agent_label, now=now)
            return None
        session.turn_metrics += 1
        if event.agent_first and event.user_perceived_ms is not None:
            self._refuse("user_perceived_ms", RefusalReason.NOT_APPLICABLE)
            event = msgspec.structs.replace(event, user_perceived_ms=None)
        if stood_in is _NEW:
            self._count(session, event, now)
            self._answer(session, key)
        else:
            self._late.add(1, session.agent_label, now=now)
            event = msgspec.structs.replace(event, **dict.fromkeys(stood_in)) if stood_in else event
        if key is not None:
            _remember(session, key, None)
        return event

    def completed(self, session: Session, event: TurnCompleted, now: float) -> TurnCompleted:
        """A turn is over: wait for its turn.metrics."""
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
                self._await(session, key, event, now)
        return event

    def tick(self, now: float) -> None:
        """Count turns whose turn.metrics have not come in time."""
        for session, key in [turn for turn, _ in takewhile(lambda entry: entry[1] <= now, self._due.items())]:
            self._give_up(session, key, now)

    def finish(self, session: Session, now: float) -> None:
        """The session is over: count what is still waiting."""
        for key in list(session.pending_turns or ()):
            self._give_up(session, key, now)

    def let_go(self, session: Session) -> None:
        """Another process goes on with the session, and waits for what is still to come of its turns."""
        for key in session.pending_turns or ():
            self._due.pop((session, key), None)

    def wait_again(self, session: Session, pending: Mapping[TurnKey, TurnCompleted], now: float) -> None:
        """Wait for turns that were complete before the session came from another process."""
        for key, event in pending.items():
            self._await(session, key, event, now)

    def close(self, now: float) -> None:
        """The process stops: count what is still waiting, of sessions that are over too."""
        for session, key in list(self._due):
            self._give_up(session, key, now)

    def _await(self, session: Session, key: TurnKey, event: TurnCompleted, now: float) -> None:
        if session.pending_turns is None:
            session.pending_turns = {}
        elif len(session.pending_turns) >= MOST_WAITING:
            self._give_up(session, next(iter(session.pending_turns)), now)
        if event.user_text or event.agent_text:
            event = msgspec.structs.replace(event, user_text=None, agent_text=None)
        session.pending_turns[key] = event
        self._due[session, key] = now + self._wait

    def _answer(self, session: Session, key: TurnKey | None) -> None:
        """Take the turn off the list of those waiting.

        Where one side or the other has no number, the turn is taken to be the oldest that fits.
        """
        pending = session.pending_turns
        if pending is None:
            if session.unmatched_metrics < MOST_TURNS:
                session.unmatched_metrics += 1
            return
        if key not in pending:
            key = next((waiting for waiting in pending if key is None or is_by_id(waiting)), None)
            if key is None:
                session.unmatched_metrics = min(session.unmatched_metrics + 1, MOST_TURNS)
                return
            _remember(session, key, None)
        self._take_off(session, key)

    def _take_off(self, session: Session, key: TurnKey) -> TurnCompleted | None:
        self._due.pop((session, key), None)
        event = session.pending_turns.pop(key, None) if session.pending_turns else None
        session.pending_turns = session.pending_turns or None
        return event

    def _give_up(self, session: Session, key: TurnKey, now: float) -> None:
        event = self._take_off(session, key)
        if event is None:
            return
        _remember(session, key, self._stand_in(session, event, now))
        self._turns.add(
            1,
            session.agent_label,
            UNKNOWN,
            "agent" if event.agent_first else "user",
            UNKNOWN,
            UNKNOWN,
            "true" if event.agent_tool_id else "false",
            session.answered_by,
            now=now,
        )
        if not event.agent_first:
            answered = bool(event.agent_started_speaking_at or event.tts_ttfb_s or event.realtime_ttft_s)
            self._caller_turn(session, UNKNOWN, answered=answered, now=now)[0] += 1.0
        self._without.add(1, session.agent_label, now=now)
        if self._written_without is not None:
            self._written_without(session, event, now)
        if not session.turn_metrics and session.turns_completed >= _TURNS_BEFORE_COMPLAINT and not session.told_missing:
            session.told_missing = True
            self._sessions_without.add(1, session.agent_label, now=now)
            self._missing(session.agent_label)

    def _stand_in(self, session: Session, event: TurnCompleted, now: float) -> tuple[str, ...]:
        """Observe what turn.completed says in place of turn.metrics; returns the fields it stood in for."""
        labels = {"agent": session.agent_label, "cancelled": "false"}
        stood_in = []
        for field, (instrument, source) in self._stand_ins.items():
            value = getattr(event, source)
            if value:
                instrument.observe(value, *(labels.get(name, UNKNOWN) for name in instrument.label_names), now=now)
                stood_in.append(field)
        return tuple(stood_in)

    def _count(self, session: Session, event: TurnMetrics, now: float) -> None:
        """Count the turn; which rows that moves is remembered by what the event says, as it says it."""
        cancelled = event.llm_cancelled or event.tts_cancelled or event.realtime_cancelled
        key = (event.pipeline, event.agent_first, event.interrupted, cancelled, not event.agent_tool_id, _was_answered(event))
        for row in session.series_cache.turns.get(key) or self._rows(session, TurnKind(*key), now):
            row[0] += 1.0

    def _rows(self, session: Session, turn: TurnKind, now: float) -> tuple[Row, ...]:
        """The rows that such a turn moves; not remembered if the store has no room, or for what is no label value as it stands."""
        label = self._limiter.value("pipeline", turn.pipeline, now)
        overflowed = self._store.overflowed
        flags = ("true" if flag else "false" for flag in (turn.interrupted, turn.cancelled, not turn.main_agent))
        initiator = "agent" if turn.agent_first else "user"
        rows = [self._turns.row(session.agent_label, label, initiator, *flags, session.answered_by, now=now)]
        if not turn.agent_first:
            rows.append(self._caller_turn(session, label, answered=turn.answered, now=now))
        if self._store.overflowed == overflowed and label == turn.pipeline:
            session.series_cache.turns[turn] = tuple(rows)
        return tuple(rows)

    def _caller_turn(self, session: Session, pipeline: str, *, answered: bool, now: float) -> Row:
        """The row that counts turns of callers with this outcome."""
        outcome = "answered" if answered else "unanswered"
        return self._caller_turns.row(session.agent_label, pipeline, outcome, session.answered_by, now=now)


def _was_answered(event: TurnMetrics) -> bool:
    """Whether the turn's caller heard the agent: there is a wait, a moment at which it began, or at least audio."""
    return (
        event.user_perceived_ms is not None
        or event.agent_started_speaking_at is not None
        or bool(event.tts_ttfb_ms or event.realtime_ttft_ms)
    )


def _remember(session: Session, key: TurnKey, stood_in: tuple[str, ...] | None) -> None:
    if session.turns is None:
        session.turns = {}
    session.turns.pop(key, None)
    session.turns[key] = stood_in
    if len(session.turns) > MOST_TURNS:
        session.turns.pop(next(iter(session.turns)))
