"""The progress of a run on stderr: a live line in a terminal, a plain line every 5 s elsewhere."""

import asyncio
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from rich.console import Console
from rich.live import Live
from rich.text import Text

from exporter.simulate.fleet import Tally

_LIVE_SECONDS = 0.25
_PLAIN_SECONDS = 5.0


@asynccontextmanager
async def shown_progress(tally: Tally, planned: int | None, *, quiet: bool) -> AsyncIterator[None]:
    """Show the progress of ``tally`` while the block runs. ``planned`` is the number of calls; None means no end."""
    if quiet:
        yield
        return
    task = asyncio.create_task(_live(tally, planned) if sys.stderr.isatty() else _plain(tally, planned))
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def _live(tally: Tally, planned: int | None) -> None:
    with Live(console=Console(stderr=True), auto_refresh=False, transient=True) as live:
        while True:
            live.update(Text(progress_line(tally, planned)), refresh=True)
            await asyncio.sleep(_LIVE_SECONDS)


async def _plain(tally: Tally, planned: int | None) -> None:
    while True:
        await asyncio.sleep(_PLAIN_SECONDS)
        print(progress_line(tally, planned), file=sys.stderr, flush=True)


def progress_line(tally: Tally, planned: int | None) -> str:
    """The run's progress in one line."""
    seconds = time.perf_counter() - tally.begun
    done = f"{tally.calls}" if planned is None else f"{tally.calls}/{planned}"
    failed = f", {tally.failures.total()} failed" if tally.failures else ""
    events, turns = tally.so_far()
    return f"{done} calls done{failed}, {len(tally.open)} open, {turns} turns, {events / max(seconds, 0.001):.0f} events/s"
