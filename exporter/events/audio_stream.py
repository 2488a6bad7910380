"""Raw audio streaming: messages named by ``event``, with a nested payload. Fields have snake_case names, on the wire camelCase."""

from typing import Annotated, ClassVar

import msgspec

from exporter.catalogue.declarations import (
    BecomesLabel,
    DrivesLogic,
    Feeds,
    Ignored,
    SpanAttribute,
    SpanEvent,
    Text,
    counter,
    labels,
)
from exporter.catalogue.quantities import DateTime, Hertz
from exporter.events.base import BY_AGENT, LAG, StreamEvent
from exporter.events.session import SESSIONS
from exporter.events.telephony import DTMF_RECEIVED


class Payload(msgspec.Struct, frozen=True, gc=False, forbid_unknown_fields=True, rename="camel"):
    """The nested part of a message; its fields count as fields of the event."""


class MediaFormat(Payload, frozen=True, gc=False, forbid_unknown_fields=True):
    """How the audio is encoded."""

    content_type: Annotated[str | None, BecomesLabel("content_type"), SpanAttribute("session", "agentstack.audio.format")] = (
        msgspec.field(default=None, name="type")
    )
    sample_rate: Annotated[Hertz | None, SpanAttribute("session", "agentstack.audio.sample_rate")] = msgspec.field(
        default=None, name="rate"
    )


class StartPayload(Payload, frozen=True, gc=False, forbid_unknown_fields=True):
    """The payload of the first message: which stream and call it is."""

    stream_id: Annotated[
        str | None,
        DrivesLogic(SESSIONS, "names the session where there is no other id"),
        SpanAttribute("session", "agentstack.stream.id"),
    ] = None
    call_id: Annotated[str | None, DrivesLogic(SESSIONS, "names the session"), SpanAttribute("session", "plivo.call.id")] = None
    media_format: MediaFormat | None = None


class Start(StreamEvent, frozen=True, gc=False, forbid_unknown_fields=True, tag="start"):
    """The first message of an audio stream."""

    metrics: ClassVar[tuple[Feeds, ...]] = (
        counter(
            "audio_stream.starts",
            "Audio streams started, by encoding.",
            labels(content_type=Text("content_type")),
            unit="{stream}",
        ),
    )

    outer_stream_id: str | None = msgspec.field(default=None, name="streamId")
    start: StartPayload | None = None


class MediaPayload(Payload, frozen=True, gc=False, forbid_unknown_fields=True):
    """The payload of a media message: a piece of audio."""

    payload: Annotated[
        str | None,
        counter("audio_stream.received", "Audio received in media messages.", BY_AGENT, unit="By", amount="base64_bytes"),
    ] = None
    content_type: Annotated[str | None, Ignored("the same in every frame; the stream's start carries it")] = None
    sample_rate: Annotated[Hertz | None, Ignored("the same in every frame; the stream's start carries it")] = None
    timestamp: Annotated[DateTime | None, LAG] = None


class Media(StreamEvent, frozen=True, gc=False, forbid_unknown_fields=True, tag="media"):
    """A piece of audio; about 50 a second."""

    metrics: ClassVar[tuple[Feeds, ...]] = (counter("audio_stream.frames", "Media messages received.", BY_AGENT, unit="{frame}"),)

    outer_stream_id: str | None = msgspec.field(default=None, name="streamId")
    media: MediaPayload | None = None


class DtmfPayload(Payload, frozen=True, gc=False, forbid_unknown_fields=True):
    """The payload of a dtmf message: a key."""

    digit: Annotated[str | None, SpanEvent("session", "dtmf", personal=True)] = None


class Dtmf(StreamEvent, frozen=True, gc=False, forbid_unknown_fields=True, tag="dtmf"):
    """The caller pressed a key."""

    metrics: ClassVar[tuple[Feeds, ...]] = (DTMF_RECEIVED,)

    outer_stream_id: str | None = msgspec.field(default=None, name="streamId")
    dtmf: DtmfPayload | None = None


class PlayedStream(StreamEvent, frozen=True, gc=False, forbid_unknown_fields=True, tag="playedStream"):
    """The audio up to a checkpoint was played."""

    metrics: ClassVar[tuple[Feeds, ...]] = (
        counter("audio_stream.checkpoints_played", "Checkpoints up to which audio was played.", BY_AGENT, unit="{checkpoint}"),
    )

    outer_stream_id: str | None = msgspec.field(default=None, name="streamId")
    checkpoint: Annotated[str | None, SpanEvent("session", "playedStream")] = msgspec.field(default=None, name="name")


class ClearedAudio(StreamEvent, frozen=True, gc=False, forbid_unknown_fields=True, tag="clearedAudio"):
    """Audio that was queued for playback was discarded."""

    metrics: ClassVar[tuple[Feeds, ...]] = (
        counter("audio_stream.clears", "Times waiting audio was thrown away.", BY_AGENT, unit="{clear}"),
    )

    outer_stream_id: str | None = msgspec.field(default=None, name="streamId")


class Stop(StreamEvent, frozen=True, gc=False, forbid_unknown_fields=True, tag="stop"):
    """The last message of an audio stream."""

    metrics: ClassVar[tuple[Feeds, ...]] = (counter("audio_stream.stops", "Audio streams that stopped.", BY_AGENT, unit="{stream}"),)

    outer_stream_id: str | None = msgspec.field(default=None, name="streamId")
