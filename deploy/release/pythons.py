"""The Pythons that the exporter supports, and where this machine has them."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Final

SUPPORTED: Final = ("3.11", "3.12", "3.13", "3.14")
UV: Final = str(Path(sys.executable).with_name("uv"))
_DOWNLOADED: Final = Path(__file__).parents[2] / ".cache" / "newest-python" / "downloaded"
"""Where .ci/newest-python puts the one that it downloads."""


def find_python(version: str) -> str | None:
    """An interpreter of that version: on the path, installed by uv, or one of pyenv that no shim leads to."""
    command = [UV, "python", "find", "--system", "--no-project", "--no-python-downloads", version]
    environment = {**os.environ, "UV_PYTHON_INSTALL_DIR": str(_DOWNLOADED)} if _DOWNLOADED.exists() else None
    found = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if found.returncode == 0:
        return found.stdout.strip()
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    return next((str(python) for python in sorted(pyenv.glob(f"{version}.*/bin/python"), reverse=True)), None)
