"""Snapshots: the immutable values that ``/metrics`` and OTLP read, all of one moment."""

from collections.abc import Mapping
from dataclasses import dataclass

from exporter.catalogue.declarations import MetricSpec


@dataclass(frozen=True, slots=True)
class Exemplar:
    """One measurement kept as an example for its bucket. ``value`` is in the metric's unit, ``at`` in unix seconds."""

    value: float
    trace_id: str
    span_id: str
    at: float


@dataclass(frozen=True, slots=True)
class ExponentialPoint:
    """The same measurements in base-2 exponential buckets, see :mod:`exporter.catalogue.exponential`.

    ``counts`` are by bucket index at ``scale``, without empty buckets. ``zero_count`` counts values up to ``zero_threshold``, which is
    in the metric's unit.
    """

    scale: int
    zero_threshold: float
    zero_count: int
    counts: Mapping[int, int]


@dataclass(frozen=True, slots=True)
class HistogramPoint:
    """A histogram series at one moment.

    ``counts`` are per bucket (not cumulative): one for each of the spec's bounds and a last one for larger values. ``sum`` is in the
    metric's unit. ``exemplars`` is empty or has one item per bucket. ``exponential`` is set if the store keeps exponential buckets.
    """

    counts: tuple[int, ...]
    sum: float
    exemplars: tuple[Exemplar | None, ...] = ()
    exponential: ExponentialPoint | None = None

    @property
    def count(self) -> int:
        """How many values were observed."""
        return sum(self.counts)

    @property
    def is_exponential(self) -> bool:
        """Whether there are exponential buckets, without working them out."""
        return self.exponential is not None


@dataclass(frozen=True, slots=True)
class Series:
    """One series: its label values in the order of ``spec.labels``, its value, and when it began to count (unix seconds)."""

    labels: tuple[str, ...]
    value: float | HistogramPoint
    since: float


@dataclass(frozen=True, slots=True)
class Family:
    """All series of one metric. A family without series is still exported with its help and type."""

    spec: MetricSpec
    series: tuple[Series, ...]


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Everything the store holds at ``at`` (unix seconds)."""

    at: float
    families: tuple[Family, ...]
