"""A real collector, rotel, accepts what is sent and passes it on."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import InstrumentationScope
from opentelemetry.proto.metrics.v1.metrics_pb2 import AGGREGATION_TEMPORALITY_CUMULATIVE
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from exporter.exporters.otlp.sender import (
    BackoffConfig,
    BatchConfig,
    ExportRequest,
    MetricsSender,
    SpanEnvelope,
    SpanSender,
    create_transport,
)
from exporter.exporters.otlp.target import Compression, Protocol, Target
from tests.support.otlp_receiver import otlp_receiver
from tests.support.recording_observer import RecordingObserver
from tests.support.rotel import rotel
from tests.support.waiting import eventually

SPANS = 1000


def span(number: int) -> bytes:
    trace_id, span_id = number.to_bytes(16, "big"), number.to_bytes(8, "big")
    message = Span(name=str(number), trace_id=trace_id, span_id=span_id, start_time_unix_nano=1, end_time_unix_nano=2)
    return message.SerializeToString()


def metrics() -> ExportRequest:
    message = ExportMetricsServiceRequest()
    metric = message.resource_metrics.add().scope_metrics.add().metrics.add(name="calls")
    metric.sum.is_monotonic = True
    metric.sum.aggregation_temporality = AGGREGATION_TEMPORALITY_CUMULATIVE
    metric.sum.data_points.add(as_int=7, time_unix_nano=1)
    return ExportRequest(message.SerializeToString(), 1)


class Source:
    repeatable = True

    async def collect(self) -> Sequence[ExportRequest]:
        return [metrics()]

    def delivered(self) -> None:
        pass

    def refused(self, size: int) -> bool:
        raise AssertionError(f"a request of {size} bytes was refused")


@pytest.mark.parametrize("compression", ["gzip", "none"])
@pytest.mark.parametrize("protocol", ["grpc", "http/protobuf"])
async def test_rotel(protocol: Protocol, compression: Compression, tmp_path: Path) -> None:
    """A collector accepts spans and metrics over both protocols."""
    resource = Resource()
    resource.attributes.add(key="service.name").value.string_value = "desk"
    envelope = SpanEnvelope(resource.SerializeToString(), InstrumentationScope(name="calls").SerializeToString())
    async with otlp_receiver("grpc") as behind, rotel(behind, tmp_path) as addresses:
        address, backoff = addresses[protocol], BackoffConfig(time_scale=0.02)
        url = "http://{}/v1/{}" if protocol == "http/protobuf" else "{}"
        to_traces = Target("traces", protocol, url.format(address, "traces"), compression=compression)
        to_metrics = Target("metrics", protocol, url.format(address, "metrics"), compression=compression)
        spans, totals = RecordingObserver(), RecordingObserver()
        span_sender = SpanSender(create_transport(to_traces), envelope, spans, batch=BatchConfig(delay=0.01), backoff=backoff)
        metrics_sender = MetricsSender(create_transport(to_metrics), Source(), totals, interval=1000.0, backoff=backoff)
        span_sender.start()
        metrics_sender.start()
        for number in range(1, SPANS + 1):
            assert span_sender.offer([span(number)])
        await eventually(lambda: spans.items == {"delivered": SPANS}, within=20)
        await asyncio.gather(span_sender.stop(), metrics_sender.stop())
        received = behind.receiver.requests
        await eventually(lambda: sorted(map(int, behind.receiver.spans())) == list(range(1, SPANS + 1)))
        await eventually(lambda: any(request.signal == "metrics" for request in received))
    assert totals.items == {"delivered": 1}
    first = next(request.message.resource_spans[0] for request in received if request.signal == "traces")
    attributes = {attribute.key: attribute.value.string_value for attribute in first.resource.attributes}
    assert attributes["service.name"] == "desk"
    assert first.scope_spans[0].scope.name == "calls"
