"""What the relay adds to a round trip: against a direct connection, and against a TCP proxy that observes nothing.

100 calls send 20 messages a second each, evenly, and an app sends them back; then 100 calls send 50 audio messages a second each. The
app and the callers share a core; the relay or the proxy has its own. Direct, proxy and relay alternate in short rounds. The result is
the median over the rounds of each round's percentile.
"""

import asyncio
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import median, quantiles
from typing import Any

import msgspec
import uvloop
from websockets.frames import Frame, Opcode

from bench import frames, python
from bench.contestants import Contestant, wait_for
from bench.machine import GENERATOR_CORE, SERVER_CORE, pin
from bench.report import table

CALLS = 100
_REQUEST = b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
_REQUEST += b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
_STARTED = b'{"type":"session.started","agent_session_id":"%d","agent_id":"bench"}'
_AUDIO = b'{"event":"media","media":{"payload":"' + b"A" * 216 + b'"}}'


class Caller(asyncio.Protocol):
    """A call that records how long each of its messages took to come back."""

    def __init__(self) -> None:
        self.transport: Any = None
        self.open: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.waiting: list[tuple[float, int]] = []
        self.took: list[float] = []
        self._missing = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        self.transport.write(_REQUEST)

    def data_received(self, data: bytes) -> None:
        if not self.open.done():
            if data.endswith(b"\r\n\r\n"):
                self.open.set_result(None)
            return
        now, left = time.perf_counter(), len(data)
        while left and self.waiting:
            sent, size = self.waiting[0]
            need = size - self._missing
            if left < need:
                self._missing += left
                return
            left -= need
            self._missing = 0
            self.waiting.pop(0)
            self.took.append(now - sent)

    def say(self, frame: bytes) -> None:
        """Send a message."""
        self.waiting.append((time.perf_counter(), len(frame)))
        self.transport.write(frame)


async def round_of(port: int, seconds: float, rate: float, frame: bytes) -> tuple[list[float], int]:
    """One round: how long the messages took, and how many did not come back."""
    loop = asyncio.get_running_loop()
    callers = [(await loop.create_connection(Caller, "127.0.0.1", port))[1] for _ in range(CALLS)]
    await asyncio.gather(*(caller.open for caller in callers))
    for number, caller in enumerate(callers):
        caller.say(Frame(Opcode.TEXT, _STARTED % number).serialize(mask=True))
    await asyncio.sleep(0.3)
    for caller in callers:
        caller.took.clear()
    gap, began, said = 1.0 / (rate * CALLS), time.perf_counter(), 0
    while (now := time.perf_counter()) - began < seconds:
        while said * gap <= now - began:
            callers[said % CALLS].say(frame)
            said += 1
        await asyncio.sleep(max(0.0, began + said * gap - time.perf_counter()))
    await asyncio.sleep(0.3)
    took = [each for caller in callers for each in caller.took]
    for caller in callers:
        caller.transport.abort()
    return took, said - len(took)


@contextmanager
def process(core: int, *arguments: str) -> Iterator[int]:
    """Run a process of ``bench.echo_app`` on a core; yields its port."""
    running = subprocess.Popen([sys.executable, "-m", "bench.echo_app", *arguments], stdout=subprocess.PIPE, text=True)
    try:
        pin(running.pid, core)
        assert running.stdout is not None
        yield int(running.stdout.readline())
    finally:
        running.terminate()
        running.wait(15)


@contextmanager
def relay(upstream: int) -> Iterator[Contestant]:
    """The exporter as shipped, in front of the app."""
    with tempfile.TemporaryDirectory() as folder:
        ready = Path(folder) / "ready"
        listen = ["--listen=127.0.0.1:0", "--telemetry-listen=127.0.0.1:0", "--log-level=warning", f"--ready-file={ready}"]
        app = ["--upstream", f"ws://127.0.0.1:{upstream}", "--no-subscribe", "--drain-timeout=0"]
        command = python.command("-m", "exporter.cli", "serve", *listen, *app)
        running = subprocess.Popen(command, text=True, env=python.environment())
        try:
            pin(running.pid, SERVER_CORE)
            yield wait_for("relay", ready, running)
        finally:
            running.terminate()
            running.wait(15)


def percentiles(took: list[float]) -> tuple[float, float]:
    """The median and the 99th percentile."""
    cuts = quantiles(took, n=100)
    return cuts[49], cuts[98]


def run(*, quick: bool) -> None:
    """Measure and print."""
    seconds, rounds = (0.5, 2) if quick else (4.0, 9)
    event = Frame(Opcode.TEXT, msgspec.json.encode(next(frames.of_type("user.transcription")))).serialize(mask=True)
    audio = Frame(Opcode.TEXT, _AUDIO).serialize(mask=True)
    with ExitStack() as stack:
        app = stack.enter_context(process(GENERATOR_CORE, "echo"))
        ways = {"direct": app, "splice": stack.enter_context(process(SERVER_CORE, "splice", str(app)))}
        ways["relay"] = stack.enter_context(relay(app)).port
        rows = []
        for name, rate, frame in (("events, 20 a second", 20.0, event), ("audio, 50 a second", 50.0, audio)):
            found: dict[str, list[tuple[float, float]]] = {way: [] for way in ways}
            lost = dict.fromkeys(ways, 0)
            for number in range(rounds):
                for way in sorted(ways, key=lambda way, shift=number: (list(ways).index(way) + shift) % len(ways)):  # type: ignore[misc]
                    took, missing = uvloop.run(round_of(ways[way], seconds, rate, frame))
                    found[way].append(percentiles(took))
                    lost[way] += missing
            middle = {way: tuple(median(each[at] for each in found[way]) for at in (0, 1)) for way in ways}
            for way in ways:
                p50, p99 = middle[way]
                against = [f"{(value / base - 1) * 100:+.0f} %" for value, base in zip(middle[way], middle["splice"], strict=True)]
                rows.append((name, way, f"{p50 * 1e6:.0f} µs", f"{p99 * 1e6:.0f} µs", *against, str(lost[way])))
        table((f"{CALLS} calls", "way", "round trip p50", "p99", "p50 against splice", "p99 against splice", "lost"), rows)
