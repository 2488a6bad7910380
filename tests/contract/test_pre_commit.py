"""The hooks for those who want the checks before each commit."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.support.house_rules import ROOT

CONFIG = ROOT / ".pre-commit-config.yaml"


@pytest.mark.external
def test_pre_commit_takes_the_hooks(tmp_path: Path) -> None:
    """The configuration is one that pre-commit reads."""
    command = [str(Path(sys.executable).parent / "pre-commit"), "validate-config", str(CONFIG)]
    done = subprocess.run(command, env={**os.environ, "PRE_COMMIT_HOME": str(tmp_path)}, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, ""), done.stdout + done.stderr


def test_the_hooks_are_those_of_make_check() -> None:
    """Every hook runs a tool that ``make check`` runs, from the same environment, and nothing is fetched."""
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    (repository,) = yaml.safe_load(CONFIG.read_text(encoding="utf-8"))["repos"]
    assert repository["repo"] == "local"
    for hook in repository["hooks"]:
        program, *options = hook["entry"].removesuffix(" --force-exclude").split()
        assert program.startswith(".venv/bin/")
        assert " ".join(["$(BIN)/" + program.removeprefix(".venv/bin/"), *options[:1]]) in makefile
        assert hook["language"] == "system"
