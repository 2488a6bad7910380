"""Exponential buckets of the store against the OpenTelemetry SDK's own aggregation."""

import math
from bisect import bisect_left
from collections import Counter
from collections.abc import Mapping

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from opentelemetry.sdk.metrics import Histogram, MeterProvider
from opentelemetry.sdk.metrics.export import ExponentialHistogramDataPoint, InMemoryMetricReader
from opentelemetry.sdk.metrics.view import ExponentialBucketHistogramAggregation

from exporter.catalogue.declarations import MetricSpec
from exporter.catalogue.exponential import OTLP_BUCKETS, SCALE, downscaled, fine_places, octaves
from exporter.metrics.instrument import Instrument
from exporter.metrics.snapshot import ExponentialPoint, HistogramPoint
from exporter.metrics.store import Store

SPEC = MetricSpec(kind="histogram", otel_name="agentstack.delay", unit="s", help="Delay.", bounds=(0.0, 0.3, 1.0, 10.0))
LOWEST, HIGHEST = octaves(SPEC.bounds, SPEC.unit)
ZERO_THRESHOLD = 2.0**LOWEST

_milliseconds = st.integers(0, 1000 << HIGHEST).map(lambda number: number / 1000)
_powers = st.integers(LOWEST + 1, HIGHEST).map(lambda exponent: 2.0**exponent)
_any = st.floats(ZERO_THRESHOLD, 2.0**HIGHEST, exclude_min=True)
measurements = st.lists(_milliseconds | _powers | _any, min_size=1, max_size=60)
"""Values as the platform sends them, edges that floating point holds exactly, and any other above the threshold for zero."""
sparse_counts = st.dictionaries(st.integers(-17_000, 17_000), st.integers(1, 2**40), max_size=50)


def observed(values: list[float], divisor: float) -> HistogramPoint:
    store = Store(100, exponential=True)
    store.add_layout([SPEC], [divisor])
    delay = Instrument(store, SPEC)
    for value in values:
        delay.observe(value)
    point = store.snapshot(0.0).families[0].series[0].value
    assert isinstance(point, HistogramPoint)
    return point


def sdk_point(values: list[float]) -> ExponentialHistogramDataPoint:
    reader = InMemoryMetricReader(preferred_aggregation={Histogram: ExponentialBucketHistogramAggregation()})
    histogram = MeterProvider([reader], shutdown_on_exit=False).get_meter("test").create_histogram("delay")
    for value in values:
        histogram.record(value)
    data = reader.get_metrics_data()
    assert data is not None
    point = next(iter(data.resource_metrics[0].scope_metrics[0].metrics[0].data.data_points))
    assert isinstance(point, ExponentialHistogramDataPoint)
    return point


def coarse(counts: Mapping[int, int], steps: int) -> dict[int, int]:
    """The same counts in buckets 2**steps times as many."""
    found = Counter[int]()
    for index, number in counts.items():
        found[index >> steps] += number
    return {index: number for index, number in found.items() if number}


def exponential(point: HistogramPoint) -> ExponentialPoint:
    assert point.exponential is not None
    return point.exponential


def certain(value: float) -> bool:
    """Whether the SDK knows the bucket: its logarithm errs by the last digits just beside an edge, not on a power of two."""
    place = math.log2(value) * 2**SCALE
    return math.frexp(value)[0] == 0.5 or abs(place - round(place)) > 1e-9


@pytest.mark.parametrize("divisor", [1.0, 1000.0])
@given(values=measurements)
def test_buckets_equal_the_sdk(divisor: float, values: list[float]) -> None:
    """Any measurements are in the SDK's buckets, at the finest scale that both have."""
    values = [round(value * divisor, 9) / divisor for value in values]
    values = [value for value in values if value == 0 or (value > ZERO_THRESHOLD and certain(value))]
    assume(values)
    ours, theirs = exponential(observed(values, divisor)), sdk_point(values)
    scale = min(ours.scale, theirs.scale)
    their_counts = dict(enumerate(theirs.positive.bucket_counts, theirs.positive.offset))
    assert coarse(ours.counts, ours.scale - scale) == coarse(their_counts, theirs.scale - scale)
    assert ours.zero_count == theirs.zero_count


@pytest.mark.parametrize("divisor", [1.0, 1000.0])
@given(values=measurements)
def test_explicit_buckets_are_the_same(divisor: float, values: list[float]) -> None:
    """The explicit buckets do not depend on whether exponential ones are kept as well."""
    point = observed(values, divisor)
    plain = Store(100)
    plain.add_layout([SPEC], [divisor])
    delay = Instrument(plain, SPEC)
    for value in values:
        delay.observe(value)
    assert plain.snapshot(0.0).families[0].series[0].value == HistogramPoint(point.counts, point.sum)
    assert sum(exponential(point).counts.values()) + exponential(point).zero_count == sum(point.counts) == len(values)


@given(counts=sparse_counts)
def test_merging_buckets_loses_nothing(counts: dict[int, int]) -> None:
    """However far apart, the buckets sent are few, neighbours, and hold what the same coarser buckets would have held."""
    scale, offset, dense = downscaled(counts, SCALE)
    assert len(dense) <= OTLP_BUCKETS
    assert {index: number for index, number in enumerate(dense, offset) if number} == coarse(counts, SCALE - scale)
    finer = coarse(counts, SCALE - scale - 1) if scale < SCALE else {}
    assert scale == SCALE or max(finer) - min(finer) >= OTLP_BUCKETS


@pytest.mark.parametrize("divisor", [1.0, 1000.0])
@pytest.mark.parametrize("exponent", range(LOWEST + 1, HIGHEST + 1))
def test_a_power_of_two_is_the_upper_edge_of_its_bucket(exponent: int, divisor: float) -> None:
    """A power of two is in the bucket below it and the next larger number in the one above, in milliseconds too."""
    places = fine_places(SPEC.bounds, SPEC.unit, divisor)
    edge = 2.0**exponent * divisor
    index = exponent * 2**SCALE
    assert places.exponential[bisect_left(places.edges, edge)] == index - 1
    assert exponent == HIGHEST or places.exponential[bisect_left(places.edges, math.nextafter(edge, math.inf))] == index


@pytest.mark.parametrize("value", [0.0, ZERO_THRESHOLD / 2])
def test_nothing_counts_as_zero(value: float) -> None:
    """Zero, and what is as good as zero, is counted apart from the buckets."""
    assert exponential(observed([value], 1.0)) == ExponentialPoint(SCALE, ZERO_THRESHOLD, 1, {})


def test_what_is_too_large_is_in_the_highest_bucket() -> None:
    """A value that no measurement has does not get a bucket of its own."""
    assert exponential(observed([2.0**HIGHEST, 2.0**40], 1.0)).counts == {HIGHEST * 2**SCALE - 1: 2}
