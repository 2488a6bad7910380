"""What goes on in a session between turns: states, sub-agents, server-side tools, LLM availability, and cumulative usage."""

import math
from collections.abc import Callable
from datetime import datetime
from typing import Final

from exporter.catalogue import derived
from exporter.catalogue.model import MetricSpec
from exporter.events.session import ModelUsage, SessionUsage
from exporter.events.speech import AGENT_STATES, USER_STATES, AgentStateChanged, UserStateChanged
from exporter.events.tools import AgentToolCompleted, AgentToolFailed, AgentToolStarted, LlmAvailabilityChanged, ToolExecuted
from exporter.labels import UNKNOWN, Admission
from exporter.measure import one_of
from exporter.session import Session
from exporter.store import Instrument, Store
from exporter.wire import Refused

MOST_OPEN_TOOLS: Final = 64
MOST_USED_MODELS: Final = 64
_LONGEST_STATE: Final = 86_400.0
"""A state that seems to last longer comes from a wrong clock; in seconds."""
_MOST_USED: Final = 1e12
_COMPONENT_OF: Final = {"llm_usage": "llm", "tts_usage": "tts", "stt_usage": "stt", "interruption_usage": "interruption"}
COMPONENTS: Final = (*_COMPONENT_OF.values(), "other")
"""The components whose use session.usage tells."""
_USAGE: Final[dict[str, MetricSpec]] = {
    "input_tokens": derived.USAGE_INPUT_TOKENS,
    "input_cached_tokens": derived.USAGE_CACHED_INPUT_TOKENS,
    "output_tokens": derived.USAGE_OUTPUT_TOKENS,
    "session_duration": derived.USAGE_SESSION_DURATION,
    "characters_count": derived.USAGE_CHARACTERS,
    "audio_duration": derived.USAGE_AUDIO_DURATION,
    "total_requests": derived.USAGE_REQUESTS,
}
"""Field of a session.usage entry → the counter its growth is added to."""


