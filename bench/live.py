"""What /live costs: keeping calls while nobody watches, and five viewers of 500 calls with 10,000 events a second."""

import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from statistics import median

from bench import frames, machine
from bench.contestants import Contestant, running
from bench.delivered import receiver
from bench.frames import Event, Load, load
from bench.ingest import cost, flood
from bench.instrumented import ENDPOINT
from bench.machine import resident_kib
from bench.peers import Peers, peers
from bench.report import table
from bench.steady import CALLS, EVENTS_A_SECOND, Frame, scripts, send

VIEWERS = 5
"""Streams of the list; the last one is not read."""
_STREAM = b"GET /api/v1/stream HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"


def run(*, quick: bool) -> None:
    """Measure and print."""
    rounds, size, seconds, times, pairs = (1, 1, 3.0, 1, 1) if quick else (30, 4, 10.0, 5, 6)
    with receiver() as url:
        loads = (
            load("turn.metrics", frames.turns(), 50 * size),
            load("small events as they come", frames.small(), 250 * size),
            load("all events of calls", whole_calls(), 250 * size),
        )
        table(("a frame of", "nothing kept", "kept for /live", "ratio"), [*_keeping(url, loads, rounds)])
        os.environ[ENDPOINT] = url
        try:
            table(("500 calls, 10,000 events a second", "nothing kept", "kept for /live", "ratio"), [_keeping_steadily(seconds, pairs)])
            table(
                ("500 calls, 10,000 events a second", "processor time", "event loop late, p99", "longest", "resident at the end"),
                [*_watching(seconds, times)],
            )
        finally:
            del os.environ[ENDPOINT]


def whole_calls() -> Iterator[Event]:
    """All events of calls but their start and end, as if they were one call: each turn has its own number."""
    number = 0
    for call in frames.calls():
        for event in call:
            number += event["type"] == "turn.metrics"
            if event["type"] in ("turn.metrics", "turn.completed"):
                yield {**event, "turn_number": number, "agent_tool_id": None}
            elif not event["type"].startswith("session."):
                yield event


def _keeping(url: str, loads: tuple[Load, ...], rounds: int) -> Iterator[tuple[str, ...]]:
    """What a frame costs with and without keeping its call for /live, traced and delivered, while nobody watches.

    One process keeps calls in every other round: two processes differ by up to a tenth, as long as they live.
    """
    os.environ[ENDPOINT] = url
    try:
        with running("keeping") as exporter:
            for traffic in loads:
                pairs = [(_cost(exporter, traffic), _cost_unkept(exporter, traffic)) for _ in range(rounds + 1)][1:]
                ratios = sorted(kept / without for kept, without in pairs)
                kept, without = (median(costs) for costs in zip(*pairs, strict=True))
                quartiles = f"({ratios[len(ratios) // 4]:.3f} – {ratios[-1 - len(ratios) // 4]:.3f})"
                yield traffic.name, f"{without:.2f} µs", f"{kept:.2f} µs", f"**{median(ratios):.3f} ×** {quartiles}"
    finally:
        del os.environ[ENDPOINT]


def _keeping_steadily(seconds: float, pairs: int) -> tuple[str, ...]:
    """The same with calls that send what calls send, when they send it. Each stretch has calls of its own."""
    warm, length = EVENTS_A_SECOND, round((seconds + 1) * EVENTS_A_SECOND)
    talks, used = scripts(warm + length), []
    with running("keeping") as exporter:
        for _ in range(2 * pairs + 2):
            with peers(exporter.port, CALLS) as group:
                send(group, [talk[:warm] for talk in talks], 1.0)
                before = exporter.cpu
                send(group, [talk[warm:] for talk in talks], seconds)
                used.append((exporter.cpu - before) / seconds)
            exporter.switch()
    kept, without = used[2::2], used[3::2]  # before that, memory fills
    ratios = sorted(one / other for one, other in zip(kept, without, strict=True))
    spread = f"({ratios[0]:.3f} – {ratios[-1]:.3f})"
    return "processor time", f"{median(without):.1%} of a core", f"{median(kept):.1%} of a core", f"**{median(ratios):.3f} ×** {spread}"


def _cost(exporter: Contestant, traffic: Load) -> float:
    return cost(exporter, partial(flood, traffic))


def _cost_unkept(exporter: Contestant, traffic: Load) -> float:
    exporter.switch()
    try:
        return _cost(exporter, traffic)
    finally:
        exporter.switch()


@dataclass(frozen=True, slots=True)
class _Stretch:
    """What was measured of one stretch of the load."""

    cpu: float
    late: float
    longest: float
    resident: int


def _watching(seconds: float, times: int) -> Iterator[tuple[str, ...]]:
    """The same load without and with viewers, in turns."""
    found: dict[int, list[_Stretch]] = {0: [], VIEWERS: []}
    length = round((seconds + 1) * EVENTS_A_SECOND)
    talks = scripts(length * (2 * times + 1))
    stretches = iter([[talk[begin : begin + length] for talk in talks] for begin in range(0, length * (2 * times + 1), length)])
    with running("watched") as exporter, peers(exporter.port, CALLS) as group:
        _stretch(exporter, group, next(stretches), seconds)  # memory fills
        for _ in range(times):
            found[0].append(_stretch(exporter, group, next(stretches), seconds))
            with viewers(exporter.telemetry, VIEWERS):
                found[VIEWERS].append(_stretch(exporter, group, next(stretches), seconds))
    for number, measured in found.items():
        yield (
            f"{number} viewers",
            f"{median(stretch.cpu for stretch in measured):.1%} of a core",
            f"{median(stretch.late for stretch in measured) * 1000:.2f} ms",
            f"{max(stretch.longest for stretch in measured) * 1000:.1f} ms",
            f"{measured[-1].resident / 1024:.1f} MiB",
        )
    ratio = median(watched.cpu / alone.cpu for alone, watched in zip(found[0], found[VIEWERS], strict=True))
    yield "ratio", f"**{ratio:.3f} ×**", "", "", ""


def _stretch(exporter: Contestant, group: Peers, talks: list[list[Frame]], seconds: float) -> _Stretch:
    exporter.gaps()
    before = exporter.cpu
    send(group, talks, seconds)
    longest, late = exporter.gaps()
    return _Stretch((exporter.cpu - before) / seconds, late, longest, resident_kib(exporter.process.pid))


@contextmanager
def viewers(port: int, number: int) -> Iterator[None]:
    """Run viewers in a process of their own on the generator's core."""
    process = subprocess.Popen([sys.executable, "-m", "bench.live", str(port), str(number)], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        machine.pin(process.pid, machine.GENERATOR_CORE)
        assert process.stdout.readline() == "watching\n"
        yield
    finally:
        process.terminate()
        process.wait(15)


def _view(port: int, *, reads: bool) -> None:
    """Open a stream and, if it is a viewer that ``reads``, discard what comes."""
    while True:
        with socket.create_connection(("127.0.0.1", port)) as peer:
            peer.sendall(_STREAM)
            if not reads:
                peer.recv(1)
                threading.Event().wait()
            while peer.recv(1 << 18):
                pass


if __name__ == "__main__":
    threads = [
        threading.Thread(target=_view, args=(int(sys.argv[1]),), kwargs={"reads": place < int(sys.argv[2]) - 1}, daemon=True)
        for place in range(int(sys.argv[2]))
    ]
    for thread in threads:
        thread.start()
    print("watching", flush=True)
    for thread in threads:
        thread.join()
