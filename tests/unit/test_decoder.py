"""A frame → an event: what is read strictly, what leniently, what is refused and what is rejected."""

import json
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from exporter.events import ALL_EVENTS
from exporter.events.audio_stream import Dtmf, MediaFormat, PlayedStream, Start
from exporter.events.base import event_name
from exporter.events.session import ModelUsage, SessionUsage
from exporter.events.speech import UserSpeechStarted
from exporter.events.telephony import UserDtmf
from exporter.events.tools import ToolCalled, ToolExecuted, ToolExecution
from exporter.events.turn_metrics import TurnMetrics
from exporter.metrics import inventory
from exporter.protocol.decoder import PartialEvent, decode
from exporter.protocol.reasons import FrameRejected, RefusalReason, RefusedValue, RejectionReason

EARLIER = {
    "agent_session.started": "session.started",
    "agent_session.ended": "session.ended",
    "tool_call": "tool.called",
    "prompt": "user.transcription",
    "interruption": "agent.speech_interrupted",
    "error": "session.error",
    "vad.speech_started": "user.speech_started",
    "vad.speech_stopped": "user.speech_stopped",
    "turn.detected": "user.turn_completed",
    "dtmf": "user.dtmf",
}


def partial(document: dict[str, Any]) -> PartialEvent:
    found = decode(json.dumps(document))
    assert isinstance(found, PartialEvent)
    return found


def name_of(frame: str | bytes) -> str:
    found = decode(frame)
    assert not isinstance(found, PartialEvent)
    return event_name(type(found))


def turn(**fields: Any) -> dict[str, Any]:
    return {"type": "turn.metrics", **fields}


@pytest.mark.parametrize(
    ("frame", "reason"),
    [
        ("", RejectionReason.EMPTY),
        (b'{"type":"\xff"}', RejectionReason.NOT_UTF8),
        ("{", RejectionReason.NOT_JSON),
        ('{"type":NaN}', RejectionReason.NOT_FINITE),
        (r'{"type":"\ud800"}', RejectionReason.LONE_SURROGATE),
        ("[" * 30_000 + "]" * 30_000, RejectionReason.TOO_DEEP),
        ("[]", RejectionReason.NOT_OBJECT),
        ("{}", RejectionReason.NO_TYPE),
    ],
)
def test_what_is_no_event_is_rejected(frame: str | bytes, reason: RejectionReason) -> None:
    """Each reason for which a frame is rejected is told apart from the others."""
    with pytest.raises(FrameRejected) as rejected:
        decode(frame)
    assert rejected.value.reason is reason


@pytest.mark.parametrize(
    ("field", "value", "why"),
    [
        ("llm_ttft_ms", "400", RefusalReason.WRONG_TYPE),
        ("llm_ttft_ms", True, RefusalReason.WRONG_TYPE),
        ("llm_ttft_ms", [400], RefusalReason.WRONG_TYPE),
        ("llm_model", 4, RefusalReason.WRONG_TYPE),
        ("interrupted", 1, RefusalReason.WRONG_TYPE),
        ("llm_availability", {"a": 1}, RefusalReason.WRONG_TYPE),
        ("user_stopped_speaking_at", 1_777_885_206.2, RefusalReason.WRONG_TYPE),
        ("llm_ttft_ms", -1, RefusalReason.SENTINEL),
        ("llm_ttft_ms", -1.0, RefusalReason.SENTINEL),
        ("llm_ttft_ms", -2, RefusalReason.NEGATIVE),
        ("llm_ttft_ms", -0.001, RefusalReason.NEGATIVE),
        ("stt_delay_ms", 214_000, RefusalReason.TOO_LARGE),
        ("llm_ttft_ms", 2**63 - 1, RefusalReason.TOO_LARGE),
        ("stt_confidence", 1.01, RefusalReason.TOO_LARGE),
        ("llm_timestamp", 5, RefusalReason.TOO_SMALL),
        ("llm_timestamp", 0, RefusalReason.TOO_SMALL),
        ("llm_timestamp", 1_777_885_206_000, RefusalReason.TOO_LARGE),
        ("user_stopped_speaking_at", "yesterday", RefusalReason.NOT_A_TIME),
        ("user_stopped_speaking_at", "2026-05-04T09:00:06.200", RefusalReason.NOT_A_TIME),
    ],
)
def test_a_value_that_cannot_be_right_is_refused(field: str, value: Any, why: RefusalReason) -> None:
    """A wrong value costs its field, is noted with the reason, and leaves the other fields as they are."""
    found = partial(turn(**{"turn_number": 3, "pipeline": "s2s", field: value}))
    assert found.refused_values == (RefusedValue(field, why),)
    assert found.unknown_fields == ()
    assert isinstance(found.event, TurnMetrics)
    assert getattr(found.event, field) is None
    assert (found.event.turn_number, found.event.pipeline) == (3, "s2s")


