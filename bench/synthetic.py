"""Snapshots of a given size for measurements: 90 % of the samples are histograms of 20 buckets, the rest counters."""

import random
from dataclasses import replace

from exporter.catalogue.declarations import MetricSpec
from exporter.catalogue.exponential import SCALE
from exporter.metrics.snapshot import Exemplar, ExponentialPoint, Family, HistogramPoint, Series, Snapshot

_BOUNDS = (*(0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4), *(0.5, 0.6, 0.8, 1.0, 1.25, 1.5, 2.0, 3.0, 5.0))
_SERIES_OF_A_FAMILY = 40
_LABELS = ("agent", "model", "provider")
_AT = 1_767_225_600.0


def snapshot_of(samples: int, *, exemplars: bool = True, seed: int = 1) -> Snapshot:
    """A snapshot that renders to about ``samples`` samples; the same arguments give the same snapshot."""
    rng = random.Random(seed)
    histograms = round(samples * 0.9 / (len(_BOUNDS) + 3))
    counters = samples - histograms * (len(_BOUNDS) + 3)
    families = [
        *(_histograms(rng, number, size, exemplars) for number, size in enumerate(_sizes(histograms))),
        *(_counters(rng, number, size) for number, size in enumerate(_sizes(counters))),
    ]
    return Snapshot(_AT, tuple(families))


def exponential(snapshot: Snapshot) -> Snapshot:
    """The same with exponential buckets too: 100 of them, as latencies of 200 ms to 1.8 s have."""
    families = [Family(family.spec, tuple(map(_exponential, family.series))) for family in snapshot.families]
    return Snapshot(snapshot.at, tuple(families))


def _exponential(series: Series) -> Series:
    point = series.value
    if not isinstance(point, HistogramPoint):
        return series
    counts = {-75 + 5 * place + step: count // 5 for place, count in enumerate(point.counts) for step in range(5)}
    return replace(series, value=replace(point, exponential=ExponentialPoint(SCALE, 2.0**-10, 0, counts)))


def _sizes(series: int) -> list[int]:
    full, rest = divmod(series, _SERIES_OF_A_FAMILY)
    return [_SERIES_OF_A_FAMILY] * full + ([rest] if rest else [])


def _labels(number: int) -> tuple[str, ...]:
    return (f"8f2c1d7e-agent-{number % 10}", f"gpt-4o-mini-{number:04d}", f"provider-{number % 7}")


def _histograms(rng: random.Random, number: int, size: int, exemplars: bool) -> Family:
    name = f"agentstack.bench.latency.{number}"
    spec = MetricSpec(
        kind="histogram", otel_name=name, unit="s", help="A stage of a turn.", labels=_LABELS, bounds=_BOUNDS, exemplars=True
    )
    return Family(spec, tuple(Series(_labels(i), _point(rng, exemplars), _AT) for i in range(size)))


def _counters(rng: random.Random, number: int, size: int) -> Family:
    name = f"agentstack.bench.events.{number}"
    spec = MetricSpec(kind="counter", otel_name=name, unit="{event}", help="Events of some kind.", labels=_LABELS)
    return Family(spec, tuple(Series(_labels(i), float(rng.randrange(100_000)), _AT) for i in range(size)))


def _point(rng: random.Random, exemplars: bool) -> HistogramPoint:
    counts = tuple(rng.randrange(2_000) for _ in range(len(_BOUNDS) + 1))
    shown = tuple(_exemplar(rng) if rng.random() < 0.25 else None for _ in counts) if exemplars else ()
    return HistogramPoint(counts, rng.random() * 10_000, shown)


def _exemplar(rng: random.Random) -> Exemplar:
    return Exemplar(rng.random(), f"{rng.getrandbits(128):032x}", f"{rng.getrandbits(64):016x}", _AT + rng.random() * 60)
