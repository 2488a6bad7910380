"""How long the customer's own tools and LLM take: the platform's events set against the app's commands.

Both pass through a relay; only its sessions have an :class:`~exporter.sessions.app_state.AppState`. Times are unix seconds of
receipt, on one
clock. A text token carries no id, so which question a streamed answer belongs to is worked out: the last final transcription before
its first token. An answer that was interrupted and never finished gives way to the next question.
"""

from typing import Final

from exporter.catalogue import app_metrics
from exporter.events.speech import AgentSpeechInterrupted
from exporter.events.tools import ToolCalled
from exporter.events.turns import UserTranscription
from exporter.metrics.label_limits import LabelLimiter
from exporter.metrics.store import Instrument, Store
from exporter.protocol.commands import Command
from exporter.protocol.ids import shorten_id
from exporter.sessions.app_state import AppState, LlmAnswer, ToolAnswer
from exporter.sessions.registry import Session

MOST_OPEN_CALLS: Final = 64
"""Tool calls of a session that may wait for their answers at once; the oldest then counts as unanswered."""
LONGEST: Final = 200.0
"""A wait that seems longer, in seconds, has no connection with what it waited for."""


class AppLatency:
    """Folds what the app did into metrics, and tells what spans need to know."""

    def __init__(self, store: Store, limiter: LabelLimiter) -> None:
        self._limiter = limiter
        self._commands = Instrument(store, app_metrics.APP_COMMANDS)
        self._tool_duration = Instrument(store, app_metrics.TOOL_DURATION)
        self._unanswered = Instrument(store, app_metrics.TOOL_CALLS_UNANSWERED)
        self._unmatched = Instrument(store, app_metrics.TOOL_ANSWERS_UNMATCHED)
        self._first_token = Instrument(store, app_metrics.APP_LLM_TIME_TO_FIRST_TOKEN)
        self._llm_duration = Instrument(store, app_metrics.APP_LLM_DURATION)
        self._llm_answers = Instrument(store, app_metrics.APP_LLM_ANSWERS)

    def called(self, session: Session, event: ToolCalled, now: float) -> ToolCalled:
        """The agent calls a tool of the app."""
        side = session.app
        if side is not None and event.id:
            call_id = shorten_id(event.id)
            side.calls.pop(call_id, None)
            side.calls[call_id] = (self._limiter.value("tool", event.tool_name, now), now)
            if len(side.calls) > MOST_OPEN_CALLS:
                tool, _ = side.calls.pop(next(iter(side.calls)))
                self._unanswered.add(1, session.agent_label, tool, now=now)
        return event

    def transcribed(self, session: Session, event: UserTranscription, now: float) -> LlmAnswer | None:
        """The caller said something; returns the answer that this puts an end to."""
        side = session.app
        if side is None or not event.is_final:
            return None
        ended = self._abandon(session, side, now) if side.interrupted else None
        side.asked = now
        return ended

    def interrupted(self, session: Session, event: AgentSpeechInterrupted, _: float) -> AgentSpeechInterrupted:
        """The caller barged in: an answer that is still streamed may have been given up by the app."""
        if session.app is not None:
            session.app.interrupted = session.app.answer is not None
        return event

    def take(self, session: Session, command: Command, now: float) -> ToolAnswer | LlmAnswer | None:
        """The app sent a command; returns what was learned by it."""
        self._commands.add(1, session.agent_label, command.kind, now=now)
        side = session.app
        if side is None:
            return None
        if command.kind == "text":
            return self._token(session, side, now, last=command.last)
        if command.kind in _OUTCOMES:
            return self._answered(session, side, command, now)
        return None

    def finish(self, session: Session, now: float) -> LlmAnswer | None:
        """The session is over: what is still waiting for the app waits in vain. Returns the answer that was cut off."""
        side = session.app
        if side is None:
            return None
        for tool, _ in side.calls.values():
            self._unanswered.add(1, session.agent_label, tool, now=now)
        side.calls.clear()
        return self._abandon(session, side, now)

    def _answered(self, session: Session, side: AppState, command: Command, now: float) -> ToolAnswer | None:
        call_id = shorten_id(command.answers or "")
        found = side.calls.pop(call_id, None)
        if found is None:
            self._unmatched.add(1, session.agent_label, now=now)
            return None
        tool, since = found
        outcome = _OUTCOMES[command.kind]
        self._tool_duration.observe(max(0.0, now - since), session.agent_label, tool, outcome, now=now)
        return ToolAnswer(call_id, outcome == "error")

    def _token(self, session: Session, side: AppState, now: float, *, last: bool) -> LlmAnswer | None:
        if side.answer is None:
            asked, side.asked = side.asked, None
            side.interrupted = False
            side.answer = (asked, now)
            if asked is not None and now - asked <= LONGEST:
                self._first_token.observe(max(0.0, now - asked), session.agent_label, now=now)
        side.last_token = now
        return self._close(session, side, now, abandoned=False) if last else None

    def _abandon(self, session: Session, side: AppState, now: float) -> LlmAnswer | None:
        return self._close(session, side, now, abandoned=True) if side.answer is not None else None

    def _close(self, session: Session, side: AppState, now: float, *, abandoned: bool) -> LlmAnswer | None:
        if side.answer is None:
            return None
        (asked, first), side.answer, side.interrupted = side.answer, None, False
        self._llm_answers.add(1, session.agent_label, "abandoned" if abandoned else "completed", now=now)
        if asked is None or side.last_token - asked > LONGEST:
            return None
        if not abandoned:
            self._llm_duration.observe(max(0.0, now - asked), session.agent_label, now=now)
        return LlmAnswer(asked, first, side.last_token, abandoned)


_OUTCOMES: Final = {"tool.result": "result", "tool.error": "error"}
