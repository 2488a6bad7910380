"""The SDK's types that exporters of other packages are given: encoded by the SDK again, they are the request that they come from."""

from hypothesis import assume, example, given
from hypothesis import strategies as st
from opentelemetry.exporter.otlp.proto.common.metrics_encoder import encode_metrics
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from exporter.daemon.otlp import span_envelope
from exporter.exporters.otlp.metrics import MetricsEncoder
from exporter.exporters.otlp.sender.requests import join
from exporter.exporters.sdk.metrics_data import metrics_data
from exporter.exporters.sdk.readable_spans import readable_spans
from exporter.metrics.snapshot import Snapshot
from tests.property.test_otlp_equals_sdk import canonical, countable, decoded
from tests.support.small_snapshot import SMALL
from tests.support.snapshots import exponential_snapshots, snapshots

TEXT = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=8)
NUMBER = st.integers(0, 2**63 - 1)
ID = st.binary(min_size=1, max_size=1).map(lambda byte: byte + b"\x01")
VALUES = st.one_of(
    TEXT.map(lambda text: AnyValue(string_value=text)),
    st.booleans().map(lambda flag: AnyValue(bool_value=flag)),
    st.integers(-(2**63), 2**63 - 1).map(lambda number: AnyValue(int_value=number)),
    st.floats(allow_nan=False).map(lambda number: AnyValue(double_value=number)),
)
ATTRIBUTES = st.dictionaries(TEXT, VALUES, max_size=3).map(
    lambda found: [KeyValue(key=key, value=value) for key, value in found.items()]
)
EVENTS = st.builds(Span.Event, name=TEXT, time_unix_nano=NUMBER, attributes=ATTRIBUTES)
LINKS = st.builds(Span.Link, trace_id=ID.map(lambda part: part * 8), span_id=ID.map(lambda part: part * 4), attributes=ATTRIBUTES)
SPANS = st.builds(
    Span,
    trace_id=ID.map(lambda part: part * 8),
    span_id=ID.map(lambda part: part * 4),
    parent_span_id=st.one_of(st.just(b""), ID.map(lambda part: part * 4)),
    name=TEXT,
    kind=st.sampled_from([Span.SPAN_KIND_INTERNAL, Span.SPAN_KIND_SERVER, Span.SPAN_KIND_CLIENT]),
    start_time_unix_nano=NUMBER,
    end_time_unix_nano=NUMBER,
    attributes=ATTRIBUTES,
    events=st.lists(EVENTS, max_size=2),
    links=st.lists(LINKS, max_size=2),
    dropped_attributes_count=st.integers(0, 9),
    dropped_events_count=st.integers(0, 9),
    dropped_links_count=st.integers(0, 9),
)


@given(st.lists(SPANS, min_size=1, max_size=4), st.sampled_from([(0, ""), (1, ""), (2, "it broke")]))
def test_spans(spans: list[Span], status: tuple[int, str]) -> None:
    """Ids, times, kind, status, attributes, events, links and what was removed are all kept."""
    for span in spans:
        span.status.code, span.status.message = status  # type: ignore[assignment]  # a number is what the wire has
    serialised = [span.SerializeToString() for span in spans]
    request = ExportTraceServiceRequest.FromString(span_envelope({"service.name": "desk"}).wrap([join(serialised)]))
    again = encode_spans(readable_spans(request.SerializeToString()))
    for span in (span for resource in again.resource_spans for scope in resource.scope_spans for span in scope.spans):
        span.flags = 0  # the SDK says that the parent is in the same process
        for link in span.links:
            link.flags = 0
    assert again == request


@example(snapshot=SMALL)
@given(snapshot=snapshots | exponential_snapshots)
def test_metrics(snapshot: Snapshot) -> None:
    """Names, units, points, buckets and exemplars are all kept, whatever their kind."""
    assume(countable(snapshot))
    request = MetricsEncoder({"service.name": "desk"}).encode(snapshot).body
    assert canonical(encode_metrics(metrics_data(request))) == canonical(decoded(request))
