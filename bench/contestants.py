"""The servers that are measured, each in its own process: the exporter as shipped, and the servers it is compared with.

``sink``: the same uvicorn with an application that only decodes. ``naive``: the usual wiring by hand, Starlette's JSON and
``prometheus_client`` with ``.labels()`` at each field. ``instrumented``: the same with OpenTelemetry's meter and tracer on top.
``watched``: the exporter with a heartbeat task. ``plain``: the exporter without compiled modules. ``bare``: the exporter with the
cheapest HTTP connection there can be. ``keeping``: the exporter, which can be told to keep no calls for /live.
"""

import json
import os
import signal
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from bench import python
from bench.machine import SERVER_CORE, cpu_seconds, pin

_FRAMES = "agentstack_exporter_frames_total"
_IDLE = 0.1
_PATIENCE = 60.0


@dataclass(frozen=True, slots=True)
class Contestant:
    """A running server: the addresses of its two listeners, and the process."""

    name: str
    port: int
    telemetry: int
    process: "subprocess.Popen[str]"
    patience: float = _PATIENCE
    """Seconds that it may take for what it was sent."""

    @property
    def cpu(self) -> float:
        """Processor time used so far, in seconds."""
        return cpu_seconds(self.process.pid)

    def metrics(self) -> list[Sample]:
        """The samples of ``/metrics``."""
        return samples_at(self.telemetry)

    def processed(self) -> int:
        """How many events it has processed."""
        [sample] = [sample for sample in self.metrics() if sample.name == _FRAMES and sample.labels == {"outcome": "processed"}]
        return round(sample.value)

    def settle(self, expected: int) -> float:
        """Wait until it has processed ``expected`` events in all and is idle; returns its processor time then."""
        deadline = time.monotonic() + self.patience
        while True:
            used = self.rest()
            processed = self.processed()
            if processed == expected:
                return used
            assert processed < expected, f"{self.name} took in {processed} events of {expected}"
            assert time.monotonic() < deadline, f"{self.name} is stuck at {processed} events of {expected}"

    def switch(self) -> None:
        """Keep the calls to come from now on, or do not. Only for ``keeping``, which does at first."""
        self.process.send_signal(signal.SIGUSR1)

    def longest_gap(self) -> float:
        """The longest time that the event loop was held since the last call, in seconds. Only for ``watched``."""
        return self.gaps()[0]

    def gaps(self) -> tuple[float, float]:
        """The same, and how late the loop was at the 99th percentile, sampled every millisecond."""
        os.kill(self.process.pid, signal.SIGUSR1)
        assert self.process.stdout is not None
        longest, late = self.process.stdout.readline().split()
        return float(longest), float(late)

    def rest(self) -> float:
        """Wait until it is idle; returns its processor time then. To ask how many events it has processed takes some, too."""
        used = self.cpu
        while True:
            time.sleep(_IDLE)
            before, used = used, self.cpu
            if used - before < _IDLE / 20:
                return used


@contextmanager
def running(name: str, *flags: str, under: Sequence[str] = (), patience: float = _PATIENCE) -> Iterator[Contestant]:
    """Run a server during the block, on the server's core, as a program ``under`` another one. Only the exporter takes flags."""
    with tempfile.TemporaryDirectory() as folder:
        ready = Path(folder) / "ready"
        environment = python.environment(compiled=name != "plain")
        process = subprocess.Popen([*under, *_command(name, ready), *flags], stdout=subprocess.PIPE, text=True, env=environment)
        try:
            pin(process.pid, SERVER_CORE)
            yield replace(wait_for(name, ready, process, patience), patience=patience)
        finally:
            process.terminate()
            process.wait(patience)


def samples_at(port: int) -> list[Sample]:
    """The samples of ``/metrics`` of a process on this host."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=_PATIENCE) as answer:
        text = answer.read().decode()
    return [sample for family in text_string_to_metric_families(text) for sample in family.samples]


def _command(name: str, ready: Path) -> list[str]:
    shipped = ["exporter.cli", "serve", "--listen=127.0.0.1:0", "--telemetry-listen=127.0.0.1:0", "--log-level=warning"]
    module = shipped if name in ("exporter", "plain") else ["bench.rivals", name]
    return python.command("-m", *module, f"--ready-file={ready}")


def wait_for(name: str, ready: Path, process: "subprocess.Popen[str]", patience: float = _PATIENCE) -> Contestant:
    deadline = time.monotonic() + patience
    while not ready.exists():
        assert process.poll() is None, f"{name} did not start"
        assert time.monotonic() < deadline, f"{name} takes too long to start"
        time.sleep(0.02)
    ports = {key: int(address.rpartition(":")[2]) for key, address in json.loads(ready.read_text(encoding="utf-8")).items()}
    return Contestant(name, ports["listen"], ports["telemetry_listen"], process)
