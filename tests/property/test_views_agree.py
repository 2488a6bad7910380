"""The two views of one snapshot: whatever ``/metrics`` shows, OTLP says too, and nothing else."""

import json
from collections.abc import Iterator

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.metrics.v1.metrics_pb2 import ExponentialHistogramDataPoint, HistogramDataPoint, Metric, NumberDataPoint
from prometheus_client.parser import text_string_to_metric_families as parse_text

from exporter.catalogue.names import Kind, scraped_label, scraped_name
from exporter.exporters.otlp.metrics import MetricsEncoder
from exporter.exporters.prometheus.exposition import Renderer
from exporter.exporters.prometheus.native_buckets import MOST_BUCKETS
from exporter.exporters.prometheus.negotiation import Format
from exporter.metrics.label_limits import LabelLimits
from exporter.metrics.snapshot import HistogramPoint, Snapshot
from exporter.pipeline.call_feed import CallFeed
from exporter.pipeline.diagnostics import NoDiagnostics
from exporter.pipeline.pipeline import Pipeline
from exporter.sessions.registry import SessionTimeouts
from exporter.simulate.call import plan_call
from exporter.simulate.profiles import FLEETS
from tests.support.snapshots import exponential_snapshots, snapshots

STARTED_AT = 1_777_885_200.0

Labels = tuple[tuple[str, str], ...]
Sample = tuple[str, Labels, str]
"""A series as both views name it, its labels in order, and its value as text, where NaN equals NaN."""

Point = NumberDataPoint | HistogramDataPoint | ExponentialHistogramDataPoint


def scraped(snapshot: Snapshot) -> Iterator[Sample]:
    """What Prometheus reads; bounds as numbers, because their notation is the format's own."""
    text = b"".join(Renderer().chunks(snapshot, Format.TEXT_0_0_4)).decode()
    for family in parse_text(text):
        for sample in family.samples:
            labels = {name: repr(float(value)) if name == "le" else value for name, value in sample.labels.items()}
            yield sample.name, tuple(sorted(labels.items())), repr(float(sample.value))


def sent(snapshot: Snapshot, *, exponential: bool = True) -> Iterator[Sample]:
    """What a receiver of OTLP makes of it under Prometheus's names."""
    request = ExportMetricsServiceRequest.FromString(MetricsEncoder({}, exponential=exponential).encode(snapshot).body)
    for metric in request.resource_metrics[0].scope_metrics[0].metrics:
        yield from _samples(metric)


def _samples(metric: Metric) -> Iterator[Sample]:
    shape = metric.WhichOneof("data")
    kinds: dict[str, Kind] = {"gauge": "gauge", "sum": "counter"}
    name = scraped_name(metric.name, metric.unit, kinds.get(str(shape), "histogram"))
    for point in getattr(metric, str(shape)).data_points:
        labels = {scraped_label(attribute.key): attribute.value.string_value for attribute in point.attributes}
        if isinstance(point, NumberDataPoint):
            yield name, _ordered(labels), repr(point.as_double)
            continue
        if isinstance(point, HistogramDataPoint):
            yield from _buckets(name, labels, point)
        yield f"{name}_count", _ordered(labels), repr(float(point.count))
        yield f"{name}_sum", _ordered(labels), repr(point.sum)


def _buckets(name: str, labels: dict[str, str], point: HistogramDataPoint) -> Iterator[Sample]:
    total = 0
    for bound, count in zip((*point.explicit_bounds, float("inf")), point.bucket_counts, strict=True):
        total += count
        yield f"{name}_bucket", _ordered({**labels, "le": repr(float(bound))}), repr(float(total))


def _ordered(labels: dict[str, str]) -> Labels:
    return tuple(sorted(labels.items()))


def without_buckets(samples: Iterator[Sample]) -> Iterator[Sample]:
    return (sample for sample in samples if not (sample[0].endswith("_bucket") and "le" in dict(sample[1])))


def countable(snapshot: Snapshot) -> bool:
    points = [series.value for family in snapshot.families for series in family.series]
    return all(sum(point.counts) < 2**64 for point in points if isinstance(point, HistogramPoint))


def after_calls(fleet: str, seed: int, calls: int, *, exponential: bool) -> Snapshot:
    """What a pipeline holds after simulated calls."""
    pipeline = Pipeline(LabelLimits(), SessionTimeouts(), NoDiagnostics(), STARTED_AT, exponential=exponential)
    now = STARTED_AT
    for number in range(calls):
        feed = CallFeed(pipeline)
        for at, event in plan_call(seed, number, FLEETS[fleet], turns=5).steps(STARTED_AT):
            now = STARTED_AT + at
            feed.consume(json.dumps(event), now)
        feed.close(now)
    pipeline.tick(now + 60)
    return pipeline.snapshot(now + 60)


@given(snapshot=snapshots)
def test_views_agree(snapshot: Snapshot) -> None:
    """Every series of any snapshot has the same name, labels and value in both views, bucket by bucket."""
    assume(countable(snapshot))
    assert sorted(scraped(snapshot)) == sorted(sent(snapshot))


@given(snapshot=exponential_snapshots)
def test_views_agree_on_exponential_histograms(snapshot: Snapshot) -> None:
    """Where OTLP has exponential buckets, both views agree on count, sum and everything else."""
    assume(countable(snapshot))
    assert sorted(without_buckets(scraped(snapshot))) == sorted(sent(snapshot))


@pytest.mark.parametrize("exponential", [False, True])
@given(fleet=st.sampled_from(sorted(FLEETS)), seed=st.integers(0, 2**32), calls=st.integers(1, 3))
def test_views_agree_on_simulated_calls(exponential: bool, fleet: str, seed: int, calls: int) -> None:
    """Whatever calls the pipeline saw, both views say the same of them."""
    snapshot = after_calls(fleet, seed, calls, exponential=exponential)
    shown = list(scraped(snapshot))
    assert sorted(without_buckets(iter(shown)) if exponential else shown) == sorted(sent(snapshot))
    assert any(name == "agentstack_sessions_total" for name, _, _ in shown)


@given(fleet=st.sampled_from(sorted(FLEETS)), seed=st.integers(0, 2**32))
def test_views_agree_on_classic_buckets_of_a_fine_store(fleet: str, seed: int) -> None:
    """Classic buckets do not depend on how finely the store counts: both views, and a store without exponential buckets, agree."""
    fine, classic = (after_calls(fleet, seed, 2, exponential=exponential) for exponential in (True, False))
    assert sorted(scraped(fine)) == sorted(sent(fine, exponential=False)) == sorted(scraped(classic))


def test_no_fleet_populates_too_many_buckets() -> None:
    """The series of all fleets together have fewer populated buckets than allowed: their resolution is never reduced."""
    found: dict[str, set[int]] = {}
    for fleet in FLEETS:
        for family in after_calls(fleet, 1, 25, exponential=True).families:
            points = [series.value for series in family.series if isinstance(series.value, HistogramPoint)]
            found.setdefault(family.spec.name, set()).update(*(point.exponential.counts for point in points if point.exponential))
    assert 100 < max(map(len, found.values())) < MOST_BUCKETS


@given(seed=st.integers(0, 2**32))
def test_exponential_counts_add_up(seed: int) -> None:
    """In a pipeline that keeps both kinds of buckets, each histogram has as many measurements in one as in the other."""
    snapshot = after_calls("mixed", seed, 2, exponential=True)
    points = [series.value for family in snapshot.families for series in family.series]
    for point in points:
        if isinstance(point, HistogramPoint):
            assert point.exponential is not None
            assert sum(point.exponential.counts.values()) + point.exponential.zero_count == sum(point.counts)
