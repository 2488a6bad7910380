"""The boards are of the types that Grafana publishes, and the check can tell when they are not."""

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.support.grafana_types import faults
from tests.support.house_rules import ROOT

BOARDS: dict[str, dict[str, Any]] = {
    file.stem: json.loads(file.read_text(encoding="utf-8")) for file in sorted((ROOT / "grafana" / "dashboards").glob("*.json"))
}

Spoil = Callable[[dict[str, Any]], None]


def first(board: dict[str, Any], kind: str) -> dict[str, Any]:
    """The first panel of a kind."""
    found: dict[str, Any] = next(panel for panel in board["panels"] if panel["type"] == kind)
    return found


MISTAKES: dict[str, Spoil] = {
    "a number for a text": lambda board: board.update(title=5),
    "a text for a number": lambda board: first(board, "stat")["gridPos"].update(h="tall"),
    "no such mode": lambda board: first(board, "stat")["fieldConfig"]["defaults"]["thresholds"].update(mode="relative"),
    "no such option": lambda board: first(board, "stat")["options"].update(colour="background"),
    "no such style": lambda board: first(board, "timeseries")["fieldConfig"]["defaults"]["custom"].update(drawStyle="crayon"),
    "no such panel": lambda board: first(board, "table").update(type="tabel"),
    "a query without a name": lambda board: first(board, "timeseries")["targets"][0].pop("refId"),
    "a variable of no kind": lambda board: board["templating"]["list"][1].update(type="guess"),
}


def spoilt(mistake: Spoil) -> dict[str, Any]:
    board = copy.deepcopy(BOARDS["overview"])
    mistake(board)
    return board


def test_boards_are_of_the_published_types(tmp_path: Path) -> None:
    """TypeScript has nothing to say of any board."""
    found = faults(tmp_path, BOARDS)
    assert {name: said for name, said in found.items() if said} == {}


def test_mistakes_are_found(tmp_path: Path) -> None:
    """Whatever is spoilt in a board that is well, TypeScript sees it."""
    named = {f"mistake{number}": name for number, name in enumerate(MISTAKES)}
    found = faults(tmp_path, {file: spoilt(MISTAKES[name]) for file, name in named.items()})
    assert [name for file, name in named.items() if not found[file]] == []
