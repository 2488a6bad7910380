"""Requests in JSON, against the rules of the OTLP specification for its JSON form."""

import json

from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from exporter.daemon.otlp import span_envelope
from exporter.exporters.otlp.metrics import MetricsEncoder
from exporter.exporters.otlp.sender.json_body import json_body
from exporter.exporters.otlp.sender.requests import join
from tests.support.small_snapshot import EXEMPLAR, SMALL


def test_spans() -> None:
    """Ids are hexadecimal, enumerations are numbers, 64 bits are text, and an attribute that is called traceId is left alone."""
    span = Span(trace_id=b"\x0a" * 16, span_id=b"\x0b" * 8, parent_span_id=b"\x0c" * 8, name="chat", kind=Span.SPAN_KIND_CLIENT)
    span.start_time_unix_nano = 1767225600000000001
    span.status.code = Status.STATUS_CODE_ERROR
    span.links.add(trace_id=b"\x0d" * 16, span_id=b"\x0e" * 8)
    span.attributes.add(key="traceId").value.string_value = "AAAA"
    body = span_envelope({"service.name": "desk"}).wrap([join([span.SerializeToString()])])
    (resource,) = json.loads(json_body("traces", body))["resourceSpans"]
    assert resource["resource"]["attributes"] == [{"key": "service.name", "value": {"stringValue": "desk"}}]
    (found,) = resource["scopeSpans"][0]["spans"]
    assert (found["traceId"], found["spanId"], found["parentSpanId"]) == ("0a" * 16, "0b" * 8, "0c" * 8)
    assert (found["kind"], found["status"], found["startTimeUnixNano"]) == (3, {"code": 2}, "1767225600000000001")
    assert found["links"] == [{"traceId": "0d" * 16, "spanId": "0e" * 8}]
    assert found["attributes"] == [{"key": "traceId", "value": {"stringValue": "AAAA"}}]


def test_metrics() -> None:
    """Exemplars have hexadecimal ids, and the temporality is a number."""
    (resource,) = json.loads(json_body("metrics", MetricsEncoder({}).encode(SMALL).body))["resourceMetrics"]
    metrics = {metric["name"]: metric for metric in resource["scopeMetrics"][0]["metrics"]}
    histogram = metrics["agentstack.user_perceived_latency"]["histogram"]
    assert histogram["aggregationTemporality"] == 2
    (exemplar,) = histogram["dataPoints"][0]["exemplars"]
    assert (exemplar["traceId"], exemplar["spanId"]) == (EXEMPLAR.trace_id, EXEMPLAR.span_id)
