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


def require(name: str, release: Release = "oldest") -> str:
    """The path of a program; without it the test is skipped, except in CI (``CI`` is set), where that is a failure."""
    pinned = _NEWEST[name] if release == "newest" else _PINNED.get(name)
    path = shutil.which(name if pinned is None else pinned)
    if path is None:
        message = f"{name} is not installed" if pinned is None else f"{name} is not installed in {pinned.parent.relative_to(ROOT)}"
        if os.environ.get("CI"):
            pytest.fail(message)
        pytest.skip(message)
    return path
