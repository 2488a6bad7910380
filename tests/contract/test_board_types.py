"""The boards are of the types that Grafana publishes, and the check can tell when they are not."""

import copy
import json
from collections.abc import Callable
from typing import Any

import pytest

from tests.support.board_rules import panels_of
from tests.support.grafana_types import faults
from tests.support.house_rules import ROOT

pytestmark = [pytest.mark.external, pytest.mark.xdist_group("board types")]

Boards = dict[str, dict[str, Any]]


def read(form: str) -> Boards:
    """The boards in one of their two forms, by name."""
    return {file.stem: json.loads(file.read_text(encoding="utf-8")) for file in sorted((ROOT / "grafana" / form).glob("*.json"))}


BOARDS = read("dashboards")
EXPORTED = read("export")

Spoil = Callable[[dict[str, Any]], None]


def first(board: dict[str, Any], kind: str) -> dict[str, Any]:
    """The first panel of a kind."""
    found: dict[str, Any] = next(panel for panel in panels_of(board) if panel["type"] == kind)
    return found


def override(board: dict[str, Any]) -> dict[str, Any]:
    """What the first override of the first graph sets."""
    found: dict[str, Any] = first(board, "timeseries")["fieldConfig"]["overrides"][0]["properties"][0]
    return found


def row(board: dict[str, Any]) -> dict[str, Any]:
    """The last heading, closed over the panel before it."""
    found: dict[str, Any] = [each for each in board["panels"] if each["type"] == "row"][-1]
    found.update(collapsed=True, panels=[board["panels"].pop()])
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
    "no such panel under a closed heading": lambda board: row(board)["panels"][0].update(type="tabel"),
    "a mark of nothing": lambda board: board["annotations"]["list"][0].update(expression="up"),
    "a link to nothing": lambda board: board["links"][0].update(type="boards"),
    "a setting that is none": lambda board: board.update(refreshing="30s"),
    "a variable of no kind": lambda board: board["templating"]["list"][1].update(type="guess"),
}


def spoilt(mistake: Spoil) -> dict[str, Any]:
    board = copy.deepcopy(BOARDS["overview"])
    mistake(board)
    return board


HEADS = ("__inputs", "__elements", "__requires", "id")


@pytest.fixture(scope="module")
def said(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    """What TypeScript says of every board, well or spoilt, in one run: most of its time goes into Grafana's types."""
    boards = BOARDS | {f"{name}-export": board for name, board in EXPORTED.items()}
    boards |= {f"mistake{number}": spoilt(mistake) for number, mistake in enumerate(MISTAKES.values())}
    boards |= {f"without-{head}": {key: value for key, value in EXPORTED["overview"].items() if key != head} for head in HEADS}
    return faults(tmp_path_factory.mktemp("boards"), boards)


def test_boards_are_of_the_published_types(said: dict[str, list[str]]) -> None:
    """TypeScript has nothing to say of any board, neither for provisioning nor for import."""
    well = [*BOARDS, *(f"{name}-export" for name in EXPORTED), "board"]
    assert {name: said[name] for name in well if said[name]} == {}


def test_mistakes_are_found(said: dict[str, list[str]]) -> None:
    """Whatever is spoilt in a board that is well, TypeScript sees it."""
    assert [name for number, name in enumerate(MISTAKES) if not said[f"mistake{number}"]] == []


def test_an_export_without_its_head_is_found(said: dict[str, list[str]]) -> None:
    """The form for import is not taken without what Grafana's import page reads first."""
    assert [head for head in HEADS if not said[f"without-{head}"]] == []
