"""The ready file: it exists while the exporter is ready, and holds the addresses that it listens on."""

import os
from pathlib import Path

import msgspec

from exporter.config import Address


class ReadyFile:
    """Writes and removes the file. Without a ``path`` it does nothing."""

    def __init__(self, path: Path | None) -> None:
        self._path = path

    def write(self, listen: Address, telemetry_listen: Address) -> None:
        """Write the bound addresses, so that a reader finds all of them or no file. Raises ``OSError`` that names the file."""
        if self._path is None:
            return
        content = msgspec.json.encode({"listen": str(listen), "telemetry_listen": str(telemetry_listen)})
        unfinished = self._path.with_name(f".{self._path.name}.{os.getpid()}")
        try:
            unfinished.write_bytes(content + b"\n")
            unfinished.replace(self._path)
        except OSError as error:
            unfinished.unlink(missing_ok=True)
            raise OSError(error.errno, f"cannot write the ready file {self._path}: {error.strerror}") from error

    def remove(self) -> None:
        """Remove the file, also one that a crashed process left behind."""
        if self._path is not None:
            self._path.unlink(missing_ok=True)
