"""The rules of CONTRIBUTING.md that a program can hold."""

import json
from collections.abc import Callable

import pytest

from exporter import __version__
from tests.support import house_rules as rules

# Modules over 400 lines, each with the reason why splitting it would make it harder to read.
LONG_MODULES = {
    "exporter/config/settings.py": "one setting, one entry: a table, not a program",
    "exporter/events/turn_metrics.py": "one event, one entry a field: a table, not a program",
}
# Files that let time pass, each with the reason.
SLEEPERS = {
    "tests/sockets/test_alerting.py": "turns come at a pace, as callers do: rates are what is alerted on",
    "tests/support/livekit_calls.py": "how late a sleep ends is what is measured",
    "tests/support/livekit_realtime.py": "a model whose delay is what is measured",
    "tests/support/pipecat_realtime.py": "the same",
    "tests/support/waiting.py": "the polling that saves everybody else from sleeping",
}
MOST_ENTRIES = 25
LOCKS = ["requirements.lock", "requirements-dev.lock", "tap/requirements-oldest.lock", ".ci/rotel.lock", ".ci/oldest-server.lock"]
LOCKS += sorted(lock.relative_to(rules.ROOT).as_posix() for lock in (rules.ROOT / "tap/environments").glob("*.lock"))
NPM_LOCK = ".ci/grafana-types/package-lock.json"


def read(name: str) -> str:
    return (rules.ROOT / name).read_text(encoding="utf-8")


def faults(rule: Callable[[str], list[str]], *, below: str = ".", pattern: str = "*") -> dict[str, list[str]]:
    """The files that break a rule, with where they do."""
    found = {file.relative_to(rules.ROOT).as_posix(): rule(rules.text_of(file)) for file in rules.files(below=below, pattern=pattern)}
    return {name: lines for name, lines in found.items() if lines}


def test_every_test_states_one_fact() -> None:
    """Every test has a docstring of one sentence."""
    assert faults(rules.tests_without_sentence, below="tests", pattern="*.py") == {}


def test_no_test_sleeps() -> None:
    """Tests wait for conditions, never for time."""
    assert faults(rules.sleeps, below="tests", pattern="*.py").keys() == SLEEPERS.keys()


def test_modules_are_short() -> None:
    """No module is over the limit unless listed, and none is listed that is not."""
    listed = {name for name, reason in LONG_MODULES.items() if reason and (rules.ROOT / name).exists()}
    found = [faults(rules.too_long, below=below, pattern="*.py") for below in ("exporter", "tap")]
    assert found[0].keys() | found[1].keys() == listed


def test_the_first_level_is_seen_at_a_glance() -> None:
    """The package has few enough packages and modules at its first level to read them all."""
    package = rules.ROOT / "exporter"
    assert len({file.relative_to(package).parts[0] for file in rules.files(below="exporter")}) <= MOST_ENTRIES


def test_nothing_is_left_unfinished() -> None:
    """The packages hold no notes to come back later."""
    assert [faults(rules.unfinished, below=below) for below in ("exporter", "tap")] == [{}, {}]


def test_no_file_knows_a_machine() -> None:
    """No file names a path that exists on one machine only."""
    assert faults(rules.machine_paths) == {}


def test_no_file_is_named_after_nothing() -> None:
    """No module or folder is called utils."""
    assert [fault for file in rules.files() for fault in rules.left_over_names(file.relative_to(rules.ROOT))] == []


@pytest.mark.parametrize("lock", LOCKS)
def test_locks_pin_by_hash(lock: str) -> None:
    """A lock holds names, versions and hashes, and nothing else."""
    assert rules.lock_faults(read(lock)) == []


def test_the_npm_lock_pins_by_hash() -> None:
    """The lock of Grafana's types holds names, versions and hashes, and is of what is asked for beside it."""
    assert rules.npm_lock_faults(read(NPM_LOCK)) == []
    asked = json.loads(read(".ci/grafana-types/package.json"))["dependencies"]
    assert json.loads(read(NPM_LOCK))["packages"][""]["dependencies"] == asked


def test_pages_lead_somewhere() -> None:
    """Every link and picture of a page leads to a file that is there."""
    found = {page: rules.dead_links(rules.text_of(page), page.parent) for page in rules.files(pattern="*.md")}
    assert {page.name: dead for page, dead in found.items() if dead} == {}


def test_changelog_is_current() -> None:
    """The changelog's newest version is the package's."""
    assert rules.newest_version(read("CHANGELOG.md")) == __version__


HASH = "--hash=sha256:" + "0" * 64


@pytest.mark.parametrize(
    ("rule", "broken"),
    [
        (rules.tests_without_sentence, 'async def test_a():\n    """One. Two."""\n'),
        (rules.sleeps, "from time import sleep as pause\npause(0.1)"),
        (rules.too_long, "x\n" * (rules.LONGEST_MODULE + 1)),
        (rules.unfinished, "x = 1  # TODO: later\n"),
        (rules.machine_paths, f"see /{'home'}/me/x"),
        (rules.lock_faults, ""),
        (rules.lock_faults, f"click>=8.2 {HASH}\n"),
        (rules.lock_faults, "click==8.2\n"),
        (rules.lock_faults, f"--index-url https://a.example\nclick==8.2 {HASH}\n"),
        (rules.npm_lock_faults, read(NPM_LOCK).replace('"integrity": "sha512-', '"integrity": "sha1-', 1)),
        (rules.npm_lock_faults, read(NPM_LOCK).replace('"typescript": "', '"typescript": "^', 1)),
    ],
)
def test_a_breach_is_found(rule: Callable[[str], list[str]], broken: str) -> None:
    """A rule that finds nothing anywhere still finds what breaks it."""
    assert len(rule(broken)) == 1


@pytest.mark.xdist_group("kept together")
def test_groups_are_kept_together(request: pytest.FixtureRequest, worker_id: str) -> None:
    """Tests of a group run in one worker: the plugin that hands them out has seen the mark, which a newer pytest would hide from it."""
    assert worker_id == "master" or request.node.nodeid.endswith("@kept together")
