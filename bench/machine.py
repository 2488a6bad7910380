"""The machine of the measurement: its cores, processor time and memory of a process, and its description."""

import os
import platform
import time
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

_CORES = sorted(os.sched_getaffinity(0))
SERVER_CORE, GENERATOR_CORE = _CORES[0], _CORES[-1]
"""The core of the server that is measured, and the core of the traffic."""

_CPUCLOCK_SCHED = 2
_LIBRARIES = ("uvicorn", "uvloop", "websockets", "msgspec", "starlette", "prometheus-client")


def pin(pid: int, core: int) -> None:
    """Bind a process (0: this one) to one core."""
    os.sched_setaffinity(pid, {core})


def cpu_seconds(pid: int) -> float:
    """Processor time, user and system, that a process has used so far; all its threads, exact to the nanosecond."""
    return time.clock_gettime(~pid << 3 | _CPUCLOCK_SCHED)


def waited_seconds(pid: int) -> float:
    """How long the main thread of a process was ready to run and waited for the core, because others used it."""
    return int(Path(f"/proc/{pid}/schedstat").read_text(encoding="ascii").split()[1]) / 1e9


def resident_kib(pid: int) -> int:
    """Resident memory of a process in KiB."""
    status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    [line] = [line for line in status.splitlines() if line.startswith("VmRSS:")]
    return int(line.split()[1])


def about() -> str:
    """Machine, versions, date and load average, in one line."""
    cpu = next((line.partition(":")[2].strip() for line in _cpuinfo() if line.startswith("model name")), platform.machine())
    libraries = ", ".join(f"{name} {version(name)}" for name in _LIBRARIES)
    today = datetime.now(UTC).date().isoformat()
    system = f"Linux {platform.release().partition('-')[0]}, CPython {platform.python_version()}"
    busy = f"load average {os.getloadavg()[0]:.1f} before the run"
    return f"{today}; {os.cpu_count()} × {cpu}; {system}; {libraries}; {busy}"


def _cpuinfo() -> list[str]:
    return Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
