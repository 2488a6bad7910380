"""Tools that ran on the server, sub-agents, and whether LLMs are available."""

from collections.abc import Mapping
from functools import partial
from itertools import islice
from typing import Final

from exporter.analysis.genai_durations import GenAiDurations
from exporter.bounded_dict import BoundedDict
from exporter.catalogue import derived
from exporter.catalogue.genai import EXTENSION
from exporter.events.tools import AgentToolCompleted, AgentToolFailed, AgentToolStarted, LlmAvailabilityChanged, ToolExecuted
from exporter.metrics.instrument import Instrument
from exporter.metrics.label_limits import MAX_RAW, OTHER, UNKNOWN, LabelLimiter
from exporter.metrics.store import Row, Store
from exporter.protocol.ids import shorten_id
from exporter.sessions.session import RunningAgentTool, Session

MOST_OPEN_TOOLS: Final = 64
"""Sub-agents of a session that are timed at once; when there are more, the oldest is forgotten."""
MOST_LLMS: Final = 64
"""LLMs of one event whose availability is recorded."""


class ToolTracker:
    """Counts tool executions, times sub-agents from start to end, and keeps the availability of LLMs."""

    def __init__(self, store: Store, limiter: LabelLimiter, durations: GenAiDurations) -> None:
        self._store = store
        self._limiter = limiter
        self._durations = durations
        self._tool_executions = Instrument(store, derived.TOOL_EXECUTIONS)
        self._agent_tool_duration = Instrument(store, derived.AGENT_TOOL_DURATION)
        self._llm_available = Instrument(store, derived.LLM_AVAILABLE)

    def agent_tool_started(self, session: Session, event: AgentToolStarted, now: float) -> AgentToolStarted:
        """A sub-agent took over."""
        if event.agent_tool_id:
            if session.running_agent_tools is None:
                session.running_agent_tools = BoundedDict(MOST_OPEN_TOOLS)
            started = RunningAgentTool((event.agent_tool_type or "")[:MAX_RAW], now)
            session.running_agent_tools.renew(shorten_id(event.agent_tool_id), started)
        return event

    def agent_tool_completed(self, session: Session, event: AgentToolCompleted, now: float) -> AgentToolCompleted:
        """A sub-agent completed its task."""
        self._agent_tool_ended(session, event.agent_tool_id, "completed", now)
        return event

    def agent_tool_failed(self, session: Session, event: AgentToolFailed, now: float) -> AgentToolFailed:
        """A sub-agent failed."""
        self._agent_tool_ended(session, event.agent_tool_id, "failed", now)
        return event

    def tool_executed(self, session: Session, event: ToolExecuted, now: float) -> ToolExecuted:
        """Server-side tools ran. A second-generation server sends one tool and no outcome."""
        executions = [(call.name, "error" if call.is_error else "ok") for call in event.calls or ()]
        if event.tool_name:
            executions.append((event.tool_name, UNKNOWN))
        for name, outcome in executions:
            tool = self._limiter.value("tool", name, now)
            self._tool_executions.add(1, agent=session.agent_label, tool=tool, outcome=outcome, now=now)
        return event

    def llm_availability_changed(self, session: Session, event: LlmAvailabilityChanged, now: float) -> LlmAvailabilityChanged:
        """An LLM became available or unavailable."""
        if event.llm and event.available is not None:
            self.llm_availability(session, {event.llm: event.available}, now)
        return event

    def llm_availability(self, session: Session, llms: Mapping[str, bool], now: float) -> None:
        """Record which LLMs are available, by name. LLMs that share the label ``_other`` have no common availability."""
        known = session.series_cache.llms
        for llm in llms if len(llms) <= MOST_LLMS else islice(llms, MOST_LLMS):
            row = known.get(llm) or self._llm_row(known, llm, now)
            if row is not None:
                row[0] = 1.0 if llms[llm] else 0.0

    def _llm_row(self, known: dict[str, Row], llm: str, now: float) -> Row | None:
        """The row of an LLM. It is remembered if the name is its label: there are few of those."""
        label = self._limiter.value("llm", llm, now)
        if label == OTHER:
            return None
        find = partial(self._llm_available.row, llm=label, now=now)
        return self._store.cached(known, llm, find) if llm == label else find()

    def _agent_tool_ended(self, session: Session, tool_id: str | None, outcome: str, now: float) -> None:
        running = session.running_agent_tools.pop(shorten_id(tool_id), None) if session.running_agent_tools and tool_id else None
        if running is not None:
            agent_tool = self._limiter.value("agent_tool", running.type, now)
            seconds = max(0.0, now - running.started)
            self._agent_tool_duration.observe(seconds, agent=session.agent_label, agent_tool=agent_tool, outcome=outcome, now=now)
            error = "agent_tool_error" if outcome == "failed" else ""
            self._durations.tool(session, agent_tool, EXTENSION, seconds, error=error, now=now)
