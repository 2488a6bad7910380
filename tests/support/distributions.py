"""The two distributions as on a package index: built, and installed into empty environments."""

import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.house_rules import ROOT

SOURCES = {"agentstack-exporter": ROOT, "agentstack-tap": ROOT / "tap"}
_UV = str(Path(sys.executable).parent / "uv")


def build_wheel(name: str, folder: Path) -> Path:
    """Build a distribution's wheel with the back end of this environment. Nothing is downloaded."""
    command = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(folder)]
    subprocess.run(command, cwd=SOURCES[name], check=True, capture_output=True)
    return next(folder.glob(f"{name.replace('-', '_')}-*.whl"))


def lock_entry(lock: str, name: str) -> str:
    """The entry of one package in a lock."""
    found = re.search(rf"^{name}==.*?(?=^\S|\Z)", (ROOT / lock).read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    assert found is not None, f"{lock} has no {name}"
    return found[0]


def python_of(version: str) -> str | None:
    """An interpreter of that version, if the machine has one."""
    command = [_UV, "python", "find", "--quiet", "--no-project", "--no-python-downloads", version]
    found = subprocess.run(command, capture_output=True, text=True, check=False)
    return found.stdout.strip() if found.returncode == 0 else None


@dataclass(frozen=True)
class Environment:
    """A virtual environment."""

    folder: Path

    @classmethod
    def make(cls, folder: Path, python: str, *, locked: str, wheels: list[Path]) -> "Environment":
        """Make one of wheels and of the packages that a lock's text pins; these come from the package index or uv's cache.

        Without either the test is skipped, except in CI (``CI`` is set), where that is a failure.
        """
        subprocess.run([_UV, "venv", "--quiet", "--python", python, str(folder)], check=True)
        lock = folder / "locked.txt"
        lock.write_text(locked, encoding="utf-8")
        install = [_UV, "pip", "install", "--quiet", "--python", str(folder / "bin" / "python"), "--no-deps"]
        fetch = [*install, "--require-hashes", "--requirement", str(lock)]
        fetched = subprocess.run(fetch, capture_output=True, text=True, check=False)
        if fetched.returncode != 0:
            (pytest.fail if os.environ.get("CI") else pytest.skip)(f"the locked packages cannot be had: {fetched.stderr}")
        subprocess.run([*install, "--offline", *map(str, wheels)], check=True)
        subprocess.run([_UV, "pip", "check", "--quiet", "--python", str(folder / "bin" / "python")], check=True)
        return cls(folder)

    def run(self, program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run one of its programs outside the checkout."""
        command = [str(self.folder / "bin" / program), *arguments]
        environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
        return subprocess.run(command, cwd=self.folder, env=environment, capture_output=True, text=True, check=False)
