"""A long steady load with everything on: 10,000 events a second of 500 calls that come and go, traced and delivered.

Each call lasts a minute, then hangs up, and another one begins in its place. The table says, by the minute, how late the event loop is,
processor time, memory and open files.
"""

import itertools
import os
import time
from dataclasses import dataclass
from pathlib import Path

from bench import steady
from bench.contestants import Contestant, running
from bench.delivered import receiver
from bench.instrumented import ENDPOINT
from bench.machine import resident_kib, waited_seconds
from bench.peers import Peers, peers
from bench.report import table
from bench.steady import CALLS, EVENTS_A_SECOND, Frame

_CALL_SECONDS = 60
_RATE = CALLS * EVENTS_A_SECOND
_DROPPED = "agentstack_exporter_otlp_dropped_total"


@dataclass(frozen=True, slots=True)
class Minute:
    """The exporter at the end of a stretch; the lateness is that of the stretch."""

    at: float
    sent: int
    cpu: float
    waited: float
    resident_kib: int
    files: int
    dropped: float
    late: tuple[float, float]


class Calls:
    """What the calls send, in turn, and where each of them is. They begin at different places, so that they do not all end at once."""

    def __init__(self) -> None:
        end = steady.frame_of({"type": "session.ended", "reason": "completed"})
        self._talks: list[list[Frame]] = [[*talk[:-1], end] for talk in steady.scripts(_CALL_SECONDS * EVENTS_A_SECOND)]
        self._length = len(self._talks[0])
        self._at = [number * self._length // CALLS for number in range(CALLS)]
        self.begun = 0

    def send(self, group: Peers, which: int, moment: bytes) -> None:
        """Send the next event of a call; after the last one, begin another call."""
        talk = self._talks[which % len(self._talks)]
        group.sockets[which].sendall(talk[self._at[which]].at(moment))
        self._at[which] += 1
        if self._at[which] == self._length:
            self._at[which] = 0
            group.replace(which)
            self.begun += 1


def _look(exporter: Contestant, sent: int) -> Minute:
    pid = exporter.process.pid
    dropped = sum(sample.value for sample in exporter.metrics() if sample.name == _DROPPED)
    longest, late = exporter.gaps()
    files = len(list(Path(f"/proc/{pid}/fd").iterdir()))
    return Minute(time.perf_counter(), sent, exporter.cpu, waited_seconds(pid), resident_kib(pid), files, dropped, (late, longest))


def _soak(exporter: Contestant, group: Peers, calls: Calls, minutes: int, seconds: float) -> list[Minute]:
    """Send at the wanted rate; returns what was seen at the beginning and after each stretch."""
    order, sent, pings_at = itertools.cycle(range(CALLS)), 0, steady.PINGS_EVERY
    seen, begun = [_look(exporter, 0)], time.perf_counter()
    while len(seen) <= minutes:
        moment, passed = steady.now_text(), time.perf_counter() - begun
        while sent < passed * _RATE:
            calls.send(group, next(order), moment)
            sent += 1
        if passed > pings_at:
            pings_at += steady.PINGS_EVERY
            group.answer_pings()
        if passed > len(seen) * seconds:
            seen.append(_look(exporter, sent + calls.begun))
        time.sleep(0.0005)
    return seen


def run(*, quick: bool, long: bool = False) -> None:
    """Measure and print."""
    minutes, seconds = (2, 3.0) if quick else (60 if long else 10, 60.0)
    calls = Calls()  # before there are connections, which would have to answer pings
    with receiver() as url:
        os.environ[ENDPOINT] = url
        with running("watched") as exporter, peers(exporter.port, CALLS) as group:
            del os.environ[ENDPOINT]
            exporter.settle(CALLS)
            seen = _soak(exporter, group, calls, minutes, seconds)
            exporter.settle(CALLS + seen[-1].sent)
            lost = CALLS + seen[-1].sent - exporter.processed()
    print(f"{seen[-1].sent:,} events sent, {lost} lost, {seen[-1].dropped:.0f} spans or data points dropped.\n")
    table(
        ("stretch", "events", "loop late, p99", "longest", "CPU (1 core)", "kept waiting for it", "resident", "open files"),
        [
            (
                f"{before.at - seen[0].at:.0f} – {after.at - seen[0].at:.0f} s",
                f"{after.sent - before.sent:,}",
                f"{after.late[0] * 1000:.1f} ms",
                f"{after.late[1] * 1000:.1f} ms",
                f"{(after.cpu - before.cpu) / (after.at - before.at):.0%}",
                f"{(after.waited - before.waited) / (after.at - before.at):.0%}",
                f"{after.resident_kib / 1024:.1f} MiB",
                str(after.files),
            )
            for before, after in itertools.pairwise(seen)
        ],
    )
