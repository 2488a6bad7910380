"""The compiled modules, built for tests that compare them with the Python they replace."""

import importlib.util
import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from exporter.compiled.build import compile_package

ROOT = Path(__file__).parents[2]


def compiled_copy(folder: Path) -> Path:
    """A folder with a compiled copy of the package. Without a C compiler or Python's headers the test is skipped; in CI it fails."""
    if shutil.which("cc") is None or not Path(sysconfig.get_path("include"), "Python.h").exists():
        (pytest.fail if os.environ.get("CI") else pytest.skip)("there is no C compiler, or no Python.h")
    shutil.copytree(ROOT / "exporter", folder / "exporter", ignore=shutil.ignore_patterns("__pycache__"))
    compile_package(folder / "exporter")
    return folder


def load(folder: Path, name: str) -> ModuleType:
    """A module of ``exporter.compiled``, loaded beside the package that runs without it."""
    [path] = (folder / "exporter" / "compiled").glob(f"{name}.*.so")
    spec = importlib.util.spec_from_file_location(f"exporter.compiled.{name}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def run_compiled(folder: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    """The Python command with the compiled copy instead of the package."""
    environment: dict[str, Any] = {**os.environ, "PYTHONPATH": f"{folder}{os.pathsep}{ROOT}"}
    return subprocess.run([sys.executable, "-P", *arguments], cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
