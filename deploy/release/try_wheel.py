"""Tries the installed exporter: ``python deploy/release/try_wheel.py``, with the Python that has it installed.

Its hot path has to be compiled, and the protocol's samples have to become what the expected outputs of the tests say. The program needs
nothing but the exporter, so that it runs wherever a wheel was built.
"""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SAMPLES = ROOT / "tests" / "data" / "samples.jsonl"
GOLDEN = ROOT / "tests" / "golden" / "samples"
COMMAND = str(Path(sys.executable).with_name("agentstack-exporter"))
CASES = ((["replay", str(SAMPLES)], "replay.txt"), (["replay", "--traces", str(SAMPLES)], "traces.txt"))


def main() -> None:
    """Try it. Ends the program with the first thing that is wrong."""
    said = output("--version")
    if "(compiled)" not in said:
        sys.exit(f"the installed exporter is not compiled: {said}")
    for arguments, expected in CASES:
        if output(*arguments) != (GOLDEN / expected).read_text(encoding="utf-8"):
            sys.exit(f"agentstack-exporter {' '.join(arguments)} does not print tests/golden/samples/{expected}")
    print(f"tried: {said.strip()}")


def output(*arguments: str) -> str:
    """What the installed command prints, outside the checkout and without spaces at the ends of lines."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"} | {"COLUMNS": "150"}
    done = subprocess.run([COMMAND, *arguments], cwd="/", env=environment, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        sys.exit(f"agentstack-exporter {' '.join(arguments)} ended with {done.returncode}: {done.stderr}")
    return "".join(f"{line.rstrip()}\n" for line in done.stdout.splitlines())


if __name__ == "__main__":
    main()
