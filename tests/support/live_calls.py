"""Events of calls for /live, with times near now."""

from datetime import UTC, datetime
from typing import Any

Event = dict[str, Any]


def stamp(moment: float) -> str:
    """Unix seconds as a date-time of the wire."""
    return datetime.fromtimestamp(moment, UTC).isoformat().replace("+00:00", "Z")


def started(name: str, agent: str = "support", **more: Any) -> Event:
    """The call begins."""
    return {"type": "session.started", "agent_session_id": name, "agent_id": agent, **more}


def ended(reason: str = "user_hangup") -> Event:
    """The call ends."""
    return {"type": "session.ended", "reason": reason}


def asked(now: float) -> list[Event]:
    """The caller has asked something, and waits since ``now``."""
    return [
        {"type": "agent.state_changed", "old_state": "idle", "new_state": "listening", "timestamp": stamp(now - 2)},
        {"type": "user.speech_started", "timestamp": stamp(now - 1.5)},
        {"type": "user.speech_stopped", "timestamp": stamp(now)},
        {"type": "user.turn_completed", "timestamp": stamp(now)},
        {"type": "agent.state_changed", "old_state": "listening", "new_state": "thinking", "timestamp": stamp(now)},
    ]


def answered(now: float) -> list[Event]:
    """The agent speaks since ``now``."""
    return [
        {"type": "agent.state_changed", "old_state": "thinking", "new_state": "speaking", "timestamp": stamp(now)},
        {"type": "agent.speech_started", "timestamp": stamp(now)},
    ]


def measured(now: float, number: int = 1, *, waited: float = 1.24, **more: Any) -> Event:
    """The metrics of a turn whose caller fell silent at ``now`` and waited so long, mostly because of the LLM."""
    return {
        "type": "turn.metrics",
        "turn_number": number,
        "user_perceived_ms": waited * 1000,
        "stt_delay_ms": 240,
        "turn_decision_ms": 310,
        "llm_ttft_ms": waited * 1000 - 520,
        "llm_duration_ms": waited * 1000 + 200,
        "llm_model": "gpt-4o",
        "llm_provider": "openai",
        "tts_ttfb_ms": 210,
        "tts_duration_ms": 900,
        "tts_model": "flash",
        "tts_provider": "elevenlabs",
        "user_started_speaking_at": stamp(now - 1.5),
        "user_stopped_speaking_at": stamp(now),
        "agent_started_speaking_at": stamp(now + waited),
        "agent_stopped_speaking_at": stamp(now + waited + 1.7),
        **more,
    }
