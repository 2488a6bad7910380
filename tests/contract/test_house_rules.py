"""The rules of CONTRIBUTING.md that a program can hold, and that each of them can be broken."""

import json
from collections.abc import Callable
from pathlib import Path, PurePath

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
    "tests/support/waiting.py": "the polling that saves everybody else from sleeping",
}
LOCKS = ["requirements.lock", "requirements-dev.lock", "tap/requirements-oldest.lock", ".ci/rotel.lock"]
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


def test_nothing_is_left_unfinished() -> None:
    """The packages hold no notes to come back later."""
    assert [faults(rules.unfinished, below=below) for below in ("exporter", "tap")] == [{}, {}]


def test_no_file_knows_a_machine() -> None:
    """No file but this one, which needs examples, names a path that exists on one machine only."""
    this = Path(__file__).relative_to(rules.ROOT).as_posix()
    assert faults(rules.machine_paths).keys() == {this}


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


@pytest.mark.parametrize(
    "docstring",
    ["", '"""No end"""', '"""One. Two."""', '"""One.\n\n    Two."""', '"""One!  Two."""'],
)
@pytest.mark.parametrize("head", ["def test_a():", "async def test_a():", "class TestA:\n  def test_a(self):"])
def test_a_test_without_sentence_is_found(head: str, docstring: str) -> None:
    """A missing, unfinished or longer docstring is a fault in every kind of test."""
    assert len(rules.tests_without_sentence(f"{head}\n    {docstring}\n    pass\n")) == 1


@pytest.mark.parametrize("docstring", ["One fact.", "A value of 0.5 s (e.g. a ratio) is kept.", "One fact over\n    two lines."])
def test_a_sentence_is_accepted(docstring: str) -> None:
    """A sentence may hold numbers, abbreviations and line ends."""
    assert rules.tests_without_sentence(f'def test_a():\n    """{docstring}"""\n') == []


@pytest.mark.parametrize(
    "source",
    [
        "import time\ntime.sleep(1)",
        "import time as clock\nclock.sleep(0)",
        "from time import sleep\nsleep(0.1)",
        "from time import sleep as pause\npause(0.1)",
        "import asyncio\nasync def f():\n    await asyncio.sleep(0.01)",
        "from asyncio import sleep\nasync def f(x):\n    await sleep(x)",
    ],
)
def test_a_sleep_is_found(source: str) -> None:
    """A sleep is found under whatever name it was imported."""
    assert len(rules.sleeps(source)) == 1


@pytest.mark.parametrize(
    "source", ["import asyncio\nasyncio.sleep(0)", "from asyncio import sleep\nsleep(0)", "bed.sleep(8)", "sleep(8)"]
)
def test_yielding_is_no_sleep(source: str) -> None:
    """Letting other tasks run is not sleeping, nor is what only sounds like it."""
    assert rules.sleeps(source) == []


def test_a_long_module_is_found() -> None:
    """The limit itself is allowed and one line more is not."""
    assert rules.too_long("x\n" * rules.LONGEST_MODULE) == []
    assert len(rules.too_long("x\n" * (rules.LONGEST_MODULE + 1))) == 1


@pytest.mark.parametrize("mark", ["TODO", "FIXME", "XXX"])
def test_an_unfinished_note_is_found(mark: str) -> None:
    """A note is found where it stands alone, not inside another word."""
    assert rules.unfinished(f"ok\nx = 1  # {mark}: later\n") == ["line 2 is unfinished"]
    assert rules.unfinished(f"MY{mark}S = 1\n") == []


@pytest.mark.parametrize("path", [f"/{'work'}/main/x", f"'/{'root'}/.cache'", "see /home/me/x", "/Users/me", r"C:\Users\me"])
def test_a_machine_path_is_found(path: str) -> None:
    """A path below somebody's home or checkout is found."""
    assert rules.machine_paths(f"a\n{path}\n") == ["line 2 names a path of one machine"]


@pytest.mark.parametrize(
    "path", ["/etc/prometheus", "/var/lib/x", "tests/work/x", "https://a.example/work/x", "$HOME/work/x", "/workers"]
)
def test_a_path_of_every_machine_is_accepted(path: str) -> None:
    """Paths of the system, relative paths and addresses are fine."""
    assert rules.machine_paths(path) == []


HASH = "--hash=sha256:" + "0" * 64


@pytest.mark.parametrize(
    "lock",
    [
        "",
        "# nothing\n",
        "click==8.2\n",
        f"click>=8.2 {HASH}\n",
        f"click==8.2 \\\n    {HASH[:-1]}\n",
        f"--index-url https://a.example\nclick==8.2 \\\n    {HASH}\n",
        f"--no-binary click\nclick==8.2 \\\n    {HASH}\n",
        f"click @ https://a.example/click.whl \\\n    {HASH}\n",
        f"click==8.2 \\\n    {HASH}\nrich==14\n",
    ],
)
def test_a_loose_lock_is_found(lock: str) -> None:
    """A lock that pins nothing, pins loosely or says where to look is refused."""
    assert rules.lock_faults(lock) != []


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"integrity": "sha512-', '"resolved": "https://a.example/a.tgz", "integrity": "sha512-'),
        ('"integrity": "sha512-', '"integrity": "sha1-'),
        ('"typescript": "', '"typescript": "^'),
    ],
)
def test_a_loose_npm_lock_is_found(old: str, new: str) -> None:
    """An npm lock that says where to look, trusts a weak hash or takes what is newer is refused."""
    assert rules.npm_lock_faults(read(NPM_LOCK).replace(old, new, 1)) != []


def test_a_dead_link_is_found() -> None:
    """A link to no file is found, and one to a page elsewhere or to a heading is not."""
    page = "[a](house_rules.py) [b](#top) [c](https://a.example/x) [d](house_rules.py#l1) ![e](no.png) [f](../no/where.md#x)"
    assert rules.dead_links(page, Path(rules.__file__).parent) == ["leads nowhere: no.png", "leads nowhere: ../no/where.md"]


def test_a_lock_with_markers_is_accepted() -> None:
    """A requirement may be for some platforms only."""
    assert rules.lock_faults(f"colorama==0.4.6 ; sys_platform == 'win32' \\\n    {HASH} \\\n    {HASH}\n") == []


@pytest.mark.parametrize(
    ("changelog", "version"),
    [
        ("## [Unreleased]\n## [0.2.0] - 2026-01-02\n## [0.1.0]\n", "0.2.0"),
        ("## 1.0.0rc1\n", "1.0.0rc1"),
        ("# Changelog\n", ""),
    ],
)
def test_the_newest_version_is_the_topmost(changelog: str, version: str) -> None:
    """The first heading with a version counts, with or without brackets."""
    assert rules.newest_version(changelog) == version


@pytest.mark.parametrize(("path", "faults"), [("exporter/utils.py", 1), ("tests/util/a.py", 1), ("exporter/utilisation.py", 0)])
def test_a_module_for_leftovers_is_found(path: str, faults: int) -> None:
    """The name is found in files and folders, and only as a whole."""
    assert len(rules.left_over_names(PurePath(path))) == faults


def test_ignored_folders_are_left_out(tmp_path: Path) -> None:
    """Files are listed at every depth, without the folders that version control leaves out."""
    (tmp_path / ".gitignore").write_text("cache/\n*.egg-info/\n", encoding="utf-8")
    for name in ["a/b/kept.py", "cache/left.py", "a/x.egg-info/left.py", ".git/left.py"]:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("", encoding="utf-8")
    assert [file.name for file in rules.files(pattern="*.py", root=tmp_path)] == ["kept.py"]
