"""The ``simulate`` command: play simulated calls and print a summary."""

import asyncio
import contextlib
import secrets
import signal
import sys
from collections.abc import Coroutine
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec
import uvloop

from exporter.simulate.fleet import FleetRun, RunConfig
from exporter.simulate.platform import PlayConfig, shown_url
from exporter.simulate.profiles import fleet_of
from exporter.simulate.progress import shown_progress
from exporter.simulate.truth import TruthWriter

_STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM)


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulateOptions:
    """What to simulate.

    - ``seed``: the same seed gives the same calls. None draws one; the summary says which.
    - ``calls``: None plays until ``duration`` (seconds) is over or the run is stopped.
    - ``concurrency``: how many calls may be open at once.
    - ``rate``: how many calls begin per second; 0 means no limit.
    - ``speed``: a factor on the pace of a call; 0 sends as fast as the peer reads.
    - ``turns``: how many turns the caller takes; None draws it from the profile.
    - ``profiles``: names in :data:`~exporter.simulate.profiles.FLEETS`.
    - ``opt_in``: withhold the diagnostic events until the app subscribes to them.
    - ``started_at``: unix seconds; makes the time stamps independent of the clock.
    - ``open_timeout``: seconds to wait for a connection.
    - ``token``: the bearer token to send.
    - ``truth``: the file to write the truth to.
    """

    url: str
    seed: int | None = None
    calls: int | None = 100
    concurrency: int = 20
    rate: float = 0.0
    speed: float = 1.0
    duration: float | None = None
    turns: int | None = None
    profiles: tuple[str, ...] = ("mixed",)
    media_frames: int = 10
    opt_in: bool = False
    started_at: float | None = None
    open_timeout: float = 10.0
    token: str | None = field(default=None, repr=False)
    truth: Path | None = None
    quiet: bool = False

    def __post_init__(self) -> None:
        """Raises ``ValueError`` naming the invalid option."""
        if urlsplit(self.url).scheme not in ("ws", "wss") or not urlsplit(self.url).hostname:
            raise ValueError(f"url must be ws://host… or wss://host…, got {shown_url(self.url)!r}")
        for name, least in (("calls", 1), ("concurrency", 1), ("turns", 1), ("rate", 0), ("speed", 0), ("media_frames", 0)):
            value = getattr(self, name)
            if value is not None and value < least:
                raise ValueError(f"{name} must be at least {least}, got {value}")
        if not self.profiles:
            raise ValueError("profiles must name at least one")
        fleet_of(self.profiles)


def run_simulate(options: SimulateOptions) -> int:
    """Run the simulation and print its summary as JSON on stdout.

    Returns 0 when every call could be played, 1 when one failed, 2 when the truth file cannot be written. SIGINT and SIGTERM end
    the run early: open calls are dropped, and the summary is printed.
    """
    try:
        writer = TruthWriter(options.truth) if options.truth else contextlib.nullcontext()
        with writer as truth, asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            summary = runner.run(simulate(options, truth, until_signal=True))
    except OSError as error:
        print(f"error: cannot write {error.filename}: {error.strerror}", file=sys.stderr)
        return 2
    for failure, calls in summary["failures"].items():
        print(f"error: {failure} ({calls} call{'s' if calls > 1 else ''})", file=sys.stderr)
    print(msgspec.json.format(msgspec.json.encode(summary)).decode())
    return 1 if summary["failed"] else 0


async def simulate(options: SimulateOptions, truth: TruthWriter | None = None, *, until_signal: bool = False) -> dict[str, Any]:
    """Run the simulation in a running loop and return its summary.

    When it is cancelled, it drops the open calls and raises ``CancelledError``. With ``until_signal``, SIGINT and SIGTERM drop the open
    calls too, and the summary is returned.
    """
    run, seed = _new_run(options, truth)
    async with shown_progress(run.tally, options.calls, quiet=options.quiet):
        if until_signal:
            await _run_until_signal(run.run(options.duration))
        else:
            await run.run(options.duration)
    return {"url": shown_url(options.url), "seed": seed, "profiles": options.profiles, **run.tally.summary()}


def _new_run(options: SimulateOptions, truth: TruthWriter | None) -> tuple[FleetRun, int]:
    seed = options.seed if options.seed is not None else secrets.randbelow(1 << 32)
    config = RunConfig(
        play=PlayConfig(
            url=options.url, speed=options.speed, opt_in=options.opt_in, open_timeout=options.open_timeout, token=options.token
        ),
        seed=seed,
        fleet=fleet_of(options.profiles),
        calls=options.calls,
        concurrency=options.concurrency,
        rate=options.rate,
        turns=options.turns,
        media_frames=options.media_frames,
        started_at=options.started_at,
    )
    return FleetRun(config, truth), seed


async def _run_until_signal(run: Coroutine[Any, Any, object]) -> None:
    loop, task = asyncio.get_running_loop(), asyncio.create_task(run)
    for number in _STOP_SIGNALS:
        # Only the main thread may handle signals.
        with contextlib.suppress(RuntimeError, ValueError):
            loop.add_signal_handler(number, task.cancel)
    with contextlib.suppress(asyncio.CancelledError):
        await task
