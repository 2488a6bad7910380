"""What demo and replay show in a terminal of 80 columns, and through a pipe."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.terminal import run_in_terminal

pytestmark = pytest.mark.external
SAMPLES = Path(__file__).parents[1] / "data" / "samples.jsonl"
ANY = ("--listen", "127.0.0.1:0", "--telemetry-listen", "127.0.0.1:0", "--speed", "20", "--seed", "4")
NUMBERS = ("active calls", "events", "caller turns", "p50 perceived", "p95 perceived")


def test_the_numbers_of_a_demo() -> None:
    """A demo shows its numbers in a table with a name above each, no line of it is broken, and Ctrl-C ends it without an error."""
    row = re.compile(r"^│ +[1-9]\d* │ +[1-9][\d,]* │ +[1-9][\d,]* │ +\d+\.\d\d s │ +\d+\.\d\d s │$", re.MULTILINE)
    shown, code = run_in_terminal("demo", *ANY, until=lambda text: row.search(text) is not None)
    assert code == 0, shown
    assert "Traceback" not in shown
    assert "┃ " + " ┃ ".join(NUMBERS) + " ┃" in shown
    assert max(map(len, shown.splitlines())) <= 80
    assert shown.endswith("stopping\n")


def test_the_traces_of_a_recording() -> None:
    """In 80 columns every name and time of a span is complete, and no line is longer or broken."""
    shown, code = run_in_terminal("replay", "--traces", str(SAMPLES))
    assert code == 0, shown
    assert max(map(len, shown.splitlines())) <= 80
    assert "…" not in shown
    spans = re.compile(r"^ *(\S+(?: \S+)?) +(\+\S+ m?s) +(\S+ m?s) ", re.MULTILINE)
    drawn = spans.findall(shown)
    assert ("text_to_speech eleven_flash_v2_5", "+3120 ms", "900 ms") in drawn
    assert drawn == spans.findall(_piped("replay", "--traces", str(SAMPLES)))


def test_the_traces_of_a_demo() -> None:
    """In 80 columns a demo draws whole turns, and no line of them is longer or broken."""
    shown, code = run_in_terminal("demo", *ANY, "--print-traces", until=lambda text: text.count("caller waited") > 5)
    assert code == 0, shown
    drawing = shown[shown.index("invoke_agent") :]
    logged = re.compile(r"\d{4}-\d\d-\d\dT")  # as of a busy machine
    assert [line for line in drawing.splitlines() if len(line) > 80 and not logged.match(line)] == []
    assert re.search(r"^  chat \S+ +\+\d+ ms +\d+ ms +[━◆·]", drawing, re.MULTILINE)


def test_the_progress_of_a_replay() -> None:
    """A summary in a terminal shows the line it is at, and removes that before it prints; a pipe shows none."""
    shown, code = run_in_terminal("replay", "--summary", str(SAMPLES))
    assert code == 0, shown
    assert re.match(r"\rreplay: line 1 of \d+\rall events\n", shown)
    assert "line 1 of" not in _piped("replay", "--summary", str(SAMPLES))


def _piped(*args: str | Path) -> str:
    done = subprocess.run([sys.executable, "-m", "exporter.cli", *args], check=True, capture_output=True, text=True)
    return done.stdout + done.stderr if "--summary" in args else done.stdout
