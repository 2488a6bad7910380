"""Compiles the hot path of an exporter package in place: ``python -m exporter.compiled.build DIRECTORY``.

Needs Cython, a C compiler (``CC``, or cc) and Python's headers. It compiles the modules beside this one, written in Cython, and those
in :data:`PLAIN`, which are plain Python. Python prefers a compiled module to its source, so compile a copy (``make compiled``), not the
files you work on.
"""

import os
import shlex
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

PLAIN: Final = ("protocol/ids", "sessions/clock", "sessions/span_state", "tracing/processor", "tracing/timeline", "tracing/turn_spans")
"""Python modules that every turn's spans pass, and that gain from being compiled as they are; others were measured and do not."""
_SUFFIX: Final = str(sysconfig.get_config_var("EXT_SUFFIX"))
_FLAGS: Final = ("-O2", "-shared", "-fPIC", "-fwrapv", "-fno-strict-aliasing", "-DNDEBUG", f"-I{sysconfig.get_path('include')}")


def sources(package: Path) -> list[Path]:
    """The files that are compiled."""
    return [*sorted((package / "compiled").glob("*.pyx")), *(package / f"{name}.py" for name in PLAIN)]


def compiled_file(source: Path) -> Path:
    """What a source is compiled to: the file beside it that Python prefers."""
    return source.with_suffix(_SUFFIX)


def compile_package(package: Path, without: Collection[Path] = ()) -> list[Path]:
    """Compile a package, as many modules at once as there are processors; returns the files it made.

    Sources in ``without`` are left out. Raises ``subprocess.CalledProcessError``; the compilers write their messages to standard error.
    """
    with ThreadPoolExecutor(os.cpu_count()) as workers:
        return list(workers.map(lambda source: _compile(source, package), [each for each in sources(package) if each not in without]))


def _compile(source: Path, package: Path) -> Path:
    module = ".".join((package.name, *source.relative_to(package).with_suffix("").parts))
    made = compiled_file(source)
    hints = f"annotation_typing={not source.with_suffix('.pxd').exists()}"  # types come from the .pxd file if there is one
    with tempfile.TemporaryDirectory() as folder:
        text = Path(folder) / f"{source.stem}.c"
        options = ["-3", "-X", hints, "--module-name", module, "--output-file", str(text)]
        subprocess.run([sys.executable, "-m", "cython", *options, str(source)], check=True)  # noqa: S603 - our own sources
        compiler = shlex.split(os.environ.get("CC", "cc"))
        subprocess.run([*compiler, *_FLAGS, str(text), "-o", str(made)], check=True)  # noqa: S603 - as above
    return made


def main(arguments: list[str]) -> None:
    """Compile the package in the one argument; exit with a message if that fails."""
    if len(arguments) != 1 or not (Path(arguments[0]) / "compiled").is_dir():
        sys.exit("usage: python -m exporter.compiled.build DIRECTORY, where DIRECTORY is the package: …/exporter")
    try:
        made = compile_package(Path(arguments[0]).resolve())
    except (OSError, subprocess.CalledProcessError) as error:
        sys.exit(f"compiling failed; it needs Cython, a C compiler and Python's headers: {error}")
    print("\n".join(map(str, made)))  # noqa: T201 - a program


if __name__ == "__main__":
    main(sys.argv[1:])
