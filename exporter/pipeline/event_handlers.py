"""The handler of each event type: what sessions and analysis do with an event before it is recorded.

:meth:`EventHandlers._register` lists them: what happens when an event of a type arrives, apart from its declared metrics and spans.
"""

from collections.abc import Callable
from typing import Any, Final, TypeVar

import msgspec

from exporter.events import Wire
from exporter.events.audio_stream import Media, Stop
from exporter.events.session import SessionEnded, SessionStarted, SessionUsage
from exporter.events.speech import (
    AgentSpeechInterrupted,
    AgentSpeechStarted,
    AgentStateChanged,
    UserSpeechStarted,
    UserSpeechStopped,
    UserStateChanged,
)
from exporter.events.telephony import VoicemailDetected
from exporter.events.tools import (
    AgentToolCompleted,
    AgentToolFailed,
    AgentToolStarted,
    LlmAvailabilityChanged,
    ToolCalled,
    ToolExecuted,
)
from exporter.events.turn_metrics import TurnMetrics
from exporter.events.turns import TurnCompleted, UserTranscription, UserTurnCompleted
from exporter.pipeline.trackers import Trackers
from exporter.sessions.app_state import LlmAnswer, ToolAnswer
from exporter.sessions.registry import SessionRegistry
from exporter.sessions.session import MACHINE, AnsweredBy, Session
from exporter.tracing.processor import SpanProcessor

E = TypeVar("E", bound=Wire)
Handler = Callable[[Session, E, float], E | None]
"""Handles an event of a session, received at a time in unix seconds.

Returns the event to record, which may have fewer fields than the one that arrived, or ``None`` if nothing is to be recorded.
"""
OnAnswer = Callable[[Session, ToolAnswer | LlmAnswer | None, float], None]
"""Called with each answer of the customer's app."""
OnLag = Callable[[float], None]
"""Called with the time between an event's timestamp and its receipt, in seconds."""
_ANSWERED_BY: Final[dict[str | None, AnsweredBy]] = {"human": "human", "machine": "machine"}
"""Result of voicemail.detected → who answered; other results leave it as it was."""


class EventHandlers:
    """Finds the handler of an event type. Events of a type without one are only recorded."""

    def __init__(
        self, trackers: Trackers, sessions: SessionRegistry, spans: SpanProcessor | None, on_answer: OnAnswer, on_lag: OnLag
    ) -> None:
        self._trackers = trackers
        self._cost, self._latency_breakdown, self._tools = trackers.cost, trackers.latency_breakdown, trackers.tools
        self._turn_position, self._turns = trackers.turn_position, trackers.turns
        self._sessions = sessions
        self._spans = spans
        self._on_answer = on_answer
        self._on_lag = on_lag
        self._handlers: dict[type[Wire], Handler[Any]] = {}
        self.on_failed: Callable[[Session, TurnMetrics, float], None] | None = None
        """Called with each turn in which a component failed, and the time."""
        self._register()

    def get(self, event_type: type[E]) -> Handler[E] | None:
        """The handler of an event type, if it has one."""
        return self._handlers.get(event_type)

    def _on(self, event_type: type[E], handler: Handler[E]) -> None:
        self._handlers[event_type] = handler

    def _register(self) -> None:
        trackers, states, tools = self._trackers, self._trackers.states, self._trackers.tools
        turn_taking, app_latency = trackers.turn_taking, trackers.app_latency
        self._on(SessionStarted, in_sequence(trackers.provenance.session_started, self._session_started))
        self._on(SessionEnded, self._session_ended)
        self._on(SessionUsage, trackers.usage.session_usage)
        self._on(VoicemailDetected, self._voicemail_detected)
        self._on(TurnMetrics, self._turn_metrics)
        self._on(TurnCompleted, trackers.turns.turn_completed)
        self._on(UserTranscription, self._user_transcription)
        self._on(UserTurnCompleted, turn_taking.user_turn_completed)
        self._on(UserSpeechStarted, turn_taking.user_speech_started)
        self._on(UserSpeechStopped, turn_taking.user_speech_stopped)
        self._on(AgentSpeechStarted, turn_taking.agent_speech_started)
        self._on(AgentSpeechInterrupted, in_sequence(app_latency.speech_interrupted, turn_taking.agent_speech_interrupted))
        self._on(UserStateChanged, in_sequence(states.user_state_changed, turn_taking.user_state_changed))
        self._on(AgentStateChanged, in_sequence(states.agent_state_changed, turn_taking.agent_state_changed))
        self._on(AgentToolStarted, tools.agent_tool_started)
        self._on(AgentToolCompleted, tools.agent_tool_completed)
        self._on(AgentToolFailed, tools.agent_tool_failed)
        self._on(ToolCalled, app_latency.tool_called)
        self._on(ToolExecuted, tools.tool_executed)
        self._on(LlmAvailabilityChanged, tools.llm_availability_changed)
        self._on(Media, self._media)
        self._on(Stop, self._stop)

    def _turn_metrics(self, session: Session, event: TurnMetrics, now: float) -> TurnMetrics | None:
        if event.llm_availability:
            self._tools.llm_availability(session, event.llm_availability, now)
        recorded = self._turns.turn_metrics(session, event, now)
        if recorded is not None:
            self._turn_position.add(session, event, now)
            cost = self._cost.add(event, now)
            if cost is not None and session.journal is not None:
                session.journal.cost = (session.journal.cost or 0.0) + cost
            self._latency_breakdown.add(session, event, now)  # all of the event: the caller waited for what stood in, too
            if event.error_source is not None and self.on_failed is not None:
                self.on_failed(session, event, now)
        return recorded

    def _session_started(self, session: Session, event: SessionStarted, _: float) -> SessionStarted:
        if event.audio_format and session.format_counted:
            return msgspec.structs.replace(event, audio_format=None)
        session.format_counted = session.format_counted or bool(event.audio_format)
        return event

    def _session_ended(self, session: Session, event: SessionEnded, now: float) -> SessionEnded | None:
        """Spans come first: the end of the session writes its span, which needs what the event says."""
        if self._spans is not None:
            self._spans.handlers[SessionEnded](session, event, now)
        self._trackers.turn_taking.session_ended(session, event, now)
        return self._sessions.session_ended(session, event, now)

    def _user_transcription(self, session: Session, event: UserTranscription, now: float) -> UserTranscription:
        if session.app is not None:
            self._on_answer(session, self._trackers.app_latency.transcribed(session, event, now), now)
        return event

    def _voicemail_detected(self, session: Session, event: VoicemailDetected, now: float) -> VoicemailDetected:
        answered_by = _ANSWERED_BY.get(event.result)
        if answered_by is not None:
            self._sessions.set_answered_by(session, answered_by)
        if answered_by == MACHINE:
            self._trackers.turn_taking.machine_detected(session, now)
        return event

    def _media(self, _: Session, event: Media, now: float) -> Media:
        if event.media is not None and event.media.timestamp is not None:
            self._on_lag(now - event.media.timestamp.timestamp())
        return event

    def _stop(self, session: Session, event: Stop, now: float) -> Stop:
        self._sessions.end(session, "stopped", now)
        return event


def in_sequence(first: Handler[E], second: Handler[E]) -> Handler[E]:
    """A handler that passes the event through two handlers, one after the other."""

    def handle(session: Session, event: E, now: float) -> E | None:
        remaining = first(session, event, now)
        return None if remaining is None else second(session, remaining, now)

    return handle
