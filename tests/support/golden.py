"""Expected outputs as files under ``tests/golden``, compared whole."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Golden:
    """Compares text with the file of that name, or rewrites the file when asked to (``make golden``)."""

    directory: Path
    update: bool

    def __call__(self, name: str, actual: str) -> None:
        file = self.directory / name
        if self.update:
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(actual, encoding="utf-8")
            return
        assert file.is_file(), f"tests/golden/{name} is missing: run make golden"
        expected = file.read_text(encoding="utf-8")
        assert actual == expected, f"tests/golden/{name} differs; if the change is meant, run make golden and read the diff"
