"""What a scrape costs, and how long it holds the event loop, compared with ``prometheus_client``.

Both sides show the same snapshot as an ASGI application on uvloop, in the same process and run; rounds are interleaved and the
median is taken. ``prometheus_client`` runs its own ``make_asgi_app`` over families built in advance, so that only rendering and
compression count. The stall is the greatest lateness of a task that should run every millisecond during the scrape. A second table
measures the whole exporter in its own process, while turns arrive at a steady pace.
"""

import asyncio
import gc
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from statistics import median
from time import perf_counter

import uvloop
from prometheus_client import make_asgi_app
from starlette.types import ASGIApp

from bench import frames
from bench.contestants import Contestant, running
from bench.frames import load
from bench.peers import peers
from bench.report import table
from bench.synthetic import exponential, snapshot_of
from exporter.exporters.prometheus.endpoint import MetricsEndpoint
from exporter.exporters.prometheus.exposition import sample_count
from exporter.exporters.prometheus.negotiation import TEXT_FORMATS, Format
from exporter.exporters.prometheus.protobuf_exposition import Histograms, ProtobufRenderer
from exporter.metrics.snapshot import Snapshot
from tests.support.asgi import RawHeaders, call
from tests.support.reference_exposition import reference_registry

HEARTBEAT = 0.001
CONNECTIONS = 50
RATES = (0, 500, 2000)
"""Turns a second over all connections."""
SCRAPE_EVERY = 0.25

App = Callable[[], ASGIApp]


@dataclass(slots=True)
class Subject:
    """One way to answer one kind of scrape, and its results for each round: duration and stall in seconds."""

    app: App
    headers: RawHeaders
    times: list[float] = field(default_factory=list)
    stalls: list[float] = field(default_factory=list)
    size: int = 0


@dataclass(frozen=True, slots=True)
class Row:
    """A kind of scrape, answered by the exporter and by ``prometheus_client``."""

    kind: str
    ours: Subject
    theirs: Subject


def rows_for(snapshot: Snapshot) -> list[Row]:
    """Every format with and without gzip, and a first scrape, for which nothing is cached."""
    warm, theirs = MetricsEndpoint(lambda: snapshot), make_asgi_app(reference_registry(snapshot))
    kinds = [(into, coding) for into in TEXT_FORMATS for coding in ("identity", "gzip")]
    rows = [_row(into, coding, lambda: warm, lambda: theirs) for into, coding in kinds]
    first = _row(Format.OPENMETRICS_1_0_0, "gzip", lambda: MetricsEndpoint(lambda: snapshot), lambda: theirs, ", first scrape")
    return [*rows, first]


def _row(into: Format, coding: str, ours: App, theirs: App, note: str = "") -> Row:
    headers = [(b"accept", f"{into.media_type};version={into.version}".encode()), (b"accept-encoding", coding.encode())]
    name = "OpenMetrics" if into is Format.OPENMETRICS_1_0_0 else "text"
    return Row(f"{name} {into.version}, {coding}{note}", Subject(ours, headers), Subject(theirs, headers))


async def measure(subject: Subject) -> None:
    """One scrape with a heartbeat beside it."""
    worst, app = 0.0, subject.app()

    async def heartbeat() -> None:
        nonlocal worst
        while True:
            before = perf_counter()
            await asyncio.sleep(HEARTBEAT)
            worst = max(worst, perf_counter() - before - HEARTBEAT)

    beating = asyncio.create_task(heartbeat())
    # The heartbeat runs before the scrape begins and once more after it, to notice a stall at its end.
    await asyncio.sleep(5 * HEARTBEAT)
    worst, started = 0.0, perf_counter()
    answer = await call(app, headers=subject.headers)
    subject.times.append(perf_counter() - started)
    await asyncio.sleep(2 * HEARTBEAT)
    subject.stalls.append(worst)
    subject.size = len(answer.body)
    beating.cancel()
    assert answer.status == 200


async def measure_all(subjects: list[Subject], rounds: int) -> None:
    """Interleaved rounds. A round before the first fills caches and is discarded."""
    for number in range(rounds + 1):
        for subject in subjects:
            await measure(subject)
            if number == 0:
                subject.times.clear()
                subject.stalls.clear()


def report(samples: int, rows: list[Row]) -> Iterator[tuple[str, ...]]:
    """The lines of the table for one size."""
    for row in rows:
        ours, theirs = median(row.ours.times), median(row.theirs.times)
        yield (
            f"{samples:,}",
            row.kind,
            f"{ours * 1e3:.2f} ms ({ours / samples * 1e6:.2f} µs)",
            f"{theirs * 1e3:.2f} ms ({theirs / samples * 1e6:.2f} µs)",
            f"{theirs / ours:.1f}×",
            f"{median(row.ours.stalls) * 1e3:.2f} ms (worst {max(row.ours.stalls) * 1e3:.2f})",
            f"{median(row.theirs.stalls) * 1e3:.2f} ms",
        )


