"""What a scrape costs, and how long it keeps the event loop from everything else, against ``prometheus_client``.

Both sides show the same snapshot as an ASGI application on uvloop, in the same process and run; rounds are interleaved and the
median is taken. ``prometheus_client`` is its own ``make_asgi_app`` over families built beforehand, so that only its rendering
and compression count. The stall is the greatest lateness of a task that wants to run each millisecond while the scrape goes
on. Run it with ``python -m bench.scrape``; it prints Markdown.
"""

import argparse
import asyncio
import gc
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from statistics import median
from time import perf_counter

import uvloop
from prometheus_client import make_asgi_app
from starlette.types import ASGIApp

from bench.synthetic import snapshot_of
from exporter.expose.metrics_endpoint import MetricsEndpoint
from exporter.expose.negotiation import Format
from exporter.expose.prometheus import sample_count
from exporter.records import Snapshot
from tests.support.asgi import RawHeaders, call
from tests.support.reference_exposition import reference_registry

HEARTBEAT = 0.001

App = Callable[[], ASGIApp]


@dataclass(slots=True)
class Subject:
    """One way to answer one kind of scrape, and what was measured of it: seconds, and seconds of stall, a round."""

    app: App
    headers: RawHeaders
    times: list[float] = field(default_factory=list)
    stalls: list[float] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Row:
    """A kind of scrape, answered by us and by them."""

    kind: str
    ours: Subject
    theirs: Subject


def rows_for(snapshot: Snapshot) -> list[Row]:
    """Every format with and without gzip, and a first scrape, for which nothing is cached."""
    warm, theirs = MetricsEndpoint(lambda: snapshot), make_asgi_app(reference_registry(snapshot))
    kinds = [(into, coding) for into in Format for coding in ("identity", "gzip")]
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
    # The heart is to beat before the scrape begins, and once more after it, to feel a stall at its very end.
    await asyncio.sleep(5 * HEARTBEAT)
    worst, started = 0.0, perf_counter()
    answer = await call(app, headers=subject.headers)
    subject.times.append(perf_counter() - started)
    await asyncio.sleep(2 * HEARTBEAT)
    subject.stalls.append(worst)
    beating.cancel()
    assert answer.status == 200


async def measure_all(rows: list[Row], rounds: int) -> None:
    """Interleaved rounds; the one before the first fills caches and is thrown away."""
    for number in range(rounds + 1):
        for row in rows:
            for subject in (row.ours, row.theirs):
                await measure(subject)
                if number == 0:
                    subject.times.clear()
                    subject.stalls.clear()


def report(samples: int, rows: list[Row]) -> Iterator[str]:
    """The lines of the table for one size."""
    for row in rows:
        ours, theirs = median(row.ours.times), median(row.theirs.times)
        cells = [
            f"{samples:,}",
            row.kind,
            f"{ours * 1e3:.2f} ms ({ours / samples * 1e6:.2f} µs)",
            f"{theirs * 1e3:.2f} ms ({theirs / samples * 1e6:.2f} µs)",
            f"{theirs / ours:.1f}×",
            f"{median(row.ours.stalls) * 1e3:.2f} ms (worst {max(row.ours.stalls) * 1e3:.2f})",
            f"{median(row.theirs.stalls) * 1e3:.2f} ms",
        ]
        yield f"| {' | '.join(cells)} |"


def main() -> None:
    """Measure and print."""
    arguments = argparse.ArgumentParser(description="Scrape time and event loop stall.")
    arguments.add_argument("--samples", type=int, nargs="+", default=[1_000, 10_000, 50_000])
    arguments.add_argument("--rounds", type=int, default=7)
    chosen = arguments.parse_args()
    print("| samples | scrape | exporter: time (a sample) | prometheus_client | faster | stall: exporter | prometheus_client |")
    print("|---|---|---|---|---|---|---|")
    for size in chosen.samples:
        snapshot = snapshot_of(size)
        rows = rows_for(snapshot)
        # What is measured should not pay for walking through the fixtures of both sides.
        gc.collect()
        gc.freeze()
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(measure_all(rows, chosen.rounds))
        print("\n".join(report(sample_count(snapshot), rows)), flush=True)
        gc.unfreeze()


if __name__ == "__main__":
    main()
