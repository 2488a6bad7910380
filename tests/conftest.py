"""What every test may use: the profiles of property tests and the expected-output fixture."""

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests.support.golden import Golden

# No deadlines: a busy machine is not a bug. A failure prints the line that repeats it.
settings.register_profile("ordinary", deadline=None, max_examples=50, print_blob=True)
# On CI the examples follow from the code alone, so that a change is never blamed for another's bad luck.
settings.register_profile("ci", settings.get_profile("ordinary"), derandomize=True, max_examples=100)
settings.register_profile(
    "thorough",
    settings.get_profile("ordinary"),
    max_examples=5_000,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE") or ("ci" if os.environ.get("CI") else "ordinary"))


def pytest_addoption(parser: pytest.Parser) -> None:
    """Declare ``--update-golden``."""
    parser.addoption("--update-golden", action="store_true", help="rewrite the expected outputs under tests/golden")


@pytest.fixture
def golden(pytestconfig: pytest.Config) -> Golden:
    """Compare text with an expected output: ``golden("case/metrics.prom", text)``."""
    return Golden(Path(__file__).parent / "golden", update=bool(pytestconfig.getoption("update_golden")))
