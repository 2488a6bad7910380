"""Processor time for a frame with every turn traced, and spans and metrics delivered to a receiver that discards them."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from statistics import median

from bench import frames, machine
from bench.contestants import Contestant, running
from bench.frames import Load, load
from bench.ingest import CONNECTIONS, Row, cost, flawed_turns, flood
from bench.instrumented import ENDPOINT
from bench.peers import peers
from bench.report import table

RATE = 500
"""Turns a second in the measurement of lateness."""


class _Receiver(BaseHTTPRequestHandler):
    """Accepts every request."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("content-length", 0)))
        self.send_response(200)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name the base class gave it
        """Log nothing."""


@contextmanager
def receiver() -> Iterator[str]:
    """Run the receiver in its own process on the generator's core; yields its URL."""
    process = subprocess.Popen([sys.executable, "-m", "bench.delivered"], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        machine.pin(process.pid, machine.GENERATOR_CORE)
        yield f"http://127.0.0.1:{int(process.stdout.readline())}"
    finally:
        process.terminate()
        process.wait(15)


@contextmanager
def _contestants(url: str) -> Iterator[dict[str, Contestant]]:
    """Run all servers at the same time, so that rounds can be interleaved. Those that deliver are given the receiver's URL."""
    with ExitStack() as stack:
        found = {"sink": stack.enter_context(running("sink")), "metrics": stack.enter_context(running("exporter"))}
        os.environ[ENDPOINT] = url
        try:
            found |= {"all": stack.enter_context(running("exporter")), "plain": stack.enter_context(running("plain"))}
            found["bare"] = stack.enter_context(running("bare"))
            found["by hand"] = stack.enter_context(running("instrumented"))
        finally:
            del os.environ[ENDPOINT]
        yield found


def _measure(rows: list[Row], contestants: dict[str, Contestant], rounds: int) -> None:
    """The cost of a frame for each server in each round. A round before the first fills caches and is discarded."""
    for number in range(rounds + 1):
        for row in rows:
            for name in row.rivals:
                sent = row.load.part(8) if name == "by hand" else row.load
                found = cost(contestants[name], partial(flood, sent))
                if number:
                    row.costs.setdefault(name, []).append(found)


def _lines(rows: list[Row]) -> list[tuple[str, ...]]:
    sinks = {row.load.name: row.costs["sink"] for row in rows if "sink" in row.costs}
    return [_line(row, sinks[row.like or row.load.name]) for row in rows]


def _line(row: Row, sink: list[float]) -> tuple[str, ...]:
    def ratio(costs: list[float], of: list[float]) -> float:
        return median(one / other for one, other in zip(costs, of, strict=True))

    def ours(name: str) -> str:
        costs = row.costs.get(name)
        return f"{median(costs):.1f} µs = **{ratio(costs, sink):.2f} ×**" if costs else ""

    def others(name: str, digits: int) -> str:
        costs = row.costs.get(name)
        return f"{median(costs):.1f} µs = {ratio(costs, row.costs['all']):.{digits}f} × ours" if costs else ""

    bare = f"{median(sink):.1f} µs"
    return row.load.name, bare, ours("metrics"), ours("all"), ours("plain"), others("bare", 3), others("by hand", 1)


def _lateness(url: str, seconds: float, turns: Load) -> tuple[str, ...]:
    """How late the event loop is at a steady rate of turns."""
    os.environ[ENDPOINT] = url
    try:
        with running("watched") as exporter, peers(exporter.port, CONNECTIONS) as group:
            group.pace(turns, RATE, RATE)
            exporter.gaps()
            sent = group.pace(turns, RATE, round(RATE * seconds), first=RATE // CONNECTIONS)
            longest, late = exporter.gaps()
            return f"{RATE} turns a second", f"{sent:,}", f"**{late * 1000:.1f} ms**", f"{longest * 1000:.1f} ms"
    finally:
        del os.environ[ENDPOINT]


def rows_for(turns: int, small: int) -> list[Row]:
    """The kinds of traffic. The sink reads only clean turns, so other turns are compared with its cost of clean ones."""
    everybody = ("sink", "metrics", "all", "plain", "bare", "by hand")
    rows = [Row(load("turn.metrics", frames.turns(), turns), everybody)]
    rows.append(Row(load("turn.metrics, all fields", frames.full(), turns), everybody))
    rows.append(Row(load("small events as they come", frames.small(), small), everybody))
    return rows + [Row(traffic, ("metrics", "all"), like="turn.metrics") for traffic in flawed_turns(turns)]


def run(*, quick: bool) -> None:
    """Measure and print."""
    rounds, turns, small, seconds = (1, 50, 200, 2.0) if quick else (9, 200, 1000, 15.0)
    rows = rows_for(turns, small)
    with receiver() as url:
        with _contestants(url) as contestants:
            _measure(rows, contestants, rounds)
        heads = (
            "a frame of",
            "bare sink",
            "metrics only",
            "traced and delivered too",
            "the same, not compiled",
            "over a bare connection",
            "by hand",
        )
        table(heads, _lines(rows))
        late = _lateness(url, seconds, load("turns", frames.turns(), round(RATE * (seconds + 2)) // CONNECTIONS))
    table(("steadily, traced and delivered", "turns", "event loop late, p99", "longest"), [late])


if __name__ == "__main__":
    with ThreadingHTTPServer(("127.0.0.1", 0), _Receiver) as serving:
        print(serving.server_port, flush=True)
        serving.serve_forever()
