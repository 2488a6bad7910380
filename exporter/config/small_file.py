"""Reads a file that people write. It is small, so that one with millions of lines, or a device without an end, is a mistake."""

import errno
from codecs import BOM_UTF8
from pathlib import Path
from typing import Final

MAX_FILE_BYTES: Final = 1 << 20


def read_small_file(path: Path) -> bytes:
    """The file without a byte order mark, as some editors write it. Raises ``OSError``, also for a file that is too large."""
    with path.open("rb") as file:
        raw = file.read(MAX_FILE_BYTES + 1)
    if len(raw) > MAX_FILE_BYTES:
        raise OSError(errno.EFBIG, f"larger than {MAX_FILE_BYTES} bytes")
    return raw.removeprefix(BOM_UTF8)
