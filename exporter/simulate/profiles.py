"""Kinds of calls and fleets of them, as data.

A :class:`~exporter.simulate.behaviour.Profile` describes one kind of call. A run draws its calls from a fleet (:data:`FLEETS`).
The first group of profiles has everything that happens in calls. In the second group one thing goes wrong (nothing in ``healthy``).
"""

from dataclasses import replace
from random import Random

from exporter.simulate.behaviour import Chances, Model, Profile, Spread, Stages

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

_NO_FAULTS = Chances(
    fallback=0.0, ends_in_error=0.0, hang_up_mid_turn=0.0, dropped=0.0, unanswered=0.0, interruption=0.06, metrics_lost=0.0
)
_LARGE = (Model("openai", "gpt-4o"), Model("anthropic", "claude-haiku-4-5"))
HEALTHY = Profile(name="healthy", stages=_FAST, chances=_NO_FAULTS)
SLOW_LLM = Profile(
    name="slow-llm",
    stages=replace(_TYPICAL, llm_ttft=Spread(1300, 3600)),
    chances=replace(_NO_FAULTS, gives_up=0.15, hang_up_mid_turn=0.2),
    llm=_LARGE,
)
HASTY = Profile(
    name="hasty",
    stages=replace(_TYPICAL, turn_decision=Spread(70, 140)),
    chances=replace(_NO_FAULTS, premature=0.3, interruption=0.2),
)
OUTAGE = Profile(
    name="outage",
    stages=_TYPICAL,
    chances=replace(_NO_FAULTS, fallback=0.9, unanswered=0.25, gives_up=0.2, ends_in_error=0.2, hang_up_mid_turn=0.1),
    llm=_LARGE,
    llm_fallback=Model("openai", "gpt-4o-mini"),
)
SILENT = Profile(name="silent", stages=_FAST, chances=replace(_NO_FAULTS, falls_silent=0.7, gives_up=0.35))

Fleet = tuple[tuple[float, Profile], ...]
"""Kinds of calls, each with its weight."""

_GENERAL = (FAST, TYPICAL, SLOW, S2S, OUTBOUND, MESSY, STREAMING)
_SINGLE_FAULT = (HEALTHY, SLOW_LLM, HASTY, OUTAGE, SILENT)

FLEETS: dict[str, Fleet] = {profile.name: ((1.0, profile),) for profile in (*_GENERAL, *_SINGLE_FAULT)}
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
    """Draw one kind of call from the fleet."""
    return rng.choices([profile for _, profile in fleet], [weight for weight, _ in fleet])[0]


def fleet_of(names: tuple[str, ...]) -> Fleet:
    """The fleet of the named profiles, each with the same weight. Raises ``ValueError`` naming a profile that does not exist."""
    for name in names:
        if name not in FLEETS:
            raise ValueError(f"unknown profile {name!r}; the profiles are {', '.join(sorted(FLEETS))}")
    return tuple((weight / len(names), profile) for name in names for weight, profile in FLEETS[name])
