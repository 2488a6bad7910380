"""What we have of the GenAI conventions against the table of what they ask for, and against the Python package where it has it."""

import json
from typing import Any

import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from opentelemetry.semconv._incubating.metrics import gen_ai_metrics

from exporter.catalogue import genai
from exporter.catalogue.declarations import MetricSpec, SpanAttribute
from exporter.catalogue.genai_metrics import DEFAULT, GENERATIONS, Generation, metrics_of
from exporter.catalogue.genai_table import METRICS, SPANS
from exporter.exporters.prometheus.exposition import Renderer
from exporter.exporters.prometheus.negotiation import Format
from exporter.metrics import inventory
from exporter.metrics.label_limits import LabelLimits
from exporter.pipeline.call_feed import CallFeed
from exporter.pipeline.diagnostics import NoDiagnostics
from exporter.pipeline.pipeline import Pipeline, Tracing
from exporter.sessions.registry import SessionTimeouts
from exporter.tools.semconv_page import page, source_of
from exporter.tracing.sampling import SpanOptions
from tests.support.house_rules import ROOT
from tests.support.traced import Player, values

ASKED = {metric.name: metric for metric in METRICS}
OURS = {spec.otel_name: spec for generation in GENERATIONS for spec in metrics_of(generation)}
TURN: dict[str, Any] = {
    "type": "turn.metrics",
    "turn_number": 1,
    "user_perceived_ms": 900,
    "tts_audio_duration_ms": 2000,
    "llm_provider": "azure",
    "llm_model": "gpt-4o",
    "llm_ttft_ms": 300,
    "llm_duration_ms": 900,
    "llm_prompt_tokens": 30,
    "llm_completion_tokens": 4,
    "stt_provider": "azure",
    "stt_input_tokens": 0,
    "tts_provider": "elevenlabs",
    "tts_model": "flash",
    "tts_ttfb_ms": 100,
    "tts_duration_ms": 500,
}


@pytest.mark.parametrize("spec", OURS.values(), ids=OURS)
def test_a_metric_is_as_the_conventions_have_it(spec: MetricSpec) -> None:
    """Name, instrument, unit, buckets and attributes are those of the table, and no attribute that is required is missing."""
    asked = ASKED[spec.otel_name]
    assert (spec.kind, spec.unit, spec.bounds) == (asked.instrument, asked.unit, asked.bounds)
    assert set(spec.labels) <= asked.attributes.keys()
    assert {name for name, level in asked.attributes.items() if level == "required"} <= set(spec.labels)


def test_what_we_do_not_have_says_why() -> None:
    """A metric of the table is ours, or it has a reason; and what we have is in the table."""
    assert {name for name, metric in ASKED.items() if not metric.absent} == OURS.keys()


def test_the_python_package_agrees() -> None:
    """The metrics that the Python package knows have the same names there."""
    known = {value for name, value in vars(gen_ai_metrics).items() if name.startswith("GEN_AI_")}
    assert {"gen_ai.client.operation.duration", "gen_ai.client.token.usage"} <= known & OURS.keys()
    assert {name for name in OURS if name.startswith(("gen_ai.client.operation.", "gen_ai.client.token."))} <= known


@pytest.mark.parametrize("span", SPANS, ids=lambda span: span.type)
def test_the_attributes_of_spans_are_registered(span: Any) -> None:
    """Every gen_ai attribute of a span is in the table, our own additions and what is only proposed excepted."""
    declared = {
        item.name
        for event in inventory.events()
        for field in event.fields
        for item in field.declarations
        if isinstance(item, SpanAttribute) and item.span in span.ours and item.name.startswith("gen_ai.")
    }
    assert declared - genai.PROPOSED.keys() <= span.attributes.keys()
    required = {name for name, level in span.attributes.items() if level == "required"}
    assert all(source_of(ours, name) for ours in span.ours for name in required)


def test_the_page_is_current() -> None:
    """The page of the conventions is what the table and the declarations render to now."""
    assert (ROOT / "docs/semconv.md").read_text(encoding="utf-8") == page(), "run make docs"


def scraped(generation: Generation | None, *events: dict[str, Any]) -> dict[str, str]:
    """The sums and totals of the GenAI metrics after a call with these events."""
    pipeline = Pipeline(LabelLimits(), SessionTimeouts(), NoDiagnostics(), 0.0, genai=generation)
    feed = CallFeed(pipeline)
    for event in ({"type": "session.started", "agent_session_id": "as-1", "agent_id": "support"}, *events):
        feed.consume(json.dumps(event), 2.0)
    text = b"".join(Renderer().chunks(pipeline.snapshot(3.0), Format.TEXT_0_0_4)).decode()
    lines = (line.rsplit(" ", 1) for line in text.splitlines() if line.startswith("gen_ai_"))
    return {series: value for series, value in lines if "_sum" in series or "_total" in series}


