"""OTLP metrics: temporality, deliveries, slices, and the resource."""

import asyncio
from collections.abc import Iterator
from importlib.metadata import version

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.metrics.v1.metrics_pb2 import AggregationTemporality, Metric

from exporter import __version__
from exporter.exporters.otlp.delta import Temporality
from exporter.exporters.otlp.metrics import EncodedSnapshot, MetricsEncoder
from exporter.exporters.otlp.resource import resource_attributes
from exporter.metrics.self_metrics import PROCESS_CPU
from exporter.metrics.snapshot import Exemplar, ExponentialPoint, Family, HistogramPoint, Series, Snapshot
from tests.support.alongside import turns_of_others
from tests.support.small_snapshot import ACTIVE, LATENCY, SMALL, TURNS

CUMULATIVE = AggregationTemporality.AGGREGATION_TEMPORALITY_CUMULATIVE
DELTA = AggregationTemporality.AGGREGATION_TEMPORALITY_DELTA


def metrics(batch: EncodedSnapshot) -> dict[str, Metric]:
    """The request's metrics by name."""
    (resource,) = ExportMetricsServiceRequest.FromString(batch.body).resource_metrics
    (scope,) = resource.scope_metrics
    return {metric.name: metric for metric in scope.metrics}


def counted(value: float, at: float, since: float = 10.0) -> Snapshot:
    return Snapshot(at, (Family(TURNS, (Series(("a",), value, since),)),))


def measured(point: HistogramPoint, at: float, since: float = 10.0) -> Snapshot:
    return Snapshot(at, (Family(LATENCY, (Series(("cascade", "a"), point, since),)),))


def sums(batch: EncodedSnapshot) -> list[tuple[float, float, float]]:
    """Value, start and end (unix seconds) of each point of the turns counter."""
    found = metrics(batch)
    points = found[TURNS.otel_name].sum.data_points if found else ()
    return [(point.as_double, point.start_time_unix_nano / 1e9, point.time_unix_nano / 1e9) for point in points]


def send(encoder: MetricsEncoder, snapshot: Snapshot) -> EncodedSnapshot:
    """Encode a snapshot and commit it as delivered."""
    batch = encoder.encode(snapshot)
    encoder.commit(batch)
    return batch


def test_cumulative_totals() -> None:
    """By default a counter's point is its total since its start, whatever was delivered before."""
    encoder = MetricsEncoder({})
    send(encoder, counted(3.0, 100.0))
    batch = send(encoder, counted(3.0, 160.0))
    assert sums(batch) == [(3.0, 10.0, 160.0)]
    sent = metrics(batch)[TURNS.otel_name].sum
    assert sent.is_monotonic
    assert sent.aggregation_temporality == CUMULATIVE


def test_deltas_start_at_the_last_delivery() -> None:
    """With delta a counter's point is what was added since the last delivery, with that time as its start."""
    encoder = MetricsEncoder({}, "delta")
    assert sums(send(encoder, counted(3.0, 100.0))) == [(3.0, 10.0, 100.0)]
    assert sums(send(encoder, counted(5.0, 160.0))) == [(2.0, 100.0, 160.0)]
    assert metrics(encoder.encode(counted(6.0, 220.0)))[TURNS.otel_name].sum.aggregation_temporality == DELTA


def test_a_failed_delivery_is_part_of_the_next_delta() -> None:
    """After a request that was not delivered the next delta contains its part too."""
    encoder = MetricsEncoder({}, "delta")
    send(encoder, counted(3.0, 100.0))
    encoder.encode(counted(5.0, 160.0))
    assert sums(encoder.encode(counted(6.0, 220.0))) == [(3.0, 100.0, 220.0)]


def test_unchanged_series_are_not_sent() -> None:
    """An unchanged counter has no point, and the next delta starts at the last delivery."""
    encoder = MetricsEncoder({}, "delta")
    send(encoder, counted(3.0, 100.0))
    idle = send(encoder, counted(3.0, 160.0))
    assert (sums(idle), idle.points) == ([], 0)
    assert sums(send(encoder, counted(4.0, 220.0))) == [(1.0, 160.0, 220.0)]


@pytest.mark.parametrize(("value", "since"), [(2.0, 130.0), (9.0, 130.0)])
def test_a_series_created_again_starts_at_its_creation(value: float, since: float) -> None:
    """A series that was removed and created again is sent as a whole, with its creation as its start."""
    encoder = MetricsEncoder({}, "delta")
    send(encoder, counted(3.0, 100.0))
    assert sums(send(encoder, counted(value, 160.0, since))) == [(value, since, 160.0)]


def test_a_counter_that_fell_counts_from_the_last_delivery() -> None:
    """A counter that fell was reset, even if its start did not change."""
    encoder = MetricsEncoder({}, "delta")
    send(encoder, counted(3.0, 100.0))
    assert sums(send(encoder, counted(2.0, 160.0))) == [(2.0, 100.0, 160.0)]


