"""One turn of a conversation: what was heard and measured in it, and the events that report it."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any, Final

from agentstack_tap.pipecat.services import Kind, Service

CASCADE: Final = "stt-llm-tts"
SPEECH_TO_SPEECH: Final = "s2s"
_TOKENS: Final = {
    "prompt_tokens": "llm_prompt_tokens",
    "completion_tokens": "llm_completion_tokens",
    "total_tokens": "llm_total_tokens",
    "cache_read_tokens": "llm_cache_read_tokens",
}
_REALTIME_TOKENS: Final = {
    "prompt_tokens": "realtime_input_tokens",
    "completion_tokens": "realtime_output_tokens",
    "total_tokens": "realtime_total_tokens",
    "cache_read_tokens": "realtime_cached_tokens",
    "input_audio_tokens": "realtime_input_audio_tokens",
    "output_audio_tokens": "realtime_output_audio_tokens",
    "cache_read_audio_tokens": "realtime_cached_audio_tokens",
}


@dataclass
class Stage:
    """What one kind of service did in a turn. Times are unix seconds, the others seconds.

    Times are those of the request that the answer came from: with function calls there are several. Amounts are of all requests.
    """

    service: Service
    model: str | None = None
    started: float | None = None
    first_output: float | None = None
    duration: float | None = None
    audio: float = 0.0
    characters: int = 0
    cancelled: bool = False
    answered: bool = False
    """Whether the agent had something to say from it."""
    is_over: bool = False
    tokens: dict[str, int] = field(default_factory=dict)

    def forget_times(self) -> None:
        """Begin again: no answer came of what was measured so far. What it used stays used."""
        self.started = self.first_output = self.duration = None
        self.cancelled = self.answered = self.is_over = False


@dataclass
class Turn:
    """One turn. ``number`` is 0 until somebody speaks in it."""

    number: int = 0
    from_user: bool = False
    user_started: float | None = None
    user_stopped: float | None = None
    transcribed: float | None = None
    released: float | None = None
    """When the user's turn was judged over."""
    probability: float | None = None
    agent_started: float | None = None
    agent_stopped: float | None = None
    interrupted: bool = False
    perceived: float | None = None
    closed: float | None = None
    error_source: str | None = None
    realtime: bool = False
    user_text: list[str] = field(default_factory=list)
    stages: dict[Kind, Stage] = field(default_factory=dict)

    def stage(self, kind: Kind, service: Service) -> Stage:
        """What that kind of service did in the turn. It bears the name of the service that was first."""
        found = self.stages.get(kind)
        if found is None:
            found = self.stages[kind] = Stage(service)
        return found

    @property
    def is_unanswered(self) -> bool:
        """Whether the user has the turn, and the agent has said nothing in it."""
        return self.from_user and self.agent_started is None

    def answer(self, at: float) -> None:
        """The agent's first audio of the turn. The caller waited for it since the end of speech, if that was seen."""
        self.agent_started = at
        if self.user_stopped is not None and at >= self.user_stopped:
            self.perceived = at - self.user_stopped

    def report(self) -> Iterator[dict[str, Any]]:
        """The turn's ``turn.completed`` and ``turn.metrics``, without what is not known."""
        yield {"type": "turn.completed", "turn_number": self.number, "turn_id": str(self.number), "agent_first": not self.from_user}
        yield {name: value for name, value in self._metrics().items() if value is not None}

    def _metrics(self) -> dict[str, Any]:
        return {
            **self._context(),
            **self._detection(),
            **self._speech_to_text(),
            **(self._realtime() if self.realtime else {**self._chat(), **self._text_to_speech()}),
            **self._times(),
        }

    def _context(self) -> dict[str, Any]:
        return {
            "type": "turn.metrics",
            "turn_number": self.number,
            "interrupted": self.interrupted,
            "num_interruptions": int(self.interrupted),
            "agent_first": not self.from_user,
            "pipeline": SPEECH_TO_SPEECH if self.realtime else CASCADE,
            "user_perceived_ms": _ms(self.perceived),
            "error_source": self.error_source,
            "user_text": " ".join(self.user_text) or None,
        }

    def _detection(self) -> dict[str, Any]:
        return {
            "turn_decision_ms": _ms(_between(self.user_stopped, self.released)),
            "turn_method": None if self.probability is None else "eou_model",
            "turn_probability": self.probability,
        }

    def _speech_to_text(self) -> dict[str, Any]:
        stage = self.stages.get("stt")
        reported = None if stage is None else stage.first_output
        delay = _between(self.user_stopped, self.transcribed) if reported is None else reported
        ended = None if delay is None or self.user_stopped is None else self.user_stopped + delay
        found = {"stt_delay_ms": _ms(delay), "stt_timestamp": ended}
        if stage is not None:
            found |= {**_named("stt", stage), "stt_duration_ms": _ms(stage.duration), "stt_audio_duration_ms": _ms(stage.audio or None)}
        return found

    def _chat(self) -> dict[str, Any]:
        stage = self.stages.get("llm")
        if stage is None:
            return {}
        return {
            **_named("llm", stage),
            **{wire: stage.tokens.get(ours) for ours, wire in _TOKENS.items()},
            "llm_ttft_ms": _ms(stage.first_output),
            "llm_duration_ms": _ms(stage.duration),
            "llm_cancelled": stage.cancelled,
            "llm_timestamp": _end(stage),
        }

    def _text_to_speech(self) -> dict[str, Any]:
        stage = self.stages.get("tts")
        if stage is None:
            return {}
        return {
            **_named("tts", stage),
            "tts_ttfb_ms": _ms(stage.first_output),
            "tts_duration_ms": _ms(stage.duration),
            "tts_audio_duration_ms": _ms(stage.audio or None),
            "tts_cancelled": stage.cancelled,
            "tts_characters": stage.characters or None,
            "tts_timestamp": _end(stage),
        }

    def _realtime(self) -> dict[str, Any]:
        stage = self.stages.get("llm")
        if stage is None:
            return {}
        return {
            **_named("realtime", stage),
            **{wire: stage.tokens.get(ours) for ours, wire in _REALTIME_TOKENS.items()},
            "realtime_ttft_ms": _ms(stage.first_output),
            "realtime_duration_ms": _ms(stage.duration),
            "realtime_cancelled": stage.cancelled,
        }

    def _times(self) -> dict[str, Any]:
        return {
            "user_started_speaking_at": date_time(self.user_started),
            "user_stopped_speaking_at": date_time(self.user_stopped),
            "agent_started_speaking_at": date_time(self.agent_started),
            "agent_stopped_speaking_at": date_time(self.agent_stopped),
        }


def date_time(at: float | None) -> str | None:
    """A time as the wire has it, RFC 3339."""
    return None if at is None else datetime.fromtimestamp(at, timezone.utc).isoformat(timespec="milliseconds")


def _named(prefix: str, stage: Stage) -> dict[str, Any]:
    return {
        f"{prefix}_label": stage.service.label,
        f"{prefix}_provider": stage.service.provider,
        f"{prefix}_model": stage.model or None,
    }


def _ms(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds * 1000, 3)


def _between(start: float | None, end: float | None) -> float | None:
    return end - start if start is not None and end is not None and end > start else None


def _end(stage: Stage) -> float | None:
    """When the stage was over, as far as is known: a span begins its duration before."""
    length = stage.duration if stage.duration is not None else stage.first_output
    return None if stage.started is None or length is None else stage.started + length
