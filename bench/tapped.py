# mypy: ignore-errors
# It runs where the framework is installed, which is not where types are checked.
"""What the tap takes of an agent's event loop, by a real call of a framework: ``tapped.py FRAMEWORK URL ROUNDS``. Prints JSON.

Measured is the processor time of the agent's thread from each call of the tap by the framework to its return, system calls included:
first in real calls, then with one of those calls played again and again, which is all that the framework told the tap, in order.
"""

import asyncio
import json
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from statistics import median
from types import SimpleNamespace
from typing import Any

ROOT = Path(__file__).parents[1]
CALLS = 4
"""Real calls at a time."""
APART = 0.37
"""Seconds between the beginnings of two calls."""

_clock = time.thread_time_ns


class Meter:
    """Times calls of the tap, and notes which events the tap made of each."""

    def __init__(self, tap: type) -> None:
        self._now: list[list[str]] | None = None
        self._took: list[tuple[list[list[str]], float]] = []
        send = tap.send_made
        tap.send_made = lambda client, session, make: send(client, session, self._noting(make))

    def timed(self, call: Callable[..., Any]) -> Callable[..., Any]:
        """``call``, which is timed unless it is a part of another such call."""

        def timed(*arguments: object) -> object:
            if self._now is not None:
                return call(*arguments)
            self._now = sent = []
            began = _clock()
            try:
                return call(*arguments)
            finally:
                took, self._now = _clock() - began, None
                self._took.append((sent, took / 1000))

        return timed

    def report(self) -> list[tuple[str, int, int, float, float]]:
        """For each kind of call: the events that it sends, how many, how often it was timed, smallest and median time. Begins anew."""
        found: dict[tuple[str, ...], list[float]] = defaultdict(list)
        for sent, took in self._took:
            found[tuple(name for names in sent for name in names)].append(took)
        self._took.clear()
        nothing = _nothing()
        return [
            (", ".join(dict.fromkeys(names)), len(names), len(times), max(0.0, min(times) - nothing), median(times) - nothing)
            for names, times in found.items()
        ]

    def _noting(self, make: Callable[[], Any]) -> Callable[[], Any]:
        """``make``, whose events are named once they are made, in the tap's thread."""
        if self._now is None:
            return make
        names: list[str] = []
        self._now.append(names)

        def noting() -> Any:  # noqa: ANN401 - events
            for event in make():
                names.append(event["type"])
                yield event

        return noting


def _nothing() -> float:
    """What it takes to time nothing."""
    times = []
    for _ in range(1000):
        began = _clock()
        times.append((_clock() - began) / 1000)
    return min(times)


class Session:
    """Stands in for an ``AgentSession`` whose call is played again."""

    def __init__(self, real: Any) -> None:  # noqa: ANN401 - the framework's
        self.llm, self.current_agent = real.llm, SimpleNamespace(llm=None)
        self.current_speech: Any = None
        self.user_state = "listening"
        self.callbacks: dict[str, Callable[[Any], None]] = {}

    def on(self, event: str, callback: Callable[[Any], None]) -> None:
        self.callbacks[event] = callback

    def off(self, event: str, _: Callable[[Any], None]) -> None:
        del self.callbacks[event]

    async def play(self, record: list[tuple[Any, ...]]) -> None:
        """Tell the tap again what it was told."""
        handles: dict[str, Any] = {}
        for name, event, speech, self.user_state in record:
            if name == "speech_created":
                due: list[Callable[..., Any]] = []
                handles[event.speech_handle.id] = SimpleNamespace(id=event.speech_handle.id, due=due, add_done_callback=due.append)
                event = SimpleNamespace(**dict(event) | {"speech_handle": handles[event.speech_handle.id]})  # noqa: PLW2901 - as told
            self.current_speech = None if speech is None else handles.get(speech.id)
            if name == "done":
                handles[event.id].interrupted = event.interrupted
                for callback in handles[event.id].due:
                    callback(None)
            else:
                self.callbacks[name](event)
            for _ in range(3):  # what became due is done
                await asyncio.sleep(0)