@pytest.mark.parametrize("value", [0, 0.0, -0.0, 120_000, 120_000.0, 0.5, None])
def test_the_ends_of_the_range_are_plausible(value: float | None) -> None:
    """A number is kept up to the very ends of its range, whether written as an integer or not, and null is no error."""
    found = decode(json.dumps(turn(llm_ttft_ms=value)))
    assert isinstance(found, TurnMetrics)
    assert found.llm_ttft_ms == value


def test_the_refused_value_itself_is_not_kept() -> None:
    """What was refused may be personal and is not part of what is noted."""
    assert "4155550100" not in repr(partial({"type": "user.dtmf", "digit": [4155550100]}).refused_values)


def test_several_flaws_are_all_noted() -> None:
    """Refused values and unknown fields of one frame are all noted, and what is right is kept."""
    found = partial(turn(llm_ttft_ms=-1, tts_ttfb_ms="x", brand_new=1, other_new=None, user_perceived_ms=300))
    assert {refusal.field for refusal in found.refused_values} == {"llm_ttft_ms", "tts_ttfb_ms"}
    assert found.unknown_fields == ("brand_new", "other_new")
    assert isinstance(found.event, TurnMetrics)
    assert found.event.user_perceived_ms == 300


def test_an_unknown_field_costs_nothing_else() -> None:
    """A field that is not in the protocol is noted by its name, and all the others are read."""
    found = partial({"type": "user.dtmf", "digit": "5", "pressure": 0.3})
    assert (found.unknown_fields, found.refused_values) == (("pressure",), ())
    assert found.event == UserDtmf(digit="5")


@pytest.mark.parametrize("document", [{"type": "user.levitated", "height_m": 3}, {"event": "levitated"}, {"type": "start"}])
def test_an_unknown_event_is_named(document: dict[str, Any]) -> None:
    """An event that is not in the protocol is no rejection: its name is handed on."""
    assert partial(document) == PartialEvent(next(iter(document.values())), None, (), ())


@pytest.mark.parametrize(("earlier", "current"), EARLIER.items())
def test_an_earlier_name_is_the_event_of_today(earlier: str, current: str) -> None:
    """Events named as in earlier generations are read as what they are called now."""
    assert name_of(json.dumps({"type": earlier})) == current


def test_all_earlier_names_are_known() -> None:
    """The catalogue has the earlier names of the protocol's description and no others."""
    assert {name: event.name for event in inventory.events() for name in event.earlier_names} == EARLIER


@pytest.mark.parametrize("event", ALL_EVENTS, ids=event_name)
def test_an_event_may_have_no_fields(event: type[msgspec.Struct]) -> None:
    """Every event is read without any of its fields, since all of them may be absent."""
    config = event.__struct_config__
    assert decode(json.dumps({str(config.tag_field): str(config.tag)})) == event()


@pytest.mark.parametrize("event", ALL_EVENTS, ids=event_name)
def test_an_event_may_have_null_fields(event: type[msgspec.Struct]) -> None:
    """Every event is read with all of its fields null."""
    config = event.__struct_config__
    nulls = dict.fromkeys(event.__struct_encode_fields__)
    assert decode(json.dumps({str(config.tag_field): str(config.tag), **nulls})) == event()


def test_a_stream_starts_with_nested_parts() -> None:
    """The payload of audio streaming is read in its nested form with the names of the wire."""
    found = decode(
        '{"event":"start","streamId":"st-1","start":{"streamId":"st-1","callId":"c-1","mediaFormat":{"type":"audio/x-l16","rate":8000}}}'
    )
    assert isinstance(found, Start)
    assert found.outer_stream_id == "st-1"
    assert found.start is not None
    assert (found.start.stream_id, found.start.call_id) == ("st-1", "c-1")
    assert found.start.media_format == MediaFormat("audio/x-l16", 8000)


def test_other_stream_events_are_read() -> None:
    """A key and a checkpoint of audio streaming arrive under the names they have in the protocol."""
    key = decode('{"event":"dtmf","dtmf":{"digit":"5"}}')
    assert isinstance(key, Dtmf)
    assert key.dtmf is not None
    assert key.dtmf.digit == "5"
    assert decode('{"event":"playedStream","name":"cp-1"}') == PlayedStream(checkpoint="cp-1")


