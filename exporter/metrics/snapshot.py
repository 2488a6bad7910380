"""Frozen values that pass between the stages: what a view sees of the store at one moment."""

from collections.abc import Mapping
from dataclasses import dataclass

from exporter.catalogue.model import MetricSpec


@dataclass(frozen=True, slots=True)
class Exemplar:
    """A measured example that fell into one bucket. ``value`` is in the metric's unit, ``at`` in unix seconds."""

    value: float
    trace_id: str
    span_id: str
    at: float


@dataclass(frozen=True, slots=True)
class ExponentialPoint:
    """The same measurements in base-2 exponential buckets, see :mod:`exporter.catalogue.exponential`.

    ``counts`` are by bucket index at ``scale``, empty buckets left out; ``zero_count`` is of values up to ``zero_threshold``, which
    is in the metric's unit.
    """

    scale: int
    zero_threshold: float
    zero_count: int
    counts: Mapping[int, int]


@dataclass(frozen=True, slots=True)
class HistogramPoint:
    """A histogram series at one moment.

    ``counts`` are per bucket (not cumulative), one for each of the spec's bounds and a last one for what lies above them;
    ``sum`` is in the metric's unit; ``exemplars`` is empty or has one place per bucket; ``exponential`` is there if the store keeps
    exponential buckets as well.
    """

    counts: tuple[int, ...]
    sum: float
    exemplars: tuple[Exemplar | None, ...] = ()
    exponential: ExponentialPoint | None = None


@dataclass(frozen=True, slots=True)
class Series:
    """One series: its label values in the order of ``spec.labels``, its value, and since when it counts (unix seconds)."""

    labels: tuple[str, ...]
    value: float | HistogramPoint
    since: float


@dataclass(frozen=True, slots=True)
class Family:
    """All series of one metric; a family without series is still shown with its help and type."""

    spec: MetricSpec
    series: tuple[Series, ...]


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Everything the store holds, taken at ``at`` (unix seconds); it never changes afterwards."""

    at: float
    families: tuple[Family, ...]
