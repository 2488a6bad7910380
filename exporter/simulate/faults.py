"""Faults on the wire: reports that are lost, late or sent twice, invalid values, and the names of earlier generations."""

from typing import Any

from exporter.simulate.moments import Event, Timed
from exporter.simulate.session import Session
from exporter.simulate.turns import Turn

BAD_VALUES: tuple[tuple[str, Any], ...] = (
    ("llm_ttft_ms", -1),
    ("llm_ttft_ms", True),
    ("stt_delay_ms", 214_000),
    ("turn_decision_ms", "n/a"),
    ("tts_ttfb_ms", -1),
    ("tts_duration_ms", -40),
    ("realtime_ttft_ms", -1),
    ("user_perceived_ms", -1),
    ("user_perceived_ms", 251_000),
    ("user_perceived_ms", None),
    ("stt_confidence", 1.7),
    ("llm_tokens_per_second", -3.5),
    ("llm_prompt_tokens", "many"),
    ("llm_cache_hit_ratio", 64),
    ("num_interruptions", -1),
    ("llm_timestamp", 0),
    ("user_started_speaking_at", "yesterday"),
    ("agent_started_speaking_at", "0001-01-01T00:00:00.000Z"),
    ("llm_model", ""),
    ("llm_provider", "+14155550123"),
    ("turn_method", "x" * 300),
)
"""Sentinels and invalid values by turn.metrics field, as seen in real traffic. The exporter must not observe any of them."""

_EARLIER_TYPES = {
    "session.started": "agent_session.started",
    "session.ended": "agent_session.ended",
    "user.speech_started": "vad.speech_started",
    "user.speech_stopped": "vad.speech_stopped",
    "user.turn_completed": "turn.detected",
    "user.transcription": "prompt",
    "user.dtmf": "dtmf",
    "tool.called": "tool_call",
    "agent.speech_interrupted": "interruption",
    "session.error": "error",
}
_FIRST_GENERATION_ONLY = (
    *_EARLIER_TYPES,
    "turn.completed",
    "voicemail.detected",
    "call.transferred",
    "play.completed",
    "user.idle",
)
_SECOND_GENERATION_FIELDS = (  # noqa: SIM905 - a list of words reads better as words
    "type turn_number interrupted user_perceived_ms stt_delay_ms turn_decision_ms llm_ttft_ms turn_method turn_probability "
    "llm_prompt_tokens llm_completion_tokens llm_total_tokens llm_cache_read_tokens llm_model tts_ttfb_ms tts_characters "
    "tts_audio_duration_ms stt_provider llm_provider tts_provider stt_confidence"
).split()
_UNKNOWN_FIELDS: Event = {"turn_sentiment": 0.4, "sip_jitter_ms": 12, "experiment": {"arm": "b"}, "filler_played": True}
_DROPPED_PREFIXES = ("vad_", "sdk_", "interruption_", "stt_", "tts_", "endpointing_")


def deliver_metrics(session: Session, turn: Turn, at: int, metrics: Event) -> list[Timed]:
    """When ``turn.metrics`` arrives, and in what state: usually once, at ``at``."""
    rng, chances = session.rng, session.profile.chances
    if not session.sends_metrics or session.happens(chances.metrics_lost):
        return []
    _spoil(session, turn, metrics)
    if turn.hung_up_at is not None and session.happens(chances.metrics_after_end):
        at += rng.randint(800, 6000)
    elif session.happens(chances.metrics_late):
        # Below and above the 10 s after which the exporter stops waiting for it.
        at += rng.choice((rng.randint(1500, 7000), rng.randint(11_000, 20_000)))
    turn.metrics_at = at
    delivered = [(at, metrics)]
    if session.happens(chances.metrics_twice):
        delivered.append((at + rng.randint(50, 2500), metrics))
    return delivered


def unknown_event(session: Session, at: int) -> list[Timed]:
    """Sometimes an event that no version of the protocol has."""
    if not session.happens(session.profile.chances.unknown_event):
        return []
    return [(at, {"type": "agent.mood_changed", "mood": "calm", "score": 0.7})]


def first_generation(event: Event) -> Event | None:
    """The event as the first generation named it, without newer fields; None if that generation had no such event."""
    kind = event["type"]
    if kind not in _FIRST_GENERATION_ONLY:
        return None
    kept = {
        key: value for key, value in event.items() if key != "timestamp" and not key.startswith(("vad_", "turn_method", "turn_prob"))
    }
    return {**kept, "type": _EARLIER_TYPES.get(kind, kind)}


def second_generation(event: Event) -> Event:
    """The event as the second generation had it: other ``turn.metrics`` fields, and one event for each tool."""
    if event["type"] == "tool.executed":
        return {"type": "tool.executed", "tool_name": event["calls"][0]["name"], "timestamp": event["timestamp"]}
    if event["type"] != "turn.metrics":
        return event
    earlier = {name: event[name] for name in _SECOND_GENERATION_FIELDS if name in event}
    if event.get("agent_tool_id"):
        earlier["agent_tool_id"] = event["agent_tool_id"]  # without it, a sub-agent's turn 1 would be taken for the call's turn 1
    first_byte = earlier.get("tts_ttfb_ms")
    return {
        **earlier,
        "tts_pipeline_ms": first_byte + 30 if isinstance(first_byte, int) else None,
        "tts_gate_wait_ms": 20,
        "fallback_silence_ms": 600,
        "context_msg_count": event["turn_number"] * 2,
        "interruption_reason": "speech" if event["interrupted"] else None,
        "pause_duration_ms": 0,
        "on_user_turn_completed_ms": event.get("turn_completed_callback_ms"),
    }


def _spoil(session: Session, turn: Turn, metrics: Event) -> None:
    """Leave fields out, add unknown ones, write integers as floats, put invalid values in: as often as the profile says."""
    rng, chances = session.rng, session.profile.chances
    if session.happens(chances.missing_fields):
        turn.omitted_prefix = prefix = rng.choice(_DROPPED_PREFIXES)
        for name in [name for name in metrics if name.startswith(prefix)]:
            if rng.random() < 0.5:
                del metrics[name]
            else:
                metrics[name] = None
    if session.happens(chances.unknown_fields):
        metrics.update(_UNKNOWN_FIELDS)
    if session.happens(chances.floats_for_integers):
        metrics.update({name: float(value) for name, value in metrics.items() if type(value) is int and name != "turn_number"})
    if session.happens(chances.bad_values):
        turn.garbled = True
        for name, value in rng.sample(BAD_VALUES, 6):
            if name in metrics:
                metrics[name] = value
