"""A steady load for a minute: everything that was sent is processed, and nothing grows.

Each call sends what simulated calls send, 20 events a second. Events with a timestamp get the time of sending, so that the exporter's
own histogram of event lag shows how long events take until they are processed.
"""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import islice, pairwise

from bench import frames
from bench.contestants import Contestant, running
from bench.frames import Event
from bench.machine import resident_kib, waited_seconds
from bench.peers import Peers, peers
from bench.report import table

CALLS = 500
EVENTS_A_SECOND = 20
_SCRIPTS = 20
_STAMP = b'"timestamp":"'
_PLACEHOLDER = "2026-01-01T00:00:00.000000Z"
_EVENT_LAG = "agentstack_exporter_event_lag_seconds_bucket"
_LOOP_LAG = "agentstack_exporter_event_loop_lag_seconds_bucket"
PINGS_EVERY = 5.0


@dataclass(frozen=True, slots=True)
class Frame:
    """A prepared frame. Only the time of sending is missing; its place is at ``stamp``."""

    data: bytes
    stamp: int | None

    def at(self, moment: bytes) -> bytes:
        """The frame with the time of sending in it."""
        if self.stamp is None:
            return self.data
        return self.data[: self.stamp] + moment + self.data[self.stamp + len(moment) :]


@dataclass(frozen=True, slots=True)
class Mark:
    """A sample of the exporter at one moment of the run."""

    at: float
    cpu: float
    waited: float
    resident_kib: int
    buckets: dict[tuple[str, str], float]


@dataclass(slots=True)
class Watch:
    """Samples the exporter at intervals during the load."""

    exporter: Contestant
    marks: list[Mark] = field(default_factory=list)

    def look(self) -> None:
        """Take a sample."""
        samples = self.exporter.metrics()
        buckets = {(s.name, s.labels["le"]): s.value for s in samples if s.name in (_EVENT_LAG, _LOOP_LAG)}
        pid = self.exporter.process.pid
        self.marks.append(Mark(time.perf_counter(), self.exporter.cpu, waited_seconds(pid), resident_kib(pid), buckets))

    @contextmanager
    def every(self, seconds: float) -> Iterator[None]:
        """Take samples during the block."""
        over = threading.Event()

        def go_on() -> None:
            while not over.wait(seconds):
                self.look()

        looking = threading.Thread(target=go_on)
        looking.start()
        try:
            yield
        finally:
            over.set()
            looking.join()


def scripts(length: int) -> list[list[Frame]]:
    """What some different calls send after their start."""
    return [[frame_of(event) for event in islice(_talk(call), length)] for call in islice(frames.calls(turns=length // 12), _SCRIPTS)]


def _talk(call: list[Event]) -> Iterator[Event]:
    number = 0
    while True:
        for event in call:
            if event["type"] == "turn.metrics":
                number += 1
            if event["type"] in ("turn.metrics", "turn.completed"):
                yield {**event, "turn_number": number, "agent_tool_id": None}
            elif not event["type"].startswith("session."):
                yield event


def now_text() -> bytes:
    """A moment in the format of the wire."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ").encode()


def frame_of(event: Event) -> Frame:
    """The frame of an event, with the place for the time of sending if it has one."""
    if "timestamp" not in event:
        return Frame(frames.unmasked_key(event), None)
    data = frames.unmasked_key({**event, "timestamp": _PLACEHOLDER})
    return Frame(data, data.index(_STAMP) + len(_STAMP))


def send(group: Peers, talks: list[list[Frame]], seconds: float) -> int:
    """Send at the wanted rate; returns the number of frames."""
    sockets, begun, sent = group.sockets, time.perf_counter(), 0
    rate, pings_at = len(sockets) * EVENTS_A_SECOND, PINGS_EVERY
    while (passed := time.perf_counter() - begun) < seconds:
        moment = now_text()
        while sent < passed * rate:
            round_, which = divmod(sent, len(sockets))
            sockets[which].sendall(talks[which % len(talks)][round_].at(moment))
            sent += 1
        if passed > pings_at:
            pings_at += PINGS_EVERY
            group.answer_pings()
        time.sleep(0.0005)
    return sent


def report(marks: list[Mark]) -> None:
    """One line for each stretch between two samples."""
    rows = []
    for before, after in pairwise(marks):
        cpu = (after.cpu - before.cpu) / (after.at - before.at)
        rows.append(
            (
                f"{before.at - marks[0].at:.0f} – {after.at - marks[0].at:.0f} s",
                _within(before, after, _EVENT_LAG, 0.99),
                _within(before, after, _EVENT_LAG, 0.999),
                _within(before, after, _LOOP_LAG, 0.99),
                f"{cpu:.0%}",
                f"{(after.waited - before.waited) / (after.at - before.at):.0%}",
                f"{after.resident_kib / 1024:.1f} MiB",
            )
        )
    table(("stretch", "event lag p99", "p99.9", "loop lag p99", "CPU (1 core)", "kept waiting for it", "resident"), rows)


def _within(before: Mark, after: Mark, name: str, share: float) -> str:
    """The bucket that holds the quantile of a stretch."""
    grown = {le: value - before.buckets.get(key, 0.0) for key, value in after.buckets.items() for le in [key[1]] if key[0] == name}
    total = grown.get("+Inf", 0.0)
    bound = next((le for le, value in sorted(grown.items(), key=lambda item: float(item[0])) if value >= share * total), "+Inf")
    return f"≤ {float(bound) * 1e3:g} ms" if total else "none"


def run(*, quick: bool) -> None:
    """Measure and print."""
    seconds = 4.0 if quick else 60.0
    with running("exporter") as exporter, peers(exporter.port, CALLS) as group:
        talks = scripts(round(seconds * EVENTS_A_SECOND) + 1)
        exporter.settle(CALLS)
        watch = Watch(exporter)
        watch.look()
        with watch.every(seconds / 6):
            sent = send(group, talks, seconds)
        exporter.settle(CALLS + sent)
        print(f"{sent:,} events of {CALLS} calls sent in {seconds:.0f} s, {exporter.processed() - CALLS:,} processed.\n")
        report(watch.marks)
