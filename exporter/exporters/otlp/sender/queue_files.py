"""Opens the files of the queue's directory, so that whoever else can write there cannot lead the exporter to other files.

A symbolic link is never followed, a pipe or device is never waited for, and a file of a stranger is not used.
"""

import errno
import os
import stat
from pathlib import Path
from typing import Final

_OTHERS_WRITE: Final = stat.S_IWGRP | stat.S_IWOTH
_SAFE: Final = os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK


def make_private(directory: Path) -> bool:
    """Create the directory if it is missing; returns whether only its owner can write to it. A directory of ours is made private."""
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    found = directory.stat()
    if not found.st_mode & _OTHERS_WRITE:
        return True
    if found.st_uid != os.geteuid():
        return False
    directory.chmod(stat.S_IMODE(found.st_mode) & ~_OTHERS_WRITE)
    return True


def open_shared(path: Path) -> int:
    """Open a file that stays from process to process, for reading and writing. Raises ``OSError`` if it is not a plain file of ours."""
    return _checked(path, os.O_RDWR | os.O_CREAT)


def open_to_read(path: Path) -> int:
    """Open a file for reading. Raises ``OSError`` if it is not a plain file of ours."""
    return _checked(path, os.O_RDONLY)


def create(path: Path) -> int:
    """Create an empty file for writing. What had its name before is removed: a link, not what it points to."""
    path.unlink(missing_ok=True)
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | _SAFE, 0o600)


def _checked(path: Path, flags: int) -> int:
    try:
        file = os.open(path, flags | _SAFE, 0o600)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise OSError(errno.ELOOP, f"{path.name} is a symbolic link") from None
        raise
    try:
        problem = _problem(os.fstat(file), path.parent)
    except OSError:
        os.close(file)
        raise
    if problem:
        os.close(file)
        raise OSError(errno.EPERM, f"{path.name} {problem}")
    return file


def _problem(found: os.stat_result, directory: Path) -> str:
    if not stat.S_ISREG(found.st_mode):
        return "is not a file"
    if found.st_nlink > 1:
        return "has another name too"
    if found.st_uid not in {os.geteuid(), directory.stat().st_uid, 0}:
        return "belongs to another user"
    return ""
