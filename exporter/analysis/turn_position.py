"""How a call develops from turn to turn: model changes within a call, and how waits and prompts grow with its length."""

from datetime import datetime
from functools import partial
from typing import Final

from exporter.catalogue import operator_metrics
from exporter.catalogue.operator_metrics import POSITIONS
from exporter.events.turn_metrics import TurnMetrics
from exporter.metrics.instrument import Instrument
from exporter.metrics.label_limits import MAX_RAW
from exporter.metrics.store import Observe, Store
from exporter.protocol.field_getter import field_getter
from exporter.protocol.moments import unix_seconds
from exporter.sessions.session import MACHINE, Models, Session

_COMPONENTS: Final = ("stt", "llm", "tts", "realtime")
_NO_MODELS: Final = (None,) * 2 * len(_COMPONENTS)
_MOST_AHEAD: Final = 3600.0
"""A time further ahead of our clock, in seconds, comes from a wrong clock."""
_RANGES: Final = ((1, "1"), (5, "2-5"), (10, "6-10"), (20, "11-20"))
"""The last turn of each range, and the range's name."""
_POSITION_OF: Final = tuple(next(name for last, name in _RANGES if number <= last) for number in range(21))


def position_of(number: int) -> str:
    """The range of turn numbers that contains ``number``: one of :data:`~exporter.catalogue.operator_metrics.POSITIONS`."""
    return _POSITION_OF[max(number, 0)] if number < len(_POSITION_OF) else POSITIONS[-1]


class TurnPositionTracker:
    """Records turns by their position in the call. Each session remembers the models of its latest turn."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._changes = Instrument(store, operator_metrics.MODEL_CHANGES)
        self._latency = Instrument(store, operator_metrics.LATENCY_BY_POSITION)
        self._prompt = Instrument(store, operator_metrics.PROMPT_BY_POSITION)

    def add(self, session: Session, event: TurnMetrics, now: float) -> None:
        """Add a turn that was not counted before."""
        models: Models = _models_of(event)
        user_started, agent_started, number, agent_tool, wait, agent_first, prompt_tokens = _position_of(event)
        started = _start_of(user_started or agent_started, now)
        if started is None or started >= session.models_at:  # otherwise a later turn was recorded already
            session.models_at = started or session.models_at
            if models != session.models:
                self._models_changed(session, models, now)
        if number is None or agent_tool:
            return  # a sub-agent numbers its own turns
        position = position_of(int(number))
        latency, prompt = session.series_cache.turn_position.get(position) or self._observers(session, position, now)
        if wait is not None and not agent_first and session.answered_by != MACHINE:
            latency(wait / 1000.0)
        if prompt_tokens:
            prompt(prompt_tokens)

    def _observers(self, session: Session, position: str, now: float) -> tuple[Observe, Observe]:
        return self._store.cached(
            session.series_cache.turn_position, position, partial(self._find_observers, session.agent_label, position, now)
        )

    def _find_observers(self, agent: str, position: str, now: float) -> tuple[Observe, Observe]:
        return self._latency.observer(agent=agent, position=position, now=now), self._prompt.observer(position=position, now=now)

    def _models_changed(self, session: Session, models: Models, now: float) -> None:
        """Count the changes. A component that the turn does not name has not changed."""
        last = session.models or _NO_MODELS
        known = list(last)
        for index, component in enumerate(_COMPONENTS):
            both = slice(2 * index, 2 * index + 2)
            before, pair = last[both], tuple(name and name[:MAX_RAW] for name in models[both])
            if pair in ((None, None), before):
                continue
            known[both] = pair
            if before != (None, None):
                change = "model" if before[0] == pair[0] else "provider"
                self._changes.add(1, agent=session.agent_label, component=component, change=change, now=now)
        session.models = tuple(known)


_models_of = field_getter(TurnMetrics, *(f"{component}_{what}" for component in _COMPONENTS for what in ("provider", "model")))
_position_of = field_getter(
    TurnMetrics,
    *("user_started_speaking_at", "agent_started_speaking_at", "turn_number", "agent_tool_id"),
    *("user_perceived_ms", "agent_first", "llm_prompt_tokens"),
)


def _start_of(stamp: datetime | None, now: float) -> float | None:
    """When the turn started, in unix seconds; ``None`` if the event does not say, or if its clock is wrong."""
    started = None if stamp is None else unix_seconds(stamp)
    return started if started is not None and 0 <= started <= now + _MOST_AHEAD else None
