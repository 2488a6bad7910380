"""Compiled modules, built for the tests that compare them with the Python they replace."""

import fcntl
import hashlib
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
COPIES = ROOT / ".cache" / "compiled-tests"


def compiled_copy() -> Path:
    """A folder with a compiled copy of the package. Without a C compiler or Python's headers the test is skipped; in CI it fails.

    It is built once for the same files: the first process builds it, the others wait.
    """
    if shutil.which("cc") is None or not Path(sysconfig.get_path("include"), "Python.h").exists():
        (pytest.fail if os.environ.get("CI") else pytest.skip)("there is no C compiler, or no Python.h")
    COPIES.mkdir(parents=True, exist_ok=True)
    folder = COPIES / _digest()
    with (COPIES / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.exists():
            for old in COPIES.iterdir():
                if old.is_dir():
                    shutil.rmtree(old)
            unfinished = COPIES / "unfinished"
            shutil.copytree(ROOT / "exporter", unfinished / "exporter", ignore=shutil.ignore_patterns("__pycache__"))
            compile_package(unfinished / "exporter")
            unfinished.rename(folder)
    return folder


def _digest() -> str:
    """What the copy is made of and with: the package's files, and the Python that compiles them."""
    found = hashlib.sha256(sys.version.encode())
    for file in sorted((ROOT / "exporter").rglob("*.py*")):
        if file.suffix in (".py", ".pyx", ".pxd", ".pyi"):
            found.update(file.relative_to(ROOT).as_posix().encode() + b"\0" + file.read_bytes() + b"\0")
    return found.hexdigest()[:16]


def load(folder: Path, name: str) -> ModuleType:
    """Load one module of ``exporter.compiled`` from there; the running package stays plain Python."""
    [path] = (folder / "exporter" / "compiled").glob(f"{name}.*.so")
    spec = importlib.util.spec_from_file_location(f"exporter.compiled.{name}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def run_compiled(folder: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    """Run Python with the compiled copy in place of the package."""
    environment: dict[str, Any] = {"HYPOTHESIS_PROFILE": "quick", **os.environ, "PYTHONPATH": f"{folder}{os.pathsep}{ROOT}"}
    return subprocess.run([sys.executable, "-P", *arguments], cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
