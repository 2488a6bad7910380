"""The command line: ``agentstack-exporter COMMAND``.

stdout carries data only; errors and logs go to stderr. Exit code 2 means a wrong command line or configuration. A command imports what
it needs when it runs, so that ``healthcheck`` does not load a server.
"""

import errno
import gc
import os
import platform
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, Literal

import click

from exporter import __version__
from exporter.compiled import BUILD
from exporter.config import CONFIG_OPTION, OPTIONS, Address, Loaded, SettingsCommand
from exporter.config.setting_types import FileName, Number, OneOf, Url, Whole
from exporter.config.usage_errors import Command
from exporter.logs import hold_standard_descriptors

PROFILES = (
    *("fast", "typical", "slow", "s2s", "outbound", "streaming", "messy", "mixed"),
    *("healthy", "slow-llm", "hasty", "outage", "silent"),
)
_MOST_CALLS = 10_000_000
_MOST_AT_ONCE = 100_000
_OUTPUT_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EPIPE)
_SEED = Whole(0, 2**32 - 1)
_SPEED = Number(0, 1_000_000)
_VERSION = f"%(prog)s %(version)s ({BUILD}), Python {platform.python_version()}, {platform.system()} {platform.machine()}"

_seed_option = click.option(
    "--seed", type=_SEED, help="Seed of the simulated calls. The same seed gives the same calls.  [default: random]"
)


