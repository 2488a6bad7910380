"""The comparison with expected outputs."""

from pathlib import Path

import pytest

from tests.support.golden import Golden


def test_an_update_writes_what_is_then_expected(tmp_path: Path) -> None:
    """What an update wrote is accepted afterwards, and nothing else is."""
    Golden(tmp_path, update=True)("case/metrics.prom", "a 1\n")
    compare = Golden(tmp_path, update=False)
    compare("case/metrics.prom", "a 1\n")
    with pytest.raises(AssertionError, match="make golden"):
        compare("case/metrics.prom", "a 2\n")


def test_a_missing_expectation_fails(tmp_path: Path) -> None:
    """An output that nobody expected yet is a failure, not a pass."""
    with pytest.raises(AssertionError, match="is missing"):
        Golden(tmp_path, update=False)("new.prom", "a 1\n")
