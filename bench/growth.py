"""What a turn costs when much is alive, and after much has passed.

The same number of turns is sent over 50 connections and twice over 5,000, to an exporter each, in interleaved rounds. Some of the many
sessions have the agents and models of the few, others have 200 agents and 500 sets of provider and model. Then the first exporter has a
million short sessions, and its turns are measured again.
"""

import itertools
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from statistics import median

from bench import frames
from bench.contestants import Contestant, running
from bench.frames import Event, Load, load
from bench.machine import resident_kib
from bench.peers import Peers, peers
from bench.report import table

FEW = 50
AGENTS, SETS = 200, 500
_PINGS_EVERY = 5.0
_FLAGS = (f"--max-agents={AGENTS}", f"--max-pairs={SETS}", "--max-series=200000", "--max-connections=10000")
_MODELS = [{"llm_model": f"model-{number}", "llm_provider": f"provider-{number % 7}"} for number in range(SETS)]
_DIFFERENT = 300
"""Turns that differ in more than their number."""
_A_FLOOD = 500
"""Short sessions that a connection sends at once."""


@dataclass(frozen=True, slots=True)
class Size:
    """Many connections, rounds, turns of each of the many in a round, and short sessions."""

    many: int
    rounds: int
    turns: int
    sessions: int


FULL = Size(many=5_000, rounds=7, turns=16, sessions=1_000_000)
QUICK = Size(many=500, rounds=1, turns=4, sessions=25_000)


@dataclass(slots=True)
class Crowd:
    """An exporter and the connections to it. Turns go on from round to round, so that none is a duplicate."""

    exporter: Contestant
    group: Peers
    events: Iterator[Event]
    models: list[dict[str, str]]
    sending: threading.Lock = field(default_factory=threading.Lock)

    def cost(self, turns: int) -> float:
        """Processor time of a turn, in microseconds, if each connection sends ``turns`` of them."""
        part = list(itertools.islice(self.events, turns))
        loads = [load("turn.metrics", ({**event, **model} for event in part), turns) for model in self.models]
        known = self.exporter.processed()
        begun = self.exporter.rest()
        sent = self.flood(*loads)
        return (self.exporter.settle(known + sent) - begun) / sent * 1e6

    def flood(self, *loads: Load) -> int:
        """Send a load on each connection; returns how many frames that were."""
        with self.sending:
            return self.group.flood(*loads)

    def begin_again(self) -> None:
        """Begin a new call in place of each, so that the turns to come are not of calls that have ended."""
        with self.sending:
            for which in range(len(self.group.sockets)):
                self.group.replace(which)

    @contextmanager
    def answering(self) -> Iterator[None]:
        """Answer the exporter's pings during the block, whenever nothing is sent."""
        over = threading.Event()

        def answer() -> None:
            while not over.wait(_PINGS_EVERY):
                with self.sending:
                    self.group.answer_pings()

        thread = threading.Thread(target=answer)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()


@contextmanager
def crowd(connections: int, agents: int, models: list[dict[str, str]]) -> Iterator[Crowd]:
    """Run an exporter with so many calls that have begun."""
    with running("exporter", *_FLAGS) as exporter, peers(exporter.port, connections, agents) as group:
        found = Crowd(exporter, group, _turns(), models)
        with found.answering():
            exporter.settle(connections)
            yield found


def _turns() -> Iterator[Event]:
    """Some hundred turns again and again, each with a number of its own."""
    some = list(itertools.islice(frames.turns(), _DIFFERENT))
    return ({**event, "turn_number": number} for number, event in enumerate(itertools.cycle(some)))


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
        known += few.flood(*loads)
    few.begin_again()
    few.exporter.settle(known + FEW)


def run(*, quick: bool) -> None:
    """Measure and print."""
    size = QUICK if quick else FULL
    per_connection = size.turns * size.many // FEW
    with ExitStack() as stack:
        few = stack.enter_context(crowd(FEW, 5, _MODELS[:5]))
        crowds = {
            f"{size.many:,} sessions, the same series": stack.enter_context(crowd(size.many, 5, _MODELS[:5])),
            f"{size.many:,} sessions, {AGENTS} agents, {SETS} label sets": stack.enter_context(crowd(size.many, AGENTS, _MODELS)),
        }
        costs: dict[str, list[float]] = {name: [] for name in ("few", *crowds)}
        for number in range(size.rounds + 1):
            found = {"few": few.cost(per_connection)} | {name: many.cost(size.turns) for name, many in crowds.items()}
            for name, cost in found.items() if number else ():
                costs[name].append(cost)
        few_cost = median(costs["few"])
        lines = [(f"{FEW} sessions", f"{few_cost:.2f} µs", "", _resident(few))]
        for name, many in crowds.items():
            ratio = median(cost / least for least, cost in zip(costs["few"], costs[name], strict=True))
            lines.append((name, f"{median(costs[name]):.2f} µs", f"**{ratio:.2f} ×**", _resident(many)))
        short_sessions(few, size.sessions)
        after = median(few.cost(per_connection) for _ in range(size.rounds))
        name = f"{FEW} sessions, after {size.sessions:,} others"
        lines.append((name, f"{after:.2f} µs", f"**{after / few_cost:.2f} ×**", _resident(few)))
    table(("alive", "a turn", "to 50 sessions", "resident"), lines)


def _resident(crowd: Crowd) -> str:
    return f"{resident_kib(crowd.exporter.process.pid) / 1024:.0f} MiB"