@contextmanager
def _without_gc() -> Iterator[None]:
    """Import without garbage collections: nothing of it is garbage, and they take an eighth of the time."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


class _Commands(Command, click.Group):
    """The commands. An output that cannot be written ends with one line and code 1, not with a traceback."""

    command_class = Command  # type: ignore[mutable-override] # no other is wanted

    def main(self, *args: Any, **extra: Any) -> Any:  # noqa: ANN401 - as click declares it
        """Run a command, and write what is left of its output."""
        try:
            try:
                return super().main(*args, **extra)
            finally:
                if sys.stdout is not None:
                    sys.stdout.flush()
        except OSError as error:
            if error.errno not in _OUTPUT_ERRORS:
                raise
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # for what the interpreter writes at its end
            click.echo(f"Error: cannot write the output: {error.strerror}", err=True)
            sys.exit(1)


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__, prog_name="agentstack-exporter", message=_VERSION)
def main() -> None:
    """Prometheus and OpenTelemetry exporter for Plivo AgentStack voice agents."""
    hold_standard_descriptors()


@main.command(cls=SettingsCommand)
def serve(loaded: Loaded) -> None:
    """Run the exporter."""
    with _without_gc():
        from exporter.daemon.serve import run_serve

    sys.exit(run_serve(loaded, loaded.read_again))


@main.command(cls=SettingsCommand)
@click.option("--calls", type=Whole(0, _MOST_CALLS), default=0, help="Calls to simulate.  [default: no limit]")
@_seed_option
@click.option("--speed", type=_SPEED, default=1.0, show_default=True, help="1 is real time, 10 is ten times as fast, 0 does not wait.")
@click.option("--print-traces", is_flag=True, help="Draw finished turns as waterfalls.")
def demo(loaded: Loaded, calls: int, seed: int | None, speed: float, print_traces: bool) -> None:
    """Run the exporter with simulated calls."""
    with _without_gc():
        from exporter.tools.demo import run_demo

    sys.exit(run_demo(loaded.settings, calls=calls, seed=seed, speed=speed, print_traces=print_traces))


@main.command()
@click.option(
    "--url", type=Url("ws", "wss"), default="ws://127.0.0.1:8790/ws", show_default=True, help="WebSocket URL to send the calls to."
)
@_seed_option
@click.option("--calls", type=Whole(1, _MOST_CALLS), default=20, show_default=True, help="Number of calls.")
@click.option("--concurrency", type=Whole(1, _MOST_AT_ONCE), help="Most calls open at once.  [default: all of them, at most 50]")
@click.option(
    "--rate", type=Number(0, 1_000_000), default=0.0, show_default=True, help="Calls that begin per second; 0 means no limit."
)
@click.option("--speed", type=_SPEED, default=1.0, show_default=True, help="1 is real time, 10 ten times as fast, 0 without waiting.")
@click.option("--turns", type=Whole(1, 10_000), help="Turns the caller takes in each call.  [default: drawn from the profile]")
@click.option(
    "--profile",
    "profiles",
    type=OneOf(PROFILES),
    multiple=True,
    help="Kind of calls (see docs/simulate.md); can be given several times.  [default: mixed]",
)
@click.option(
    "--token",
    envvar="AGENTSTACK_SIMULATE_TOKEN",
    show_envvar=True,
    help="Bearer token to send. Prefer the environment variable: every user of the machine can see flags.",
)
@click.option("--truth", type=FileName(), help="File for the truth: every event sent, and the platform's account of each call.")
@click.option("--quiet", is_flag=True, help="Print no progress.")
def simulate(
    url: str,
    seed: int | None,
    calls: int,
    concurrency: int | None,
    rate: float,
    speed: float,
    turns: int | None,
    profiles: tuple[str, ...],
    token: str | None,
    truth: Path | None,
    quiet: bool,
) -> None:
    """Send simulated calls to a running exporter."""
    with _without_gc():
        from exporter.simulate.command import SimulateOptions, run_simulate

    options = SimulateOptions(
        url=url,
        seed=seed,
        calls=calls,
        concurrency=min(calls, 50) if concurrency is None else concurrency,
        rate=rate,
        speed=speed,
        turns=turns,
        profiles=profiles or ("mixed",),
        token=token,
        truth=truth,
        quiet=quiet,
    )
    sys.exit(run_simulate(options))


@main.command()
@click.argument("file", type=click.File("rb"))
@click.option("--format", "form", type=OneOf(("text", "json")), default="text", show_default=True, help="Format of the output.")
@click.option("--summary", is_flag=True, help="Explain all events together instead, many times as fast.")
@click.option("--traces", is_flag=True, help="Draw the turns as waterfalls instead.")
def replay(file: BinaryIO, form: Literal["text", "json"], summary: bool, traces: bool) -> None:
    """Explain which metrics recorded events become.

    FILE contains the events as JSON lines or as a JSON array, and may be compressed with gzip; - is stdin. stderr says at the end how
    many events were processed. The exit code is 1 if FILE contains no event.
    """
    with _without_gc():
        from exporter.tools.replay import draw_replay, run_replay, summarise_replay

    if summary and traces:
        raise click.UsageError("--summary and --traces cannot be combined.")
    if traces:
        sys.exit(draw_replay(file))
    sys.exit(summarise_replay(file, form) if summary else run_replay(file, form))


@main.command()
@click.option("--format", "form", type=OneOf(("json", "markdown")), default="markdown", show_default=True, help="Format of the output.")
def catalogue(form: Literal["json", "markdown"]) -> None:
    """List event fields and metrics.

    Lists every event field with what it becomes, and every metric that belongs to no single field.
    """
    from exporter.catalogue.render import as_json, as_markdown
    from exporter.metrics import inventory

    render = as_json if form == "json" else as_markdown
    click.echo(render(inventory.events(), inventory.other_metrics()).rstrip("\n"))


def _speaks_tls(web_config: Path | None) -> bool:
    from exporter.config.web_config import WebConfigError, read_web_config

    try:
        return web_config is not None and read_web_config(web_config).tls is not None
    except WebConfigError as error:
        raise click.UsageError(f"--web-config: {error}") from None


@main.command("check-config", cls=SettingsCommand)
def check_config(loaded: Loaded) -> None:
    """Check the settings and print them.

    Does what serve does short of listening, and prints each setting with its origin and where OTLP is sent. It connects nowhere. The
    output is a valid settings file.
    """
    from exporter.daemon.check import check

    try:
        text, warnings = check(loaded)
    except ValueError as error:
        raise click.UsageError(str(error)) from None
    for warning in warnings:
        click.echo(f"Warning: {warning}", err=True)
    click.echo(text)


@main.command(params=[CONFIG_OPTION, OPTIONS["telemetry_listen"], OPTIONS["web_config"]])
@click.option("--ready", is_flag=True, help="Check whether it accepts calls (/-/ready), not only whether it runs (/-/healthy).")
@click.option("--url", type=Url("http", "https"), help="URL to request instead of one at --telemetry-listen.")
def healthcheck(telemetry_listen: Address, web_config: Path | None, ready: bool, url: str | None) -> None:
    """Check the health of a running exporter.

    Certificates are not verified, because the request contains no secret and goes to this machine.

    The exit code is 0 if the exporter is healthy, else 1 with the reason on stderr.
    """
    from exporter.tools.healthcheck import failure, probe_url

    if url is not None and ready:
        raise click.UsageError("--url and --ready cannot be combined; --url is the complete URL.")
    if url is None and telemetry_listen.port == 0:
        raise click.UsageError("--telemetry-listen has port 0, which means any free port; use --url.")
    reason = failure(url or probe_url(telemetry_listen, ready=ready, tls=_speaks_tls(web_config)))
    if reason is not None:
        click.echo(reason, err=True)
        sys.exit(1)


if __name__ == "__main__":
    main(prog_name="agentstack-exporter")
