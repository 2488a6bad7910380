"""How calls go on from turn to turn: models that change within one, and what waits and prompts do as it gets longer."""

from typing import Final

from exporter.catalogue import answers
from exporter.catalogue.answers import POSITIONS
from exporter.events.turn_metrics import TurnMetrics
from exporter.labels import MAX_RAW
from exporter.session import Session
from exporter.store import Instrument, Store

_AHEAD: Final = 3600.0
"""A moment further ahead of our clock, in seconds, comes from a wrong one."""
_LASTS: Final = ((1, "1"), (5, "2-5"), (10, "6-10"), (20, "11-20"))


def position_of(number: int) -> str:
    """The range of turns that a turn with this number lies in, one of :data:`~exporter.catalogue.answers.POSITIONS`."""
    return next((name for last, name in _LASTS if number <= last), POSITIONS[-1])


def _cut(name: str | None) -> str | None:
    """A name as it is remembered."""
    return name and name[:MAX_RAW]


def _began(event: TurnMetrics, now: float) -> float | None:
    """When the turn began, unix seconds; None if it does not say, or by a clock that is wrong."""
    moment = event.user_started_speaking_at or event.agent_started_speaking_at
    began = None if moment is None else moment.timestamp()
    return began if began is not None and 0 <= began <= now + _AHEAD else None


class Course:
    """Takes in turns one by one; each session remembers which models its last turn had."""

    def __init__(self, store: Store) -> None:
        self._changes = Instrument(store, answers.MODEL_CHANGES)
        self._latency = Instrument(store, answers.LATENCY_BY_POSITION)
        self._prompt = Instrument(store, answers.PROMPT_BY_POSITION)

    def turn(self, session: Session, event: TurnMetrics, now: float) -> None:
        """A turn of which nothing was counted before."""
        self._models(session, event, now)
        if event.turn_number is None or event.agent_tool_id:
            return  # a sub-agent counts its own turns
        position = position_of(int(event.turn_number))
        if event.user_perceived_ms is not None and not event.agent_first:
            self._latency.observe(event.user_perceived_ms / 1000.0, session.agent_label, position, now=now)
        if event.llm_prompt_tokens:
            self._prompt.observe(event.llm_prompt_tokens, position, now=now)

    def _models(self, session: Session, event: TurnMetrics, now: float) -> None:
        began = _began(event, now)
        if began is not None:
            if began < session.models_at:
                return  # a later turn has been here: this one changed nothing after it
            session.models_at = began
        before = session.models
        used = {
            "stt": (event.stt_provider, event.stt_model),
            "llm": (event.llm_provider, event.llm_model),
            "tts": (event.tts_provider, event.tts_model),
            "realtime": (event.realtime_provider, event.realtime_model),
        }
        known = {component: (_cut(pair[0]), _cut(pair[1])) for component, pair in used.items() if pair != (None, None)}
        if before is not None and before != known:
            for component, pair in known.items():
                last = before.get(component, pair)
                if last != pair:
                    change = "model" if last[0] == pair[0] else "provider"
                    self._changes.add(1, session.agent_label, component, change, now=now)
        if known:
            session.models = {**(before or {}), **known}
