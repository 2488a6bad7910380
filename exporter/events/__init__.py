"""The wire, typed: one struct for each event of the platform. Each field is declared once, with what it becomes.

A new event is a struct in one of these modules and an entry in :data:`EVENTS` or :data:`STREAM_EVENTS`.
"""

from exporter.events import audio_stream, session, speech, telephony, tools, turn_metrics, turns
from exporter.events.base import Event, StreamEvent, Wire

__all__ = ["ALL_EVENTS", "EVENTS", "STREAM_EVENTS", "Event", "StreamEvent", "Wire"]

EVENTS: tuple[type[Event], ...] = (
    session.SessionStarted,
    session.SessionEnded,
    session.SessionError,
    session.SessionUsage,
    turns.UserTurnCompleted,
    turns.TurnCompleted,
    turns.TurnContribution,
    turns.UserTranscription,
    turn_metrics.TurnMetrics,
    speech.UserSpeechStarted,
    speech.UserSpeechStopped,
    speech.UserStateChanged,
    speech.AgentStateChanged,
    speech.AgentSpeechCreated,
    speech.AgentSpeechStarted,
    speech.AgentSpeechCompleted,
    speech.AgentSpeechInterrupted,
    speech.AgentFalseInterruption,
    speech.UserBackchannel,
    tools.ToolCalled,
    tools.ToolExecuted,
    tools.AgentToolStarted,
    tools.AgentToolCompleted,
    tools.AgentToolFailed,
    tools.AgentHandoff,
    tools.LlmAvailabilityChanged,
    telephony.UserDtmf,
    telephony.DtmfSent,
    telephony.VoicemailDetected,
    telephony.VoicemailBeep,
    telephony.ParticipantAdded,
    telephony.ParticipantRemoved,
    telephony.CallTransferred,
    telephony.PlayCompleted,
    telephony.UserIdle,
)
"""Events of managed calls, named by ``type``."""

STREAM_EVENTS: tuple[type[StreamEvent], ...] = (
    audio_stream.Start,
    audio_stream.Media,
    audio_stream.Dtmf,
    audio_stream.PlayedStream,
    audio_stream.ClearedAudio,
    audio_stream.Stop,
)
"""Messages of raw audio streaming, named by ``event``."""

ALL_EVENTS: tuple[type[Wire], ...] = (*EVENTS, *STREAM_EVENTS)
