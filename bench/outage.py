"""A collector that is away for five minutes at 200 spans a second: spans lost, memory, and how long it takes to catch up.

The exporter is the process as shipped. Calls are paced so that their turns and stages make up the rate. The exporter's own counters say
what happened to the spans. The collector only counts spans, and must agree. ``python -m bench.outage`` takes
``--minutes`` and ``--rate``.
"""

import argparse
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from bench import frames, python
from bench.contestants import Contestant, samples_at, wait_for
from bench.frames import load
from bench.machine import resident_kib
from bench.peers import peers
from bench.report import table

CALLS = 20
"""Calls at once."""
FEWEST_SPANS = 4
"""Spans of a turn."""
_PATIENCE = 120.0
_ITEMS, _QUEUED = "agentstack_exporter_otlp_items_total", "agentstack_exporter_otlp_queue_items"


class Collector:
    """Counts the spans it receives. It can stop, and start again on the same port."""

    def __init__(self) -> None:
        self.spans = 0
        self._away = threading.Event()
        collector = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                away = collector.is_away
                if not away:
                    collector.take(body)
                self.send_response(503 if away else 200)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True

    @property
    def is_away(self) -> bool:
        return self._away.is_set()

    def take(self, body: bytes) -> None:
        request = ExportTraceServiceRequest.FromString(body)
        self.spans += sum(len(scope.spans) for resource in request.resource_spans for scope in resource.scope_spans)

    def leave(self) -> None:
        self._away.set()

    def come_back(self) -> None:
        self._away.clear()


@contextmanager
def collector() -> Iterator[Collector]:
    """Run a collector during the block."""
    found = Collector()
    serving = threading.Thread(target=found.server.serve_forever)
    serving.start()
    try:
        yield found
    finally:
        found.server.shutdown()
        found.server.server_close()
        serving.join()


@contextmanager
def exporter(port: int) -> Iterator[Contestant]:
    """The exporter as shipped, sending spans to a collector."""
    otel = {"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{port}", "OTEL_METRICS_EXPORTER": "none"}
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "ready"
        options = ("--listen=127.0.0.1:0", "--telemetry-listen=127.0.0.1:0", "--log-level=error", f"--ready-file={file}")
        command = python.command("-m", "exporter.cli", "serve", *options)
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=python.environment() | otel)
        try:
            yield wait_for("exporter", file, process)
        finally:
            process.terminate()
            process.wait(30)


def spans_now(port: int) -> dict[str, int]:
    """What happened to the spans so far, and how many wait."""
    found = {"delivered": 0, "dropped": 0, "rejected": 0, "queued": 0}
    for sample in samples_at(port):
        if sample.labels.get("signal") == "traces" and sample.name in (_ITEMS, _QUEUED):
            found[sample.labels.get("outcome", "queued")] = round(sample.value)
    return found


def run(*, quick: bool = False, minutes: float = 5.0, rate: float = 200.0) -> None:
    """Measure and print."""
    minutes = 0.1 if quick else minutes
    traffic = load("turn.metrics", frames.turns(), round(rate * 60.0 * minutes / FEWEST_SPANS / CALLS) + 10)
    with collector() as away, exporter(away.server.server_port) as running, peers(running.port, CALLS) as group:
        sample = CALLS * 2
        group.pace(traffic, 1000, sample)
        running.settle(CALLS + sample)
        per_turn = sum(spans_now(running.telemetry).values()) / sample
        turns = rate / per_turn
        wait_until_empty(running)
        before = resident_kib(running.process.pid)
        away.leave()
        number = round(turns * 60.0 * minutes)
        for first in range(0, number, CALLS):
            part = min(CALLS, number - first)
            group.pace(traffic, turns, part, first=2 + first // CALLS)
            group.answer_pings()
        after, most = spans_now(running.telemetry), resident_kib(running.process.pid)
        away.come_back()
        began = time.perf_counter()
        wait_until_empty(running)
        took = time.perf_counter() - began
        end = spans_now(running.telemetry)
        table(
            ("outage", "spans that waited", "lost", "memory before", "at the end", "a span", "caught up after"),
            [
                (
                    f"{minutes:g} min at {rate:g} spans/s",
                    f"{after['queued']:,}",
                    f"**{end['dropped'] + end['rejected'] + end['delivered'] - away.spans}**",
                    f"{before / 1024:.1f} MiB",
                    f"{most / 1024:.1f} MiB",
                    f"{(most - before) * 1024 / max(after['queued'], 1):.0f} B",
                    f"{took:.1f} s",
                )
            ],
        )


def wait_until_empty(running: Contestant) -> None:
    """Wait until nothing is queued."""
    deadline = time.monotonic() + _PATIENCE
    while spans_now(running.telemetry)["queued"]:
        assert time.monotonic() < deadline, "the queue does not empty"
        time.sleep(0.05)


def main() -> None:
    """Run from the command line."""
    arguments = argparse.ArgumentParser(description="Spans in an outage of the collector.")
    arguments.add_argument("--minutes", type=float, default=5.0)
    arguments.add_argument("--rate", type=float, default=200.0, help="spans a second")
    chosen = arguments.parse_args()
    run(minutes=chosen.minutes, rate=chosen.rate)


if __name__ == "__main__":
    main()
