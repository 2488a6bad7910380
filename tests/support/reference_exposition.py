"""A slow and obvious exposition: the snapshot as ``prometheus_client`` families, rendered by that library."""

from collections.abc import Iterable
from itertools import accumulate

from prometheus_client import exposition
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.openmetrics import exposition as openmetrics
from prometheus_client.registry import Collector, CollectorRegistry
from prometheus_client.samples import Exemplar as ClientExemplar
from prometheus_client.utils import floatToGoString

from exporter.exporters.prometheus.negotiation import Format
from exporter.metrics.snapshot import Exemplar, Family, HistogramPoint, Series, Snapshot


class SnapshotCollector(Collector):
    """A custom collector that shows one snapshot."""

    def __init__(self, snapshot: Snapshot) -> None:
        self._families = [client_family(family) for family in snapshot.families]

    def collect(self) -> Iterable[Metric]:
        """The families, built once so that rendering alone can be measured."""
        return self._families


def reference_registry(snapshot: Snapshot) -> CollectorRegistry:
    """A registry that holds the snapshot and nothing else."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(SnapshotCollector(snapshot))
    return registry


def reference_text(snapshot: Snapshot, into: Format, escaping: str = "underscores") -> bytes:
    """The text that ``prometheus_client`` writes for the snapshot."""
    registry = reference_registry(snapshot)
    if into is Format.OPENMETRICS_1_0_0:
        return bytes(openmetrics.generate_latest(registry, escaping=escaping))  # type: ignore[no-untyped-call]
    return exposition.generate_latest(registry, escaping=escaping)


def client_family(family: Family) -> Metric:
    """One family as a type of the client library."""
    spec = family.spec
    if spec.kind == "histogram":
        histogram = HistogramMetricFamily(spec.name, spec.help, labels=spec.scraped_labels, unit=spec.unit_suffix)
        for series in family.series:
            point = series.value
            assert isinstance(point, HistogramPoint)
            histogram.add_metric(series.labels, _buckets(spec.bounds, point), point.sum)
        return histogram
    kind = CounterMetricFamily if spec.kind == "counter" else GaugeMetricFamily
    single = kind(spec.name, spec.help, labels=spec.scraped_labels, unit=spec.unit_suffix)
    for series in family.series:
        single.add_metric(series.labels, _number(series))
    return single


def _number(series: Series) -> float:
    assert not isinstance(series.value, HistogramPoint)
    return series.value


def _buckets(bounds: tuple[float, ...], point: HistogramPoint) -> list[tuple[str, float] | tuple[str, float, ClientExemplar]]:
    names = [*map(floatToGoString, bounds), "+Inf"]
    exemplars = point.exemplars or (None,) * len(names)
    return [
        (name, count, _client_exemplar(exemplar)) if exemplar else (name, count)
        for name, count, exemplar in zip(names, accumulate(point.counts), exemplars, strict=True)
    ]


def _client_exemplar(exemplar: Exemplar) -> ClientExemplar:
    return ClientExemplar({"trace_id": exemplar.trace_id, "span_id": exemplar.span_id}, exemplar.value, exemplar.at)
