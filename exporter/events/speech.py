"""Who speaks and who listens: speech, states, interruptions and backchannels."""

from typing import Annotated, ClassVar

from exporter.catalogue import buckets
from exporter.catalogue.declarations import (
    BecomesLabel,
    Const,
    DrivesLogic,
    Feeds,
    Flag,
    Labels,
    OneOf,
    SpanAttribute,
    SpanEvent,
    Text,
    counter,
    histogram,
    labels,
)
from exporter.catalogue.quantities import Count, DateTime, DurationMs, DurationS, LatencyMs, OffsetMs, Ratio
from exporter.events.base import AGENT, BY_AGENT, Stamped

USER_STATES = ("speaking", "listening", "away")
AGENT_STATES = ("idle", "listening", "thinking", "speaking")
_STATES = ("agentstack.state_duration",)
_WAITING = ("agentstack.turns_waiting", "agentstack.dead_air", "agentstack.dead_air.seconds")
_ENDS_WAIT = DrivesLogic((*_WAITING, "agentstack.premature_end_of_turns"), "ends the wait for an answer when it is speaking")


def _vad(edge: str) -> tuple[Feeds, Feeds, Feeds]:
    by: Labels = labels(edge=Const(edge))
    return (
        counter("speech.vad_idle_time", "Time without speech before speech began or ended, from user.speech_ events.", by, unit="s"),
        counter("speech.vad_inferences", "Voice activity inferences, from user.speech_ events.", by, unit="{inference}"),
        counter("speech.vad_inference_duration", "Time of voice activity inference, from user.speech_ events.", by, unit="s"),
    )


_STARTED = _vad("started")
_STOPPED = _vad("stopped")


class UserSpeechStarted(Stamped, frozen=True, gc=False, forbid_unknown_fields=True, tag="user.speech_started"):
    """The voice activity detector heard the user start to speak."""

    earlier_names: ClassVar[tuple[str, ...]] = ("vad.speech_started",)
    metrics: ClassVar[tuple[Feeds, ...]] = (counter("user_speech.starts", "Times the user began to speak.", BY_AGENT, unit="{start}"),)

    timestamp_ms: Annotated[OffsetMs | None, SpanAttribute("user_speech", "agentstack.user_speech.start_offset")] = None
    vad_idle_time_s: Annotated[DurationS | None, _STARTED[0], SpanAttribute("user_speech", "agentstack.vad.started.idle_time")] = None
    vad_inference_count: Annotated[Count | None, _STARTED[1], SpanAttribute("user_speech", "agentstack.vad.started.inferences")] = None
    vad_inference_duration_total_ms: Annotated[
        DurationMs | None, _STARTED[2], SpanAttribute("user_speech", "agentstack.vad.started.inference_duration")
    ] = None


class UserSpeechStopped(Stamped, frozen=True, gc=False, forbid_unknown_fields=True, tag="user.speech_stopped"):
    """The voice activity detector heard the user stop speaking."""

    earlier_names: ClassVar[tuple[str, ...]] = ("vad.speech_stopped",)
    metrics: ClassVar[tuple[Feeds, ...]] = (counter("user_speech.stops", "Times the user stopped speaking.", BY_AGENT, unit="{stop}"),)

    timestamp_ms: Annotated[OffsetMs | None, SpanAttribute("user_speech", "agentstack.user_speech.stop_offset")] = None
    duration_ms: Annotated[
        DurationMs | None,
        histogram("user_speech.duration", "Length of the user's speech.", buckets.DURATION, BY_AGENT),
        SpanAttribute("user_speech", "agentstack.user_speech.duration"),
    ] = None
    vad_idle_time_s: Annotated[DurationS | None, _STOPPED[0], SpanAttribute("user_speech", "agentstack.vad.stopped.idle_time")] = None
    vad_inference_count: Annotated[Count | None, _STOPPED[1], SpanAttribute("user_speech", "agentstack.vad.stopped.inferences")] = None
    vad_inference_duration_total_ms: Annotated[
        DurationMs | None, _STOPPED[2], SpanAttribute("user_speech", "agentstack.vad.stopped.inference_duration")
    ] = None


class UserStateChanged(Stamped, frozen=True, gc=False, forbid_unknown_fields=True, tag="user.state_changed"):
    """The user's state changed: speaking, listening or away."""

    metrics: ClassVar[tuple[Feeds, ...]] = (
        counter(
            "user.state_changes",
            "Changes of the user's state, by the new one.",
            labels(agent=AGENT, state=OneOf("new_state", USER_STATES)),
            unit="{change}",
        ),
    )

    old_state: Annotated[
        str | None,
        DrivesLogic(_STATES, "names the state that ends, where its beginning was not seen"),
        SpanEvent("turn", "user.state_changed"),
    ] = None
    new_state: Annotated[
        str | None, BecomesLabel("state"), DrivesLogic(_STATES, "begins a state"), _ENDS_WAIT, SpanEvent("turn", "user.state_changed")
    ] = None


class AgentStateChanged(Stamped, frozen=True, gc=False, forbid_unknown_fields=True, tag="agent.state_changed"):
    """The agent's state changed: idle, listening, thinking or speaking."""

    metrics: ClassVar[tuple[Feeds, ...]] = (
        counter(
            "agent.state_changes",
            "Changes of the agent's state, by the new one.",
            labels(agent=AGENT, state=OneOf("new_state", AGENT_STATES)),
            unit="{change}",
        ),
    )

    old_state: Annotated[
        str | None,
        DrivesLogic(_STATES, "names the state that ends, where its beginning was not seen"),
        SpanEvent("turn", "agent.state_changed"),
    ] = None
    new_state: Annotated[
        str | None, BecomesLabel("state"), DrivesLogic(_STATES, "begins a state"), _ENDS_WAIT, SpanEvent("turn", "agent.state_changed")
    ] = None


