"""What ``make release`` checks, and what it builds."""

import itertools
import os
import shutil
import subprocess
import sys
import sysconfig
import tarfile
from dataclasses import replace
from pathlib import Path

import pytest

from deploy.release import versions
from deploy.release.pythons import SUPPORTED
from exporter import __version__
from exporter.compiled.build import CACHE
from tests.support.compiled import OBJECTS, require_compiler
from tests.support.house_rules import ROOT, files
from tests.support.kubernetes import charted
from tests.support.peers import require

RELEASED = versions.Checkout(
    {file: {"1.2.3"} for file in (*versions.STATED, versions.CHANGELOG)}, dated=True, tags=frozenset({"v1.2.3"}), changed=()
)


def test_a_release_that_agrees() -> None:
    """Where files, changelog and tag agree nothing is wrong, and nothing is left to do."""
    assert (versions.faults(RELEASED), versions.notes(RELEASED)) == ([], [])


@pytest.mark.parametrize("file", RELEASED.stated)
@pytest.mark.parametrize("stated", [set(), {"1.2.4"}, {"1.2.3", "1.2.4"}])
def test_a_file_that_says_otherwise(file: str, stated: set[str]) -> None:
    """Another version, or none, in any of the files is a fault that names the file, with a tag or without."""
    for tags in (frozenset[str](), RELEASED.tags):
        found = versions.faults(replace(RELEASED, stated=RELEASED.stated | {file: stated}, tags=tags))
        assert any(file in fault for fault in found)


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"tags": frozenset({"v1.2.2"})}, "git: the commit is tagged v1.2.2, but exporter/__init__.py says 1.2.3, which is v1.2.3"),
        ({"dated": False}, "CHANGELOG.md: the heading of 1.2.3 has no date"),
        ({"changed": ("Makefile", "a b")}, "git: not committed: Makefile, a b"),
    ],
)
def test_a_tag_is_a_promise(change: dict[str, object], fault: str) -> None:
    """A tagged commit is not released under another version, without a date, or with changes that are in no commit."""
    assert versions.faults(replace(RELEASED, **change)) == [fault]  # type: ignore[arg-type] # as parametrised above


def test_a_rehearsal_says_what_is_left() -> None:
    """Without a version tag nothing is wrong, and what is still to be done is said, the tag by its name."""
    rehearsal = replace(RELEASED, tags=frozenset({"nightly"}), dated=False)
    assert versions.faults(rehearsal) == []
    assert versions.notes(rehearsal) == [
        "CHANGELOG.md: the heading of 1.2.3 has no date",
        "git: the commit has no version tag; to release it: git tag v1.2.3",
    ]


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of this checkout, committed and with a dated changelog."""
    require("git")
    root = tmp_path_factory.mktemp("checkout")
    for file in files():
        copy = root / file.relative_to(ROOT)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(file, copy)
    changelog = root / "CHANGELOG.md"
    changelog.write_text(changelog.read_text(encoding="utf-8").replace("- Unreleased", "- 2026-01-02", 1), encoding="utf-8")
    git(root, "init", "--quiet")
    git(root, "add", "--all")
    git(root, "commit", "--quiet", "--message", "Release")
    return root


def run(root: Path, *command: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run a program in a folder, whatever repository a git hook says is the one to work on."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    environment |= {CACHE: str(OBJECTS), **variables}
    return subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, check=False)


def git(root: Path, *arguments: str) -> None:
    identity = ("-c", "user.name=Somebody", "-c", "user.email=somebody@a.example", "-c", "commit.gpgsign=false")
    run(root, "git", *identity, *arguments).check_returncode()


def build(root: Path, pythons: str = "") -> subprocess.CompletedProcess[str]:
    """Build a release, with a wheel of the exporter for some versions of Python."""
    return run(root, sys.executable, "-m", "deploy.release.build", RELEASE_PYTHONS=pythons)


@pytest.mark.external
@pytest.mark.xdist_group("release")
@pytest.mark.timeout(600)  # it may compile
def test_everything_is_built(checkout: Path) -> None:
    """A tagged checkout gives sdists and wheels of both distributions, the image's context and the chart, of committed files only."""
    require_compiler()
    git(checkout, "tag", "--force", f"v{__version__}")
    minor = sys.version_info.minor
    done = build(checkout, f"3.{minor}")
    assert (done.returncode, done.stderr) == (0, "")
    names = {
        f"agentstack-exporter-{__version__}-image.tar.gz",
        f"agentstack-exporter-{__version__}.tgz",
        *(f"agentstack_{name}-{__version__}.tar.gz" for name in ("exporter", "tap")),
        f"agentstack_exporter-{__version__}-cp3{minor}-cp3{minor}-{sysconfig.get_platform().replace('-', '_')}.whl",
        f"agentstack_tap-{__version__}-py3-none-any.whl",
    }
    assert {Path(line).name for line in done.stdout.splitlines()} == names
    assert {file.name for file in (checkout / "dist").iterdir()} == names
    with tarfile.open(checkout / "dist" / f"agentstack-exporter-{__version__}-image.tar.gz") as packed:
        context = packed.getnames()
    assert {"Dockerfile", ".dockerignore", "LICENSE", "requirements.lock", "hatch_build.py", "exporter/cli.py"} <= set(context)
    assert {name.partition("/")[0] for name in context if "/" in name} == {"exporter"}