CHAT = '{gen_ai_operation_name="chat",gen_ai_provider_name="azure.ai.openai",gen_ai_request_model="gpt-4o"'
SPEAK = '{gen_ai_operation_name="text_to_speech",gen_ai_provider_name="elevenlabs",gen_ai_request_model="flash"}'


def test_a_turn_feeds_the_metrics_that_dashboards_read() -> None:
    """One turn observes each measurement once, with the conventions' attributes; what has no value has no attribute."""
    assert scraped(DEFAULT, TURN) == {
        f"gen_ai_client_operation_duration_seconds_sum{CHAT}}}": "0.9",
        f"gen_ai_client_operation_duration_seconds_sum{SPEAK}": "0.5",
        f"gen_ai_client_operation_time_to_first_chunk_seconds_sum{CHAT}}}": "0.3",
        f"gen_ai_client_operation_time_to_first_chunk_seconds_sum{SPEAK}": "0.1",
        f'gen_ai_client_token_usage_sum{CHAT},gen_ai_token_type="input"}}': "30.0",
        f'gen_ai_client_token_usage_sum{CHAT},gen_ai_token_type="output"}}': "4.0",
        'gen_ai_invoke_agent_duration_seconds_sum{gen_ai_agent_name="support"}': "2.9",
    }


def test_the_later_names() -> None:
    """The other generation observes the same under its names, and none of the earlier ones."""
    found = scraped("inference", {**TURN, "llm_cache_read_tokens": 8})
    assert found[f"gen_ai_client_inference_duration_seconds_sum{CHAT}}}"] == "0.9"
    assert found[f"gen_ai_client_inference_operation_input_tokens_sum{CHAT}}}"] == "30.0"
    assert found[f"gen_ai_client_inference_operation_output_tokens_sum{CHAT}}}"] == "4.0"
    assert len([series for series in found if "_sum" in series]) == len(scraped(DEFAULT, TURN))
    text = f'{CHAT},gen_ai_token_modality="text"}}'
    assert found[f"gen_ai_client_inference_usage_input_tokens_total{text}"] == "30.0"
    assert found[f"gen_ai_client_inference_usage_cache_read_input_tokens_total{text}"] == "8.0"
    assert not [series for series in found if "client_operation" in series or "client_token" in series]


def test_none() -> None:
    """Without these metrics nothing is observed, by tools and sub-agents neither."""
    assert (
        scraped(None, TURN, {"type": "agent_tool.started", "agent_tool_id": "a"}, {"type": "agent_tool.failed", "agent_tool_id": "a"})
        == {}
    )


def test_a_failed_component_is_an_error_of_its_operation() -> None:
    """The component that failed has error.type, the others do not, and a stage that is no operation only marks the turn."""
    found = scraped(DEFAULT, {**TURN, "error_source": "LLM"})
    error = f'{{error_type="llm",{CHAT[1:]}}}'
    assert f"gen_ai_client_operation_duration_seconds_sum{error}" in found
    assert f"gen_ai_client_operation_duration_seconds_sum{SPEAK}" in found
    assert 'gen_ai_invoke_agent_duration_seconds_sum{error_type="llm",gen_ai_agent_name="support"}' in found
    assert 'gen_ai_invoke_agent_duration_seconds_sum{error_type="_OTHER",gen_ai_agent_name="support"}' in scraped(
        DEFAULT, {**TURN, "error_source": "weather"}
    )


def test_a_sub_agent_is_a_tool() -> None:
    """A sub-agent whose beginning and end are seen is a tool that ran, with its error if it failed."""
    start, end = {"type": "agent_tool.started", "agent_tool_id": "a", "agent_tool_type": "digits"}, {"agent_tool_id": "a"}
    labels = 'gen_ai_agent_name="support",gen_ai_tool_name="digits",gen_ai_tool_type="extension"}'
    assert scraped(DEFAULT, start, {"type": "agent_tool.completed", **end}) == {
        f"gen_ai_execute_tool_duration_seconds_sum{{{labels}": "0.0"
    }
    failed = f'gen_ai_execute_tool_duration_seconds_sum{{error_type="agent_tool_error",{labels}'
    assert scraped(DEFAULT, start, {"type": "agent_tool.failed", **end}) == {failed: "0.0"}


def test_an_evicted_model_takes_its_series_with_it() -> None:
    """A pair that makes room for another is dropped from these metrics as from ours, under the conventions' names."""
    pipeline = Pipeline(LabelLimits(pairs=1, idle=10.0), SessionTimeouts(), NoDiagnostics(), 0.0)
    feed = CallFeed(pipeline)
    for at, model in ((1.0, "gpt-4o"), (100.0, "gpt-5")):
        feed.consume(json.dumps({**TURN, "turn_number": at, "llm_model": model}), at)
    (family,) = (found for found in pipeline.snapshot(101.0).families if found.spec.otel_name == "gen_ai.client.token.usage")
    assert {series.labels[2] for series in family.series} == {"gpt-5"}


