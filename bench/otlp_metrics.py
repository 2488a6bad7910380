"""What an OTLP export of metrics costs, and how long it keeps the event loop from everything else, against the SDK's encoder.

Both sides write the same snapshot in the same process and run; rounds are interleaved and the median is taken. The SDK's side is its
encoder and serialisation of data built beforehand, which spares it the collection. The stall is the longest slice, for the SDK the
whole encoding. Run it with ``python -m bench.otlp_metrics``; it prints Markdown.
"""

import argparse
import gc
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from statistics import median
from time import perf_counter

from opentelemetry.exporter.otlp.proto.common.metrics_encoder import encode_metrics

from bench.synthetic import exponential, snapshot_of
from exporter.exporters.otlp.delta import Temporality
from exporter.exporters.otlp.metrics import MetricsEncoder
from exporter.exporters.prometheus.exposition import sample_count
from exporter.metrics.snapshot import Family, HistogramPoint, Series, Snapshot
from tests.support.reference_otlp import sdk_data

RESOURCE = {"service.name": "agentstack-exporter"}


@dataclass(slots=True)
class Subject:
    """One way to write a snapshot, and what was measured of it in seconds a round."""

    kind: str
    slices: Callable[[], Iterator[float]]
    size: int
    times: list[float] = field(default_factory=list)
    stalls: list[float] = field(default_factory=list)

    def measure(self) -> None:
        taken = list(self.slices())
        self.times.append(sum(taken))
        self.stalls.append(max(taken))


def ours(snapshot: Snapshot, temporality: Temporality = "cumulative") -> Subject:
    encoder = MetricsEncoder(RESOURCE, temporality)
    encoder.commit(encoder.encode(aged(snapshot)))
    return Subject(temporality, lambda: sliced(encoder, snapshot), len(encoder.encode(snapshot).body))


def sliced(encoder: MetricsEncoder, snapshot: Snapshot) -> Iterator[float]:
    """How long each slice takes: the time from one pause to the next, in a coroutine that is stepped by hand."""
    task = encoder.encode_in_slices(snapshot)
    while True:
        started = perf_counter()
        try:
            task.send(None)
        except StopIteration:
            yield perf_counter() - started
            return
        yield perf_counter() - started


def theirs(snapshot: Snapshot) -> Subject:
    data = sdk_data(snapshot, RESOURCE, "1")

    def whole() -> Iterator[float]:
        started = perf_counter()
        encode_metrics(data).SerializeToString()
        yield perf_counter() - started

    return Subject("SDK encoder", whole, len(encode_metrics(data).SerializeToString()))


def aged(snapshot: Snapshot) -> Snapshot:
    """The snapshot as it may have been before: half of its numbers."""
    families = [Family(family.spec, tuple(map(_halved, family.series))) for family in snapshot.families]
    return Snapshot(snapshot.at - 60, tuple(families))


def _halved(series: Series) -> Series:
    point = series.value
    if not isinstance(point, HistogramPoint):
        return replace(series, value=point / 2)
    return replace(series, value=replace(point, counts=tuple(count // 2 for count in point.counts), sum=point.sum / 2))


def measure_all(subjects: list[Subject], rounds: int) -> None:
    """Interleaved rounds; the one before the first fills caches and is thrown away."""
    for number in range(rounds + 1):
        for subject in subjects:
            subject.measure()
            if number == 0:
                subject.times.clear()
                subject.stalls.clear()


def report(samples: int, histograms: str, subjects: list[Subject]) -> Iterator[str]:
    """The lines of the table for one snapshot; the last subject is what the others are compared with."""
    reference = median(subjects[-1].times)
    for subject in subjects:
        time = median(subject.times)
        series_cache = [
            f"{samples:,}",
            histograms,
            subject.kind,
            f"{time * 1e3:.2f} ms",
            f"{reference / time:.1f}×",
            f"{median(subject.stalls) * 1e3:.2f} ms (worst {max(subject.stalls) * 1e3:.2f})",
            f"{subject.size / 1e3:,.0f} kB",
        ]
        yield f"| {' | '.join(series_cache)} |"


def run(*, quick: bool = False, sizes: tuple[int, ...] = (1_000, 10_000, 50_000), rounds: int = 15) -> None:
    """Measure and print."""
    print("| samples | histograms | written by | time | faster than the SDK | longest stall | size |")
    print("|---|---|---|---|---|---|---|")
    for size in sizes[:1] if quick else sizes:
        for histograms, snapshot in (("explicit", snapshot_of(size)), ("exponential", exponential(snapshot_of(size)))):
            subjects = [ours(snapshot), ours(snapshot, "delta"), theirs(snapshot)]
            # What is measured should not pay for walking through the fixtures of both sides.
            gc.collect()
            gc.freeze()
            measure_all(subjects, 2 if quick else rounds)
            print("\n".join(report(sample_count(snapshot), histograms, subjects)), flush=True)
            gc.unfreeze()


def main() -> None:
    """Run from the command line."""
    arguments = argparse.ArgumentParser(description="Time and event loop stall of an OTLP metrics export.")
    arguments.add_argument("--samples", type=int, nargs="+", default=[1_000, 10_000, 50_000])
    arguments.add_argument("--rounds", type=int, default=15)
    chosen = arguments.parse_args()
    run(sizes=tuple(chosen.samples), rounds=chosen.rounds)


if __name__ == "__main__":
    main()
