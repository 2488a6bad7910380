"""``python -m grafana DIRECTORY``: write each form of the boards' JSON.

``DIRECTORY/dashboards`` is for provisioning, ``dashboards-native`` the same over native histograms, and ``export`` for grafana.com.
Each has a folder of its own because Grafana provisions every file below the folder that it is given.
"""

import json
import sys
from pathlib import Path
from typing import Any

from grafana.board import as_dashboard, as_export
from grafana.boards import BOARDS
from grafana.native import as_native


def write(directory: Path) -> None:
    """Write all forms of each board, to files named after it."""
    for form in ("dashboards", "dashboards-native", "export"):
        (directory / form).mkdir(parents=True, exist_ok=True)
    for board in BOARDS:
        dashboard = as_dashboard(board)
        _write(directory / "dashboards" / f"{board.name}.json", dashboard)
        _write(directory / "dashboards-native" / f"{board.name}.json", as_native(dashboard))
        _write(directory / "export" / f"{board.name}.json", as_export(dashboard))


def _write(file: Path, content: dict[str, Any]) -> None:
    file.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    write(Path(sys.argv[1]))
