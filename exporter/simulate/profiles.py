"""Fleets of calls as data: how long each stage takes, who provides it, and how often something out of the ordinary happens.

A :class:`Profile` describes one kind of call, a fleet (:data:`FLEETS`) is what a run draws its calls from.
"""

import math
from dataclasses import dataclass, field, replace
from random import Random

_Z95 = 1.6448536269514722  # the 95th percentile of the standard normal distribution


@dataclass(frozen=True, slots=True)
class Spread:
    """A lognormal spread of times in milliseconds, given by its median and by what 95 % of the values stay under."""

    median: float
    p95: float

    def draw(self, rng: Random) -> float:
        """One value in milliseconds, above 0."""
        return self.median * math.exp(rng.gauss(0.0, math.log(self.p95 / self.median) / _Z95))


@dataclass(frozen=True, slots=True)
class Model:
    """A model as turn.metrics and session.usage name it. ``streamed`` ones of STT report a request time of 0."""

    provider: str
    name: str
    streamed: bool = True

    @property
    def key(self) -> str:
        """The name under which ``llm_availability`` and ``llm.availability_changed`` speak of it."""
        return f"{self.provider}/{self.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Stages:
    """How long the steps between the caller's last word and the agent's first take.

    ``stt_delay`` and ``turn_decision`` both run from the end of speech, so the longer one counts; ``rest`` is network and
    playout. ``endpoint`` is the silence after which a speech-to-speech model answers.
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
    """Probabilities (0..1), in three groups: of a call, of a turn, of an event."""

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

    interruption: float = 0.12
    false_interruption: float = 0.25  # of the interruptions
    backchannel: float = 0.15
    tool: float = 0.12
    unanswered: float = 0.01
    idle: float = 0.03
    typed: float = 0.01
    preemptive: float = 0.04

    metrics_lost: float = 0.003
    metrics_late: float = 0.02
    metrics_after_end: float = 0.3  # of the turns in which the caller hangs up
    metrics_twice: float = 0.004
    metrics_first: float = 0.1  # turn.metrics ahead of turn.completed
    missing_fields: float = 0.02
    bad_values: float = 0.0
    unknown_fields: float = 0.0
    unknown_event: float = 0.0
    floats_for_integers: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """One kind of call. ``turns`` are the caller's in a call (median, p95); ``pipeline`` is as on the wire, or ``audio``."""

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


_FAST = Stages(
    stt_delay=Spread(120, 230),
    turn_decision=Spread(170, 380),
    llm_ttft=Spread(185, 460),
    tts_ttfb=Spread(85, 160),
    rest=Spread(45, 90),
    tool=Spread(140, 330),
)
_TYPICAL = Stages(
    stt_delay=Spread(180, 340),
    turn_decision=Spread(250, 590),
    llm_ttft=Spread(265, 700),
    tts_ttfb=Spread(130, 260),
    rest=Spread(60, 140),
    tool=Spread(220, 500),
)
_SLOW = Stages(
    stt_delay=Spread(280, 600),
    turn_decision=Spread(380, 1000),
    llm_ttft=Spread(390, 1150),
    tts_ttfb=Spread(200, 420),
    rest=Spread(80, 200),
    tool=Spread(380, 900),
)

FAST = Profile(
    name="fast",
    stages=_FAST,
    llm=(Model("groq", "llama-3.1-8b-instant"), Model("openai", "gpt-4.1-nano"), Model("fireworks", "llama-v3p1-8b")),
    tts=(Model("cartesia", "sonic-2"), Model("deepgram", "aura-2")),
)
TYPICAL = Profile(name="typical", stages=_TYPICAL)
SLOW = Profile(
    name="slow",
    stages=_SLOW,
    chances=Chances(unanswered=0.03, fallback=0.15, ends_in_error=0.05, hang_up_mid_turn=0.18),
    agents=("agent-support", "agent-claims"),
    stt=(Model("openai", "gpt-4o-transcribe", streamed=False), Model("groq", "whisper-large-v3", streamed=False)),
    llm=(
        Model("azure", "gpt-4o"),
        Model("google", "gemini-2.5-pro"),
        Model("mistral", "mistral-large"),
        Model("together", "qwen3"),
    ),
    llm_fallback=Model("perplexity", "sonar"),
    tts=(Model("openai", "gpt-4o-mini-tts"), Model("google", "chirp3-hd")),
)
S2S = Profile(
    name="s2s",
    stages=_TYPICAL,
    pipeline="s2s",
    chances=Chances(interruption=0.18, unanswered=0.005),
    agents=("agent-concierge", "agent-booking"),
)
OUTBOUND = Profile(
    name="outbound",
    stages=_TYPICAL,
    chances=Chances(voicemail=1.0, greeting=0.5, transfer=0.1, idle=0.06),
    turns=Spread(3, 8),
    agents=("agent-reminders", "agent-collections"),
)
MESSY = Profile(
    name="messy",
    stages=_TYPICAL,
    chances=Chances(
        interruption=0.25,
        backchannel=0.3,
        unanswered=0.05,
        idle=0.08,
        fallback=0.2,
        dropped=0.12,
        resumed=0.1,
        no_metrics_at_all=0.05,
        first_generation=0.12,
        second_generation=0.12,
        metrics_lost=0.05,
        metrics_late=0.15,
        metrics_twice=0.08,
        metrics_first=0.5,
        missing_fields=0.3,
        bad_values=0.2,
        unknown_fields=0.2,
        unknown_event=0.02,
        floats_for_integers=0.2,
    ),
    agents=("agent-support", "agent-legacy"),
)
STREAMING = Profile(name="streaming", stages=_TYPICAL, pipeline="audio")

Fleet = tuple[tuple[float, Profile], ...]
"""Kinds of calls and the weight with which each is drawn."""

FLEETS: dict[str, Fleet] = {profile.name: ((1.0, profile),) for profile in (FAST, TYPICAL, SLOW, S2S, OUTBOUND, MESSY, STREAMING)}
FLEETS["mixed"] = (
    (0.46, replace(TYPICAL, chances=replace(TYPICAL.chances, resumed=0.01))),
    (0.16, FAST),
    (0.09, SLOW),
    (0.13, S2S),
    (0.09, OUTBOUND),
    (0.03, STREAMING),
    (0.04, MESSY),
)


def draw_profile(fleet: Fleet, rng: Random) -> Profile:
    """One kind of call out of the fleet."""
    return rng.choices([profile for _, profile in fleet], [weight for weight, _ in fleet])[0]


def fleet_of(names: tuple[str, ...]) -> Fleet:
    """The fleet of the named profiles, each with the same weight. Raises ``ValueError`` naming one that does not exist."""
    for name in names:
        if name not in FLEETS:
            raise ValueError(f"unknown profile {name!r}; there are {', '.join(sorted(FLEETS))}")
    return tuple((weight / len(names), profile) for name in names for weight, profile in FLEETS[name])
