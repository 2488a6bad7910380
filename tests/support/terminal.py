"""Programs in a terminal of a given width, as a user sees them."""

import fcntl
import os
import pty
import re
import signal
import struct
import subprocess
import sys
import termios
from collections.abc import Callable
from contextlib import suppress

_CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
_LINES = 40


def run_in_terminal(*args: str, columns: int = 80, until: Callable[[str], bool] | None = None) -> tuple[str, int]:
    """Run ``agentstack-exporter`` in a terminal. Returns what it showed, without control sequences, and its exit code.

    It is interrupted once what it showed fulfils ``until``.
    """
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", _LINES, columns, 0, 0))
    environment = {key: value for key, value in os.environ.items() if key not in {"COLUMNS", "LINES", "NO_COLOR"}}
    command = [sys.executable, "-m", "exporter.cli", *args]
    with subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, env={**environment, "TERM": "xterm"}) as process:
        os.close(theirs)
        output = b""
        with suppress(OSError):  # what a terminal raises once nobody writes to it any more
            while piece := os.read(ours, 65_536):
                output += piece
                if until is not None and until(_shown(output)):
                    process.send_signal(signal.SIGINT)
                    until = None
        os.close(ours)
        return _shown(output), process.wait()


def _shown(output: bytes) -> str:
    return _CONTROL.sub("", output.decode(errors="replace")).replace("\r\n", "\n")
