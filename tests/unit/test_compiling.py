"""How the hot path is compiled: what is missing is told, and nothing is compiled twice."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from exporter.compiled import build
from tests.support.compiled import require_compiler, run_compiled

pytestmark = pytest.mark.external
COUNTING = """#!/bin/sh
echo compiled >>"{log}"
exec cc "$@"
"""


def package(folder: Path, names: tuple[str, ...]) -> Path:
    """A package of empty modules."""
    (folder / "exporter" / "compiled").mkdir(parents=True)
    for name in (*names, "compiled/build"):
        module = folder / "exporter" / f"{name}.py"
        module.parent.mkdir(parents=True, exist_ok=True)
        module.touch()
    return folder / "exporter"


def test_what_is_missing_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A wrong folder or a missing compiler gives a one-line message that says what is needed."""
    monkeypatch.setenv("CC", "no-such-compiler")
    compiled = package(tmp_path, build.PLAIN)
    for folder, message in ((tmp_path, "usage: "), (compiled, "compiling failed; it needs Cython, a C compiler")):
        done = run_compiled(tmp_path, "-m", "exporter.compiled.build", str(folder))
        assert done.returncode == 1
        assert done.stderr.splitlines()[-1].startswith(message)


def test_two_that_compile_the_same_wait_for_each_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of two that compile the same sources at once, one does and the other takes what it made; so does one that comes later."""
    require_compiler()
    monkeypatch.setattr(build, "PLAIN", ("one",))
    compiler, log = tmp_path / "counting-cc", tmp_path / "log"
    compiler.write_text(COUNTING.format(log=log), encoding="utf-8")
    compiler.chmod(0o755)
    monkeypatch.setenv("CC", str(compiler))
    places = [package(tmp_path / name, ("one",)) for name in ("first", "second", "later")]
    with ThreadPoolExecutor() as threads:
        made = [*threads.map(lambda place: build.compile_package(place, tmp_path / "cache"), places[:2])]
    made.append(build.compile_package(places[2], tmp_path / "cache"))
    assert log.read_text(encoding="utf-8") == "compiled\n"
    assert made == [[build.compiled_file(place / "one.py")] for place in places]
    assert len({file.read_bytes() for [file] in made}) == 1
