"""Other people's programs that tests run the exporter with."""

import os
import shutil
from typing import Literal

import pytest

from tests.support.house_rules import ROOT

# Where .ci/peers puts what is not a package of the system.
PEERS = ROOT / ".cache" / "peers"

Release = Literal["oldest", "newest"]
RELEASES: tuple[Release, ...] = ("oldest", "newest")
"""Of Prometheus and Alertmanager: the oldest that is supported is Debian's (2.42 and 0.25), the newest is the one that .ci/go pins."""

# These are pinned: one of another version that happens to be on the path is not taken.
_PINNED = {
    "helm": PEERS / "helm" / "helm",
    "jaeger": PEERS / "jaeger" / "jaeger",
    "otelcol": PEERS / "otelcol" / "otelcol",
    "rotel-agent": PEERS / "rotel" / "rotel" / "rotel-agent",
    "sloth": PEERS / "sloth" / "sloth",
    "tsc": PEERS / "grafana-types" / "node_modules" / ".bin" / "tsc",
}
_NEWEST = {
    "amtool": PEERS / "alertmanager" / "amtool",
    "prometheus": PEERS / "prometheus" / "prometheus",
    "prometheus-alertmanager": PEERS / "alertmanager" / "alertmanager",
    "promtool": PEERS / "prometheus" / "promtool",
}


def releases(name: str) -> list[Release]:
    """The releases of a program that are installed: without any the test is skipped, and in CI both have to be."""
    found: list[Release] = [release for release in RELEASES if _path(name, release) is not None]
    for release in RELEASES if os.environ.get("CI") or not found else found:
        require(name, release)
    return found


def require(name: str, release: Release = "oldest") -> str:
    """The path of a program; without it the test is skipped, except in CI (``CI`` is set), where that is a failure."""
    path = _path(name, release)
    if path is None:
        message = f"{name} ({release} release) is not installed" if name in _NEWEST else f"{name} is not installed"
        if os.environ.get("CI"):
            pytest.fail(message)
        pytest.skip(message)
    return path


def versions(framework: str) -> list[str]:
    """The versions of a framework that its tap is tested with, as ``livekit-1.8.9``: the newest, or with ``TAPS=all`` every one."""
    found = [lock.stem for lock in (ROOT / "tap" / "environments").glob(f"{framework}-*.lock")]
    found.sort(key=lambda name: [int(number) for number in name.removeprefix(f"{framework}-").split(".")])
    return found if os.environ.get("TAPS") == "all" else found[-1:]


def python_with(version: str) -> str:
    """The Python of the environment that has that version of a framework. If it is not there, as :func:`require`."""
    python = PEERS / version / "bin" / "python"
    if not python.exists():
        message = f"the environment {version} is not installed"
        if os.environ.get("CI"):
            pytest.fail(message)
        pytest.skip(message)
    return str(python)


def _path(name: str, release: Release) -> str | None:
    pinned = _NEWEST[name] if release == "newest" else _PINNED.get(name)
    return shutil.which(name if pinned is None else pinned)
