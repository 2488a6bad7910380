"""Other people's programs that tests compare us with."""

import os
import shutil

import pytest

from tests.support.house_rules import ROOT

# Where .ci/peers puts what is not a package of the system.
PEERS = ROOT / ".cache" / "peers"
# These are pinned: one of another version that happens to be on the path is not taken.
_OWN = {"rotel-agent": PEERS / "rotel" / "rotel", "tsc": PEERS / "grafana-types" / "node_modules" / ".bin"}


def require(name: str) -> str:
    """The path of a program; without it the test is skipped, except in CI (``CI`` is set), where that is a failure."""
    path = shutil.which(name, path=str(_OWN[name]) if name in _OWN else None)
    if path is None:
        message = f"{name} is not installed"
        if os.environ.get("CI"):
            pytest.fail(message)
        pytest.skip(message)
    return path
