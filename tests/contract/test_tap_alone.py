"""The tap runs in other people's apps: what it imports, on which Python, and who imports it."""

import ast
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from exporter import __version__
from tests.support.house_rules import ROOT, files

TAP = ROOT / "tap"
SOURCES = sorted((TAP / "agentstack_tap").rglob("*.py"))
FRAMEWORKS = {"pipecat"}
"""Frameworks that are imported, each by the tap's package of its name only."""
OLD_NAME = ROOT / "exporter" / "tap" / "__init__.py"


def imported(source: str) -> Iterator[str]:
    """The modules that a source imports, at whatever depth."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module or "."
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def packages(file: Path) -> set[str]:
    """The packages that a file imports."""
    return {name.partition(".")[0] for name in imported(file.read_text(encoding="utf-8"))}


def python(code: str, *options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *options, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)


def test_it_imports_websockets_only() -> None:
    """No module of the tap imports anything but the standard library, the tap, websockets and the framework that it is for."""
    allowed = {"agentstack_tap", "websockets"}
    assert set().union(*map(packages, SOURCES)) - sys.stdlib_module_names == allowed | FRAMEWORKS
    assert [file for file in SOURCES if packages(file) - sys.stdlib_module_names - allowed - {file.parent.name}] == []


@pytest.mark.external
def test_it_loads_websockets_only() -> None:
    """Importing the tap loads, besides the standard library and itself, websockets only."""
    code = "import sys; before = set(sys.modules); import agentstack_tap; print(*set(sys.modules) - before)"
    loaded = python(code).stdout.split()
    assert "agentstack_tap.client" in loaded
    assert {name.partition(".")[0] for name in loaded} - sys.stdlib_module_names == {"agentstack_tap", "websockets"}


@pytest.mark.parametrize("file", SOURCES, ids=lambda file: file.relative_to(TAP).as_posix())
def test_its_oldest_python_can_read_it(file: Path) -> None:
    """Every module is in the syntax of the oldest Python that the tap says it takes."""
    oldest = tomllib.loads((TAP / "pyproject.toml").read_text(encoding="utf-8"))["project"]["requires-python"].removeprefix(">=")
    major, minor = map(int, oldest.split("."))
    ast.parse(file.read_text(encoding="utf-8"), feature_version=(major, minor))


def test_the_exporter_does_without_it() -> None:
    """Of the exporter only the old name imports the tap, and nothing imports the old name."""
    others = [file for file in files(below="exporter", pattern="*.py") if file != OLD_NAME]
    names = {name for file in others for name in imported(file.read_text(encoding="utf-8"))}
    assert [name for name in names if f"{name}.".startswith(("agentstack_tap.", "exporter.tap."))] == []


@pytest.mark.external
def test_the_old_name_warns() -> None:
    """The import that worked before the tap was a distribution of its own gives the same, and says what to import and until when."""
    code = "import agentstack_tap; from exporter.tap import Stats, Tap, attach; print(attach is agentstack_tap.attach)"
    result = python(code, "-W", "default")
    assert result.stdout == "True\n"
    assert "<string>:1: DeprecationWarning: exporter.tap is now the package agentstack_tap" in result.stderr
    assert "goes with agentstack-exporter 0.2.0" in result.stderr
    assert __version__.startswith("0.1."), "the old name should be gone"


@pytest.mark.external
def test_both_have_one_version() -> None:
    """The two distributions are released together, under one number."""
    assert python("import agentstack_tap; print(agentstack_tap.__version__)").stdout.strip() == __version__


def test_both_have_one_license() -> None:
    """The tap's wheel holds the license that the repository has."""
    assert (TAP / "LICENSE").read_bytes() == (ROOT / "LICENSE").read_bytes()
