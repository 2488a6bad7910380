"""What changed between two snapshots, for backends that want differences instead of totals.

Both snapshots are immutable, so nothing is remembered but the one that was delivered last: what a failed delivery held is in the
next difference. Sums are subtracted as they were sent, which floating point does exactly unless one is over twice the other.
Source: OpenTelemetry data model, "Temporality" and "Resets and gaps".
"""

from collections.abc import Iterator
from operator import ge, sub
from typing import Literal

from exporter.catalogue.model import MetricSpec
from exporter.metrics.snapshot import Exemplar, ExponentialPoint, Family, HistogramPoint, Series, Snapshot

Temporality = Literal["cumulative", "delta", "lowmemory"]


def is_delta(spec: MetricSpec, preference: Temporality) -> bool:
    """Whether points of the metric are differences.

    With ``lowmemory``, what is read from elsewhere as a running total (the process metrics) stays cumulative.
    Source: OpenTelemetry specification, OTLP metrics exporter, "Additional environment variable configuration".
    """
    if spec.kind == "gauge" or preference == "cumulative":
        return False
    return preference == "delta" or not spec.otel_name.startswith("process.")


class Delivered:
    """The snapshot that was delivered last, or none yet."""

    __slots__ = ("_at", "_families")

    def __init__(self, snapshot: Snapshot | None = None) -> None:
        families = snapshot.families if snapshot else ()
        self._at = snapshot.at if snapshot else 0.0
        self._families = {family.spec: family.series for family in families if family.spec.kind != "gauge"}

    def changes(self, family: Family) -> Iterator[Series]:
        """The family's series that changed since, with what was added to each and from when on (unix seconds).

        A series that was dropped and made anew meanwhile counts from its own beginning.
        """
        before = {series.labels: series for series in self._families.get(family.spec, ())}
        for series in family.series:
            value, start = series.value, self._at
            earlier = before.get(series.labels)
            if earlier is not None and earlier.since == series.since and _grew(earlier.value, value):
                value = _difference(earlier.value, value)
            else:
                start = max(start, series.since)
            if isinstance(value, HistogramPoint):
                if any(value.counts):
                    point = HistogramPoint(value.counts, value.sum, _after(start, value.exemplars), value.exponential)
                    yield Series(series.labels, point, start)
            elif value:
                yield Series(series.labels, value, start)


def _grew(earlier: float | HistogramPoint, now: float | HistogramPoint) -> bool:
    """Whether nothing fell: else the series is another one than it was."""
    if isinstance(now, HistogramPoint) and isinstance(earlier, HistogramPoint):
        return all(map(ge, now.counts, earlier.counts))
    return not isinstance(now, HistogramPoint) and not isinstance(earlier, HistogramPoint) and now >= earlier


def _difference(earlier: float | HistogramPoint, now: float | HistogramPoint) -> float | HistogramPoint:
    if isinstance(now, HistogramPoint) and isinstance(earlier, HistogramPoint):
        counts = tuple(map(sub, now.counts, earlier.counts))
        return HistogramPoint(counts, now.sum - earlier.sum, now.exemplars, _exponential(earlier.exponential, now.exponential))
    if isinstance(now, HistogramPoint) or isinstance(earlier, HistogramPoint):
        raise TypeError("a series was a number once and a histogram once")
    return now - earlier


def _exponential(earlier: ExponentialPoint | None, now: ExponentialPoint | None) -> ExponentialPoint | None:
    if now is None or earlier is None:
        return now
    past = earlier.counts
    counts = {index: grown for index, count in now.counts.items() if (grown := count - past.get(index, 0))}
    return ExponentialPoint(now.scale, now.zero_threshold, now.zero_count - earlier.zero_count, counts)


def _after(start: float, exemplars: tuple[Exemplar | None, ...]) -> tuple[Exemplar | None, ...]:
    """Exemplars of a difference happened within its time."""
    return tuple(exemplar for exemplar in exemplars if exemplar and exemplar.at >= start)
