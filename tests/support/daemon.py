"""The whole exporter, in the test's event loop or as a separate process, and its metrics."""

import asyncio
import os
import signal
import ssl
import sys
import time
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import msgspec
from prometheus_client.parser import text_string_to_metric_families
from websockets.asyncio.client import ClientConnection, connect

from exporter.config import Address, Settings
from exporter.daemon.app import Daemon
from exporter.receivers.tap.link import ACK_AFTER
from tests.support.house_rules import ROOT
from tests.support.waiting import eventually, patience, seconds

LabelSet = frozenset[tuple[str, str]]
Samples = dict[tuple[str, LabelSet], float]
"""The samples of a scrape: value by sample name (``…_bucket``, ``…_sum`` and so on) and labels."""

_NO_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
ANY_PORT = Address("127.0.0.1", 0)
PATIENCE = 20.0
"""Test time that a process may take to start. On a busy machine the imports alone take seconds."""


@dataclass(frozen=True)
class Endpoints:
    """The addresses of a running exporter."""

    listen: str
    telemetry: str
    path: str = "/ws"

    @property
    def ws(self) -> str:
        """URL of the ingest WebSocket."""
        return f"ws://{self.listen}{self.path}"

    def url(self, path: str) -> str:
        """URL of a page of the telemetry listener."""
        return f"http://{self.telemetry}{path}"

    async def get(self, path: str, **headers: str) -> httpx.Response:
        """One GET to the telemetry listener, on a new connection."""
        async with http_client() as http:
            return await http.get(self.url(path), headers=headers)

    async def text(self) -> str:
        """``/metrics`` as text."""
        answer = await self.get("/metrics")
        assert answer.status_code == 200, answer.text
        return answer.text

    async def scrape(self) -> Samples:
        """All samples of ``/metrics``."""
        return samples_of(await self.text())

    async def total(self, name: str, **labels: str) -> float:
        """The sum over all series of ``name`` that carry ``labels``. Other lines are not parsed: that would take most of the time."""
        lines = (await self.text()).splitlines(keepends=True)
        return total(samples_of("".join(line for line in lines if line.startswith(name))), name, **labels)

    async def reaches(self, name: str, value: float, *, within: float = 5.0, **labels: str) -> float:
        """Wait until that sum is ``value`` or more, and return it."""

        found = 0.0

        async def there() -> bool:
            nonlocal found
            found = await self.total(name, **labels)
            assert found >= value, found
            return True

        await eventually(there, within=within, because=f"{name}{labels or ''} to reach {value:g}")
        return found


def http_client() -> httpx.AsyncClient:
    """A client that ignores the environment's proxies, and does not load certificates that it does not need."""
    return httpx.AsyncClient(trust_env=False, verify=_NO_TLS, timeout=patience(10))


def samples_of(text: str) -> Samples:
    """Parse text format 0.0.4 with ``prometheus_client``."""
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def total(samples: Samples, name: str, **labels: str) -> float:
    """The sum over all series of ``name`` that carry ``labels``."""
    wanted = set(labels.items())
    return sum(value for (found, found_labels), value in samples.items() if found == name and wanted <= found_labels)


def settings(**changes: Any) -> Settings:
    """Settings for tests: any free ports on loopback."""
    return msgspec.structs.replace(Settings(listen=ANY_PORT, telemetry_listen=ANY_PORT), **changes)


@asynccontextmanager
async def running_daemon(**changes: Any) -> AsyncIterator[Endpoints]:
    """The exporter in the test's event loop; ``changes`` are fields of the settings."""
    daemon = Daemon(settings(**{"drain_timeout": 0.0, **changes}))
    await daemon.start()
    try:
        yield Endpoints(str(daemon.listen), str(daemon.telemetry_listen), changes.get("path", "/ws"))
    finally:
        await daemon.stop()


def call(url: str, **options: Any) -> connect:
    """A WebSocket client like the platform: no compression, no proxy, no pings."""
    return connect(url, compression=None, proxy=None, ping_interval=None, **options)


