"""What changed between two snapshots, for backends that want differences instead of totals.

Both snapshots are immutable, so nothing is remembered but the one that was delivered last: what a failed delivery held is in the
next difference. Sums are subtracted as they were sent, which floating point does exactly unless one is over twice the other.
Source: OpenTelemetry data model, "Temporality" and "Resets and gaps".
"""

from collections.abc import Iterator
from dataclasses import replace
from typing import Literal

from exporter.catalogue.model import MetricSpec
from exporter.records import Exemplar, ExponentialPoint, Family, HistogramPoint, Series, Snapshot

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
            earlier = before.get(series.labels)
            if earlier is None or earlier.since != series.since or _fell(earlier.value, series.value):
                yield from _changed(series, series.value, max(self._at, series.since))
            else:
                yield from _changed(series, _difference(series.value, earlier.value), self._at)


def _changed(series: Series, value: float | HistogramPoint, start: float) -> Iterator[Series]:
    if isinstance(value, HistogramPoint):
        if any(value.counts):
            yield Series(series.labels, replace(value, exemplars=_after(start, value.exemplars)), start)
    elif value:
        yield Series(series.labels, value, start)


def _fell(earlier: float | HistogramPoint, now: float | HistogramPoint) -> bool:
    if isinstance(now, HistogramPoint) and isinstance(earlier, HistogramPoint):
        return any(late < early for late, early in zip(now.counts, earlier.counts, strict=True))
    return not isinstance(now, HistogramPoint) and not isinstance(earlier, HistogramPoint) and now < earlier


def _difference(now: float | HistogramPoint, earlier: float | HistogramPoint) -> float | HistogramPoint:
    if isinstance(now, HistogramPoint) and isinstance(earlier, HistogramPoint):
        counts = tuple(late - early for late, early in zip(now.counts, earlier.counts, strict=True))
        return HistogramPoint(counts, now.sum - earlier.sum, now.exemplars, _exponential(now.exponential, earlier.exponential))
    if isinstance(now, HistogramPoint) or isinstance(earlier, HistogramPoint):
        raise TypeError("a series was a number once and a histogram once")
    return now - earlier


def _exponential(now: ExponentialPoint | None, earlier: ExponentialPoint | None) -> ExponentialPoint | None:
    if now is None or earlier is None:
        return now
    past = earlier.counts
    counts = {index: grown for index, count in now.counts.items() if (grown := count - past.get(index, 0))}
    return replace(now, zero_count=now.zero_count - earlier.zero_count, counts=counts)


def _after(start: float, exemplars: tuple[Exemplar | None, ...]) -> tuple[Exemplar | None, ...]:
    """Exemplars of a difference happened within its time."""
    kept = tuple(exemplar if exemplar and exemplar.at >= start else None for exemplar in exemplars)
    return kept if any(kept) else ()