class Activity:
    """Folds events into the metrics of no single field; ``refuse`` is told of values that cannot be right."""

    def __init__(self, store: Store, admission: Admission, refuse: Callable[[str, Refused], None]) -> None:
        self._admission = admission
        self._refuse = refuse
        self._state_duration = Instrument(store, derived.STATE_DURATION)
        self._tool_executions = Instrument(store, derived.TOOL_EXECUTIONS)
        self._agent_tool_duration = Instrument(store, derived.AGENT_TOOL_DURATION)
        self._llm_available = Instrument(store, derived.LLM_AVAILABLE)
        self._usage = {field: Instrument(store, spec) for field, spec in _USAGE.items()}

    def user_state(self, session: Session, event: UserStateChanged, now: float) -> UserStateChanged:
        """The user's state changed."""
        self._change(session, "user", one_of(event.new_state, USER_STATES), _moment(event.timestamp, now), now)
        return event

    def agent_state(self, session: Session, event: AgentStateChanged, now: float) -> AgentStateChanged:
        """The agent's state changed."""
        self._change(session, "agent", one_of(event.new_state, AGENT_STATES), _moment(event.timestamp, now), now)
        return event

    def finish(self, session: Session, now: float) -> None:
        """The session is over, and with it the states it was in: they lasted at least to the last change of either."""
        states = session.states or {}
        last = max((since for _, since in states.values()), default=now)
        for participant in list(states):
            self._change(session, participant, UNKNOWN, last, now)
        session.states = None

    def agent_tool_started(self, session: Session, event: AgentToolStarted, now: float) -> AgentToolStarted:
        """A sub-agent took over."""
        if session.agent_tools is None:
            session.agent_tools = {}
        if event.agent_tool_id and len(session.agent_tools) < MOST_OPEN_TOOLS:
            kind = self._admission.value("agent_tool", event.agent_tool_type, now)
            session.agent_tools[event.agent_tool_id] = (kind, now)
        return event

    def agent_tool_completed(self, session: Session, event: AgentToolCompleted, now: float) -> AgentToolCompleted:
        """A sub-agent did its part."""
        self._agent_tool_over(session, event.agent_tool_id, "completed", now)
        return event

    def agent_tool_failed(self, session: Session, event: AgentToolFailed, now: float) -> AgentToolFailed:
        """A sub-agent failed."""
        self._agent_tool_over(session, event.agent_tool_id, "failed", now)
        return event

    def tools_executed(self, session: Session, event: ToolExecuted, now: float) -> ToolExecuted:
        """Server-side tools ran; a server of the second generation names one and not its outcome."""
        ran = [(call.name, "error" if call.is_error else "ok") for call in event.calls or ()]
        if event.tool_name:
            ran.append((event.tool_name, UNKNOWN))
        for name, outcome in ran:
            tool = self._admission.value("tool", name, now)
            self._tool_executions.add(1, session.agent_label, tool, outcome, now=now)
        return event

    def availability(self, llm: str | None, available: bool | None, now: float) -> None:
        """An LLM was said to be available or not."""
        if llm and available is not None:
            self._llm_available.set(float(available), self._admission.value("llm", llm, now), now=now)

    def availability_changed(self, _: Session, event: LlmAvailabilityChanged, now: float) -> LlmAvailabilityChanged:
        """An LLM went down or came back."""
        self.availability(event.llm, event.available, now)
        return event

    def usage(self, session: Session, event: SessionUsage, now: float) -> SessionUsage:
        """Add what each model's use grew by since the session's last report."""
        first_report = session.usage is None
        if session.usage is None:
            session.usage = {}
        for entry in event.models or ():
            key = (_COMPONENT_OF.get(entry.type or "", "other"), entry.provider, entry.model)
            before = session.usage.get(key)
            if before is None:
                if len(session.usage) >= MOST_USED_MODELS:
                    continue
                before = session.usage[key] = {}
            self._grow(entry, key, before, now, baseline=first_report and not session.saw_start)
        return event

    def _grow(
        self,
        entry: ModelUsage,
        key: tuple[str, str | None, str | None],
        before: dict[str, float],
        now: float,
        *,
        baseline: bool,
    ) -> None:
        labels: tuple[str, ...] | None = None
        for field, value in _usage_values(entry):
            if not (math.isfinite(value) and 0 <= value <= _MOST_USED):
                self._refuse(f"models.{field}", Refused.NEGATIVE if value < 0 else Refused.TOO_LARGE)
                continue
            last = before.get(field, 0.0)
            growth = value - last if value >= last else value
            before[field] = value
            if growth and not baseline:
                component, provider, model = key
                labels = labels or (component, *self._admission.pair(component, provider, model, now))
                self._usage[field].add(growth, *labels, now=now)

    def _change(self, session: Session, participant: str, state: str, moment: float, now: float) -> None:
        if session.states is None:
            session.states = {}
        before = session.states.get(participant)
        session.states[participant] = (state, moment)
        if before is not None and 0 < moment - before[1] <= _LONGEST_STATE:
            self._state_duration.add(moment - before[1], session.agent_label, participant, before[0], now=now)

    def _agent_tool_over(self, session: Session, tool_id: str | None, outcome: str, now: float) -> None:
        started = session.agent_tools.pop(tool_id, None) if session.agent_tools and tool_id else None
        if started is not None:
            kind, since = started
            self._agent_tool_duration.observe(max(0.0, now - since), session.agent_label, kind, outcome, now=now)


def _moment(timestamp: datetime | None, now: float) -> float:
    return timestamp.timestamp() if timestamp is not None else now


def _usage_values(entry: ModelUsage) -> list[tuple[str, float]]:
    """The numbers of an entry; audio has been seen under two names."""
    values = [(field, getattr(entry, field)) for field in _USAGE]
    if entry.audio_duration is None:
        values.append(("audio_duration", entry.audio_duration_s))
    return [(field, value) for field, value in values if value is not None]
