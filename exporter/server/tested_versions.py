"""Which versions of uvicorn and websockets our own protocols were tested with: they build on internals of both."""

import re
from collections.abc import Callable, Mapping
from importlib.metadata import version
from typing import Final

TESTED: Final[Mapping[str, tuple[str, str]]] = {"uvicorn": ("0.54", "0.55"), "websockets": ("17.4", "18")}
"""Library → the oldest version that was tested, and the first that was not. ``tests/sockets/test_endpoint.py`` is the test."""


def untested(installed: Callable[[str], str] = version) -> str:
    """Which library is installed in a version that was not tested, for the log; empty if there is none."""
    for name, (oldest, beyond) in TESTED.items():
        found = installed(name)
        if not _numbers(oldest) <= _numbers(found) < _numbers(beyond):
            return f"{name} {found} was not tested (only {oldest} to below {beyond})"
    return ""


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(map(int, re.findall(r"\d+", text)[:3]))
