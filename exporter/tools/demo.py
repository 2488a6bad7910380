"""The ``demo`` command: the exporter and simulated calls in one process. It prints the addresses to look at."""

import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator, Sequence

import click
import uvloop
from rich.console import Console
from rich.live import Live
from rich.table import Column, Table

from exporter.config import Settings
from exporter.daemon.app import Daemon
from exporter.daemon.serve import FAILURE, MISCONFIGURED, log_warnings, otel_from_environment
from exporter.logs import setup
from exporter.metrics.quantile import quantile
from exporter.metrics.snapshot import HistogramPoint, Snapshot
from exporter.simulate.command import SimulateOptions, simulate
from exporter.tools.waterfall import draw, waterfall_console

CALLS_AT_ONCE = 20
CALLS_PER_SECOND = 2.0
_PERCEIVED = "agentstack_user_perceived_latency_seconds"
_REFRESH = 2.0
_REFRESH_LINES = 15.0


def run_demo(settings: Settings, *, calls: int, seed: int | None, speed: float, print_traces: bool = False) -> int:
    """Run exporter and calls until a signal, or until ``calls`` calls are over (0: no limit). Returns the exit code.

    ``print_traces`` draws finished turns instead of showing numbers.
    """
    setup(settings.log_level if settings.log_level != "info" else "warning", settings.log_format)
    return uvloop.run(_demo(settings, calls, seed, speed, print_traces=print_traces))


async def _demo(settings: Settings, calls: int, seed: int | None, speed: float, *, print_traces: bool) -> int:
    console = Console(highlight=False, soft_wrap=True, markup=False)
    try:
        otel, warnings = otel_from_environment(settings)
        log_warnings(warnings)
        daemon = Daemon(settings, otel, _Traces(waterfall_console()).add if print_traces else None)
        await daemon.start()
    except ValueError as error:
        click.echo(f"Error: {error}.", err=True)
        return MISCONFIGURED
    except OSError as error:
        click.echo(f"Error: {error.strerror or error}. Choose other addresses with --listen and --telemetry-listen.", err=True)
        return FAILURE
    _welcome(console, daemon, settings)
    options = SimulateOptions(
        url=f"ws://{daemon.listen.reachable()}{settings.path}",
        token=settings.auth_tokens[0].value if settings.auth_tokens else None,
        seed=seed,
        calls=calls or None,
        concurrency=CALLS_AT_ONCE,
        rate=CALLS_PER_SECOND * (speed or 1.0),
        speed=speed,
        quiet=True,
    )
    async with contextlib.nullcontext() if print_traces else _shown(console, daemon):
        await _until_signal(options)
    console.print("stopping")
    await daemon.stop()
    return 0


class _Traces:
    """Draws spans as waterfalls. All spans of one turn of the event loop are drawn together, so that no turn is split."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._spans: list[bytes] = []

    def add(self, spans: Sequence[bytes]) -> None:
        """Add spans to draw."""
        if not self._spans:
            asyncio.get_running_loop().call_soon(self._draw)
        self._spans += spans

    def _draw(self) -> None:
        spans, self._spans = self._spans, []
        self._console.print(draw(spans, self._console.width))


async def _until_signal(options: SimulateOptions) -> None:
    """Simulate until all calls are over, or until a signal."""
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for signum in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        loop.add_signal_handler(signum, stopping.set)
    simulation = asyncio.create_task(simulate(options))
    stopped = asyncio.create_task(stopping.wait())
    await asyncio.wait((simulation, stopped), return_when=asyncio.FIRST_COMPLETED)
    for task in (simulation, stopped):
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


def _welcome(console: Console, daemon: Daemon, settings: Settings) -> None:
    telemetry = daemon.telemetry_listen.reachable()
    console.print("Simulated callers are talking to simulated voice agents. Look at:")
    if settings.live:
        console.print(f"  http://{telemetry}/live      what each call is doing now")
    console.print(f"  http://{telemetry}/metrics   what Prometheus scrapes")
    console.print(f"  http://{telemetry}/          the landing page")
    console.print(f"Send your own events to ws://{daemon.listen.reachable()}{settings.path}. Stop with Ctrl-C.")
    console.print(_line(daemon))


@contextlib.asynccontextmanager
async def _shown(console: Console, daemon: Daemon) -> AsyncIterator[None]:
    """Show the numbers live on a terminal, and elsewhere as a line from time to time."""
    task = asyncio.create_task(_show_live(console, daemon) if console.is_terminal else _show_lines(console, daemon))
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def _show_live(console: Console, daemon: Daemon) -> None:
    with Live(console=console, auto_refresh=False) as live:
        while True:
            live.update(_table(_numbers(daemon.snapshot(), daemon)), refresh=True)
            await asyncio.sleep(_REFRESH)


def _table(numbers: list[tuple[str, str]]) -> Table:
    table = Table(*(Column(name, justify="right", no_wrap=True) for name, _ in numbers), title="now", title_justify="left")
    table.add_row(*(value for _, value in numbers))
    return table


async def _show_lines(console: Console, daemon: Daemon) -> None:
    while True:
        await asyncio.sleep(_REFRESH_LINES)
        console.print(_line(daemon))


def _line(daemon: Daemon) -> str:
    """The numbers as one line of at most 80 characters."""
    return ", ".join(f"{name} {value}" for name, value in _numbers(daemon.snapshot(), daemon))


def _numbers(snapshot: Snapshot, daemon: Daemon) -> list[tuple[str, str]]:
    perceived = next(family for family in snapshot.families if family.spec.name == _PERCEIVED)
    points = [series.value for series in perceived.series if isinstance(series.value, HistogramPoint)]
    counts = [sum(places) for places in zip(*(point.counts for point in points), strict=True)]
    bounds = perceived.spec.bounds
    return [
        ("active calls", str(daemon.pipeline.sessions.active)),
        ("events", f"{daemon.pipeline.metrics.processed[0]:,.0f}"),
        ("caller turns", f"{sum(counts):,}"),
        ("p50 perceived", _seconds(quantile(0.5, bounds, counts))),
        ("p95 perceived", _seconds(quantile(0.95, bounds, counts))),
    ]


def _seconds(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f} s"
