"""Compiled modules, built for the tests that compare them with the Python they replace."""

import fcntl
import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from exporter.compiled.build import compile_package, missing

ROOT = Path(__file__).parents[2]
COPIES = ROOT / ".cache" / "compiled-tests"
OBJECTS = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "agentstack-exporter" / "compiled"
"""Compiled modules that all checkouts of this user share: most changes touch none of them."""
UNUSED = 60 * 86_400
"""Seconds after which a compiled module that no test has used is removed."""


def require_compiler() -> None:
    """Skip the test where there is no C compiler, or none of Python's headers; in CI it fails."""
    if (what := missing()) is not None:
        (pytest.fail if os.environ.get("CI") else pytest.skip)(what)


def compiled_copy() -> Path:
    """A folder with a compiled copy of the package, built once for the same files: the first process builds it, the others wait."""
    require_compiler()
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
            compile_package(unfinished / "exporter", OBJECTS)
            _remove_unused()
            unfinished.rename(folder)
    return folder


def _remove_unused() -> None:
    for file in OBJECTS.iterdir():
        if time.time() - file.stat().st_mtime > UNUSED:
            file.unlink(missing_ok=True)


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
