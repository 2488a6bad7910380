"""What every test may use: the profiles of property tests and the expected-output fixture; and which tests are quick."""

import fcntl
import gc
import os
import sys
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests.support.golden import Golden

# Prometheus and other programs in Go spend a fifth of their time on garbage, unless they may hold more of it.
os.environ.setdefault("GOGC", "400")

# No deadlines: a busy machine is not a bug. A failure prints the line that repeats it.
settings.register_profile("ordinary", deadline=None, max_examples=30, print_blob=True)
# On CI the examples follow from the code alone, so that a change is never blamed for another's bad luck.
settings.register_profile("ci", settings.get_profile("ordinary"), derandomize=True)
# While one edits, `make quick` looks at the first few examples only; `make test` at all.
settings.register_profile("quick", settings.get_profile("ci" if os.environ.get("CI") else "ordinary"), max_examples=10)
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


TESTS = Path(__file__).parent
SOCKETS = TESTS / "sockets"
ALONE = TESTS.parent / ".cache" / "alone.lock"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark every test over real sockets; elsewhere those that start a program are marked where they stand.

    Those that may take long come first and those that take no time last, so that no core waits for another at the end.
    """
    for item in items:
        if item.path.is_relative_to(SOCKETS):
            item.add_marker("external")
    items.sort(key=_place)


def _place(item: pytest.Item) -> int:
    alone = item.get_closest_marker("alone")
    if item.get_closest_marker("timeout") is not None or (alone and alone.kwargs.get("waits")):
        return 0
    if item.get_closest_marker("external") is not None:
        return 1
    return 2 if item.path.is_relative_to(TESTS / "property") else 3


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Import no file of which `make quick` or the lot that runs alone takes no test."""
    marks = config.option.markexpr
    if "not external" in marks and collection_path.is_relative_to(SOCKETS):
        return True
    if marks == "alone" and collection_path.suffix == ".py" and "mark.alone" not in collection_path.read_text(encoding="utf-8"):
        return True
    return None


def pytest_collection_finish() -> None:
    """Keep what was collected out of garbage collection: it stays to the end, and looking through it took a fifth of the time."""
    gc.collect()
    gc.freeze()


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Let a test marked ``alone`` wait until no other such test runs, on whichever worker; two that mostly wait may run at once."""
    alone = item.get_closest_marker("alone")
    if alone is None:
        return (yield)
    ALONE.parent.mkdir(exist_ok=True)
    with ALONE.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_SH if alone.kwargs.get("waits") else fcntl.LOCK_EX)
        return (yield)


_quick: list[str] = []
"""The name of the test that runs now, if it is one that must not start anything."""


def _refuse(event: str, _: object) -> None:
    if _quick and event in ("subprocess.Popen", "os.posix_spawn", "socket.bind", "socket.connect"):
        raise RuntimeError(f"{_quick[0]} is not marked external, and begins with {event}")


sys.addaudithook(_refuse)


@pytest.fixture(autouse=True)
def _quick_tests_start_nothing(request: pytest.FixtureRequest) -> Iterator[None]:
    """Keep `make quick` what it says it is: a test without the mark can neither start a program nor open a connection."""
    if request.node.get_closest_marker("external") is None:
        _quick.append(request.node.nodeid)
    yield
    _quick.clear()


@pytest.fixture
def golden(pytestconfig: pytest.Config) -> Golden:
    """Compare text with an expected output: ``golden("case/metrics.prom", text)``."""
    return Golden(TESTS / "golden", update=bool(pytestconfig.getoption("update_golden")))