async def send_all(socket: ClientConnection, events: Iterable[object]) -> None:
    """Send events as JSON text frames."""
    for event in events:
        await socket.send(msgspec.json.encode(event), text=True)


@dataclass
class Program:
    """A process that the test started, by its id."""

    process: asyncio.subprocess.Process
    stdout: Path
    stderr: Path

    @property
    def log(self) -> str:
        """What it wrote to stderr so far."""
        return self.stderr.read_text(encoding="utf-8")

    @property
    def output(self) -> str:
        """What it wrote to stdout so far."""
        return self.stdout.read_text(encoding="utf-8")

    @property
    def running(self) -> bool:
        """Whether it is still running."""
        return self.process.returncode is None

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal."""
        self.process.send_signal(number)

    async def ended(self, within: float = PATIENCE) -> int:
        """Wait for its end and return the exit code."""
        try:
            return await asyncio.wait_for(self.process.wait(), patience(within))
        except TimeoutError:
            raise AssertionError(f"still running after {patience(within):g} s; its log:\n{self.log}") from None


@dataclass
class ServingProgram(Program):
    """A process that serves."""

    endpoints: Endpoints = field(default_factory=lambda: Endpoints("", ""))
    ready_file: Path = Path()


@asynccontextmanager
async def program(
    directory: Path,
    *args: str,
    env: dict[str, str] | None = None,
    log_to: int | None = None,
    module: str = "exporter.cli",
) -> AsyncIterator[Program]:
    """Run ``agentstack-exporter`` as a process during the block, with its output in files in ``directory``.

    ``log_to`` is a descriptor for its stderr instead of the file, and ``module`` what Python runs.
    """
    stdout, stderr = directory / "stdout", directory / "stderr"
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("AGENTSTACK_", "OTEL_"))}
    path = os.pathsep.join(filter(None, (os.environ.get("PYTHONPATH"), str(ROOT))))  # a compiled copy, if the tests run with one
    with stdout.open("wb") as out, stderr.open("wb") as err:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-W", "error::ResourceWarning", "-m", module),
            *args,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=out,
            stderr=err if log_to is None else log_to,
            env=kept | {"PYTHONPATH": path, "PYTHONUNBUFFERED": "1"} | (env or {}),
            cwd=directory,
        )
    try:
        yield Program(process, stdout, stderr)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


@asynccontextmanager
async def daemon_process(
    directory: Path, *args: str, env: dict[str, str] | None = None, log_to: int | None = None, module: str = "exporter.cli"
) -> AsyncIterator[ServingProgram]:
    """Run ``agentstack-exporter serve`` as a process on free ports. It is ready inside the block."""
    ready_file = directory / "ready"
    listen = ("--listen", "127.0.0.1:0", "--telemetry-listen", "127.0.0.1:0", "--ready-file", str(ready_file))
    async with program(directory, "serve", *listen, *args, env=env, log_to=log_to, module=module) as started:

        def ready() -> bool:
            if not started.running:
                raise RuntimeError(f"ended with {started.process.returncode}:\n{started.log}")
            return ready_file.exists()

        await eventually(ready, within=PATIENCE, because="the ready file")
        found = msgspec.json.decode(ready_file.read_bytes(), type=dict[str, str])
        endpoints = Endpoints(found["listen"], found["telemetry_listen"])
        yield ServingProgram(started.process, started.stdout, started.stderr, endpoints, ready_file)


async def killed(program: ServingProgram) -> Samples:
    """Kill a program once its taps have got their acknowledgements: what has none counts again elsewhere. Returns its last scrape."""
    due = time.monotonic() + 4 * seconds(ACK_AFTER)
    await eventually(lambda: time.monotonic() > due, because="acknowledgements to be sent")
    samples = await program.endpoints.scrape()
    program.signal(signal.SIGKILL)
    await program.process.wait()
    return samples