def test_a_histogram_that_fell_is_sent_as_a_whole() -> None:
    """A histogram was reset if one of its buckets fell, whatever its total."""
    encoder = MetricsEncoder({}, "delta")
    send(encoder, measured(HistogramPoint((3, 2, 0), 3.25), 100.0))
    again = metrics(send(encoder, measured(HistogramPoint((9, 1, 0), 2.0), 160.0)))
    (point,) = again[LATENCY.otel_name].histogram.data_points
    assert (list(point.bucket_counts), point.sum, point.start_time_unix_nano) == ([9, 1, 0], 2.0, 100_000_000_000)


def test_the_delta_of_a_histogram() -> None:
    """Buckets and sum are what was added, and exemplars are from that time."""
    old, new = Exemplar(0.7, "ab" * 16, "cd" * 8, 90.0), Exemplar(0.2, "ef" * 16, "01" * 8, 150.0)
    encoder = MetricsEncoder({}, "delta")
    send(encoder, measured(HistogramPoint((3, 2, 0), 3.25, (None, old, None)), 100.0))
    sent = metrics(send(encoder, measured(HistogramPoint((4, 2, 1), 8.5, (new, old, None)), 160.0)))[LATENCY.otel_name]
    (point,) = sent.histogram.data_points
    assert sent.histogram.aggregation_temporality == DELTA
    assert (list(point.bucket_counts), point.count, point.sum) == ([1, 0, 1], 2, 5.25)
    assert [exemplar.span_id.hex() for exemplar in point.exemplars] == [new.span_id]


def test_the_delta_of_exponential_buckets() -> None:
    """Exponential buckets are subtracted one by one, and buckets that did not grow are left out."""
    before, after = ExponentialPoint(4, 2.0**-20, 1, {-20: 1, 3: 4}), ExponentialPoint(4, 2.0**-20, 2, {-20: 1, 3: 6, 5: 1})
    encoder = MetricsEncoder({}, "delta")
    send(encoder, measured(HistogramPoint((2, 4, 0), 5.0, (), before), 100.0))
    sent = metrics(send(encoder, measured(HistogramPoint((3, 7, 0), 9.0, (), after), 160.0)))[LATENCY.otel_name]
    (point,) = sent.exponential_histogram.data_points
    assert (point.positive.offset, list(point.positive.bucket_counts)) == (3, [2, 0, 1])
    assert (point.count, point.sum, point.zero_count, point.scale) == (4, 4.0, 1, 4)


def test_exponential_buckets_far_apart_are_merged() -> None:
    """A point has 160 buckets at most; the scale is lowered until they suffice."""
    point = ExponentialPoint(4, 2.0**-20, 0, {-160: 1, 159: 2})
    sent = metrics(MetricsEncoder({}).encode(measured(HistogramPoint((1, 0, 2), 9.0, (), point), 100.0)))
    (wide,) = sent[LATENCY.otel_name].exponential_histogram.data_points
    assert (wide.scale, wide.positive.offset, len(wide.positive.bucket_counts)) == (3, -80, 160)
    assert wide.zero_threshold == 2.0**-20


@pytest.mark.parametrize(
    ("preference", "turns", "cpu"),
    [("cumulative", CUMULATIVE, CUMULATIVE), ("delta", DELTA, DELTA), ("lowmemory", DELTA, CUMULATIVE)],
)
def test_temporality_by_preference(preference: Temporality, turns: int, cpu: int) -> None:
    """With lowmemory the process metrics stay cumulative."""
    families = (*counted(3.0, 100.0).families, Family(PROCESS_CPU, (Series((), 1.5, 10.0),)))
    sent = metrics(MetricsEncoder({}, preference).encode(Snapshot(100.0, families)))
    assert sent[TURNS.otel_name].sum.aggregation_temporality == turns
    assert sent[PROCESS_CPU.otel_name].sum.aggregation_temporality == cpu


@pytest.mark.parametrize("preference", ["cumulative", "delta", "lowmemory"])
def test_gauges_have_no_temporality(preference: Temporality) -> None:
    """A gauge is sent with its value every time, whatever the preference."""
    encoder = MetricsEncoder({}, preference)
    for _ in range(2):
        (point,) = metrics(send(encoder, SMALL))[ACTIVE.otel_name].gauge.data_points
        assert point.as_double == 2.0


def test_a_clock_set_back() -> None:
    """A point never starts after its end."""
    assert sums(MetricsEncoder({}).encode(counted(1.0, 100.0, since=200.0))) == [(1.0, 100.0, 100.0)]


def test_no_series() -> None:
    """A snapshot without series has no metric and no point."""
    batch = MetricsEncoder({}).encode(Snapshot(1.0, (Family(TURNS, ()), Family(LATENCY, ()))))
    assert (metrics(batch), batch.points) == ({}, 0)


def test_points_are_counted() -> None:
    """A request says how many data points it holds."""
    assert MetricsEncoder({}).encode(SMALL).points == 4