class AgentSpeechCreated(Stamped, frozen=True, gc=False, forbid_unknown_fields=True, tag="agent.speech_created"):
    """The agent is about to say something."""

    metrics: ClassVar[tuple[Feeds, ...]] = (
        counter(
            "agent_speech.created",
            "Utterances that the agent was about to speak, by what caused them.",
            labels(agent=AGENT, source=Text("source"), user_initiated=Flag("user_initiated")),
            unit="{speech}",
        ),
    )

    source: Annotated[str | None, BecomesLabel("source"), SpanAttribute("agent_speech", "agentstack.speech.source")] = None
    user_initiated: Annotated[
        bool | None, BecomesLabel("user_initiated"), SpanAttribute("agent_speech", "agentstack.speech.user_initiated")
    ] = None


class AgentSpeechStarted(Stamped, frozen=True, gc=False, forbid_unknown_fields=True, tag="agent.speech_started"):
    """The agent started to speak: the caller hears it."""

    metrics: ClassVar[tuple[Feeds, ...]] = (
        counter("agent_speech.starts", "Times the agent began to speak.", BY_AGENT, unit="{start}"),
    )


class AgentSpeechCompleted(Stamped, frozen=True, gc=False, forbid_unknown_fields=True, tag="agent.speech_completed"):
    """The agent spoke to the end without interruption."""

    metrics: ClassVar[tuple[Feeds, ...]] = (
        counter("agent_speech.completions", "Times the agent spoke to the end.", BY_AGENT, unit="{completion}"),
    )

    playback_position_s: Annotated[
        DurationS | None,
        histogram("agent_speech.duration", "Length of agent speech that was played to the end.", buckets.DURATION, BY_AGENT),
        SpanAttribute("agent_speech", "agentstack.speech.playback_position"),
    ] = None
    transcript: Annotated[str | None, SpanAttribute("agent_speech", "agentstack.speech.transcript", personal=True)] = None


class AgentSpeechInterrupted(Stamped, frozen=True, gc=False, forbid_unknown_fields=True, tag="agent.speech_interrupted"):
    """The user interrupted the agent (barge-in)."""

    earlier_names: ClassVar[tuple[str, ...]] = ("interruption",)
    metrics: ClassVar[tuple[Feeds, ...]] = (
        counter("interruptions", "Agent speech the user interrupted.", BY_AGENT, unit="{interruption}"),
    )

    interrupted_text: Annotated[str | None, SpanAttribute("agent_speech", "agentstack.speech.interrupted_text", personal=True)] = None
    turn_id: Annotated[str | None, SpanAttribute("turn", "agentstack.interruption.turn_id")] = None
    playback_position_s: Annotated[
        DurationS | None,
        histogram("interruption.playback_position", "How much the agent had said when it was interrupted.", buckets.DURATION, BY_AGENT),
        SpanAttribute("agent_speech", "agentstack.interruption.playback_position"),
    ] = None


class AgentFalseInterruption(Stamped, frozen=True, gc=False, forbid_unknown_fields=True, tag="agent.false_interruption"):
    """The agent stopped for an interruption that was none."""

    metrics: ClassVar[tuple[Feeds, ...]] = (
        counter(
            "false_interruptions",
            "Interruptions that were none, by whether the agent resumed.",
            labels(agent=AGENT, resumed=Flag("resumed")),
            unit="{interruption}",
        ),
    )

    resumed: Annotated[bool | None, BecomesLabel("resumed"), SpanEvent("turn", "agent.false_interruption")] = None


class UserBackchannel(Stamped, frozen=True, gc=False, forbid_unknown_fields=True, tag="user.backchannel"):
    """The platform judged whether overlapping speech is an interruption or a backchannel."""

    metrics: ClassVar[tuple[Feeds, ...]] = (
        counter(
            "backchannels",
            "Overlapping speech that was judged, by whether it was an interruption.",
            labels(agent=AGENT, is_interruption=Flag("is_interruption")),
            unit="{backchannel}",
        ),
    )

    is_interruption: Annotated[bool | None, BecomesLabel("is_interruption"), SpanEvent("turn", "user.backchannel")] = None
    probability: Annotated[
        Ratio | None,
        histogram("backchannel.probability", "Probability that overlapping speech interrupts.", buckets.RATIO, unit="1"),
        SpanEvent("turn", "user.backchannel"),
    ] = None
    detection_delay_ms: Annotated[
        LatencyMs | None,
        histogram("backchannel.detection_delay", "From the start of overlapping speech until it was judged.", buckets.COMPONENT),
        SpanEvent("turn", "user.backchannel"),
    ] = None
    total_duration_ms: Annotated[
        DurationMs | None,
        histogram("backchannel.duration", "Length of overlapping speech that was judged.", buckets.COMPONENT),
        SpanEvent("turn", "user.backchannel"),
    ] = None
    prediction_duration_ms: Annotated[
        LatencyMs | None,
        histogram("backchannel.prediction", "Inference of the model that judges overlapping speech.", buckets.MICRO),
        SpanEvent("turn", "user.backchannel"),
    ] = None
    overlap_started_at: Annotated[DateTime | None, SpanEvent("turn", "user.backchannel")] = None
    num_requests: Annotated[
        Count | None,
        counter("backchannel.requests", "Requests to the model that judges overlapping speech.", unit="{request}"),
        SpanEvent("turn", "user.backchannel"),
    ] = None
    speech_input_b64: Annotated[str | None, SpanAttribute("user_speech", "agentstack.user_speech.audio", personal=True)] = None
    probabilities: Annotated[list[float] | None, SpanEvent("turn", "user.backchannel")] = None
