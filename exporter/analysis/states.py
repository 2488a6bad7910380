"""What goes on in a session between turns: states, sub-agents, server-side tools, LLM availability, and cumulative usage."""

import math
from collections.abc import Callable, Iterable, Mapping
from itertools import islice
from typing import Final

from exporter.catalogue import derived
from exporter.catalogue.model import MetricSpec
from exporter.events.session import ModelUsage, SessionUsage
from exporter.events.speech import AGENT_STATES, USER_STATES, AgentStateChanged, UserStateChanged
from exporter.events.tools import AgentToolCompleted, AgentToolFailed, AgentToolStarted, LlmAvailabilityChanged, ToolExecuted
from exporter.metrics.label_limits import MAX_RAW, OTHER, UNKNOWN, LabelLimiter
from exporter.metrics.recorder import one_of
from exporter.metrics.store import Instrument, Store
from exporter.protocol.decoder import RefusalReason
from exporter.protocol.ids import shorten_id
from exporter.sessions.registry import Session

MOST_OPEN_TOOLS: Final = 64
MOST_USED_MODELS: Final = 64
MOST_LLMS: Final = 64
"""LLMs of one event whose availability is looked at."""
_LONGEST_STATE: Final = 86_400.0
"""A state that seems to last longer comes from a wrong clock; in seconds."""
_MOST_OUT_OF_ORDER: Final = 60.0
"""An event this much older than the one before it, in seconds, is not late: the platform's clock was set back."""
_ROUNDING: Final = 1e-6
"""A sum of durations that shrinks by less than this part of it was only rounded."""
_MOST_USED: Final = 1e12
_COMPONENTS: Final = {"llm_usage": "llm", "tts_usage": "tts", "stt_usage": "stt", "interruption_usage": "interruption"}
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

    def __init__(self, store: Store, limiter: LabelLimiter, refuse: Callable[[str, RefusalReason], None]) -> None:
        self._limiter = limiter
        self._refuse = refuse
        self._state_duration = Instrument(store, derived.STATE_DURATION)
        self._tool_executions = Instrument(store, derived.TOOL_EXECUTIONS)
        self._agent_tool_duration = Instrument(store, derived.AGENT_TOOL_DURATION)
        self._llm_available = Instrument(store, derived.LLM_AVAILABLE)
        self._usage = {field: Instrument(store, spec) for field, spec in _USAGE.items()}

    def user_state(self, session: Session, event: UserStateChanged, now: float) -> UserStateChanged:
        """The user's state changed."""
        self._change(session, "user", event, USER_STATES, now)
        return event

    def agent_state(self, session: Session, event: AgentStateChanged, now: float) -> AgentStateChanged:
        """The agent's state changed."""
        self._change(session, "agent", event, AGENT_STATES, now)
        return event

    def finish(self, session: Session, now: float) -> None:
        """The session is over, and with it the states it was in: they lasted until it was last heard of."""
        for participant, (state, _, received) in (session.states or {}).items():
            self._lasted(session, participant, state, session.last_event_at - received, now)
        session.states = None

    def agent_tool_started(self, session: Session, event: AgentToolStarted, now: float) -> AgentToolStarted:
        """A sub-agent took over."""
        if session.agent_tools is None:
            session.agent_tools = {}
        if event.agent_tool_id:
            tool_id = shorten_id(event.agent_tool_id)
            session.agent_tools.pop(tool_id, None)
            session.agent_tools[tool_id] = (_cut(event.agent_tool_type), now)
            if len(session.agent_tools) > MOST_OPEN_TOOLS:
                del session.agent_tools[next(iter(session.agent_tools))]
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
            tool = self._limiter.value("tool", name, now)
            self._tool_executions.add(1, session.agent_label, tool, outcome, now=now)
        return event

    def availability(self, llm: str | None, available: bool | None, now: float) -> None:
        """An LLM was said to be available or not; those that share ``_other`` have nothing to say together."""
        if llm and available is not None:
            self.availabilities({llm: available}, now)

    def availabilities(self, llms: Mapping[str, bool], now: float) -> None:
        """Several LLMs were said to be available or not."""
        for llm in llms if len(llms) <= MOST_LLMS else islice(llms, MOST_LLMS):
            label = self._limiter.value("llm", llm, now)
            if label != OTHER:
                self._llm_available.set(float(llms[llm]), label, now=now)

    def availability_changed(self, _: Session, event: LlmAvailabilityChanged, now: float) -> LlmAvailabilityChanged:
        """An LLM went down or came back."""
        self.availability(event.llm, event.available, now)
        return event

    def usage(self, session: Session, event: SessionUsage, now: float) -> SessionUsage:
        """Add what each model's use grew by since the session's last report."""
        baseline = session.usage is None and not session.saw_start
        if session.usage is None:
            session.usage = {}
        for key, values in self._totals(event.models or ()).items():
            before = session.usage.get(key)
            if before is None:
                if len(session.usage) >= MOST_USED_MODELS:
                    continue
                before = session.usage[key] = {}
            self._grow(key, values, before, now, baseline=baseline)
        return event

    def _totals(self, entries: Iterable[ModelUsage]) -> dict[tuple[str, str, str], dict[str, float]]:
        """The plausible numbers of a report by type, provider and model; entries of the same model are one."""
        totals: dict[tuple[str, str, str], dict[str, float]] = {}
        for entry in entries:
            key = _cut(entry.type), _cut(entry.provider), _cut(entry.model)
            total = totals.setdefault(key, {})
            for field, value in _usage_values(entry):
                if math.isfinite(value) and 0 <= value <= _MOST_USED:
                    total[field] = total.get(field, 0.0) + value
                else:
                    self._refuse(f"models.{field}", RefusalReason.NEGATIVE if value < 0 else RefusalReason.TOO_LARGE)
        return totals

    def _grow(
        self,
        key: tuple[str, str, str],
        values: Mapping[str, float],
        before: dict[str, float],
        now: float,
        *,
        baseline: bool,
    ) -> None:
        kind, provider, model = key
        labels: tuple[str, ...] | None = None
        for field, value in values.items():
            last = before.get(field, 0.0)
            if last - last * _ROUNDING < value < last:
                continue
            growth = value - last if value >= last else value
            before[field] = value
            if growth and not baseline:
                component = _COMPONENTS.get(kind, "other")
                labels = labels or (component, *self._limiter.pair(component, provider, model, now))
                self._usage[field].add(growth, *labels, now=now)

    def _change(
        self,
        session: Session,
        participant: str,
        event: UserStateChanged | AgentStateChanged,
        known: tuple[str, ...],
        now: float,
    ) -> None:
        moment = now if event.timestamp is None else event.timestamp.timestamp()
        if session.states is None:
            session.states = {}
        before = session.states.get(participant)
        if before is None:
            if event.old_state and session.saw_start:
                self._lasted(session, participant, one_of(event.old_state, known), now - session.started_at, now)
        elif moment > before[1]:
            self._lasted(session, participant, before[0], moment - before[1], now)
        elif 0 < before[1] - moment < _MOST_OUT_OF_ORDER:
            return
        session.states[participant] = (one_of(event.new_state, known), moment, now)

    def _lasted(self, session: Session, participant: str, state: str, seconds: float, now: float) -> None:
        if 0 < seconds <= _LONGEST_STATE:
            self._state_duration.add(seconds, session.agent_label, participant, state, now=now)

    def _agent_tool_over(self, session: Session, tool_id: str | None, outcome: str, now: float) -> None:
        started = session.agent_tools.pop(shorten_id(tool_id), None) if session.agent_tools and tool_id else None
        if started is not None:
            kind, since = started
            agent_tool = self._limiter.value("agent_tool", kind, now)
            self._agent_tool_duration.observe(max(0.0, now - since), session.agent_label, agent_tool, outcome, now=now)


def _cut(text: str | None) -> str:
    return (text or "")[:MAX_RAW]


def _usage_values(entry: ModelUsage) -> list[tuple[str, float]]:
    """The numbers of an entry; audio has been seen under two names."""
    values = [(field, getattr(entry, field)) for field in _USAGE]
    if entry.audio_duration is None:
        values.append(("audio_duration", entry.audio_duration_s))
    return [(field, value) for field, value in values if value is not None]
