"""What the simulated platform knows about one call during the call: agent, models, and what was used so far."""

from dataclasses import dataclass, field
from random import Random
from typing import Any

from exporter.simulate.behaviour import Model, Profile
from exporter.simulate.moments import Event, Moments


@dataclass(frozen=True, slots=True)
class ModelUsage:
    """What a turn used of a model, in the units that are billed: tokens, characters or minutes. Nothing counts under two kinds."""

    component: str
    model: Model
    amounts: dict[str, float]
    cancelled: bool = False


class SessionUsage:
    """What a call has used so far, by model: the content of ``session.usage``."""

    def __init__(self, audio_key: str) -> None:
        """``audio_key`` is the field name for audio time: ``audio_duration`` or ``audio_duration_s``."""
        self._audio_key = audio_key
        self._entries: dict[tuple[str, str, str], dict[str, Any]] = {}

    def _entry(self, kind: str, model: Model, **zeros: float) -> dict[str, Any]:
        key = (kind, model.provider, model.name)
        if key not in self._entries:
            name = {"model": model.name} if model.name else {}
            self._entries[key] = {"type": kind, "provider": model.provider, **name, **zeros}
        return self._entries[key]

    def add_llm(self, model: Model, prompt: int, cached: int, completion: int, seconds: float = 0.0) -> None:
        """Add one generation: tokens, the cached part of the prompt, and for speech-to-speech models the session time in seconds."""
        entry = self._entry("llm_usage", model, input_tokens=0, input_cached_tokens=0, output_tokens=0, session_duration=0.0)
        entry["input_tokens"] += prompt
        entry["input_cached_tokens"] += cached
        entry["output_tokens"] += completion
        entry["session_duration"] = round(entry["session_duration"] + seconds, 3)

    def add_tts(self, model: Model, characters: int, audio_ms: int) -> None:
        """Add one synthesis."""
        entry = self._entry("tts_usage", model, characters_count=0, **{self._audio_key: 0.0})
        entry["characters_count"] += characters
        entry[self._audio_key] = round(entry[self._audio_key] + audio_ms / 1000, 3)

    def add_stt(self, model: Model, audio_ms: int) -> None:
        """Add one stretch of recognised audio."""
        entry = self._entry("stt_usage", model, **{self._audio_key: 0.0})
        entry[self._audio_key] = round(entry[self._audio_key] + audio_ms / 1000, 3)

    def add_interruption_requests(self, requests: int) -> None:
        """Add requests to the model that separates interruptions from backchannels."""
        self._entry("interruption_usage", Model("plivo", ""), total_requests=0)["total_requests"] += requests

    def seconds(self, kind: str) -> float:
        """Audio time so far, in seconds, summed over the entries of ``kind``."""
        total: float = sum(entry[self._audio_key] for key, entry in self._entries.items() if key[0] == kind)
        return round(total, 3)

    def event(self) -> Event:
        """``session.usage`` with the sums so far."""
        return {"type": "session.usage", "models": [dict(entry) for entry in self._entries.values()]}


@dataclass(slots=True, kw_only=True)
class Session:
    """The state of one managed call. ``number`` is the number of the latest turn, counted within the sub-agent if there is one."""

    rng: Random
    profile: Profile
    moments: Moments
    session_id: str
    call_id: str
    agent_id: str
    stt: Model
    llm: Model
    first_llm: Model
    tts: Model
    realtime: Model
    usage: SessionUsage
    sends_metrics: bool = True
    reports_endpointing: bool = True  # False only in speech-to-speech sessions
    llm_label: str = "primary"
    llm_available: dict[str, bool] = field(default_factory=dict)
    silent: bool = False  # the agent has stopped answering
    number: int = 0
    agent_tool_id: str | None = None
    turns: int = 0
    interruptions: int = 0
    transcript: list[dict[str, str]] = field(default_factory=list)

    @property
    def s2s(self) -> bool:
        """Whether the call uses a speech-to-speech model."""
        return self.profile.pipeline == "s2s"

    def happens(self, probability: float) -> bool:
        """Draw whether something of this probability happens."""
        return self.rng.random() < probability

    def may_happen(self, probability: float) -> bool:
        """Like :meth:`happens`, but probability 0 draws nothing. So calls of a profile without it keep their random numbers."""
        return probability > 0 and self.happens(probability)

    def next_number(self) -> int:
        """Begin a turn and return its number. Numbers start at 1, and again at 1 in each sub-agent."""
        self.number += 1
        self.turns += 1
        return self.number

    def fall_back(self) -> None:
        """The main LLM fails: later turns use the fallback."""
        self.llm_available[self.llm.key] = False
        self.llm = self.profile.llm_fallback
        self.llm_label = "fallback"
        self.llm_available[self.llm.key] = True


def open_session(rng: Random, profile: Profile, moments: Moments, session_id: str) -> Session:
    """The state of a new call of the profile, with its agent and models drawn."""
    llm = rng.choice(profile.llm)
    return Session(
        rng=rng,
        profile=profile,
        moments=moments,
        session_id=session_id,
        call_id="call-" + session_id.removeprefix("as-"),
        agent_id=rng.choice(profile.agents),
        stt=rng.choice(profile.stt),
        llm=llm,
        first_llm=llm,
        tts=rng.choice(profile.tts),
        realtime=rng.choice(profile.realtime),
        usage=SessionUsage(rng.choice(("audio_duration", "audio_duration_s"))),
        sends_metrics=rng.random() >= profile.chances.no_metrics_at_all,
        reports_endpointing=profile.pipeline != "s2s" or rng.random() < 0.5,
        llm_available={llm.key: True},
    )