async def connected(tap: Any) -> None:  # noqa: ANN401 - a tap
    """Wait until the tap is connected, as it is before the first event of a real session, without letting the caches grow cold."""
    async with asyncio.timeout(5.0):
        while not tap.stats.connected:  # noqa: ASYNC110 - to wait is what keeps the caches warm
            await asyncio.sleep(0)


async def livekit(url: str, rounds: int) -> list[Any]:
    """Calls of examples/livekit."""
    import demo  # noqa: PLC0415 - only one of the frameworks is installed

    from agentstack_tap.livekit import attachment, turns  # noqa: PLC0415 - as above

    meter, records = Meter(attachment.Tap), {}
    for module in (attachment, turns):
        module.guarded = lambda callback, guarded=module.guarded: meter.timed(guarded(callback))

    def attach(session: Any, *arguments: object, **more: object) -> Any:  # noqa: ANN401 - the framework's, and a tap
        record = records[session] = []

        def note(name: str, event: object) -> None:
            record.append((name, event, session.current_speech, session.user_state))
            if name == "speech_created":
                event.speech_handle.add_done_callback(lambda handle: note("done", handle))

        for name in attachment.EVENTS:
            type(session).__mro__[1].on(session, name, lambda event, name=name: note(name, event))
        return attachment.attach(session, *arguments, **more)

    demo.attach = attach
    made = await asyncio.gather(*(_after(APART * number, demo.shop_call, url) for number in range(CALLS)))
    await asyncio.to_thread(made[0].tap.flush, 10.0)
    real = meter.report()
    turns.GRACE = 0.0
    session, record = next(iter(records.items()))
    for _ in range(rounds):
        again = Session(session)
        tap = attachment.attach(again, url, agent="again")
        await connected(tap)
        await again.play(record)
        await asyncio.to_thread(tap.flush, 5.0)
    return [real, meter.report()]


async def pipecat(url: str, rounds: int) -> list[Any]:
    """Calls of examples/pipecat."""
    import bot  # noqa: PLC0415 - as above

    from agentstack_tap import shared  # noqa: PLC0415 - as above
    from agentstack_tap.pipecat import observer, turns  # noqa: PLC0415 - as above

    meter, records, watch = Meter(observer.Tap), {}, observer.TapObserver
    take = watch.take

    def recording(self: Any, handler: object, data: object) -> None:  # noqa: ANN401 - an observer
        records.setdefault(self, []).append(data)
        take(self, handler, data)

    for name in ("take", "_take_apart", "_call_now", "_finish"):
        setattr(watch, name, meter.timed(recording if name == "take" else getattr(watch, name)))
    await asyncio.gather(*(_after(APART * number, bot.call, url, "pharmacy") for number in range(CALLS)))
    real = meter.report()
    watch.take = meter.timed(take)
    turns.LATE_NUMBERS = 0.0
    record = next(iter(records.values()))
    for _ in range(rounds):
        tap = shared.borrow(url)
        tap.open()  # as its attach does
        await connected(tap)
        again = watch(tap, agent="again", on_end=lambda tap=tap: shared.give_back(tap))
        for data in record:
            await again.on_push_frame(data)
            await asyncio.sleep(0)
        await again.cleanup()
        await asyncio.to_thread(tap.flush, 5.0)
    return [real, meter.report()]


async def _after(seconds: float, call: Callable[..., Any], *arguments: object) -> Any:  # noqa: ANN401 - whatever the call returns
    await asyncio.sleep(seconds)
    return await call(*arguments)


if __name__ == "__main__":
    framework, address, number = sys.argv[1:]
    sys.path[:0] = [str(ROOT / "tap"), str(ROOT / "examples" / framework)]
    json.dump(asyncio.run(globals()[framework](address, int(number))), sys.stdout)
