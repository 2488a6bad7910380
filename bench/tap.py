"""What a tap takes of an agent's event loop: by calls of LiveKit Agents and Pipecat, and of plain ``Tap.send``."""

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median
from typing import Final

from agentstack_tap import Tap
from bench import frames
from bench.contestants import running
from bench.python import ROOT
from bench.report import table

FRAMEWORKS: Final = ("livekit", "pipecat")
_PEERS: Final = ROOT / ".cache" / "peers"
"""Where .ci/peers installs the frameworks."""
_BURST: Final = 20
_clock: Final = time.thread_time_ns
Rows = list[tuple[str, int, int, float, float]]
"""As ``bench.tapped`` reports: the events of a call of the tap, how many, how often it was timed, smallest and median time in µs."""


def run(*, quick: bool) -> None:
    """Measure and print."""
    with running("exporter") as exporter:
        url = f"ws://127.0.0.1:{exporter.port}/ws"
        for framework in FRAMEWORKS:
            installed = sorted(_PEERS.glob(f"{framework}-*"), key=_version)
            if not installed:
                print(f"{framework} is not installed: run .ci/peers\n")
                continue
            real, again = _told(framework, installed[-1], url, 3 if quick else 200)
            print(f"{installed[-1].name}, one line for each call of the tap by the framework:\n")
            table(
                ("events that it sends", "how many", "in calls, median", "again and again, smallest", "median", "an event"),
                _rows(real, again),
            )
        table(("Tap.send of", "smallest", "median"), _plain(url, 20 if quick else 500))


def _version(environment: Path) -> list[int]:
    return [int(number) for number in environment.name.partition("-")[2].split(".")]


def _told(framework: str, environment: Path, url: str, rounds: int) -> tuple[Rows, Rows]:
    command = [str(environment / "bin" / "python"), str(ROOT / "bench" / "tapped.py"), framework, url, str(rounds)]
    done = subprocess.run(command, capture_output=True, check=False, text=True)
    if done.returncode:
        sys.exit(done.stderr)
    real, again = json.loads(done.stdout)
    return real, again


def _rows(real: Rows, again: Rows) -> Iterator[tuple[str, ...]]:
    in_calls = {(names, number): middle for names, number, _, _, middle in real}
    for names, number, _, smallest, middle in sorted(again):
        once = in_calls.get((names, number))
        each = f"**{middle / number:.1f} µs**" if number else ""
        yield (
            names or "none",
            str(number or ""),
            f"{once:.0f} µs" if once is not None else "",
            f"{smallest:.1f} µs",
            f"{middle:.1f} µs",
            each,
        )


def _plain(url: str, bursts: int) -> Iterator[tuple[str, ...]]:
    turn, small = next(iter(frames.turns())), next(iter(frames.small()))
    tap = Tap(url)
    for name, event in (("turn.metrics", turn), ("a small event", small)):
        text = json.dumps(event)
        for form, send in (
            ("text", lambda text=text: tap.send("call", text)),
            ("mapping", lambda event=event: tap.send("call", event)),
        ):
            times = list(_times(send, bursts))
            yield f"{name}, as a {form}", f"{min(times):.1f} µs", f"**{median(times):.1f} µs**"
            tap.flush(10.0)
    assert not tap.stats.dropped, tap.stats
    tap.close()


def _times(send: Callable[[], None], bursts: int) -> Iterator[float]:
    """The processor time of this thread for each call, in microseconds. The tap's thread gets time between bursts."""
    for _ in range(bursts):
        for _ in range(_BURST):
            began = _clock()
            send()
            yield (_clock() - began) / 1000
        time.sleep(0.005)
