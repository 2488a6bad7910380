"""The wheels of both distributions, each installed where there is nothing but what it asks for."""

import asyncio
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from deploy.release.pythons import find_python
from exporter import __version__
from exporter.compiled.build import compiled_file, sources
from tests.support.compiled import require_compiler
from tests.support.daemon import running_daemon
from tests.support.distributions import SOURCES, Environment, build_from_sdist, build_wheel, lock_entry, newest_python
from tests.support.house_rules import ROOT

pytestmark = [pytest.mark.external, pytest.mark.xdist_group("wheels"), pytest.mark.timeout(1200)]  # the first one compiles

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


@pytest.fixture(scope="module")
def newest(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The newest Python here, if it is newer than the one that runs the tests."""
    python = newest_python()
    return python or pytest.skip("there is no newer Python")


@pytest.mark.parametrize("name", SOURCES)
def test_a_wheel_holds_one_package(name: str, wheels: Wheels) -> None:
    """A wheel holds its package with every file of it, the mark that it is typed, and the license."""
    package = PACKAGES[name]
    held = set(zipfile.ZipFile(wheels[name]).namelist())
    assert {file.partition("/")[0] for file in held} == {package, f"{package_version(name)}.dist-info"}
    files = [file for file in (SOURCES[name] / package).rglob("*") if file.suffix in (".py", ".html", ".js", ".css", ".svg")]
    assert {file.relative_to(SOURCES[name]).as_posix() for file in files} <= held
    assert {f"{package}/py.typed", f"{package_version(name)}.dist-info/licenses/LICENSE"} <= held


def test_the_exporters_wheel_is_compiled(wheels: Wheels) -> None:
    """Every compiled module stands beside its source, the wheel's tag names this Python, and no path of this machine is in it."""
    require_compiler()
    wheel = zipfile.ZipFile(wheels["agentstack-exporter"])
    made = [compiled_file(source).relative_to(ROOT).as_posix() for source in sources(ROOT / "exporter")]
    assert sorted(made) == sorted(name for name in wheel.namelist() if name.endswith(".so"))
    assert f"-cp3{sys.version_info.minor}-cp3{sys.version_info.minor}-" in wheels["agentstack-exporter"].name
    assert not any(path in wheel.read(name) for name in made for path in (str(ROOT).encode(), b"/tmp/"))


def test_a_wheel_without_a_compiler_is_plain(tmp_path: Path) -> None:
    """Where there is no C compiler the wheel is plain Python for every machine, and one line says so and why."""
    wheel = build_wheel("agentstack-exporter", tmp_path, CC="no-such-compiler")
    assert wheel.name.endswith("-py3-none-any.whl")
    assert not any(name.endswith(".so") for name in zipfile.ZipFile(wheel).namelist())
    [said] = [line for line in (tmp_path / "said").read_text(encoding="utf-8").splitlines() if not line.endswith(".whl")]
    assert said.startswith("agentstack-exporter: this wheel is plain Python")
    assert said.endswith("there is no C compiler no-such-compiler")


def test_an_editable_install_is_plain() -> None:
    """``make`` installs the checkout as it is: no compiled module stands beside a source."""
    assert list((ROOT / "exporter").rglob("*.so")) == []


def package_version(name: str) -> str:
    return f"{name.replace('-', '_')}-{__version__}"


@pytest.mark.parametrize(
    ("python", "lock"), [(None, "requirements.lock"), (OLDEST, "tap/requirements-oldest.lock")], ids=["locked", "oldest"]
)
async def test_the_tap_needs_websockets_only(python: str | None, lock: str, wheels: Wheels, tmp_path: Path) -> None:
    """Beside the ``websockets`` that the exporter has, or the oldest it takes on the oldest Python here, the tap sends its events."""
    interpreter = (python and find_python(python)) or sys.executable
    locked = lock_entry(lock, "websockets")
    made = await asyncio.to_thread(Environment.make, tmp_path / "venv", interpreter, locked=locked, wheels=[wheels["agentstack-tap"]])
    async with running_daemon() as endpoints:
        ran = await asyncio.to_thread(made.run, "python", "-I", "-c", SEND_ONE, endpoints.ws)
        assert (ran.returncode, ran.stdout) == (0, "agentstack-tap websockets\n"), ran.stderr
        assert await endpoints.total("agentstack_exporter_events_total") == 1


def test_the_exporter_is_whole(wheels: Wheels, tmp_path: Path) -> None:
    """With the locked packages and the tap the compiled exporter works, and the tap's old name leads to the tap."""
    made = installed(tmp_path / "venv", sys.executable, list(wheels.values()))
    old = made.run("python", "-I", "-c", "from exporter.tap import attach; print(attach.__module__)")
    assert old.stdout == "agentstack_tap.voice_app\n", old.stderr
    assert "DeprecationWarning: exporter.tap is now the package agentstack_tap" in old.stderr


def test_the_newest_python_has_a_wheel(wheels: Wheels, newest: str, tmp_path: Path) -> None:
    """On the newest Python here the sdist becomes a compiled wheel that works as on the oldest."""
    wheel = build_from_sdist("agentstack-exporter", tmp_path, newest)
    with tarfile.open(next(tmp_path.glob("*.tar.gz"))) as sdist:
        inside = {name.partition("/")[2] for name in sdist.getnames()}
    assert {"hatch_build.py", *(source.relative_to(ROOT).as_posix() for source in sources(ROOT / "exporter"))} <= inside
    installed(tmp_path / "venv", newest, [wheel, wheels["agentstack-tap"]])


def installed(folder: Path, python: str, wheels: list[Path]) -> Environment:
    """An environment of these wheels and the locked packages, in which the exporter was tried."""
    require_compiler()
    locked = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    made = Environment.make(folder, python, locked=locked, wheels=wheels)
    tried = made.run("python", str(ROOT / "deploy" / "release" / "try_wheel.py"))
    assert (tried.returncode, tried.stderr) == (0, "")
    assert tried.stdout.startswith(f"tried: agentstack-exporter {__version__} (compiled), Python ")
    return made
