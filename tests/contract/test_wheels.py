"""The wheels of both distributions, each installed where there is nothing but what it asks for."""

import asyncio
import sys
import zipfile
from pathlib import Path

import pytest

from exporter import __version__
from tests.support.daemon import running_daemon
from tests.support.distributions import SOURCES, Environment, build_wheel, lock_entry, python_of
from tests.support.house_rules import ROOT

pytestmark = [pytest.mark.external, pytest.mark.xdist_group("wheels")]

PACKAGES = {"agentstack-exporter": "exporter", "agentstack-tap": "agentstack_tap"}
OLDEST = "3.10"
SEND_ONE = """
import importlib.metadata, importlib.util, sys
from agentstack_tap import Tap, attach
assert importlib.util.find_spec("exporter") is None
assert callable(attach)
tap = Tap(sys.argv[1])
tap.send("s1", {"type": "play.completed"})
assert tap.close(), tap.stats
print(*sorted(found.metadata["Name"] for found in importlib.metadata.distributions()))
"""
Wheels = dict[str, Path]


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Wheels:
    return {name: build_wheel(name, tmp_path_factory.mktemp("wheels")) for name in SOURCES}


@pytest.mark.parametrize("name", SOURCES)
def test_a_wheel_holds_one_package(name: str, wheels: Wheels) -> None:
    """A wheel holds its package with every file of it, the mark that it is typed, and the license."""
    package = PACKAGES[name]
    held = set(zipfile.ZipFile(wheels[name]).namelist())
    assert {file.partition("/")[0] for file in held} == {package, f"{package_version(name)}.dist-info"}
    files = [file for file in (SOURCES[name] / package).rglob("*") if file.suffix in (".py", ".html", ".js", ".css", ".svg")]
    assert {file.relative_to(SOURCES[name]).as_posix() for file in files} <= held
    assert {f"{package}/py.typed", f"{package_version(name)}.dist-info/licenses/LICENSE"} <= held


def package_version(name: str) -> str:
    return f"{name.replace('-', '_')}-{__version__}"


@pytest.mark.parametrize(
    ("python", "lock"), [(None, "requirements.lock"), (OLDEST, "tap/requirements-oldest.lock")], ids=["locked", "oldest"]
)
async def test_the_tap_needs_websockets_only(python: str | None, lock: str, wheels: Wheels, tmp_path: Path) -> None:
    """Beside the ``websockets`` that the exporter has, or the oldest it takes on the oldest Python here, the tap sends its events."""
    interpreter = (python and python_of(python)) or sys.executable
    locked = lock_entry(lock, "websockets")
    made = await asyncio.to_thread(Environment.make, tmp_path / "venv", interpreter, locked=locked, wheels=[wheels["agentstack-tap"]])
    async with running_daemon() as endpoints:
        ran = await asyncio.to_thread(made.run, "python", "-I", "-c", SEND_ONE, endpoints.ws)
        assert (ran.returncode, ran.stdout) == (0, "agentstack-tap websockets\n"), ran.stderr
        assert await endpoints.total("agentstack_exporter_events_total") == 1


def test_the_exporter_is_whole(wheels: Wheels, tmp_path: Path) -> None:
    """With the locked packages and the tap the exporter's command runs, and the tap's old name leads to the tap."""
    locked = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    made = Environment.make(tmp_path / "venv", sys.executable, locked=locked, wheels=list(wheels.values()))
    assert __version__ in made.run("agentstack-exporter", "--version").stdout
    old = made.run("python", "-I", "-c", "from exporter.tap import attach; print(attach.__module__)")
    assert old.stdout == "agentstack_tap.voice_app\n", old.stderr
    assert "DeprecationWarning: exporter.tap is now the package agentstack_tap" in old.stderr
