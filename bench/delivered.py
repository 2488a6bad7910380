"""Processor time a frame with everything on: every turn traced, and spans and metrics delivered to a receiver that throws them away."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from statistics import median

from bench import frames, machine
from bench.contestants import Contestant, running
from bench.frames import Load, load
from bench.peers import peers
from bench.report import table

CONNECTIONS = 50
_ENDPOINT = "OTEL_EXPORTER_OTLP_ENDPOINT"


class _Receiver(BaseHTTPRequestHandler):
    """Takes whatever comes."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("content-length", 0)))
        self.send_response(200)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name the base class gave it
        """Say nothing."""


@contextmanager
def _receiver() -> Iterator[str]:
    """The receiver as a process of its own, on the generator's core; gives its URL."""
    process = subprocess.Popen([sys.executable, "-m", "bench.delivered"], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        machine.pin(process.pid, machine.GENERATOR_CORE)
        yield f"http://127.0.0.1:{int(process.stdout.readline())}"
    finally:
        process.terminate()
        process.wait(15)


def _cost(contestant: Contestant, traffic: Load) -> float:
    known = contestant.processed()
    with peers(contestant.port, CONNECTIONS) as group:
        begun = contestant.settle(known + CONNECTIONS)
        sent = group.flood(traffic)
        return (contestant.settle(known + CONNECTIONS + sent) - begun) / sent * 1e6


def _costs(name: str, traffic: Load, rounds: int) -> list[float]:
    with running(name) as contestant:
        return [_cost(contestant, traffic) for _ in range(rounds + 1)][1:]


def run(*, quick: bool) -> None:
    """Measure and print."""
    rounds, turns, small = (1, 50, 200) if quick else (5, 200, 1000)
    loads = (load("turn.metrics", frames.turns(), turns), load("small events as they come", frames.small(), small))
    lines = []
    with _receiver() as url:
        for traffic in loads:
            bare, metrics = (median(_costs(name, traffic, rounds)) for name in ("sink", "exporter"))
            os.environ[_ENDPOINT] = url
            try:
                everything = median(_costs("exporter", traffic, rounds))
            finally:
                del os.environ[_ENDPOINT]
            costs = (f"{cost:.1f} µs = {cost / bare:.2f} ×" for cost in (metrics, everything))
            lines.append((traffic.name, f"{bare:.1f} µs", *costs))
    table(("a frame of", "bare sink", "metrics only", "traced and delivered too"), lines)


if __name__ == "__main__":
    with ThreadingHTTPServer(("127.0.0.1", 0), _Receiver) as receiver:
        print(receiver.server_port, flush=True)
        receiver.serve_forever()