@given(st.integers(0, 300), st.integers(0, 40), st.integers(0, 20_000))
def test_requests_are_short_and_hold_everything(turns: int, latencies: int, max_size: int) -> None:
    """A snapshot that is too long for a request is divided, also within a metric, and all requests together hold what one would."""
    point = HistogramPoint((3, 2, 0), 3.25, (None, None, None))
    families = (
        Family(TURNS, tuple(Series((str(number),), 1.0, 0.0) for number in range(turns))),
        Family(LATENCY, tuple(Series(("cascade", str(number)), point, 0.0) for number in range(latencies))),
    )
    snapshot = Snapshot(1.0, families)
    whole, divided = MetricsEncoder({"a": "b"}).encode(snapshot), MetricsEncoder({"a": "b"}, max_size=max_size).encode(snapshot)
    assert divided.points == whole.points == turns + latencies
    assert all(points <= 1 or len(body) <= max(max_size, 2048) for body, points in divided.requests)
    expected = list(points_of(whole.body))
    assert [each for body, _ in divided.requests for each in points_of(body)] == expected


def points_of(body: bytes) -> Iterator[tuple[str, bytes]]:
    """All data points of a request, with the names of their metrics."""
    for resource in ExportMetricsServiceRequest.FromString(body).resource_metrics:
        for scope in resource.scope_metrics:
            assert resource.resource.attributes
            assert scope.scope.name
            for metric in scope.metrics:
                for point in (*metric.sum.data_points, *metric.histogram.data_points):
                    yield metric.name, point.SerializeToString()


async def test_other_tasks_run_between_slices() -> None:
    """While a large snapshot is encoded, other tasks run after each slice."""
    many = Snapshot(1.0, (Family(TURNS, tuple(Series((str(number),), 1.0, 0.0) for number in range(100))),))
    async with turns_of_others() as turns:
        await MetricsEncoder({}, slice_points=10).encode_in_slices(many)
    assert turns.taken >= 10


async def test_a_commit_does_not_change_a_request_that_is_being_encoded() -> None:
    """A delta has one baseline, even if another snapshot is committed while it is encoded."""
    encoder = MetricsEncoder({}, "delta", slice_points=1)
    early, late = (Snapshot(at, (Family(TURNS, (Series(("a",), at, 10.0), Series(("b",), at, 10.0))),)) for at in (100.0, 160.0))
    first = encoder.encode(early)
    writing = asyncio.create_task(encoder.encode_in_slices(late))
    await asyncio.sleep(0)
    assert not writing.done()
    encoder.commit(first)
    assert await writing == MetricsEncoder({}, "delta").encode(late)


def test_scope_and_resource() -> None:
    """A request carries the resource's attributes and the exporter's name and version."""
    batch = MetricsEncoder({"service.name": "calls", "port": 8790, "up": True, "load": 0.5, "zones": ("a", "b")}).encode(SMALL)
    (resource,) = ExportMetricsServiceRequest.FromString(batch.body).resource_metrics
    values = {attribute.key: attribute.value for attribute in resource.resource.attributes}
    assert (values["service.name"].string_value, values["port"].int_value, values["up"].bool_value) == ("calls", 8790, True)
    assert (values["load"].double_value, [item.string_value for item in values["zones"].array_value.values]) == (0.5, ["a", "b"])
    assert (resource.scope_metrics[0].scope.name, resource.scope_metrics[0].scope.version) == ("agentstack-exporter", __version__)


@pytest.mark.parametrize("number", [0, -1, 127, 128, 2**63 - 1, -(2**63)])
def test_whole_numbers_survive(number: int) -> None:
    """A 64-bit integer is decoded to the same value."""
    batch = MetricsEncoder({"number": number}).encode(SMALL)
    (resource,) = ExportMetricsServiceRequest.FromString(batch.body).resource_metrics
    assert resource.resource.attributes[0].value.int_value == number


@pytest.mark.parametrize(("value", "text"), [(2**63, "9223372036854775808"), ("\ud800", "?")])
def test_values_that_protobuf_cannot_hold_become_text(value: int | str, text: str) -> None:
    """An integer of more than 64 bits and a lone surrogate do not break the request."""
    batch = MetricsEncoder({"odd": value}).encode(SMALL)
    (resource,) = ExportMetricsServiceRequest.FromString(batch.body).resource_metrics
    assert resource.resource.attributes[0].value.string_value == text


def test_a_resource_has_a_name_a_version_and_an_instance() -> None:
    """By default every process has its own instance id."""
    one, other = resource_attributes(), resource_attributes()
    assert (one["service.name"], one["service.version"]) == ("agentstack-exporter", __version__)
    assert one["service.instance.id"] != other["service.instance.id"]


def test_given_attributes_win() -> None:
    """Given attributes win over defaults, the service name wins over its attribute, and empty attributes are ignored."""
    given = {"service.name": "from attributes", "service.instance.id": "7", "service.version": "", "team": "voice"}
    assert resource_attributes(given)["service.name"] == "from attributes"
    assert resource_attributes(given, service_name="from name") == {
        "telemetry.sdk.language": "python",
        "telemetry.sdk.name": "opentelemetry",
        "telemetry.sdk.version": version("opentelemetry-sdk"),
        "service.name": "from name",
        "service.version": __version__,
        "service.instance.id": "7",
        "team": "voice",
    }
