"""How calls go on from turn to turn: models that change within one, and what waits and prompts do as it gets longer."""

from typing import Final

from exporter.catalogue import operator_metrics
from exporter.catalogue.operator_metrics import POSITIONS
from exporter.events.turn_metrics import TurnMetrics
from exporter.metrics.label_limits import MAX_RAW
from exporter.metrics.store import Instrument, Observe, Store
from exporter.sessions.registry import MACHINE, Models, Session

_COMPONENTS: Final = ("stt", "llm", "tts", "realtime")
_NONE: Final = (None,) * 2 * len(_COMPONENTS)
_AHEAD: Final = 3600.0
"""A moment further ahead of our clock, in seconds, comes from a wrong one."""
_LASTS: Final = ((1, "1"), (5, "2-5"), (10, "6-10"), (20, "11-20"))
_NUMBERED: Final = tuple(next(name for last, name in _LASTS if number <= last) for number in range(21))


def position_of(number: int) -> str:
    """The range of turns that a turn with this number lies in, one of :data:`~exporter.catalogue.operator_metrics.POSITIONS`."""
    return _NUMBERED[max(number, 0)] if number < len(_NUMBERED) else POSITIONS[-1]


def _began(event: TurnMetrics, now: float) -> float | None:
    """When the turn began, unix seconds; None if it does not say, or by a clock that is wrong."""
    moment = event.user_started_speaking_at or event.agent_started_speaking_at
    began = None if moment is None else moment.timestamp()
    return began if began is not None and 0 <= began <= now + _AHEAD else None


class TurnPosition:
    """Takes in turns one by one; each session remembers which models its last turn had."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._changes = Instrument(store, operator_metrics.MODEL_CHANGES)
        self._latency = Instrument(store, operator_metrics.LATENCY_BY_POSITION)
        self._prompt = Instrument(store, operator_metrics.PROMPT_BY_POSITION)

    def turn(self, session: Session, event: TurnMetrics, now: float) -> None:
        """A turn of which nothing was counted before."""
        models = (
            event.stt_provider, event.stt_model, event.llm_provider, event.llm_model,
            event.tts_provider, event.tts_model, event.realtime_provider, event.realtime_model,
        )  # fmt: skip
        began = _began(event, now)
        if began is None or began >= session.models_at:  # else a later turn has been here: this one changed nothing after it
            session.models_at = began or session.models_at
            if models != session.models:
                self._changed(session, models, now)
        if event.turn_number is None or event.agent_tool_id:
            return  # a sub-agent counts its own turns
        position = position_of(int(event.turn_number))
        latency, prompt = session.series_cache.turn_position.get(position) or self._observers(session, position, now)
        if event.user_perceived_ms is not None and not event.agent_first and session.answered_by != MACHINE:
            latency(event.user_perceived_ms / 1000.0)
        if event.llm_prompt_tokens:
            prompt(event.llm_prompt_tokens)

    def _observers(self, session: Session, position: str, now: float) -> tuple[Observe, Observe]:
        overflowed = self._store.overflowed
        observers = (self._latency.observer(session.agent_label, position, now=now), self._prompt.observer(position, now=now))
        if self._store.overflowed == overflowed:  # else there was no room, which is to be counted with every turn
            session.series_cache.turn_position[position] = observers
        return observers

    def _changed(self, session: Session, models: Models, now: float) -> None:
        """Count what is different; a component of which the turn says nothing is as it was."""
        last = session.models or _NONE
        known = list(last)
        for place, component in enumerate(_COMPONENTS):
            both = slice(2 * place, 2 * place + 2)
            before, pair = last[both], tuple(name and name[:MAX_RAW] for name in models[both])
            if pair in ((None, None), before):
                continue
            known[both] = pair
            if before != (None, None):
                change = "model" if before[0] == pair[0] else "provider"
                self._changes.add(1, session.agent_label, component, change, now=now)
        session.models = tuple(known)
