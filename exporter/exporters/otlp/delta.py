"""Delta temporality: what changed between two snapshots, for backends that want differences instead of totals.

The only state is the snapshot that was delivered last. What a failed delivery held is therefore part of the next delta. Sums are
subtracted as they were sent; floating point is exact there unless one sum is more than twice the other.
Source: OpenTelemetry data model, "Temporality" and "Resets and gaps".
"""

from collections.abc import Iterator
from operator import ge, sub
from typing import Literal

from exporter.catalogue.declarations import MetricSpec
from exporter.metrics.snapshot import Exemplar, ExponentialPoint, Family, HistogramPoint, Series, Snapshot

Temporality = Literal["cumulative", "delta", "lowmemory"]
"""The values of ``OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE``."""


def is_delta(spec: MetricSpec, preference: Temporality) -> bool:
    """Whether the metric's points are deltas.

    With ``lowmemory`` the process metrics stay cumulative, because they are read as totals.
    Source: OpenTelemetry specification, OTLP metrics exporter, "Additional environment variable configuration".
    """
    if spec.kind == "gauge" or preference == "cumulative":
        return False
    return preference == "delta" or not spec.otel_name.startswith("process.")


class DeltaBaseline:
    """The snapshot that was delivered last, or nothing yet. Deltas are computed against it."""

    __slots__ = ("_at", "_families")

    def __init__(self, snapshot: Snapshot | None = None) -> None:
        families = snapshot.families if snapshot else ()
        self._at = snapshot.at if snapshot else 0.0
        self._families = {family.spec: family.series for family in families if family.spec.kind != "gauge"}

    def deltas(self, family: Family, *, exponential: bool = True) -> Iterator[Series]:
        """The family's series that changed: ``value`` is what was added, ``since`` the start of the delta in unix seconds.

        A series that was removed and created again in between starts at its own creation. Without ``exponential``, histograms have
        explicit buckets only.
        """
        before = {series.labels: series for series in self._families.get(family.spec, ())}
        for series in family.series:
            value, start = series.value, self._at
            earlier = before.get(series.labels)
            if earlier is not None and earlier.since == series.since and not _was_reset(earlier.value, value):
                value = _difference(earlier.value, value, exponential)
            else:
                start = max(start, series.since)
            if isinstance(value, HistogramPoint):
                if any(value.counts):
                    parts = value.exponential if exponential else None
                    point = HistogramPoint(value.counts, value.sum, _after(start, value.exemplars), parts)
                    yield Series(series.labels, point, start)
            elif value:
                yield Series(series.labels, value, start)


def _was_reset(earlier: float | HistogramPoint, now: float | HistogramPoint) -> bool:
    """Whether a total or a bucket fell, so that the series was created again."""
    if isinstance(now, HistogramPoint) and isinstance(earlier, HistogramPoint):
        return not all(map(ge, now.counts, earlier.counts))
    return isinstance(now, HistogramPoint) or isinstance(earlier, HistogramPoint) or not now >= earlier


def _difference(earlier: float | HistogramPoint, now: float | HistogramPoint, exponential: bool) -> float | HistogramPoint:
    if isinstance(now, HistogramPoint) and isinstance(earlier, HistogramPoint):
        counts = tuple(map(sub, now.counts, earlier.counts))
        parts = _exponential(earlier.exponential, now.exponential) if exponential else None
        return HistogramPoint(counts, now.sum - earlier.sum, now.exemplars, parts)
    if isinstance(now, HistogramPoint) or isinstance(earlier, HistogramPoint):
        raise TypeError("a series changed between number and histogram")
    return now - earlier


def _exponential(earlier: ExponentialPoint | None, now: ExponentialPoint | None) -> ExponentialPoint | None:
    if now is None or earlier is None:
        return now
    past = earlier.counts
    counts = {index: grown for index, count in now.counts.items() if (grown := count - past.get(index, 0))}
    return ExponentialPoint(now.scale, now.zero_threshold, now.zero_count - earlier.zero_count, counts)


def _after(start: float, exemplars: tuple[Exemplar | None, ...]) -> tuple[Exemplar | None, ...]:
    """The exemplars that were measured during the delta."""
    return tuple(exemplar for exemplar in exemplars if exemplar and exemplar.at >= start)
