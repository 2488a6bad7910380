"""Turns as they happen: user.turn_completed, turn.completed and user.transcription."""

from typing import Annotated, ClassVar

from exporter.catalogue import buckets
from exporter.catalogue.declarations import (
    BecomesLabel,
    DrivesLogic,
    Feeds,
    Flag,
    OneOf,
    SpanAttribute,
    SpanEvent,
    SpanTime,
    Text,
    counter,
    histogram,
    labels,
)
from exporter.catalogue.quantities import DateTime, DurationMs, LatencyMs, LatencyS, Ordinal, Ratio
from exporter.events.base import AGENT, BY_AGENT, Event, Stamped

OWNER_KINDS = ("service", "setting", "bot", "pipeline")
_COMPLETED = ("agentstack.turns", "agentstack.caller_turns", "agentstack.turns_without_metrics")


def _unless_metrics(metric: str) -> DrivesLogic:
    return DrivesLogic((metric,), "observed only if no turn.metrics comes for the turn")


class UserTurnCompleted(Stamped, frozen=True, gc=False, forbid_unknown_fields=True, tag="user.turn_completed"):
    """The platform decided that the user's turn is over."""

    earlier_names: ClassVar[tuple[str, ...]] = ("turn.detected",)
    metrics: ClassVar[tuple[Feeds, ...]] = (
        counter(
            "user_turns",
            "Ends of user turns detected, by what triggered them and how they were found.",
            labels(agent=AGENT, trigger=Text("trigger"), method=Text("turn_method")),
            unit="{turn}",
        ),
    )

    turn_id: Annotated[str | None, SpanAttribute("turn", "agentstack.user_turn.id")] = None
    trigger: Annotated[str | None, BecomesLabel("trigger"), SpanAttribute("turn_detection", "agentstack.user_turn.trigger")] = None
    duration_ms: Annotated[
        DurationMs | None,
        histogram("user_turn.duration", "Length of user turns, from user.turn_completed.", buckets.DURATION, BY_AGENT),
        SpanAttribute("turn_detection", "agentstack.user_turn.duration"),
    ] = None
    turn_method: Annotated[str | None, BecomesLabel("method"), SpanAttribute("turn_detection", "agentstack.user_turn.method")] = None
    turn_probability: Annotated[
        Ratio | None,
        histogram(
            "user_turn.probability",
            "Confidence that the user's turn was over, from user.turn_completed.",
            buckets.RATIO,
            unit="1",
        ),
        SpanAttribute("turn_detection", "agentstack.user_turn.probability"),
    ] = None


class TurnCompleted(Event, frozen=True, gc=False, forbid_unknown_fields=True, tag="turn.completed"):
    """A turn is over. Its turn.metrics should follow, with the same times in milliseconds."""

    turn_number: Annotated[
        Ordinal | None, DrivesLogic(_COMPLETED, "names the turn"), SpanAttribute("turn", "agentstack.turn.number")
    ] = None
    user_text: Annotated[str | None, SpanAttribute("turn", "agentstack.turn.user_text", personal=True)] = None
    agent_text: Annotated[str | None, SpanAttribute("turn", "agentstack.turn.agent_text", personal=True)] = None
    turn_id: Annotated[
        str | None, DrivesLogic(_COMPLETED, "names the turn where turn_number is absent"), SpanAttribute("turn", "agentstack.turn.id")
    ] = None
    agent_first: Annotated[
        bool | None,
        DrivesLogic(_COMPLETED, "tells turns the agent began (initiator)"),
        SpanAttribute("turn", "agentstack.turn.agent_first"),
    ] = None
    agent_tool_id: Annotated[
        str | None, DrivesLogic(_COMPLETED, "tells turns of a sub-agent apart"), SpanAttribute("turn", "agentstack.agent_tool.id")
    ] = None
    turn_decision_s: Annotated[LatencyS | None, _unless_metrics("agentstack.turn_decision"), SpanTime("turn_detection", "duration")] = (
        None
    )
    transcription_delay_s: Annotated[
        LatencyS | None, _unless_metrics("agentstack.stt.delay"), SpanTime("speech_to_text", "duration")
    ] = None
    llm_ttft_s: Annotated[LatencyS | None, _unless_metrics("agentstack.llm.time_to_first_token"), SpanTime("chat", "duration")] = None
    tts_ttfb_s: Annotated[
        LatencyS | None, _unless_metrics("agentstack.tts.time_to_first_byte"), SpanTime("text_to_speech", "duration")
    ] = None
    realtime_ttft_s: Annotated[
        LatencyS | None, _unless_metrics("agentstack.realtime.time_to_first_token"), SpanTime("realtime_inference", "duration")
    ] = None
    user_started_speaking_at: Annotated[DateTime | None, SpanTime("user_speech", "start")] = None
    user_stopped_speaking_at: Annotated[DateTime | None, SpanTime("user_speech", "end")] = None
    agent_started_speaking_at: Annotated[DateTime | None, SpanTime("agent_speech", "start")] = None


class TurnContribution(Event, frozen=True, gc=False, forbid_unknown_fields=True, tag="turn.contribution"):
    """A part of the caller's wait, by the framework's own name. A turn's parts add up to the wait. Only taps for frameworks send it."""

    contribution: Annotated[str | None, BecomesLabel("contribution"), SpanEvent("turn", "turn.contribution")] = None
    started_at: Annotated[DateTime | None, SpanEvent("turn", "turn.contribution")] = None
    owner: Annotated[str | None, SpanEvent("turn", "turn.contribution")] = None
    owner_kind: Annotated[str | None, BecomesLabel("owner_kind"), SpanEvent("turn", "turn.contribution")] = None
    duration_ms: Annotated[
        LatencyMs | None,
        counter(
            "turn_contribution",
            "Where callers' waits went, by the framework's own names of their parts and by what kind of thing spent them: "
            "a service, a setting, the bot's code or the pipeline. Not every framework tells it.",
            labels(agent=AGENT, contribution=Text("contribution"), owner_kind=OneOf("owner_kind", OWNER_KINDS)),
            unit="s",
        ),
        SpanEvent("turn", "turn.contribution"),
    ] = None


class UserTranscription(Event, frozen=True, gc=False, forbid_unknown_fields=True, tag="user.transcription"):
    """What the user said, partial or final."""

    earlier_names: ClassVar[tuple[str, ...]] = ("prompt",)
    metrics: ClassVar[tuple[Feeds, ...]] = (
        counter(
            "transcriptions",
            "Transcripts of the user's speech, partial and final, by language.",
            labels(agent=AGENT, final=Flag("is_final"), language=Text("language")),
            unit="{transcription}",
        ),
    )

    text: Annotated[str | None, SpanAttribute("speech_to_text", "agentstack.stt.text", personal=True)] = None
    is_final: Annotated[
        bool | None,
        BecomesLabel("final"),
        DrivesLogic(
            ("agentstack.app_llm.time_to_first_token", "agentstack.app_llm.duration"),
            "starts the clock of the customer's own LLM, where the app is seen too",
        ),
        SpanAttribute("speech_to_text", "agentstack.stt.final"),
    ] = None
    language: Annotated[str | None, BecomesLabel("language"), SpanAttribute("speech_to_text", "gen_ai.speech.input.language")] = None
    speaker_id: Annotated[str | None, SpanAttribute("user_speech", "agentstack.speaker.id", personal=True)] = None
