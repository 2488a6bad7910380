"""Generated attribute functions, beyond what the declarations show."""

from datetime import UTC, datetime
from typing import Any

import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from exporter.catalogue.genai import attribute_key, provider_name
from exporter.catalogue.inspect import inspect_event
from exporter.events.session import ModelUsage, SessionUsage
from exporter.events.speech import UserBackchannel
from exporter.events.turn_metrics import TurnMetrics
from exporter.tracing.attributes import TextAttributeCache, compile_attributes, compile_event, event_key, span_attributes
from exporter.tracing.encoder import ON_SPAN
from exporter.tracing.sampling import SpanOptions
from tests.support.traced import values

TURN_METRICS = inspect_event(TurnMetrics)


def written(event: Any, span: Any, options: SpanOptions = SpanOptions()) -> dict[str, Any]:  # noqa: B008 - frozen
    write = compile_attributes(span_attributes(inspect_event(type(event)), span, options), options)
    return values(Span.FromString(write(event)).attributes)


@pytest.mark.parametrize("length", [0, 1, 80, 100, 127, 128, 4096])
def test_texts_of_every_length(length: int) -> None:
    """A text up to the limit is whole, however many bytes its length takes."""
    assert written(TurnMetrics(llm_request_id="é" * length), "chat")["gen_ai.response.id"] == "é" * length


def test_long_texts_are_cut() -> None:
    """A text over the limit is cut to it, cached or not."""
    options = SpanOptions(attribute_length=10)
    found = written(TurnMetrics(llm_request_id="𝄞" * 11, llm_model="m" * 11), "chat", options)
    assert found == {"gen_ai.response.id": "𝄞" * 10, "gen_ai.request.model": "m" * 10}


def test_earlier_names_are_read() -> None:
    """A field's earlier name is used where the current one is absent."""
    assert written(TurnMetrics(on_user_turn_completed_ms=2.0), "turn") == {"agentstack.turn.completed_callback": 0.002}
    both = TurnMetrics(on_user_turn_completed_ms=2.0, turn_completed_callback_ms=3.0)
    assert written(both, "turn") == {"agentstack.turn.completed_callback": 0.003}


def test_json_becomes_a_text() -> None:
    """Structured values are JSON, without absent fields."""
    usage = SessionUsage(models=[ModelUsage(type="llm_usage", input_tokens=5.0)])
    assert written(usage, "session") == {"agentstack.session.usage": '[{"type":"llm_usage","input_tokens":5.0}]'}


def test_a_small_event_is_told_with_its_fields() -> None:
    """A span event has the event's time, name and fields."""
    write = compile_event(inspect_event(UserBackchannel), "turn", SpanOptions())
    event = UserBackchannel(total_duration_ms=340.0, overlap_started_at=datetime(2026, 5, 4, tzinfo=UTC), is_interruption=False)
    (found,) = Span.FromString(write(event, 42)).events
    assert (found.name, found.time_unix_nano) == ("user.backchannel", 42)
    assert values(found.attributes) == {
        "agentstack.user.backchannel.is_interruption": False,
        "agentstack.user.backchannel.total_duration": 0.34,
        "agentstack.user.backchannel.overlap_started_at": "2026-05-04T00:00:00Z",
    }


@pytest.mark.parametrize(
    ("event", "field", "key"),
    [
        ("playedStream", "checkpoint", "agentstack.played_stream.checkpoint"),
        ("voicemail.beep", "duration_ms", "agentstack.voicemail.beep.duration"),
        ("dtmf.sent", "digits", "agentstack.dtmf.sent.digits"),
    ],
)
def test_keys_of_event_attributes(event: str, field: str, key: str) -> None:
    """A key is made of the event's name and the field's, without the unit."""
    assert event_key(event, field) == key


@pytest.mark.parametrize(
    ("wire", "name"),
    [
        ("OpenAI", "openai"),
        ("openai_realtime", "openai"),
        ("Google ", "gcp.gemini"),
        ("mistral", "mistral_ai"),
        ("Deepgram", "deepgram"),
    ],
)
def test_providers_have_the_conventions_names(wire: str, name: str) -> None:
    """A provider the conventions know has their name, any other its own in lower case."""
    assert provider_name(wire) == name
    assert written(TurnMetrics(llm_provider=wire), "chat") == {"gen_ai.provider.name": name}


def test_proposals_are_behind_a_switch() -> None:
    """A proposed attribute has our own name unless proposals are on."""
    assert attribute_key("gen_ai.usage.audio.input_tokens", proposals=False) == "agentstack.realtime.input_audio_tokens"
    assert attribute_key("gen_ai.usage.audio.input_tokens", proposals=True) == "gen_ai.usage.audio.input_tokens"


def test_cached_texts_are_bounded() -> None:
    """The cache holds a limited number of texts, and no long ones."""
    cache = TextAttributeCache(ON_SPAN, "key", 4096)
    for number in range(1000):
        assert cache[str(number)]
    assert cache["x" * 1000]
    assert len(cache) <= 256
    assert max(map(len, cache)) <= 128
