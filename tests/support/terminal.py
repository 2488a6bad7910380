"""Programs in a terminal of a given width, as a user sees them."""

import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable
from contextlib import suppress

from tests.support.waiting import patience

_CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
_LINES = 40
_LONGEST = 30.0
"""Seconds that a program may take."""


def run_in_terminal(*args: str, columns: int = 80, until: Callable[[str], bool] | None = None) -> tuple[str, int]:
    """Run ``agentstack-exporter`` in a terminal. Returns what it showed, without control sequences, and its exit code.

    It is interrupted once what it showed fulfils ``until``, and killed if it takes too long.
    """
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", _LINES, columns, 0, 0))
    environment = {key: value for key, value in os.environ.items() if key not in {"COLUMNS", "LINES", "NO_COLOR"}}
    command = [sys.executable, "-m", "exporter.cli", *args]
    with subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, env={**environment, "TERM": "xterm"}) as process:
        os.close(theirs)
        output, deadline = b"", time.monotonic() + patience(_LONGEST)
        with suppress(OSError):  # what a terminal raises once nobody writes to it any more
            while select.select([ours], [], [], max(0.0, deadline - time.monotonic()))[0] and (piece := os.read(ours, 65_536)):
                output += piece
                if until is not None and until(_shown(output)):
                    process.send_signal(signal.SIGINT)
                    until = None
        os.close(ours)
        if time.monotonic() >= deadline:
            process.kill()
        return _shown(output), process.wait()


def _shown(output: bytes) -> str:
    return _CONTROL.sub("", output.decode(errors="replace")).replace("\r\n", "\n")
