"""How measured processes run: with the hot path compiled, as in the image, or as plain Python."""

import os
import sys
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[1]
COMPILED: Final = ROOT / ".cache" / "compiled"
"""Where ``make compiled`` puts it."""


def command(*arguments: str) -> list[str]:
    """The Python command, which imports modules only from the path set by :func:`environment`."""
    return [sys.executable, "-P", *arguments]


def environment(*, compiled: bool = True) -> dict[str, str]:
    """The environment of such a process."""
    if compiled and not (COMPILED / ".ready").exists():
        raise SystemExit(f"{COMPILED} is not there: run make compiled, or the benchmarks by make bench")
    folders = [COMPILED, ROOT] if compiled else [ROOT]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, folders))}
