"""The commands of docs/install.md, as they stand there, against a package index that has our wheels."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from exporter import __version__
from tests.support.compiled import require_compiler
from tests.support.distributions import SOURCES, build_wheel
from tests.support.house_rules import ROOT

pytestmark = [pytest.mark.external, pytest.mark.xdist_group("wheels")]

PAGE = (ROOT / "docs" / "install.md").read_text(encoding="utf-8")
TOOLS = str(Path(sys.executable).parent)
PROGRAM = "agentstack-exporter"


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment of a person who installs: an empty home, and our wheels where pip and uv look for packages."""
    home = tmp_path_factory.mktemp("home")
    for name in SOURCES:
        build_wheel(name, home / "wheels")
    subprocess.run([sys.executable, "-m", "venv", home / "venv"], check=True)
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "VIRTUAL_ENV", "AGENTSTACK"))}
    found = {
        "HOME": str(home),
        "PATH": os.pathsep.join([str(home / "venv" / "bin"), str(home / ".local" / "bin"), TOOLS, os.environ["PATH"]]),
        "PIP_FIND_LINKS": str(home / "wheels"),
        "UV_FIND_LINKS": str(home / "wheels"),
        "UV_PYTHON": sys.executable,  # the wheels are for this one
        "PIPX_DEFAULT_PYTHON": sys.executable,
        "PIP_COMPILE": "0",  # half of the time, for files that are run once
    }
    for cache in ("UV_CACHE_DIR", "PIP_CACHE_DIR"):
        found[cache] = os.environ.get(cache, str(Path.home() / ".cache" / cache.partition("_")[0].lower()))
    return kept | found


def shell(command: str, environment: dict[str, str]) -> str:
    """What a command writes; it has to succeed. Where no package index answers the test is skipped, except in CI (``CI`` is set)."""
    done = subprocess.run(
        ["bash", "-c", command], cwd=environment["HOME"], env=environment, capture_output=True, text=True, check=False
    )
    if re.search(r"(?i)failed to establish|error sending request|dns error", done.stderr) and not os.environ.get("CI"):
        pytest.skip("no package index answers")
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.timeout(240)
@pytest.mark.parametrize("tool", ["pip", "pipx", "uvx"])
def test_it_can_be_installed(tool: str, index: dict[str, str]) -> None:
    """With each tool the command of the page leads to a compiled program that says its version."""
    require_compiler()
    [command] = re.findall(rf"`({tool} .*?)`", PAGE)[:1]
    if tool == "uvx":
        said = shell(command.replace(" serve", " --version"), index)
    else:
        shell(command, index)
        place = "venv/bin" if tool == "pip" else ".local/bin"
        said = shell(f"{place}/{PROGRAM} --version", index)
    assert f"{PROGRAM} {__version__} (compiled)" in said


def test_the_shell_completes(index: dict[str, str]) -> None:
    """The line of the page makes bash complete commands, options and their choices."""
    [line] = re.findall(r"^    (eval .*)$", PAGE, re.MULTILINE)
    ours = {**index, "PATH": TOOLS + os.pathsep + index["PATH"]}
    for words, wanted in ((["ser"], "serve"), (["serve", "--log-for"], "--log-format"), (["serve", "--log-format", "js"], "json")):
        typed = f"COMP_WORDS=({PROGRAM} {' '.join(words)}); COMP_CWORD={len(words)}; _agentstack_exporter_completion {PROGRAM}"
        assert shell(f'{line}; {typed}; echo "${{COMPREPLY[@]}}"', ours).split() == [wanted]


def test_its_files_are_there() -> None:
    """Every file of the repository that the page names exists."""
    named = re.findall(r"\b(deploy/[\w./-]+|requirements\.lock)", PAGE)
    assert {"deploy/kubernetes", "deploy/systemd/agentstack-exporter.service"} <= set(named)
    assert [name for name in named if not (ROOT / name.rstrip("./")).exists()] == []
