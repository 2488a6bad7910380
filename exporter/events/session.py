"""The life of a call: session.started, session.ended, session.error, session.usage."""

from typing import Annotated, ClassVar

import msgspec

from exporter.catalogue import buckets
from exporter.catalogue.declarations import (
    BecomesLabel,
    DrivesLogic,
    Feeds,
    Flag,
    SpanAttribute,
    SpanTime,
    Text,
    counter,
    histogram,
    labels,
)
from exporter.catalogue.quantities import Count, DateTime, DurationMs, DurationS, Hertz, Json
from exporter.events.base import AGENT, BY_AGENT, Event

SESSIONS = ("agentstack.sessions", "agentstack.sessions_active", "agentstack.sessions_ended")
_FRAMEWORK = DrivesLogic(("agentstack.framework_info",), "says what feeds the session")


class SessionStarted(Event, frozen=True, gc=False, forbid_unknown_fields=True, tag="session.started"):
    """The first event of a managed call. ``framework`` comes from taps: the platform's own sessions name none."""

    earlier_names: ClassVar[tuple[str, ...]] = ("agent_session.started",)

    agent_session_id: Annotated[
        str | None, DrivesLogic(SESSIONS, "names the session"), SpanAttribute("session", "gen_ai.conversation.id")
    ] = None
    call_id: Annotated[
        str | None,
        DrivesLogic(SESSIONS, "names the session where agent_session_id is absent"),
        SpanAttribute("session", "plivo.call.id"),
    ] = None
    caller: Annotated[str | None, SpanAttribute("session", "agentstack.caller", personal=True)] = None
    callee: Annotated[str | None, SpanAttribute("session", "agentstack.callee", personal=True)] = None
    agent_id: Annotated[
        str | None, BecomesLabel("agent"), DrivesLogic(SESSIONS, "names the agent"), SpanAttribute("session", "gen_ai.agent.id")
    ] = None
    audio_format: Annotated[
        str | None,
        counter(
            "session.audio_formats",
            "Sessions started, by audio format and whether packet loss is concealed.",
            labels(format=Text("audio_format"), loss_concealed=Flag("plc_enabled")),
            unit="{session}",
            amount="presence",
        ),
        SpanAttribute("session", "agentstack.audio.format"),
    ] = None
    sample_rate: Annotated[Hertz | None, SpanAttribute("session", "agentstack.audio.sample_rate")] = None
    channels: Annotated[Count | None, SpanAttribute("session", "agentstack.audio.channels")] = None
    frame_size_ms: Annotated[DurationMs | None, SpanAttribute("session", "agentstack.audio.frame_size")] = None
    plc_enabled: Annotated[bool | None, BecomesLabel("loss_concealed"), SpanAttribute("session", "agentstack.audio.loss_concealed")] = (
        None
    )
    framework: Annotated[str | None, BecomesLabel("framework"), _FRAMEWORK, SpanAttribute("session", "agentstack.framework.name")] = (
        None
    )
    framework_version: Annotated[
        str | None, BecomesLabel("framework_version"), _FRAMEWORK, SpanAttribute("session", "agentstack.framework.version")
    ] = None


class SessionEnded(Event, frozen=True, gc=False, forbid_unknown_fields=True, tag="session.ended"):
    """Usually the last event of a call; late metrics may follow."""

    earlier_names: ClassVar[tuple[str, ...]] = ("agent_session.ended",)

    duration_seconds: Annotated[
        DurationS | None,
        histogram(
            "session.duration",
            "Length of calls: as session.ended reports it, else from the first to the last event.",
            buckets.SESSION,
            BY_AGENT,
        ),
        SpanTime("session", "duration"),
    ] = None
    turn_count: Annotated[
        Count | None,
        histogram("session.turns", "Turns of a call, as session.ended counts them.", buckets.COUNT, BY_AGENT, unit="{turn}"),
        SpanAttribute("session", "agentstack.session.turns"),
    ] = None
    reason: Annotated[
        str | None,
        DrivesLogic(("agentstack.sessions_ended",), "says why the session ended"),
        SpanAttribute("session", "agentstack.session.end_reason"),
    ] = None
    started_at: Annotated[DateTime | None, SpanTime("session", "start")] = None
    ended_at: Annotated[
        DateTime | None,
        DrivesLogic(("agentstack.sessions_ended_after_turn", "agentstack.dead_air.seconds"), "ends the wait for an answer"),
        SpanTime("session", "end"),
    ] = None
    error: Annotated[str | None, SpanAttribute("session", "agentstack.session.error", personal=True)] = None
    transcript: Annotated[Json, SpanAttribute("session", "agentstack.session.transcript", personal=True)] = None
    stt_duration: Annotated[
        DurationS | None,
        counter("session.stt_duration", "Time billed to transcription, from session.ended.", BY_AGENT, unit="s"),
        SpanAttribute("session", "agentstack.session.stt_duration"),
    ] = None
    llm_duration: Annotated[
        DurationS | None,
        counter("session.llm_duration", "Time billed to the LLM, from session.ended.", BY_AGENT, unit="s"),
        SpanAttribute("session", "agentstack.session.llm_duration"),
    ] = None
    tts_duration: Annotated[
        DurationS | None,
        counter("session.tts_duration", "Time billed to synthesis, from session.ended.", BY_AGENT, unit="s"),
        SpanAttribute("session", "agentstack.session.tts_duration"),
    ] = None


class SessionError(Event, frozen=True, gc=False, forbid_unknown_fields=True, tag="session.error"):
    """Something failed in the call."""

    earlier_names: ClassVar[tuple[str, ...]] = ("error",)
    metrics: ClassVar[tuple[Feeds, ...]] = (
        counter(
            "errors",
            "Errors of sessions, as session.error events report them, by code.",
            labels(agent=AGENT, code=Text("code")),
            unit="{error}",
        ),
    )

    code: Annotated[str | None, BecomesLabel("code"), SpanAttribute("session", "error.type")] = None
    message: Annotated[str | None, SpanAttribute("session", "agentstack.error.message", personal=True)] = None


class ModelUsage(msgspec.Struct, frozen=True, gc=False, omit_defaults=True, forbid_unknown_fields=True):
    """One entry of session.usage: what one model has used since the session began."""

    type: str | None = None
    provider: str | None = None
    model: str | None = None
    input_tokens: float | None = None
    input_cached_tokens: float | None = None
    output_tokens: float | None = None
    session_duration: float | None = None
    characters_count: float | None = None
    audio_duration: float | None = None
    audio_duration_s: float | None = None
    total_requests: float | None = None


class SessionUsage(Event, frozen=True, gc=False, forbid_unknown_fields=True, tag="session.usage"):
    """What each model has used so far in the session; cumulative."""

    models: Annotated[
        list[ModelUsage] | None,
        DrivesLogic(
            (
                "agentstack.usage.input_tokens",
                "agentstack.usage.cached_input_tokens",
                "agentstack.usage.output_tokens",
                "agentstack.usage.session_duration",
                "agentstack.usage.characters",
                "agentstack.usage.audio_duration",
                "agentstack.usage.requests",
            ),
            "adds what each model's cumulative use grew by",
        ),
        SpanAttribute("session", "agentstack.session.usage"),
    ] = None
