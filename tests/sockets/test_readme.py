"""The front page: whoever does what it says gets what it says, from a fresh copy and with nothing set up."""

import asyncio
import os
import re
import shutil
import signal
import subprocess
import time
from pathlib import Path

import httpx
import pytest

from tests.support.house_rules import ROOT

WITHIN = 120.0
"""Seconds from a fresh copy to pages that can be looked at."""


def fresh_copy(to: Path) -> None:
    """What git would check out, with what was changed since."""
    listed = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    names = subprocess.run(listed, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name in filter(None, names.split("\0")):
        if (ROOT / name).exists():
            (to / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, to / name)


def commands(heading: str) -> list[str]:
    """The indented lines of a section of the README."""
    page = (ROOT / "README.md").read_text(encoding="utf-8")
    section = page.split(f"\n## {heading}\n")[1].split("\n## ")[0]
    return re.findall(r"^    (\S.*)$", section, re.MULTILINE)


@pytest.mark.timeout(240)
async def test_the_demo_from_a_fresh_copy(tmp_path: Path) -> None:
    """The front page's command makes its environment, says where to look, and these pages are there, within two minutes."""
    [command] = commands("Run it")
    assert command == "make demo"
    fresh_copy(tmp_path)
    of_this_run = ("VIRTUAL_ENV", "PYTHONPATH", "MAKEFLAGS", "MAKELEVEL", "ARGS")
    env = {name: value for name, value in os.environ.items() if name not in of_this_run}
    env["PIP_COMPILE"] = "0"  # most of what is installed is not run
    began = time.monotonic()
    running = await asyncio.create_subprocess_exec(
        *command.split(),
        cwd=tmp_path,
        env=env,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        start_new_session=True,
    )
    try:
        said, pages = "", set[str]()
        assert running.stdout is not None
        while "Stop with Ctrl-C" not in said:
            line = await asyncio.wait_for(running.stdout.readline(), WITHIN - (time.monotonic() - began))
            assert line, said
            said += line.decode()
        pages = set(re.findall(r"http://\S+", said))
        async with httpx.AsyncClient(trust_env=False) as http:
            for page in pages:
                assert (await http.get(page)).status_code == 200, page
        assert {page.rpartition("/")[2] for page in pages} == {"", "live", "metrics"}
        assert time.monotonic() - began < WITHIN
    finally:
        os.killpg(running.pid, signal.SIGINT)
        await asyncio.wait_for(running.wait(), 30)
