"""Where the instructions of an event go, function by function, counted by valgrind: they do not depend on what else the machine does.

An exporter runs under callgrind twice, with different numbers of the same events. The difference is what an event takes, without start
and end. That is done without spans and /live, then with /live, then with spans that are delivered too. The kernel is not in it.
"""

import os
import re
import shutil
import subprocess
import tempfile
from collections import Counter
from pathlib import Path

from bench import frames
from bench.contestants import running
from bench.delivered import receiver
from bench.frames import Load, load
from bench.ingest import CONNECTIONS, flood
from bench.instrumented import ENDPOINT
from bench.live import whole_calls
from bench.peers import peers
from bench.report import table

_LINE = re.compile(r"\s*([\d,]+) \(\s*[\d.]+%\)\s+(\S+)(?:.*\[(.*)\])?")
_SHOWN = 45
"""Functions in a table; the rest is one line."""
_LEAST = 20
"""Instructions that a function takes for an event, to be shown."""
_COLUMNS = {"metrics only": ("--no-live",), "and /live": (), "and spans, delivered": ()}
_KINDS = {"turn.metrics": frames.turns, "small events as they come": frames.small, "all events of calls": whole_calls}
_PATIENCE = 600.0


def run(*, quick: bool) -> None:
    """Measure and print."""
    if shutil.which("valgrind") is None:
        print("Not measured: valgrind is not installed.\n", flush=True)
        return
    few, many = (20, 40) if quick else (40, 140)
    with receiver() as url:
        _counted(load("first", frames.turns(), 1), url, ())  # Python compiles what it imports for the first time
        for name, events in _KINDS.items():
            loads = load(name, events(), few), load(name, events(), many)
            columns = [_an_event(loads, url if "spans" in column else None, flags) for column, flags in _COLUMNS.items()]
            print(f"Instructions of an event, {name}:\n", flush=True)
            table(("function", "in", *_COLUMNS), _lines(columns))


def _an_event(loads: tuple[Load, Load], url: str | None, flags: tuple[str, ...]) -> dict[tuple[str, str], float]:
    """Instructions of an event in each function: (name, where it is)."""
    few, many = (_counted(traffic, url, flags) for traffic in loads)
    events = (len(loads[1].ends) - len(loads[0].ends)) * CONNECTIONS
    return {function: (many[function] - few[function]) / events for function in few | many}


def _counted(traffic: Load, url: str | None, flags: tuple[str, ...]) -> Counter[tuple[str, str]]:
    """Instructions in each function, from start to end."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "callgrind.out"
        valgrind = ("valgrind", "--tool=callgrind", f"--callgrind-out-file={out}", f"--log-file={folder}/log")
        if url is not None:
            os.environ[ENDPOINT] = url
        try:
            with (
                running("exporter", *flags, under=valgrind, patience=_PATIENCE) as exporter,
                peers(exporter.port, CONNECTIONS) as group,
            ):
                exporter.settle(flood(traffic, group) + CONNECTIONS)
        finally:
            os.environ.pop(ENDPOINT, None)
        return _by_function(out)


def _by_function(out: Path) -> Counter[tuple[str, str]]:
    command = ("callgrind_annotate", "--threshold=100", "--auto=no", str(out))
    found: Counter[tuple[str, str]] = Counter()
    for line in subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines():
        if (match := _LINE.match(line)) and match[3]:
            function = re.sub(r"'\d+$", "", match[2].partition(":")[2] or match[2])
            found[_readable(function), _module(match[3])] += int(match[1].replace(",", ""))
    return found


def _readable(function: str) -> str:
    """The name in the source of a function that Cython has compiled: class and method, or module and function."""
    found = re.match(r"__pyx_(?:pw|pf|f|getprop|setprop)_(.*)", function)
    if found is None:
        return function
    parts, rest = [""], found[1]
    while (size := re.match(r"_?(\d+)", rest)) and rest[size.end() + int(size[1]) :].startswith("_"):
        end = size.end() + int(size[1])
        parts.append(rest[size.end() : end])
        rest = rest[end:]
    return f"{parts[-1]}.{re.sub(r'^_[0-9]*', '', rest)}"


def _module(path: str) -> str:
    name = Path(path.rsplit(maxsplit=1)[-1]).name
    return "Python" if name.startswith(("libpython", "python3")) else name.partition(".")[0]


def _lines(columns: list[dict[tuple[str, str], float]]) -> list[tuple[str, ...]]:
    functions = sorted({function for column in columns for function in column}, key=lambda each: -columns[-1].get(each, 0.0))
    shown = [each for each in functions if max(column.get(each, 0.0) for column in columns) >= _LEAST][:_SHOWN]
    lines: list[tuple[str, ...]] = [
        (f"`{name}`", where, *(f"{column.get((name, where), 0.0):,.0f}" for column in columns)) for name, where in shown
    ]
    rest = [sum(column.values()) - sum(column.get(each, 0.0) for each in shown) for column in columns]
    lines.append(("all others", "", *(f"{value:,.0f}" for value in rest)))
    return [*lines, ("**together**", "", *(f"**{sum(column.values()):,.0f}**" for column in columns))]
