"""The boards are of the types that Grafana publishes, and the check can tell when they are not."""

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.support.grafana_types import faults
from tests.support.house_rules import ROOT

Boards = dict[str, dict[str, Any]]


def read(form: str) -> Boards:
    """The boards in one of their two forms, by name."""
    return {file.stem: json.loads(file.read_text(encoding="utf-8")) for file in sorted((ROOT / "grafana" / form).glob("*.json"))}


BOARDS = read("dashboards")
EXPORTED = read("export")

Spoil = Callable[[dict[str, Any]], None]


def first(board: dict[str, Any], kind: str) -> dict[str, Any]:
    """The first panel of a kind."""
    found: dict[str, Any] = next(panel for panel in board["panels"] if panel["type"] == kind)
    return found


def override(board: dict[str, Any]) -> dict[str, Any]:
    """What the first override of the first graph sets."""
    found: dict[str, Any] = first(board, "timeseries")["fieldConfig"]["overrides"][0]["properties"][0]
    return found


MISTAKES: dict[str, Spoil] = {
    "a number for a text": lambda board: board.update(title=5),
    "a text for a number": lambda board: first(board, "stat")["gridPos"].update(h="tall"),
    "no such mode": lambda board: first(board, "stat")["fieldConfig"]["defaults"]["thresholds"].update(mode="relative"),
    "no such option": lambda board: first(board, "stat")["options"].update(colour="background"),
    "no such style": lambda board: first(board, "timeseries")["fieldConfig"]["defaults"]["custom"].update(drawStyle="crayon"),
    "no such panel": lambda board: first(board, "table").update(type="tabel"),
    "a query without a name": lambda board: first(board, "timeseries")["targets"][0].pop("refId"),
    "a query with more than there is": lambda board: first(board, "timeseries")["targets"][0].update(legend="p95"),
    "an override of nothing": lambda board: override(board).update(id="colour"),
    "an override of nothing custom": lambda board: override(board).update(id="custom.fillOpacty", value=10),
    "an override by another kind of value": lambda board: override(board).update(id="decimals", value="two"),
    "a link to nothing": lambda board: board["links"][0].update(type="boards"),
    "a setting that is none": lambda board: board.update(refreshing="30s"),
    "a variable of no kind": lambda board: board["templating"]["list"][1].update(type="guess"),
}


def spoilt(mistake: Spoil) -> dict[str, Any]:
    board = copy.deepcopy(BOARDS["overview"])
    mistake(board)
    return board


def test_boards_are_of_the_published_types(tmp_path: Path) -> None:
    """TypeScript has nothing to say of any board, neither for provisioning nor for import."""
    found = faults(tmp_path, BOARDS | {f"{name}-export": board for name, board in EXPORTED.items()})
    assert len(found) == len(BOARDS) + len(EXPORTED) + 1
    assert {name: said for name, said in found.items() if said} == {}


def test_mistakes_are_found(tmp_path: Path) -> None:
    """Whatever is spoilt in a board that is well, TypeScript sees it."""
    named = {f"mistake{number}": name for number, name in enumerate(MISTAKES)}
    found = faults(tmp_path, {file: spoilt(MISTAKES[name]) for file, name in named.items()})
    assert [name for file, name in named.items() if not found[file]] == []


def test_an_export_without_its_head_is_found(tmp_path: Path) -> None:
    """The form for import is not taken without what Grafana's import page reads first."""
    headless: Boards = {}
    for missing in ("__inputs", "__elements", "__requires", "id"):
        headless[missing] = {key: value for key, value in EXPORTED["overview"].items() if key != missing}
    assert [missing for missing, said in faults(tmp_path, headless).items() if not said] == ["board"]