TIMES = {
    "user_started_speaking_at": "2026-05-04T09:00:00Z",
    "user_stopped_speaking_at": "2026-05-04T09:00:01.5Z",
    "agent_started_speaking_at": "2026-05-04T09:00:02.4Z",
    "agent_stopped_speaking_at": "2026-05-04T09:00:04.75Z",
}


@pytest.mark.parametrize("more", [{}, TIMES, {**TIMES, "agent_first": True}, {"user_started_speaking_at": "2026-05-04T09:00:00Z"}])
def test_a_turn_is_as_long_as_its_span(more: dict[str, Any]) -> None:
    """The metric observes the length of the turn's span, and the same where no spans are made."""
    spans: list[bytes] = []
    observed = []
    for tracing in (Tracing(SpanOptions(), spans.extend), None):
        pipeline = Pipeline(LabelLimits(), SessionTimeouts(), NoDiagnostics(), 0.0, tracing=tracing)
        CallFeed(pipeline).consume(json.dumps({**TURN, **more}), 2e9)
        (family,) = (found for found in pipeline.snapshot(2e9).families if found.spec.otel_name == "gen_ai.invoke_agent.duration")
        observed.append(family.series[0].value.sum)  # type: ignore[union-attr] # a histogram
    (turn,) = (span for span in map(Span.FromString, spans) if span.name.startswith("invoke_agent"))
    assert observed == [(turn.end_time_unix_nano - turn.start_time_unix_nano) / 1e9] * 2


def test_spans_of_models_name_their_operation_and_session() -> None:
    """Every span of a model has operation, provider, conversation and agent; others only what the conventions want."""
    events = [{**TURN, "stt_delay_ms": 100, "stt_model": "nova"}, {"type": "tool.called", "id": "t-1", "name": "look_up"}]
    player = Player().play(*events).finish()
    for name in ("speech_to_text", "chat", "text_to_speech"):
        found = values(player.named(name).attributes)
        assert found["gen_ai.operation.name"] == name
        assert (found["gen_ai.conversation.id"], found["gen_ai.agent.name"]) == ("as-7f3c", "agent-support")
        assert found["gen_ai.provider.name"]
    assert values(player.named("execute_tool").attributes) == {
        "gen_ai.operation.name": "execute_tool",
        "gen_ai.conversation.id": "as-7f3c",
        "gen_ai.agent.name": "agent-support",
        "gen_ai.tool.type": "function",
        "gen_ai.tool.call.id": "t-1",
        "gen_ai.tool.name": "look_up",
        "agentstack.tool.duration_unknown": True,
    }
    assert "gen_ai.conversation.id" not in values(player.named("agent_speech").attributes)


def message(role: str, text: str, **more: str) -> list[Any]:
    return [{"role": role, **more, "parts": [{"type": "text", "content": text}]}]


@pytest.mark.parametrize(("span", "component"), [("chat", "llm"), ("realtime_inference", "realtime")])
def test_with_capture_the_model_has_the_messages(span: str, component: str) -> None:
    """What was said is on the model's span in the conventions' form, whatever characters it has."""
    said = {"type": "turn.metrics", "turn_number": 1, "user_text": 'Is "é" \\ 1 <b>?', "agent_text": "Yes\n", f"{component}_ttft_ms": 1}
    found = values(Player(SpanOptions(capture=True)).play(said).named(span).attributes)
    assert json.loads(found["gen_ai.input.messages"]) == message("user", 'Is "é" \\ 1 <b>?')
    assert json.loads(found["gen_ai.output.messages"]) == message("assistant", "Yes\n", finish_reason="stop")
    cancelled = values(Player(SpanOptions(capture=True)).play({**said, f"{component}_cancelled": True}).named(span).attributes)
    assert json.loads(cancelled["gen_ai.output.messages"])[0]["finish_reason"] == "cancelled"
    assert "gen_ai.input.messages" not in values(Player().play(said).named(span).attributes)


def test_messages_alone_make_no_span() -> None:
    """A turn of which no model is known has no span of one, although something was said."""
    player = Player(SpanOptions(capture=True)).play({"type": "turn.metrics", "turn_number": 1, "user_text": "hello"})
    assert [span.name for span in player.emitted] == ["invoke_agent agent-support"]


@pytest.mark.parametrize("text", ["x" * 500, "\x01" * 500, "é" * 500])
def test_a_long_message_is_cut_to_valid_json(text: str) -> None:
    """A message that is too long is shortened within its JSON, and one without any room is left out."""
    said = {"type": "turn.metrics", "turn_number": 1, "user_text": text, "llm_ttft_ms": 1}
    found = values(Player(SpanOptions(capture=True, attribute_length=200)).play(said).named("chat").attributes)
    assert 150 < len(found["gen_ai.input.messages"]) <= 200
    (cut,) = json.loads(found["gen_ai.input.messages"])
    assert text.startswith(cut["parts"][0]["content"])
    assert "gen_ai.input.messages" not in values(
        Player(SpanOptions(capture=True, attribute_length=20)).play(said).named("chat").attributes
    )
