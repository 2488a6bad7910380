"""The phone call around the conversation: DTMF, voicemail, participants, transfer, playback, silence."""

from typing import Annotated, ClassVar

from exporter.catalogue import buckets
from exporter.catalogue.declarations import (
    BecomesLabel,
    DrivesLogic,
    Feeds,
    OneOf,
    SpanAttribute,
    SpanEvent,
    Text,
    counter,
    histogram,
    labels,
)
from exporter.catalogue.quantities import Count, DurationMs, Hertz, Json
from exporter.events.base import AGENT, ANSWERED_BY, BY_AGENT, Event

DTMF_RECEIVED: Feeds = counter("dtmf.received", "Keys the caller pressed.", BY_AGENT, unit="{key}")


class UserDtmf(Event, frozen=True, gc=False, forbid_unknown_fields=True, tag="user.dtmf"):
    """The caller pressed a key."""

    earlier_names: ClassVar[tuple[str, ...]] = ("dtmf",)
    metrics: ClassVar[tuple[Feeds, ...]] = (DTMF_RECEIVED,)

    digit: Annotated[str | None, SpanEvent("turn", "user.dtmf", personal=True)] = None


class DtmfSent(Event, frozen=True, gc=False, forbid_unknown_fields=True, tag="dtmf.sent"):
    """The agent sent DTMF digits."""

    metrics: ClassVar[tuple[Feeds, ...]] = (counter("dtmf.sent", "Times the agent sent keys.", BY_AGENT, unit="{message}"),)

    digits: Annotated[str | None, SpanEvent("turn", "dtmf.sent", personal=True)] = None


class VoicemailDetected(Event, frozen=True, gc=False, forbid_unknown_fields=True, tag="voicemail.detected"):
    """The platform judged whether a human or a machine answered an outbound call."""

    metrics: ClassVar[tuple[Feeds, ...]] = (
        counter(
            "voicemail.detections",
            "Outbound calls judged to be answered by a human or a machine, by method.",
            labels(agent=AGENT, result=OneOf("result", ("human", "machine")), method=OneOf("method", ("audio", "llm"))),
            unit="{detection}",
        ),
    )

    result: Annotated[
        str | None,
        BecomesLabel("result"),
        DrivesLogic(
            ("agentstack.turns", "agentstack.user_perceived_latency"), "keeps turns of machine-answered calls apart (answered_by)"
        ),
        SpanAttribute("session", "agentstack.answered_by"),
    ] = None
    method: Annotated[str | None, BecomesLabel("method"), SpanAttribute("session", "agentstack.voicemail.method")] = None
    transcript: Annotated[str | None, SpanAttribute("session", "agentstack.voicemail.transcript", personal=True)] = None


class VoicemailBeep(Event, frozen=True, gc=False, forbid_unknown_fields=True, tag="voicemail.beep"):
    """The beep of an answering machine was heard."""

    metrics: ClassVar[tuple[Feeds, ...]] = (counter("voicemail.beeps", "Beeps of answering machines heard.", BY_AGENT, unit="{beep}"),)

    frequency_hz: Annotated[
        Hertz | None,
        histogram(
            "voicemail.beep_frequency",
            "Pitch of answering machines' beeps.",
            (300.0, 500.0, 800.0, 1000.0, 1200.0, 1500.0, 2000.0, 3000.0),
            unit="Hz",
        ),
        SpanEvent("session", "voicemail.beep"),
    ] = None
    duration_ms: Annotated[
        DurationMs | None,
        histogram("voicemail.beep_duration", "Length of answering machines' beeps.", buckets.COMPONENT),
        SpanEvent("session", "voicemail.beep"),
    ] = None


class ParticipantAdded(Event, frozen=True, gc=False, forbid_unknown_fields=True, tag="participant.added"):
    """Somebody joined the call."""

    metrics: ClassVar[tuple[Feeds, ...]] = (
        counter(
            "participants.added",
            "Participants who joined, by role.",
            labels(agent=AGENT, role=Text("role")),
            unit="{participant}",
        ),
    )

    member_id: Annotated[str | None, SpanEvent("session", "participant.added")] = None
    role: Annotated[str | None, BecomesLabel("role"), SpanEvent("session", "participant.added")] = None
    target: Annotated[str | None, SpanEvent("session", "participant.added", personal=True)] = None


class ParticipantRemoved(Event, frozen=True, gc=False, forbid_unknown_fields=True, tag="participant.removed"):
    """Somebody left the call."""

    metrics: ClassVar[tuple[Feeds, ...]] = (
        counter(
            "participants.removed",
            "Participants who left, by role.",
            labels(agent=AGENT, role=Text("role")),
            unit="{participant}",
        ),
    )

    member_id: Annotated[str | None, SpanEvent("session", "participant.removed")] = None
    role: Annotated[str | None, BecomesLabel("role"), SpanEvent("session", "participant.removed")] = None


class CallTransferred(Event, frozen=True, gc=False, forbid_unknown_fields=True, tag="call.transferred"):
    """The call was transferred."""

    metrics: ClassVar[tuple[Feeds, ...]] = (
        counter("transfers", "Calls transferred.", labels(agent=AGENT, answered_by=ANSWERED_BY), unit="{transfer}"),
    )

    destination: Annotated[Json, SpanEvent("session", "call.transferred", personal=True)] = None


class PlayCompleted(Event, frozen=True, gc=False, forbid_unknown_fields=True, tag="play.completed"):
    """An audio file was played to its end."""

    metrics: ClassVar[tuple[Feeds, ...]] = (counter("plays_completed", "Audio files played to their end.", BY_AGENT, unit="{play}"),)


class UserIdle(Event, frozen=True, gc=False, forbid_unknown_fields=True, tag="user.idle"):
    """The user has said nothing for a while."""

    metrics: ClassVar[tuple[Feeds, ...]] = (
        counter(
            "user_idle",
            "Times the user fell silent for too long, by reason.",
            labels(agent=AGENT, reason=OneOf("reason", ("no_response", "max_retries_exhausted"))),
            unit="{time}",
        ),
    )

    retry_count: Annotated[
        Count | None,
        histogram("user_idle.retries", "How often the agent had prompted a user who stayed silent.", buckets.COUNT, unit="{retry}"),
        SpanEvent("turn", "user.idle"),
    ] = None
    reason: Annotated[str | None, BecomesLabel("reason"), SpanEvent("turn", "user.idle")] = None
