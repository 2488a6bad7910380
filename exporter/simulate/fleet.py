"""Many calls at once: begin them at the configured rate, bound how many are open, and add up their outcomes."""

import asyncio
import math
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from exporter.simulate.account import summarize
from exporter.simulate.call import Call, plan_call
from exporter.simulate.platform import Outcome, PlayConfig, Player
from exporter.simulate.profiles import Fleet
from exporter.simulate.truth import TruthWriter, nearest_rank


@dataclass(slots=True)
class Tally:
    """What a run has done so far: the sums over finished calls, and the calls still ``open`` by number."""

    begun: float = field(default_factory=time.perf_counter)
    calls: int = 0
    open: dict[int, Outcome] = field(default_factory=dict)
    connections: int = 0
    events: int = 0
    withheld: int = 0
    turns: int = 0
    subscribed: int = 0
    unfinished: int = 0
    commands: Counter[str] = field(default_factory=Counter)
    failures: Counter[str] = field(default_factory=Counter)
    perceived: list[float] = field(default_factory=list)
    account: Counter[str] = field(default_factory=Counter)

    def add(self, outcome: Outcome) -> None:
        """Add a finished call."""
        self.open.pop(outcome.number, None)
        self.calls += 1
        self.connections += outcome.connections
        self.events += outcome.events
        self.withheld += outcome.withheld
        self.turns += len(outcome.turns)
        self.subscribed += outcome.subscribed
        self.commands += outcome.commands
        self.perceived += [value for value in outcome.perceived.values() if value is not None]
        if outcome.account is not None:
            self.account.update(summarize(outcome.account))
        if outcome.failure is not None:
            self.failures[outcome.failure] += 1

    def so_far(self) -> tuple[int, int]:
        """Events and turns so far, including those of open calls."""
        still_open = self.open.values()
        events = self.events + sum(outcome.events for outcome in still_open)
        return events, self.turns + sum(len(outcome.turns) for outcome in still_open)

    def summary(self) -> dict[str, Any]:
        """The summary as the command prints it. Percentiles are exact (nearest rank), in seconds."""
        seconds = time.perf_counter() - self.begun
        ordered = sorted(self.perceived)
        percentiles = {f"p{round(q * 100)}": nearest_rank(ordered, q) if ordered else None for q in (0.5, 0.95, 0.99)}
        return {
            "calls": self.calls,
            "failed": self.failures.total(),
            "failures": dict(self.failures.most_common()),
            "cut_off": self.unfinished,
            "connections": self.connections,
            "events": self.events,
            "withheld": self.withheld,
            "turns": self.turns,
            "seconds": round(seconds, 3),
            "events_per_second": round(self.events / seconds, 1) if seconds else None,
            "user_perceived_seconds": {"count": len(ordered), **percentiles},
            "account": dict(self.account),
            "subscribed": self.subscribed,
            "commands": dict(self.commands.most_common()),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class RunConfig:
    """Which calls to play, and how many at once.

    ``calls`` None means no end. ``rate`` is how many calls begin per second; 0 means no limit. ``started_at`` (unix seconds) is the
    start of the first call, and each later call starts a second after the one before; None takes the start from the clock.
    """

    play: PlayConfig
    seed: int
    fleet: Fleet
    calls: int | None
    concurrency: int
    rate: float = 0.0
    turns: int | None = None
    media_frames: int = 10
    started_at: float | None = None


class FleetRun:
    """One run of simulated calls."""

    def __init__(self, config: RunConfig, truth: TruthWriter | None = None) -> None:
        """``truth`` is written to during the run. The caller closes it."""
        self.tally = Tally()
        self._config = config
        self._truth = truth
        self._slots = asyncio.Semaphore(config.concurrency)
        self._unreachable = False

    async def run(self, seconds: float | None = None) -> Tally:
        """Play all calls, or as many as fit into ``seconds``. Calls still open at the end, or on cancellation, are dropped.

        If the first connection fails, the run ends: the other calls would fail too.
        """
        self.tally.begun = time.perf_counter()
        tasks: set[asyncio.Task[None]] = set()
        try:
            async with asyncio.timeout(seconds):
                await self._begin_calls(tasks)
                if tasks:
                    await asyncio.wait(tasks)
        except TimeoutError:
            pass
        finally:
            await self._cancel_open_calls(tasks)
        return self.tally

    async def _begin_calls(self, tasks: set[asyncio.Task[None]]) -> None:
        config, loop = self._config, asyncio.get_running_loop()
        begun = loop.time()
        for number in self._numbers():
            if config.rate:
                await asyncio.sleep(begun + number / config.rate - loop.time())
            await self._slots.acquire()
            if self._unreachable:
                return
            task = asyncio.create_task(self._one_call(number))
            tasks.add(task)
            task.add_done_callback(tasks.discard)

    def _numbers(self) -> Iterator[int]:
        return iter(count() if self._config.calls is None else range(self._config.calls))

    async def _one_call(self, number: int) -> None:
        config, tally = self._config, self.tally
        call = plan_call(config.seed, number, config.fleet, turns=config.turns, media_frames=config.media_frames)
        player = Player(call, config.play, self._truth)
        tally.open[number] = player.outcome
        try:
            await player.play(self._started_at(call))
        finally:
            tally.add(player.outcome)
            if player.outcome.refused and not tally.connections:
                self._unreachable = True
            self._slots.release()

    def _started_at(self, call: Call) -> float:
        """The start that the call's time stamps count from. A fast call starts in the past, so that its end is not in the future."""
        config = self._config
        if config.started_at is not None:
            return config.started_at + call.number
        saved = 1 - (1 / config.play.speed if config.play.speed else 0)
        return math.floor((time.time() - call.expected_seconds * max(saved, 0)) * 1000) / 1000

    async def _cancel_open_calls(self, tasks: set[asyncio.Task[None]]) -> None:
        open_calls = [task for task in tasks if not task.done()]
        self.tally.unfinished += len(open_calls)
        for task in open_calls:
            task.cancel()
        await asyncio.gather(*open_calls, return_exceptions=True)
