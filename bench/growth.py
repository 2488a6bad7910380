"""What a turn costs when much is alive, and after much has passed.

The same number of turns is sent over 50 connections and over 5,000, to an exporter each, in interleaved rounds. The many sessions have
200 agents and 500 sets of provider and model. Then the first exporter sees a million short sessions, and its turns are measured again.
"""

import itertools
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from statistics import median

from bench import frames
from bench.contestants import Contestant, running
from bench.frames import Event, Load, load
from bench.machine import resident_kib
from bench.peers import Peers, peers
from bench.report import table

FEW, MANY = 50, 5_000
AGENTS, SETS = 200, 500
_FLAGS = (f"--max-agents={AGENTS}", f"--max-pairs={SETS}", "--max-series=200000", f"--max-connections={2 * MANY}")
_MODELS = [{"llm_model": f"model-{number}", "llm_provider": f"provider-{number % 7}"} for number in range(SETS)]
_A_FLOOD = 500
"""Short sessions that a connection sends at once."""


@dataclass(frozen=True, slots=True)
class Size:
    """Rounds, turns of one of many connections in each, and short sessions."""

    rounds: int
    turns: int
    sessions: int


@dataclass(slots=True)
class Crowd:
    """An exporter and the connections to it. Turns go on from round to round, so that none is a duplicate."""

    exporter: Contestant
    group: Peers
    events: Iterator[Event]
    models: list[dict[str, str]]

    def cost(self, turns: int) -> float:
        """Processor time of a turn, in microseconds, if each connection sends ``turns`` of them."""
        part = list(itertools.islice(self.events, turns))
        loads = [load("turn.metrics", ({**event, **model} for event in part), turns) for model in self.models]
        known = self.exporter.processed()
        begun = self.exporter.settle(known)
        sent = self.group.flood(*loads)
        return (self.exporter.settle(known + sent) - begun) / sent * 1e6


@contextmanager
def crowd(connections: int, agents: int, models: list[dict[str, str]]) -> Iterator[Crowd]:
    """Run an exporter with so many calls that have begun."""
    with running("exporter", *_FLAGS) as exporter, peers(exporter.port, connections, agents) as group:
        exporter.settle(connections)
        yield Crowd(exporter, group, frames.turns(), models)


def short_sessions(few: Crowd, number: int) -> None:
    """Let so many sessions of one turn each begin and end, one after the other on each connection."""
    turn = frames.unmasked_key(next(frames.turns()))
    begin = frames.unmasked_key({"type": "session.started", "agent_session_id": "x" * 16, "agent_id": "a-1"})
    end = frames.unmasked_key({"type": "session.ended", "reason": "completed", "duration_seconds": 60})
    place = begin.index(b"x" * 16)
    names = itertools.count()
    known = few.exporter.processed()
    for _ in range(0, number, _A_FLOOD * FEW):
        loads = []
        for _ in range(FEW):
            begins = [begin[:place] + b"%016x" % name + begin[place + 16 :] for name in itertools.islice(names, _A_FLOOD)]
            data = b"".join(part for each in begins for part in (each, turn, end))
            loads.append(Load("short sessions", data, tuple(range(3 * _A_FLOOD))))
        known += few.group.flood(*loads)
    few.exporter.settle(known)


def run(*, quick: bool) -> None:
    """Measure and print."""
    size = Size(2, 4, 50_000) if quick else Size(7, 16, 1_000_000)
    with ExitStack() as stack:
        few = stack.enter_context(crowd(FEW, 5, _MODELS[:5]))
        many = stack.enter_context(crowd(MANY, AGENTS, _MODELS))
        costs: dict[str, list[float]] = {"few": [], "many": [], "after": []}
        for number in range(size.rounds + 1):
            found = {"few": few.cost(size.turns * MANY // FEW), "many": many.cost(size.turns)}
            if number:
                costs["few"].append(found["few"])
                costs["many"].append(found["many"])
        memory = resident_kib(few.exporter.process.pid), resident_kib(many.exporter.process.pid)
        short_sessions(few, size.sessions)
        costs["after"] = [few.cost(size.turns * MANY // FEW) for _ in range(size.rounds)]
        after = resident_kib(few.exporter.process.pid)
    few_cost = median(costs["few"])
    lines = [
        (f"{FEW} sessions", f"{few_cost:.2f} µs", "", f"{memory[0] / 1024:.0f} MiB"),
        (
            f"{MANY:,} sessions, {AGENTS} agents, {SETS} label sets",
            f"{median(costs['many']):.2f} µs",
            f"**{median(many / few for few, many in zip(costs['few'], costs['many'], strict=True)):.2f} ×**",
            f"{memory[1] / 1024:.0f} MiB",
        ),
        (
            f"{FEW} sessions, after {size.sessions:,} others",
            f"{median(costs['after']):.2f} µs",
            f"**{median(costs['after']) / few_cost:.2f} ×**",
            f"{after / 1024:.0f} MiB",
        ),
    ]
    table(("alive", "a turn", "to 50 sessions", "resident"), lines)
