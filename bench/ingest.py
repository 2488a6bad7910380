"""What a frame costs: processor time of the exporter as a multiple of a bare sink's on the same frames in the same run.

*flood*: each of 50 connections sends as fast as it can, so that the server always has something to read. *paced*: one frame at a
time, spread over the connections, so that most of the cost is waking up. Rounds are interleaved; medians are shown.
"""

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from statistics import median

from bench import frames
from bench.contestants import Contestant, running
from bench.frames import Load, load
from bench.peers import Peers, peers
from bench.report import table

CONNECTIONS = 50
PACED_RATE = 4000
PROMISE = 2.0
"""The most that the exporter may cost, as a multiple of the bare sink."""


@dataclass(frozen=True, slots=True)
class Size:
    """How much is measured: rounds, and frames of a connection in each."""

    rounds: int
    turns: int
    small: int
    paced_seconds: float


FULL = Size(rounds=7, turns=250, small=1000, paced_seconds=1.5)
QUICK = Size(rounds=2, turns=100, small=300, paced_seconds=0.5)


@dataclass(slots=True)
class Row:
    """One kind of traffic and, for each server that receives it, the cost of a frame in each round, in microseconds."""

    load: Load
    rivals: tuple[str, ...]
    like: str | None = None
    costs: dict[str, list[float]] = field(default_factory=dict)


def rows_for(size: Size) -> list[Row]:
    """The kinds of traffic. The sink reads only clean turns, so other turns are compared with its cost of clean ones."""
    turn = load("turn.metrics", frames.turns(), size.turns)
    mixed = load("small events as they come", frames.small(), size.small)
    alike = [load(kind, frames.of_type(kind), size.small) for kind in ("user.state_changed", "user.transcription")]
    alike.append(load("turn.metrics, all fields", frames.full(), size.turns))
    rows = [Row(traffic, ("sink", "exporter", "naive")) for traffic in (turn, mixed)]
    rows += [Row(traffic, ("sink", "exporter")) for traffic in alike]
    rows += [Row(traffic, ("exporter",), like=turn.name) for traffic in flawed_turns(size.turns)]
    return [*rows, Row(load("small events with an unknown field", frames.small_drifted(), size.small), ("exporter",), like=mixed.name)]


def flawed_turns(number: int) -> list[Load]:
    """Turns of a platform that is newer than the exporter, or that sends values that are not plausible."""
    return [
        load("turn.metrics with an unknown field", frames.drifted(), number),
        load("turn.metrics with a −1", frames.sentinel(), number),
        load("turn.metrics with a number for a text", frames.mistyped(), number),
    ]


def cost(contestant: Contestant, send: Callable[[Peers], int]) -> float:
    """Processor time of a frame, in microseconds."""
    known = contestant.processed()
    with peers(contestant.port, CONNECTIONS) as group:
        contestant.settle(known + CONNECTIONS)
        begun = contestant.rest()
        sent = send(group)
        return (contestant.settle(known + CONNECTIONS + sent) - begun) / sent * 1e6


def measure(rows: list[Row], contestants: dict[str, Contestant], size: Size, paced: bool) -> None:
    """Interleaved rounds. A round before the first fills caches and is discarded."""
    for number in range(size.rounds + 1):
        for row in rows:
            for name in row.rivals:
                traffic = row.load.part(8) if name == "naive" else row.load
                send = partial(_pace, traffic, size.paced_seconds) if paced else partial(flood, traffic)
                found = cost(contestants[name], send)
                if number:
                    row.costs.setdefault(name, []).append(found)


def flood(traffic: Load, group: Peers) -> int:
    """Send everything as fast as the server takes it."""
    return group.flood(traffic)


def _pace(traffic: Load, seconds: float, group: Peers) -> int:
    return group.pace(traffic, PACED_RATE, round(PACED_RATE * seconds))


def report(rows: list[Row]) -> None:
    """One line for each kind of traffic."""
    sinks = {row.load.name: row.costs["sink"] for row in rows if "sink" in row.costs}
    lines = []
    for row in rows:
        sink = sinks[row.like or row.load.name]
        ratios = [ours / bare for ours, bare in zip(row.costs["exporter"], sink, strict=True)]
        naive = row.costs.get("naive")
        lines.append(
            (
                row.load.name,
                f"{median(sink):.1f} µs",
                _spread(row.costs["exporter"], "µs"),
                f"**{_spread(ratios, '×')}**",
                _spread(naive, "µs") if naive else "",
                f"{median(naive) / median(row.costs['exporter']):.1f}×" if naive else "",
            )
        )
    table(("a frame of", "bare sink", "exporter", "exporter ÷ sink", "wired by hand", "by hand ÷ exporter"), lines)


def _spread(values: list[float], unit: str) -> str:
    return f"{median(values):.2f} {unit} ({min(values):.2f} – {max(values):.2f})"


def run(*, quick: bool) -> None:
    """Measure and print."""
    size = QUICK if quick else FULL
    with ExitStack() as stack:
        contestants = {name: stack.enter_context(running(name)) for name in ("sink", "exporter", "naive")}
        for paced in (False, True):
            rows = rows_for(size)[: 2 if paced else None]
            measure(rows, contestants, size, paced)
            print(f"Paced, {PACED_RATE:,} frames a second one by one:\n" if paced else f"Flood over {CONNECTIONS} connections:\n")
            report(rows)
