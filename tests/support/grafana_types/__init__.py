"""Boards against the types that Grafana publishes (``@grafana/schema``), checked by TypeScript itself."""

import json
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.support.peers import PEERS, require

_TYPES = PEERS / "grafana-types" / "node_modules" / "@grafana" / "schema" / "dist" / "types"
_HERE = Path(__file__).parent


def faults(directory: Path, boards: Mapping[str, Any]) -> dict[str, list[str]]:
    """What TypeScript says of each board, by name; nothing where it is of the published types. Writes its files to ``directory``.

    A board is taken for one to import where it asks for its inputs.
    """
    compiler = require("tsc")
    shutil.copy(_HERE / "board.ts", directory)
    for name, board in boards.items():
        kind = "Exported" if "__inputs" in board else "Board"
        text = f'import type {{ {kind} }} from "./board";\nexport const board: {kind} = {json.dumps(board, indent=1)};\n'
        (directory / f"{name}.ts").write_text(text, encoding="utf-8")
    options = {
        "noEmit": True,
        "strict": True,
        "skipLibCheck": True,
        "target": "es2022",
        "module": "esnext",
        "moduleResolution": "bundler",
        "types": [],
        "paths": {"@grafana/schema": [f"{_TYPES}/index.d.ts"], "grafana/*": [f"{_TYPES}/raw/composable/*"]},
    }
    (directory / "tsconfig.json").write_text(json.dumps({"compilerOptions": options, "include": ["*.ts"]}), encoding="utf-8")
    ran = subprocess.run([compiler, "-p", str(directory)], capture_output=True, text=True, check=False, timeout=300)
    lines = [line for line in ran.stdout.splitlines() if ".ts(" in line]
    assert bool(lines) == bool(ran.returncode), ran.stdout + ran.stderr
    return {name: [line for line in lines if Path(line.partition("(")[0]).stem == name] for name in (*boards, "board")}
