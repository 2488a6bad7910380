"""The usual wiring by hand with OpenTelemetry on top: the SDK's meter beside ``prometheus_client``, its tracer, a BatchSpanProcessor.

Every field that the exporter measures is recorded in both, and every turn becomes the spans and attributes that the exporter makes of
it. It computes no timeline: each stage begins with the turn and is as long as its field says.
"""

import os
import time
from collections.abc import Sequence
from http.client import HTTPConnection
from typing import Any
from urllib.parse import urlsplit

from opentelemetry.exporter.otlp.proto.common.metrics_encoder import encode_metrics
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import MetricExporter, MetricExportResult, MetricsData, PeriodicExportingMetricReader
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.trace import set_span_in_context

from bench.wired_by_hand import Event, Naive, label_of
from exporter.catalogue.declarations import SpanAttribute
from exporter.catalogue.genai import attribute_key
from exporter.catalogue.inspect import inspect_event
from exporter.events.turn_metrics import TurnMetrics
from exporter.tracing.turn_spans import STAGES

ENDPOINT = "OTEL_EXPORTER_OTLP_ENDPOINT"
_LENGTHS = {
    "speech_to_text": "stt_delay_ms",
    "turn_detection": "turn_decision_ms",
    "chat": "llm_ttft_ms",
    "text_to_speech": "tts_ttfb_ms",
    "realtime_inference": "realtime_ttft_ms",
}


class Instrumented(Naive):
    """Both libraries, as their documentation shows them."""

    def __init__(self) -> None:
        super().__init__()
        post = _Post(os.environ[ENDPOINT])
        traces = TracerProvider()
        traces.add_span_processor(BatchSpanProcessor(_Spans(post)))
        self._tracer = traces.get_tracer("by hand")
        self._meter = MeterProvider([PeriodicExportingMetricReader(_Metrics(post))]).get_meter("by hand")
        self._instruments: dict[str, Any] = {}
        self._attributes: dict[str, list[tuple[str, str]]] = {}
        for field in inspect_event(TurnMetrics).fields:
            for item in field.declarations:
                if isinstance(item, SpanAttribute):
                    key = attribute_key(item.name, proposals=False)
                    self._attributes.setdefault(item.span, []).append((field.name, key))

    def record(self, event: Event, agent: str) -> None:
        """Record the event in both libraries, and trace it."""
        super().record(event, agent)
        for field, feeds, _, divisor in self.steps.get(event["type"], ()):
            value = event.get(field) if field else 1.0
            if value is not None:
                attributes = {name: label_of(source, event, agent) for name, source in feeds.labels.sources}
                self._instrument(feeds.spec)(value / divisor if feeds.amount == "value" else 1.0, attributes)
        if event["type"] == "turn.metrics":
            self._trace(event)

    def _instrument(self, spec: Any) -> Any:  # noqa: ANN401 - the SDK's instruments have no common method
        found = self._instruments.get(spec.name)
        if found is None:
            if spec.kind == "histogram":
                made: Any = self._meter.create_histogram(spec.otel_name, explicit_bucket_boundaries_advisory=spec.bounds)
                found = made.record
            else:
                made = (
                    self._meter.create_counter(spec.otel_name) if spec.kind == "counter" else self._meter.create_gauge(spec.otel_name)
                )
                found = made.add if spec.kind == "counter" else made.set
            self._instruments[spec.name] = found
        return found

    def _trace(self, event: Event) -> None:
        end = time.time_ns()
        start = end - int((event.get("user_perceived_ms") or 0.0) * 1e6)
        turn = self._tracer.start_span("invoke_agent", start_time=start)
        self._describe(turn, "turn", event)
        within = set_span_in_context(turn)
        for name, _ in STAGES:
            if any(event.get(field) is not None for field, _ in self._attributes.get(name, ())):
                child = self._tracer.start_span(name, context=within, start_time=start)
                self._describe(child, name, event)
                child.end(start + int((event.get(_LENGTHS.get(name, "")) or 0.0) * 1e6))
        turn.end(end)

    def _describe(self, span: Any, name: str, event: Event) -> None:  # noqa: ANN401 - the API's span, or the SDK's
        for field, key in self._attributes.get(name, ()):
            value = event.get(field)
            if value is not None:
                span.set_attribute(key, str(value) if isinstance(value, dict) else value)


class _Post:
    """Posts requests to one endpoint."""

    def __init__(self, endpoint: str) -> None:
        self._address = urlsplit(endpoint).netloc

    def send(self, path: str, body: bytes) -> None:
        connection = HTTPConnection(self._address)
        connection.request("POST", path, body, {"content-type": "application/x-protobuf"})
        connection.getresponse().read()
        connection.close()


class _Spans(SpanExporter):
    def __init__(self, post: _Post) -> None:
        self._post = post

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        self._post.send("/v1/traces", encode_spans(spans).SerializeToString())
        return SpanExportResult.SUCCESS


class _Metrics(MetricExporter):
    def __init__(self, post: _Post) -> None:
        super().__init__()
        self._post = post

    def export(self, metrics_data: MetricsData, timeout_millis: float = 10_000, **_: object) -> MetricExportResult:  # noqa: ARG002 - the SDK's
        self._post.send("/v1/metrics", encode_metrics(metrics_data).SerializeToString())
        return MetricExportResult.SUCCESS

    def force_flush(self, timeout_millis: float = 10_000) -> bool:  # noqa: ARG002 - as above
        return True

    def shutdown(self, timeout_millis: float = 30_000, **_: object) -> None:
        """Nothing is kept open."""