def alone(sizes: tuple[int, ...], rounds: int) -> None:
    """Measure scrapes while nothing else runs, and print."""
    heads = ("samples", "scrape", "exporter: time (a sample)", "prometheus_client", "faster", "stall: exporter", "prometheus_client")
    lines: list[tuple[str, ...]] = []
    for size in sizes:
        snapshot = snapshot_of(size)
        rows = rows_for(snapshot)
        # The garbage collector must not visit the fixtures of both sides during the measurement.
        gc.collect()
        gc.freeze()
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(measure_all([subject for row in rows for subject in (row.ours, row.theirs)], rounds))
        lines += report(sample_count(snapshot), rows)
        gc.unfreeze()
    table(heads, lines)


FORMATS: tuple[tuple[str, Format, Histograms], ...] = (
    ("text 0.0.4", Format.TEXT_0_0_4, "classic"),
    ("OpenMetrics 1.0.0", Format.OPENMETRICS_1_0_0, "classic"),
    ("protobuf, classic buckets", Format.PROTOBUF, "classic"),
    ("protobuf, both kinds of buckets", Format.PROTOBUF, "both"),
    ("protobuf, native buckets", Format.PROTOBUF, "native"),
)


def formats(samples: int, rounds: int) -> None:
    """Measure each format on the same series, ``samples`` with classic buckets, and print; each histogram has 100 native buckets."""
    snapshot = exponential(snapshot_of(samples))
    subjects = {
        (name, coding): _format(snapshot, into, histograms, coding)
        for name, into, histograms in FORMATS
        for coding in ("identity", "gzip")
    }
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(measure_all(list(subjects.values()), rounds))
    lines = []
    for name, _, _ in FORMATS:
        plain, packed = subjects[name, "identity"], subjects[name, "gzip"]
        shown = [f"{median(each.times) * 1e3:.1f} ms" for each in (plain, packed)]
        stalls = f"{median(packed.stalls) * 1e3:.2f} ms (worst {max(packed.stalls) * 1e3:.2f})"
        lines.append((name, *shown, stalls, f"{plain.size / 1e3:,.0f} kB", f"{packed.size / 1e3:,.0f} kB"))
    table((f"{samples:,} samples as", "time", "with gzip", "stall with gzip", "size", "with gzip"), lines)


def _format(snapshot: Snapshot, into: Format, histograms: Histograms, coding: str) -> Subject:
    app = MetricsEndpoint(lambda: snapshot, protobuf=ProtobufRenderer(histograms))
    return Subject(lambda: app, [(b"accept", into.content_type.encode()), (b"accept-encoding", coding.encode())])


def busy(rounds: int, seconds: float) -> None:
    """Measure scrapes of the real exporter while events arrive, and print."""
    lines = []
    traffic = load("", frames.turns(), 5000)
    with running("watched") as exporter, peers(exporter.port, CONNECTIONS) as group:
        exporter.settle(CONNECTIONS)
        group.pace(traffic, 2000, 4000)
        sent = 4000
        for rate in RATES:
            took: list[float] = []
            gaps: dict[bool, list[float]] = {True: [], False: []}
            for scraped in [True, False] * rounds:
                exporter.longest_gap()
                with scraping(exporter, took) if scraped else nullcontext():
                    if rate:
                        sent += group.pace(traffic, rate, round(rate * seconds), sent // CONNECTIONS)
                    else:
                        time.sleep(seconds)
                group.answer_pings()
                gaps[scraped].append(exporter.longest_gap())
            worst = [f"{median(gaps[scraped]) * 1e3:.1f} ms (worst {max(gaps[scraped]) * 1e3:.1f})" for scraped in (True, False)]
            lines.append(
                (f"{rate:,}", f"{len(exporter.metrics()):,}", f"{median(took) * 1e3:.1f} ms", f"{max(took) * 1e3:.1f} ms", *worst)
            )
        exporter.settle(CONNECTIONS + sent)
    table(("turns a second", "samples", "scrape, median", "slowest", "longest gap with scrapes", "without"), lines)


@contextmanager
def scraping(exporter: Contestant, took: list[float]) -> Iterator[None]:
    """Scrape repeatedly during the block. ``took`` receives the duration of each scrape in seconds, as the exporter reports it."""
    over = threading.Event()

    def scrape() -> None:
        while not over.wait(SCRAPE_EVERY):
            took.extend(sample.value for sample in exporter.metrics() if sample.name == "agentstack_exporter_render_duration_seconds")

    thread = threading.Thread(target=scrape)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def run(*, quick: bool) -> None:
    """Measure and print."""
    alone((1_000,) if quick else (1_000, 10_000, 50_000), 2 if quick else 7)
    print("The same series in each format:\n")
    formats(1_000 if quick else 10_000, 2 if quick else 7)
    print("The exporter itself, in a process of its own:\n")
    busy(1 if quick else 5, 1.0 if quick else 3.0)
