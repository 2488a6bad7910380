"""The two distributions as on a package index: built, and installed into empty environments."""

import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from deploy.release.pythons import SUPPORTED, UV, find_python
from exporter.compiled.build import CACHE
from tests.support.compiled import OBJECTS
from tests.support.house_rules import ROOT

SOURCES = {"agentstack-exporter": ROOT, "agentstack-tap": ROOT / "tap"}


def build_wheel(name: str, folder: Path, **variables: str) -> Path:
    """Build a distribution's wheel with the back end of this environment. Nothing is downloaded or compiled twice."""
    command = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(folder)]
    done = subprocess.run(command, cwd=SOURCES[name], env=_building(variables), capture_output=True, text=True, check=True)
    (folder / "said").write_text(done.stdout + done.stderr, encoding="utf-8")
    return next(folder.glob(f"{name.replace('-', '_')}-*.whl"))


def build_from_sdist(name: str, folder: Path, python: str) -> Path:
    """Build a distribution's sdist, and from it the wheel for another Python, as pip does where the index has no wheel that fits.

    The build back end comes from the package index or uv's cache; see :meth:`Environment.make` for what happens without either.
    """
    command = [UV, "build", "--quiet", "--python", python, "--out-dir", str(folder), str(SOURCES[name])]
    done = subprocess.run(command, env=_building({}), capture_output=True, text=True, check=False)
    if done.returncode != 0:
        _cannot(f"the wheel cannot be built: {done.stderr}")
    return next(folder.glob("*.whl"))


def _building(variables: dict[str, str]) -> dict[str, str]:
    return {**os.environ, CACHE: str(OBJECTS), **variables}


def _cannot(why: str) -> None:
    (pytest.fail if os.environ.get("CI") else pytest.skip)(why)


def lock_entry(lock: str, name: str) -> str:
    """The entry of one package in a lock."""
    found = re.search(rf"^{name}==.*?(?=^\S|\Z)", (ROOT / lock).read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    assert found is not None, f"{lock} has no {name}"
    return found[0]


def newest_python() -> str | None:
    """The newest supported interpreter of the machine, unless it is this one."""
    newer = [version for version in SUPPORTED if int(version.partition(".")[2]) > sys.version_info.minor]
    return next(filter(None, map(find_python, reversed(newer))), None)


@dataclass(frozen=True)
class Environment:
    """A virtual environment."""

    folder: Path

    @classmethod
    def make(cls, folder: Path, python: str, *, locked: str, wheels: list[Path]) -> "Environment":
        """Make one of wheels and of the packages that a lock's text pins; these come from the package index or uv's cache.

        Without either the test is skipped, except in CI (``CI`` is set), where that is a failure.
        """
        subprocess.run([UV, "venv", "--quiet", "--python", python, str(folder)], check=True)
        lock = folder / "locked.txt"
        lock.write_text(locked, encoding="utf-8")
        install = [UV, "pip", "install", "--quiet", "--python", str(folder / "bin" / "python"), "--no-deps"]
        fetch = [*install, "--require-hashes", "--requirement", str(lock)]
        fetched = subprocess.run(fetch, capture_output=True, text=True, check=False)
        if fetched.returncode != 0:
            _cannot(f"the locked packages cannot be had: {fetched.stderr}")
        subprocess.run([*install, "--offline", *map(str, wheels)], check=True)
        subprocess.run([UV, "pip", "check", "--quiet", "--python", str(folder / "bin" / "python")], check=True)
        return cls(folder)

    def run(self, program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run one of its programs outside the checkout."""
        command = [str(self.folder / "bin" / program), *arguments]
        environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
        return subprocess.run(command, cwd=self.folder, env=environment, capture_output=True, text=True, check=False)
