"""Generated attribute functions, beyond what the declarations show."""

from datetime import UTC, datetime
from typing import Any

import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from exporter.catalogue.genai import attribute_key
from exporter.catalogue.inspect import inspect_event
from exporter.events.session import ModelUsage, SessionUsage
from exporter.events.speech import UserBackchannel
from exporter.events.tools import AgentHandoff
from exporter.events.turn_metrics import TurnMetrics
from exporter.tracing.attributes import (
    TextAttributeCache,
    compile_attributes,
    compile_event,
    event_key,
    json_text,
    span_attributes,
)
from exporter.tracing.encoder import ON_SPAN
from exporter.tracing.flags_attribute import FlagsAttributeCache
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


def test_flags_that_repeat() -> None:
    """Each map of flags is written as it is, in its order, however often it and others came before, and few are kept."""
    write = FlagsAttributeCache(ON_SPAN, "key", json_text)

    def text(flags: dict[str, bool]) -> str:
        return str(values(Span.FromString(write(flags)).attributes)["key"])

    for _ in range(2):
        assert text({"a": True, "b": False}) == '{"a":true,"b":false}'
        assert text({"b": False, "a": True}) == '{"b":false,"a":true}'
        assert text({"a": False, "b": False}) == '{"a":false,"b":false}'
        assert text({"x" * 300: True}) == f'{{"{"x" * 300}":true}}'
    for number in range(1000):
        assert text({f"m{number}": True}) == f'{{"m{number}":true}}'
    assert len(write) <= 256


def test_span_events_of_every_length() -> None:
    """A span event is well formed, however many bytes its length takes."""
    write = compile_event(inspect_event(AgentHandoff), "session", SpanOptions())
    for length in range(160):
        (found,) = Span.FromString(write(AgentHandoff(new_agent="x" * length), 42)).events
        assert values(found.attributes)["agentstack.agent.handoff.new_agent"] == "x" * length


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
    ("wire", "model", "speech"),
    [
        ("OpenAI", "openai", "openai"),
        ("openai_realtime", "openai", "openai"),
        ("Google ", "gcp.gemini", "Google "),
        ("azure", "azure.ai.openai", "azure"),
        ("azure-openai", "azure.ai.openai", "azure.ai.openai"),
        ("gemini", "gcp.gemini", "gcp.gemini"),
        ("vertex", "gcp.vertex_ai", "gcp.vertex_ai"),
        ("bedrock", "aws.bedrock", "aws.bedrock"),
        ("xai", "x_ai", "x_ai"),
        ("mistral", "mistral_ai", "mistral_ai"),
        ("Deepgram", "Deepgram", "Deepgram"),
    ],
)
def test_providers_have_the_conventions_names(wire: str, model: str, speech: str) -> None:
    """A provider the conventions know has their name, which a cloud has for models only; any other keeps its own."""
    assert written(TurnMetrics(llm_provider=wire), "chat") == {"gen_ai.provider.name": model}
    assert written(TurnMetrics(realtime_provider=wire), "realtime_inference") == {"gen_ai.provider.name": model}
    assert written(TurnMetrics(stt_provider=wire), "speech_to_text") == {"gen_ai.provider.name": speech}
    assert written(TurnMetrics(tts_provider=wire), "text_to_speech") == {"gen_ai.provider.name": speech}


def test_a_component_without_tokens_has_no_attributes_of_them() -> None:
    """Tokens of speech, and of kinds that a model did not use, are left out if there are none."""
    assert written(TurnMetrics(stt_input_tokens=0, stt_output_tokens=3), "speech_to_text") == {"gen_ai.usage.output_tokens": 3}
    assert written(TurnMetrics(realtime_input_image_tokens=0), "realtime_inference") == {}
    assert written(TurnMetrics(llm_completion_tokens=0), "chat") == {"gen_ai.usage.output_tokens": 0}


def test_an_answer_with_a_first_token_is_streamed() -> None:
    """A time to the first token, even none at all, says that the request was streamed."""
    assert written(TurnMetrics(llm_ttft_ms=0), "chat") == {"gen_ai.request.stream": True, "gen_ai.response.time_to_first_chunk": 0.0}


def test_proposals_are_behind_a_switch() -> None:
    """A proposed attribute has our own name unless proposals are on."""
    assert attribute_key("gen_ai.speech.input.language", proposals=False) == "agentstack.stt.language"
    assert attribute_key("gen_ai.speech.input.language", proposals=True) == "gen_ai.speech.input.language"


def test_cached_texts_are_bounded() -> None:
    """The cache holds a limited number of texts, and no long ones."""
    cache = TextAttributeCache(ON_SPAN, "key", 4096)
    for number in range(1000):
        assert cache[str(number)]
    assert cache["x" * 1000]
    assert len(cache) <= 256
    assert max(map(len, cache)) <= 128
