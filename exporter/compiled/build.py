"""Compiles the hot path of an exporter package in place: ``python exporter/compiled/build.py DIRECTORY``.

Needs Cython, a C compiler (``CC``, or cc; ``CFLAGS`` are passed on) and Python's headers. It compiles the modules beside this one,
written in Cython, and those in :data:`PLAIN`, which are plain Python. Python prefers a compiled module to its source, so compile a copy
(``make compiled``), not the files you work on. The same sources give the same bytes wherever the package stands.

With ``COMPILED_CACHE`` in the environment, modules are kept in that folder, and those that were compiled before are taken from it. The
time of a file there says when it was last taken.
"""

import fcntl
import hashlib
import os
import shlex
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Final

PLAIN: Final = (
    "analysis/cost",
    "analysis/genai_durations",
    "analysis/latency_breakdown",
    "analysis/state_durations",
    "analysis/tools",
    "analysis/turn_position",
    "analysis/turn_taking",
    "analysis/turn_counter",
    "bounded_dict",
    "exporters/live/channel",
    "exporters/live/rows",
    "exporters/live/tally",
    "metrics/series_cache",
    "pipeline/call_feed",
    "pipeline/event_handlers",
    "pipeline/event_lag",
    "pipeline/step",
    "pipeline/turn_lengths",
    "pipeline/exemplar_references",
    "protocol/ids",
    "protocol/learning_decoder",
    "receivers/call_reader",
    "sessions/call_journal",
    "sessions/clock",
    "sessions/kept_events",
    "sessions/kept_turn",
    "sessions/session",
    "sessions/span_state",
    "sessions/turn_taking_state",
    "tracing/flags_attribute",
    "tracing/processor",
    "tracing/span_contributions",
    "tracing/timeline",
    "tracing/turn_spans",
)
"""Python modules that every turn passes. Most gain from being compiled only because of the types in a ``.pxd`` file beside them."""
CACHE: Final = "COMPILED_CACHE"
_SUFFIX: Final = str(sysconfig.get_config_var("EXT_SUFFIX"))
_LINKED: Final = ("-bundle", "-undefined", "dynamic_lookup") if sys.platform == "darwin" else ("-shared",)
_HEADERS: Final = sysconfig.get_path("include")
_FLAGS: Final = ("-O2", *_LINKED, "-fPIC", "-fwrapv", "-fno-strict-aliasing", "-ffp-contract=off", "-DNDEBUG", f"-I{_HEADERS}")
_FROM_OUTSIDE: Final = ("CC", "CFLAGS", "ARCHFLAGS")
"""Variables that change what is compiled. cibuildwheel sets the last on macOS."""


def sources(package: Path) -> list[Path]:
    """The files that are compiled."""
    return [*sorted((package / "compiled").glob("*.pyx")), *(package / f"{name}.py" for name in PLAIN)]


def compiled_file(source: Path) -> Path:
    """What a source is compiled to: the file beside it that Python prefers."""
    return source.with_suffix(_SUFFIX)


def missing() -> str | None:
    """What of the tools is not there."""
    compiler = _compiler()[0]
    if find_spec("Cython") is None:
        return f"there is no Cython in {sys.executable}"
    if shutil.which(compiler) is None:
        return f"there is no C compiler {compiler}"
    return None if Path(_HEADERS, "Python.h").exists() else f"there is no Python.h in {_HEADERS}"


def compile_package(package: Path, cache: Path | None = None) -> list[Path]:
    """Compile a package, as many modules at once as there are processors; returns the files it made.

    Raises ``subprocess.CalledProcessError`` or ``OSError``; the compilers write their messages to standard error.
    """
    with ThreadPoolExecutor(os.cpu_count()) as workers:
        return list(workers.map(lambda source: _made(source, package, cache), sources(package)))


def _made(source: Path, package: Path, cache: Path | None) -> Path:
    """The compiled module: from the cache if it is there, else compiled, and kept. What another process compiles is waited for."""
    if cache is None:
        return _compile(source, package)
    made, kept = compiled_file(source), cache / f"{source.stem}-{_digest(source, package)}.so"
    cache.mkdir(parents=True, exist_ok=True)
    with kept.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if kept.exists():
            kept.touch()
            return Path(shutil.copy(kept, made))
        _compile(source, package)
        Path(shutil.copy(made, kept.with_suffix(f".{os.getpid()}"))).rename(kept)
    return made


def _digest(source: Path, package: Path) -> str:
    """What a compiled module is made of and with: its source, all declarations, how it is built, and for which Python."""
    found = hashlib.sha256(f"{sys.version} {sysconfig.get_platform()} {version('cython')}".encode())
    found.update("\0".join(os.environ.get(name, "") for name in _FROM_OUTSIDE).encode())
    for file in [source, *sorted(package.rglob("*.pxd")), package / "compiled" / "build.py"]:
        found.update(file.relative_to(package).as_posix().encode() + b"\0" + file.read_bytes() + b"\0")
    return found.hexdigest()[:16]


def _compile(source: Path, package: Path) -> Path:
    """Compile one module. Both compilers see names relative to their folder, so that no path of this machine is in what they make."""
    inside, made = source.relative_to(package.parent), compiled_file(source)
    hints = f"annotation_typing={not source.with_suffix('.pxd').exists()}"  # types come from the .pxd file if there is one
    with tempfile.TemporaryDirectory() as folder:
        text = f"{source.stem}.c"
        module = ".".join(inside.with_suffix("").parts)
        options = ["-3", "-X", hints, "--module-name", module, "--output-file", str(Path(folder, text))]
        subprocess.run([sys.executable, "-P", "-m", "cython", *options, str(inside)], cwd=package.parent, check=True)  # noqa: S603 - our own sources
        command = [*_compiler(), *_FLAGS, *_words("CFLAGS"), *_words("ARCHFLAGS"), text, "-o", str(made)]
        subprocess.run(command, cwd=folder, check=True)  # noqa: S603 - as above
    return made


def _compiler() -> list[str]:
    return _words("CC") or ["cc"]


def _words(name: str) -> list[str]:
    return shlex.split(os.environ.get(name, ""))


def main(arguments: list[str]) -> None:
    """Compile the package in the one argument; exit with a message if that fails."""
    if len(arguments) != 1 or not (Path(arguments[0]) / "compiled").is_dir():
        sys.exit("usage: python exporter/compiled/build.py DIRECTORY, where DIRECTORY is the package: …/exporter")
    if (what := missing()) is not None:
        sys.exit(f"compiling failed; it needs Cython, a C compiler and Python's headers: {what}")
    cache = os.environ.get(CACHE)
    try:
        made = compile_package(Path(arguments[0]).resolve(), Path(cache) if cache else None)
    except (OSError, subprocess.CalledProcessError) as error:
        sys.exit(f"compiling failed: {error}")
    print("\n".join(map(str, made)))  # noqa: T201 - a program


if __name__ == "__main__":
    main(sys.argv[1:])
