"""The encoder's bytes against the OpenTelemetry SDK's, message by message."""

from hypothesis import assume, example, given
from hypothesis import strategies as st
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

from exporter.exporters.otlp.metrics import MetricsEncoder
from exporter.metrics.snapshot import HistogramPoint, Snapshot
from tests.support.reference_otlp import reference_request
from tests.support.small_snapshot import SMALL
from tests.support.snapshots import exponential_snapshots, snapshots

RESOURCE = {"service.name": "agentstack-exporter", "note": 'é "%s" 😀'}


def decoded(body: bytes) -> ExportMetricsServiceRequest:
    request: ExportMetricsServiceRequest = ExportMetricsServiceRequest.FromString(body)
    return request


def canonical(request: ExportMetricsServiceRequest) -> bytes:
    """The message as bytes that compare equal where NaN is the same NaN."""
    for metric in (metric for one in request.resource_metrics for scope in one.scope_metrics for metric in scope.metrics):
        for point in metric.exponential_histogram.data_points if metric.HasField("exponential_histogram") else ():
            point.ClearField("zero_threshold")  # which the SDK's data has no place for
    encoded: bytes = request.SerializeToString(deterministic=True)
    return encoded


def countable(snapshot: Snapshot) -> bool:
    """Whether every histogram's count fits the message."""
    points = [series.value for family in snapshot.families for series in family.series]
    return all(sum(point.counts) < 2**64 for point in points if isinstance(point, HistogramPoint))


@example(snapshot=SMALL)
@given(snapshot=snapshots | exponential_snapshots)
def test_equals_the_sdk(snapshot: Snapshot) -> None:
    """Any snapshot decodes to the message that the SDK's encoder makes of the same data."""
    assume(countable(snapshot))
    body = MetricsEncoder(RESOURCE, version="1.2.3").encode(snapshot).body
    assert canonical(decoded(body)) == canonical(reference_request(snapshot, RESOURCE, "1.2.3"))


@given(before=snapshots | exponential_snapshots, snapshot=snapshots | exponential_snapshots, slice_points=st.integers(1, 5))
async def test_equals_the_sdk_whatever_came_before(before: Snapshot, snapshot: Snapshot, slice_points: int) -> None:
    """Neither earlier snapshots nor the slices change the bytes."""
    warm = MetricsEncoder(RESOURCE, slice_points=slice_points)
    warm.encode(before)
    warm.encode(snapshot)
    warm.encode(before)
    fresh = MetricsEncoder(RESOURCE).encode(snapshot)
    assert await warm.encode_in_slices(snapshot) == fresh
    assert warm.encode(snapshot) == fresh
