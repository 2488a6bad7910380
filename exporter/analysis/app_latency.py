"""How long the customer's own tools and LLM take: the platform's events compared with the app's commands.

Both pass through a relay; only its sessions have an :class:`~exporter.sessions.app_state.AppState`. Times are unix seconds of receipt,
by one clock. A text token has no id, so the question that a streamed answer belongs to is inferred: the last final transcription
before its first token. An answer that was interrupted and never finished is replaced by the next question.
"""

from functools import partial
from typing import Final

from exporter.analysis.genai_durations import GenAiDurations
from exporter.catalogue import app_metrics
from exporter.catalogue.genai import FUNCTION
from exporter.events.speech import AgentSpeechInterrupted
from exporter.events.tools import ToolCalled
from exporter.events.turns import UserTranscription
from exporter.metrics.instrument import Instrument
from exporter.metrics.label_limits import LabelLimiter
from exporter.metrics.store import Row, Store
from exporter.protocol.commands import Command
from exporter.protocol.ids import shorten_id
from exporter.sessions.app_state import AppState, LlmAnswer, OpenCall, StreamedAnswer, ToolAnswer
from exporter.sessions.session import Session

LONGEST: Final = 200.0
"""A wait that seems longer, in seconds, is unrelated to what it waited for."""
_OUTCOMES: Final = {"tool.result": "result", "tool.error": "error"}
"""Command that answers a tool call → the outcome of the call."""


class AppLatencyTracker:
    """Measures the app, and returns the answers that become spans."""

    def __init__(self, store: Store, limiter: LabelLimiter, durations: GenAiDurations) -> None:
        self._durations = durations
        self._store = store
        self._limiter = limiter
        self._commands = Instrument(store, app_metrics.APP_COMMANDS)
        self._tool_duration = Instrument(store, app_metrics.TOOL_DURATION)
        self._unanswered = Instrument(store, app_metrics.TOOL_CALLS_UNANSWERED)
        self._unmatched = Instrument(store, app_metrics.TOOL_ANSWERS_UNMATCHED)
        self._first_token = Instrument(store, app_metrics.APP_LLM_TIME_TO_FIRST_TOKEN)
        self._llm_duration = Instrument(store, app_metrics.APP_LLM_DURATION)
        self._llm_answers = Instrument(store, app_metrics.APP_LLM_ANSWERS)

    def tool_called(self, session: Session, event: ToolCalled, now: float) -> ToolCalled:
        """The agent calls a tool of the app."""
        if session.app is not None and event.id:
            call = OpenCall(self._limiter.value("tool", event.tool_name, now), now)
            evicted = session.app.open_calls.renew(shorten_id(event.id), call)
            if evicted is not None:
                self._unanswered.add(1, agent=session.agent_label, tool=evicted[1].tool, now=now)
        return event

    def transcribed(self, session: Session, event: UserTranscription, now: float) -> LlmAnswer | None:
        """The caller said something. Returns the streamed answer that this ends, if any."""
        app = session.app
        if app is None or not event.is_final:
            return None
        ended = self._end_answer(session, app, now, abandoned=True) if app.interrupted else None
        app.asked = now
        return ended

    def speech_interrupted(self, session: Session, event: AgentSpeechInterrupted, _: float) -> AgentSpeechInterrupted:
        """The caller barged in: the app may have abandoned the answer that is being streamed."""
        if session.app is not None:
            session.app.interrupted = session.app.answer is not None
        return event

    def command(self, session: Session, command: Command, now: float) -> ToolAnswer | LlmAnswer | None:
        """The app sent a command. Returns the answer that it completes, if any."""
        kind = command.kind
        (session.series_cache.app_commands.get(kind) or self._commands_row(session, kind, now))[0] += 1.0
        app = session.app
        if app is None:
            return None
        if kind == "text":
            return self._token(session, app, now, last=command.last)
        if kind in _OUTCOMES:
            return self._tool_answered(session, app, command, now)
        return None

    def finish(self, session: Session, now: float) -> LlmAnswer | None:
        """The session ended: what still waits for the app stays unanswered. Returns the answer that was not finished, if any."""
        app = session.app
        if app is None:
            return None
        for call in app.open_calls.values():
            self._unanswered.add(1, agent=session.agent_label, tool=call.tool, now=now)
        app.open_calls.clear()
        return self._end_answer(session, app, now, abandoned=True)

    def _commands_row(self, session: Session, kind: str, now: float) -> Row:
        find = partial(self._commands.row, agent=session.agent_label, kind=kind, now=now)
        return self._store.cached(session.series_cache.app_commands, kind, find)

    def _tool_answered(self, session: Session, app: AppState, command: Command, now: float) -> ToolAnswer | None:
        call_id = shorten_id(command.answers or "")
        call = app.open_calls.pop(call_id, None)
        if call is None:
            self._unmatched.add(1, agent=session.agent_label, now=now)
            return None
        outcome, seconds = _OUTCOMES[command.kind], max(0.0, now - call.called)
        self._tool_duration.observe(seconds, agent=session.agent_label, tool=call.tool, outcome=outcome, now=now)
        error = "tool_error" if outcome == "error" else ""
        self._durations.tool(session, call.tool, FUNCTION, seconds, error=error, now=now)
        return ToolAnswer(call_id, outcome == "error")

    def _token(self, session: Session, app: AppState, now: float, *, last: bool) -> LlmAnswer | None:
        if app.answer is None:
            asked, app.asked = app.asked, None
            app.interrupted = False
            app.answer = StreamedAnswer(asked, now)
            if asked is not None and now - asked <= LONGEST:
                self._first_token.observe(max(0.0, now - asked), agent=session.agent_label, now=now)
        app.last_token = now
        return self._end_answer(session, app, now, abandoned=False) if last else None

    def _end_answer(self, session: Session, app: AppState, now: float, *, abandoned: bool) -> LlmAnswer | None:
        """The answer that is being streamed ends. Returns it if it is known when it was asked for."""
        answer = app.answer
        if answer is None:
            return None
        app.answer, app.interrupted = None, False
        self._llm_answers.add(1, agent=session.agent_label, outcome="abandoned" if abandoned else "completed", now=now)
        if answer.asked is None or app.last_token - answer.asked > LONGEST:
            return None
        if not abandoned:
            self._llm_duration.observe(max(0.0, now - answer.asked), agent=session.agent_label, now=now)
        return LlmAnswer(answer.asked, answer.first_token, app.last_token, abandoned)
