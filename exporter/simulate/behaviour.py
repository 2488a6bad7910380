"""The parameters of a kind of call: how long each stage takes, which models it uses, how often something unusual happens."""

import math
from dataclasses import dataclass, field
from random import Random

_Z95 = 1.6448536269514722  # the 95th percentile of the standard normal distribution


@dataclass(frozen=True, slots=True)
class Spread:
    """A lognormal distribution, given by its median and its 95th percentile. Times are in milliseconds."""

    median: float
    p95: float

    def draw(self, rng: Random) -> float:
        """One value in milliseconds, above 0."""
        return self.median * math.exp(rng.gauss(0.0, math.log(self.p95 / self.median) / _Z95))


@dataclass(frozen=True, slots=True)
class Model:
    """A model as turn.metrics and session.usage name it. An STT model that is ``streamed`` reports a request time of 0."""

    provider: str
    name: str
    streamed: bool = True

    @property
    def key(self) -> str:
        """The model's name in ``llm_availability`` and ``llm.availability_changed``."""
        return f"{self.provider}/{self.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Stages:
    """How long each step between the caller's last word and the agent's first takes.

    ``stt_delay`` and ``turn_decision`` both start at the end of speech, so the longer one counts. ``rest`` is network and playout.
    ``endpoint`` is the silence after which a speech-to-speech model answers.
    """

    stt_delay: Spread
    turn_decision: Spread
    llm_ttft: Spread
    tts_ttfb: Spread
    rest: Spread
    callback: Spread = Spread(3, 12)
    tool: Spread = Spread(350, 1100)
    endpoint: Spread = Spread(250, 420)
    realtime_ttft: Spread = Spread(300, 560)


@dataclass(frozen=True, slots=True, kw_only=True)
class Chances:
    """Probabilities (0..1), in three groups: per call, per turn, per event."""

    greeting: float = 0.85
    fallback: float = 0.04
    handoff: float = 0.05
    sub_agent: float = 0.08
    participant: float = 0.05
    keypress: float = 0.08
    clip: float = 0.04
    transfer: float = 0.06
    ends_in_error: float = 0.02
    hang_up_mid_turn: float = 0.10
    dropped: float = 0.02
    resumed: float = 0.0
    voicemail: float = 0.0
    no_metrics_at_all: float = 0.0
    first_generation: float = 0.0
    second_generation: float = 0.0
    falls_silent: float = 0.0  # the agent stops answering at some turn

    interruption: float = 0.12
    false_interruption: float = 0.25  # share of the interruptions
    backchannel: float = 0.15
    tool: float = 0.12
    unanswered: float = 0.01
    idle: float = 0.03
    typed: float = 0.01
    preemptive: float = 0.04
    premature: float = 0.0  # the turn is decided too early: the caller continues
    gives_up: float = 0.0  # share of the slow and unanswered turns: the caller hangs up

    metrics_lost: float = 0.003
    metrics_late: float = 0.02
    metrics_after_end: float = 0.3  # share of the turns in which the caller hangs up
    metrics_twice: float = 0.004
    metrics_first: float = 0.1  # turn.metrics comes before turn.completed
    missing_fields: float = 0.02
    bad_values: float = 0.0
    unknown_fields: float = 0.0
    unknown_event: float = 0.0
    floats_for_integers: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """One kind of call. ``turns`` is how many turns the caller takes (median, p95). ``pipeline`` is as on the wire, or ``audio``."""

    name: str
    stages: Stages
    chances: Chances = Chances()
    pipeline: str = "stt-llm-tts"
    turns: Spread = Spread(5, 14)
    agents: tuple[str, ...] = ("agent-support", "agent-billing", "agent-booking")
    stt: tuple[Model, ...] = (Model("deepgram", "nova-3"), Model("assemblyai", "universal-streaming"), Model("google", "chirp_2"))
    llm: tuple[Model, ...] = (Model("openai", "gpt-4o"), Model("openai", "gpt-4o-mini"), Model("anthropic", "claude-haiku-4-5"))
    llm_fallback: Model = Model("groq", "llama-3.3-70b-versatile")
    tts: tuple[Model, ...] = (Model("elevenlabs", "eleven_flash_v2_5"), Model("cartesia", "sonic-2"), Model("azure", "neural"))
    realtime: tuple[Model, ...] = field(
        default=(
            Model("openai_realtime", "gpt-realtime"),
            Model("gemini_live", "gemini-2.5-flash-native-audio"),
            Model("azure_openai", "gpt-4o-realtime-preview"),
        )
    )
