"""Turns: each counts once, with its turn.metrics if they come, without them if they do not."""

import heapq
from collections.abc import Callable
from typing import Final, Literal

import msgspec

from exporter.catalogue import derived
from exporter.events.turn_metrics import TurnMetrics
from exporter.events.turns import TurnCompleted
from exporter.identity import TurnKey
from exporter.labels import UNKNOWN, Admission
from exporter.session import Session
from exporter.store import Instrument, Store
from exporter.wire import Refused

MOST_TURNS: Final = 256
"""Turns a session remembers to tell duplicates; longer calls forget the oldest."""
_TURNS_BEFORE_COMPLAINT: Final = 2
_BY_ID: Final = "id:"
"""Begins the key of a turn that has no number: servers of the second generation name only its id."""

_Seen = Literal["metrics", "without"]
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

    ``refuse`` is told of values that do not apply, ``missing`` of agents whose turns complete without any turn.metrics.
    """

    def __init__(
        self,
        store: Store,
        admission: Admission,
        wait: float,
        refuse: Callable[[str, Refused], None],
        missing: Callable[[str], None],
    ) -> None:
        self._store = store
        self._admission = admission
        self._wait = wait
        self._refuse = refuse
        self._missing = missing
        self._due: list[tuple[float, int, Session, TurnKey]] = []
        self._pushed = 0
        self._turns = Instrument(store, derived.TURNS)
        self._without = Instrument(store, derived.TURNS_WITHOUT_METRICS)
        self._late = Instrument(store, derived.TURN_METRICS_LATE)
        self._duplicates = Instrument(store, derived.TURN_METRICS_DUPLICATES)
        self._sessions_without = Instrument(store, derived.SESSIONS_WITHOUT_TURN_METRICS)
        self._stand_ins = {field: (Instrument(store, store.spec(metric)), source) for field, (metric, source) in _STAND_INS.items()}

    def metrics(self, session: Session, event: TurnMetrics, now: float) -> TurnMetrics | None:
        """Count the turn of a turn.metrics; returns what of the event is to be recorded, ``None`` for a duplicate."""
        key = _key(event.agent_tool_id, event.turn_number)
        seen = session.turns.get(key) if session.turns and key else None
        if seen == "metrics":
            self._duplicates.add(1, session.agent_label, now=now)
            return None
        session.turn_metrics += 1
        if event.agent_first and event.user_perceived_ms is not None:
            self._refuse("user_perceived_ms", Refused.NOT_APPLICABLE)
            event = msgspec.structs.replace(event, user_perceived_ms=None)
        if seen == "without":
            self._late.add(1, session.agent_label, now=now)
            event = self._without_stood_in(session, event, key)
        else:
            self._count(session, event, now)
        if key is not None:
            _remember(session, key, "metrics")
        self._answer(session, key)
        return event

    def completed(self, session: Session, event: TurnCompleted, now: float) -> TurnCompleted:
        """A turn is over: wait for its turn.metrics."""
        key = _key(event.agent_tool_id, event.turn_number)
        if key is None:
            if session.unmatched_metrics:
                session.unmatched_metrics -= 1
                return event
            key = (f"{_BY_ID}{event.turn_id}", 0)
        if session.turns and key in session.turns:
            return event
        if session.pending_turns is None:
            session.pending_turns = {}
        if key not in session.pending_turns and len(session.pending_turns) < MOST_TURNS:
            session.pending_turns[key] = event
            session.turns_completed += 1
            self._pushed += 1
            heapq.heappush(self._due, (now + self._wait, self._pushed, session, key))
        return event

    def tick(self, now: float) -> None:
        """Count turns whose turn.metrics have not come in time."""
        while self._due and self._due[0][0] <= now:
            _, _, session, key = heapq.heappop(self._due)
            self._give_up(session, key, now)

    def finish(self, session: Session, now: float) -> None:
        """The session is over: count what is still waiting."""
        for key in list(session.pending_turns or ()):
            self._give_up(session, key, now)

    def _answer(self, session: Session, key: TurnKey | None) -> None:
        """Take the turn off the list of those waiting; one known only by its id is taken to be the oldest."""
        pending = session.pending_turns
        if pending and key not in pending:
            key = next((waiting for waiting in pending if waiting[0].startswith(_BY_ID)), None)
        if pending and key is not None:
            del pending[key]
        else:
            session.unmatched_metrics += 1

    def _give_up(self, session: Session, key: TurnKey, now: float) -> None:
        event = session.pending_turns.pop(key, None) if session.pending_turns else None
        if event is None:
            return
        _remember(session, key, "without")
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
        self._without.add(1, session.agent_label, now=now)
        self._stand_in(session, event, key, now)
        if not session.turn_metrics and session.turns_completed >= _TURNS_BEFORE_COMPLAINT and not session.told_missing:
            session.told_missing = True
            self._sessions_without.add(1, session.agent_label, now=now)
            self._missing(session.agent_label)

    def _stand_in(self, session: Session, event: TurnCompleted, key: TurnKey, now: float) -> None:
        labels = {"agent": session.agent_label, "cancelled": "false"}
        observed = []
        for field, (instrument, source) in self._stand_ins.items():
            value = getattr(event, source)
            if value:
                instrument.observe(value, *(labels.get(name, UNKNOWN) for name in instrument.label_names), now=now)
                observed.append(field)
        if observed:
            session.stood_in = session.stood_in or {}
            session.stood_in[key] = tuple(observed)

    def _without_stood_in(self, session: Session, event: TurnMetrics, key: TurnKey | None) -> TurnMetrics:
        """The event less the fields that turn.completed stood in for, so that nothing is observed twice."""
        stood_in = session.stood_in.pop(key, ()) if session.stood_in and key else ()
        return msgspec.structs.replace(event, **dict.fromkeys(stood_in)) if stood_in else event

    def _count(self, session: Session, event: TurnMetrics, now: float) -> None:
        cancelled = event.llm_cancelled or event.tts_cancelled or event.realtime_cancelled
        self._turns.add(
            1,
            session.agent_label,
            self._admission.value("pipeline", event.pipeline, now),
            "agent" if event.agent_first else "user",
            "true" if event.interrupted else "false",
            "true" if cancelled else "false",
            "true" if event.agent_tool_id else "false",
            session.answered_by,
            now=now,
        )


def _key(agent_tool_id: str | None, turn_number: float | None) -> TurnKey | None:
    return None if turn_number is None else (agent_tool_id or "", int(turn_number))


def _remember(session: Session, key: TurnKey, seen: _Seen) -> None:
    if session.turns is None:
        session.turns = {}
    session.turns.pop(key, None)
    session.turns[key] = seen
    if len(session.turns) > MOST_TURNS:
        session.turns.pop(next(iter(session.turns)))
