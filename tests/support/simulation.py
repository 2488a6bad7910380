"""The simulated platform, as a process if it has much to do, against the exporter as a process, up to the last scrape."""

import signal
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec

from exporter.simulate import command
from exporter.simulate.command import SimulateOptions
from exporter.simulate.truth import TruthWriter
from tests.support.daemon import PATIENCE, Endpoints, Samples, daemon_process, program
from tests.support.waiting import eventually

_FEW = 100
"""Calls."""


async def simulate(
    directory: Path, endpoints: Endpoints, *, calls: int, profiles: Iterable[str], seed: int, at_once: int = 50
) -> tuple[Path, dict[str, Any]]:
    """Play calls as fast as the exporter takes them; returns the truth file and the platform's own summary.

    ``directory`` has to be one of its own. Few calls are played in this process: another takes longer to start than to play them.
    """
    truth = directory / "truth.jsonl"
    if calls <= _FEW:
        played = SimulateOptions(
            url=endpoints.ws, seed=seed, calls=calls, concurrency=at_once, speed=0, profiles=tuple(profiles), quiet=True
        )
        with TruthWriter(truth) as writer:
            summary = await command.simulate(played, writer)
        assert summary["failures"] == {}
        return truth, summary
    options = ["--calls", str(calls), "--concurrency", str(at_once), "--speed", "0", "--seed", str(seed), "--truth", str(truth)]
    options.append("--quiet")
    for profile in profiles:
        options += ["--profile", profile]
    async with program(directory, "simulate", "--url", endpoints.ws, *options) as platform:
        assert await platform.ended(3 * PATIENCE) == 0, platform.log
        return truth, msgspec.json.decode(platform.output)


def subdirectory(directory: Path, name: str) -> Path:
    """Make a directory for another program's files."""
    made = directory / name
    made.mkdir()
    return made


async def final_scrape(
    directory: Path, *, calls: int, profiles: Iterable[str], seed: int, at_once: int = 200, options: Iterable[str] = ()
) -> tuple[Samples, Path, dict[str, Any]]:
    """Play calls against a new exporter and stop it; returns its last scrape, the truth file and the summary.

    Its waits are so long that none is over before the end: what is shown follows from the order of the events alone. ``options`` are
    further ones of the exporter.
    """
    waits = ("--turn-wait", "600", "--session-resume", "3600", "--session-linger", "600")
    async with daemon_process(directory, "--linger", *waits, *options) as daemon:
        platform = subdirectory(directory, "platform")
        truth, summary = await simulate(platform, daemon.endpoints, calls=calls, profiles=profiles, seed=seed, at_once=at_once)
        daemon.signal(signal.SIGTERM)
        await eventually(lambda: "waiting for one more scrape" in daemon.log, because="the linger")
        samples = await daemon.endpoints.scrape()
        assert await daemon.ended() == 0
        assert "Traceback" not in daemon.log
    return samples, truth, summary