@pytest.mark.external
def test_the_wheels_of_the_package_index() -> None:
    """cibuildwheel builds for Linux with glibc and with musl, on x86-64 and arm64, for every supported Python."""
    command = [str(Path(sys.executable).with_name("cibuildwheel")), "--print-build-identifiers", "--platform", "linux"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    wanted = itertools.product(SUPPORTED, ("manylinux", "musllinux"), ("x86_64", "aarch64"))
    assert set(done.stdout.split()) == {f"cp{python.replace('.', '')}-{libc}_{machine}" for python, libc, machine in wanted}, (
        done.stderr
    )


@pytest.mark.external
@pytest.mark.xdist_group("release")
def test_the_chart_is_what_helm_takes(checkout: Path) -> None:
    """Helm makes of the packed chart what it makes of the checkout's."""
    git(checkout, "tag", "--force", f"v{__version__}")
    build(checkout).check_returncode()
    packed = checkout / "dist" / f"agentstack-exporter-{__version__}.tgz"
    for values in ("traces", "monitoring"):
        assert charted(values, chart=packed) == charted(values)


@pytest.mark.external
@pytest.mark.xdist_group("release")
@pytest.mark.parametrize("line", [f"version: {__version__}", f'appVersion: "{__version__}"'])
def test_the_chart_has_the_versions(checkout: Path, line: str) -> None:
    """Both versions of the chart are the package's, and each alone is a fault if it is not."""
    file = checkout / "deploy" / "helm" / "agentstack-exporter" / "Chart.yaml"
    text = file.read_text(encoding="utf-8")
    assert f"\n{line}\n" in text
    file.write_text(text.replace(f"\n{line}\n", f"\n{line.replace(__version__, '9.9.9')}\n"), encoding="utf-8")
    found = versions.faults(versions.read(checkout))
    file.write_text(text, encoding="utf-8")
    assert any(f"Chart.yaml: says {__version__} and 9.9.9" in fault for fault in found)


@pytest.mark.external
@pytest.mark.xdist_group("release")
def test_nothing_is_built_that_disagrees(checkout: Path) -> None:
    """A version that only one file states ends the program with that file's name, and leaves what was built before."""
    (checkout / "dist").mkdir(exist_ok=True)
    before = sorted((checkout / "dist").iterdir())
    module = checkout / "tap" / "agentstack_tap" / "__init__.py"
    text = module.read_text(encoding="utf-8")
    module.write_text(text.replace(__version__, "9.9.9"), encoding="utf-8")
    done = build(checkout)
    module.write_text(text, encoding="utf-8")
    assert done.returncode == 1
    assert f"tap/agentstack_tap/__init__.py: says 9.9.9, but exporter/__init__.py says {__version__}" in done.stderr
    assert sorted((checkout / "dist").iterdir()) == before