def test_a_flaw_in_a_nested_part_costs_that_field() -> None:
    """What is wrong or unknown inside a nested part is noted by its own name and the part is kept."""
    found = partial({"event": "start", "start": {"callId": "c-1", "codec": 1, "mediaFormat": {"type": "x", "rate": -1}}})
    assert found.refused_values == (RefusedValue("sample_rate", RefusalReason.SENTINEL),)
    assert found.unknown_fields == ("codec",)
    assert isinstance(found.event, Start)
    assert found.event.start is not None
    assert found.event.start.call_id == "c-1"
    assert found.event.start.media_format == MediaFormat("x", None)


def test_a_nested_part_that_is_none() -> None:
    """A nested part that is no object is refused as a whole."""
    assert partial({"event": "start", "start": "now"}).refused_values == (RefusedValue("start", RefusalReason.WRONG_TYPE),)


@pytest.mark.parametrize(
    "frame", [' {"event":"stop"}', '{ "event" : "stop" }', '{"streamId":null,"event":"stop"}', b'\n{"event":"stop"}']
)
def test_a_stream_event_is_found_however_it_is_written(frame: str | bytes) -> None:
    """A stream event is recognised with white space and with its name at another place."""
    assert name_of(frame) == "stop"


def test_type_wins_over_event() -> None:
    """A frame that has both names is what its type says, and the other is an unknown field."""
    found = partial({"event": "stop", "type": "user.dtmf"})
    assert isinstance(found.event, UserDtmf)
    assert found.unknown_fields == ("event",)


def test_bytes_and_text_are_read_alike() -> None:
    """A frame is the same event as text and as UTF-8."""
    frame = '{"type":"user.dtmf","digit":"語"}'
    assert decode(frame) == decode(frame.encode()) == UserDtmf(digit="語")


def test_times_have_a_zone() -> None:
    """A time is read with its offset."""
    found = decode('{"type":"user.speech_started","timestamp":"2026-05-04T14:30:03.900+05:30"}')
    assert isinstance(found, UserSpeechStarted)
    assert found.timestamp == datetime(2026, 5, 4, 9, 0, 3, 900_000, tzinfo=UTC)


def test_fields_that_clash_with_ours_keep_their_name_on_the_wire() -> None:
    """A tool's name is read from the field called name."""
    found = decode('{"type":"tool.called","name":"lookup_order","arguments":{"a":[1,null]}}')
    assert isinstance(found, ToolCalled)
    assert (found.tool_name, found.arguments, found.name) == ("lookup_order", {"a": [1, None]}, "tool.called")


@pytest.mark.parametrize(
    ("event", "field"),
    [
        (
            {"type": "session.usage", "models": [{"type": "llm_usage", "input_tokens": 5, "thinking_tokens": 9}]},
            "models.thinking_tokens",
        ),
        ({"type": "tool.executed", "calls": [{"name": "search", "took_ms": 40}]}, "calls.took_ms"),
    ],
)
def test_new_fields_of_an_entry_are_named(event: dict[str, Any], field: str) -> None:
    """An unknown field of an entry is noted under the list's name and its own, and the entry is read."""
    found = partial(event)
    assert (found.unknown_fields, found.refused_values) == ((field,), ())
    assert isinstance(found.event, SessionUsage | ToolExecuted)
    entries = found.event.models if isinstance(found.event, SessionUsage) else found.event.calls
    assert entries in ([ModelUsage("llm_usage", input_tokens=5)], [ToolExecution("search")])


def test_a_bad_entry_costs_no_other() -> None:
    """Of a list of entries, what is wrong in one is refused by name and everything else counts."""
    entries = [
        {"type": "llm_usage", "model": "a", "input_tokens": "many", "output_tokens": 3, "new": 1},
        7,
        {"type": "llm_usage", "model": 5, "input_tokens": 9},
    ]
    found = partial({"type": "session.usage", "models": entries})
    assert isinstance(found.event, SessionUsage)
    assert found.event.models == [ModelUsage("llm_usage", model="a", output_tokens=3), ModelUsage("llm_usage", input_tokens=9)]
    refused = [(refusal.field, refusal.reason) for refusal in found.refused_values]
    assert refused == [(name, RefusalReason.WRONG_TYPE) for name in ("models.input_tokens", "models", "models.model")]
    assert found.unknown_fields == ("models.new",)
