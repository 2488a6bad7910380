"""Boards from sections: the position and id of each panel, and the form for grafana.com."""

import itertools
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from grafana_foundation_sdk.builders import dashboard as builders
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import dashboard as model

from grafana.annotations import annotations
from grafana.variables import TAG, board_links, datasource, filters

WIDTH = 24
_GRAFANA = "11.0.0"
"""The oldest Grafana that the boards support."""
_PANEL_NAMES = {"timeseries": "Time series", "stat": "Stat", "heatmap": "Heatmap", "table": "Table", "bargauge": "Bar gauge"} | {
    "state-timeline": "State timeline"
}


@dataclass(frozen=True, slots=True)
class Placed:
    """A panel and its width, in columns of 24."""

    width: int
    panel: model.Panel


@dataclass(frozen=True, slots=True)
class PanelRow:
    """Panels side by side, all of one height."""

    height: int
    panels: Sequence[Placed]


def even(height: int, *panels: model.Panel) -> PanelRow:
    """Panels of the same width."""
    return PanelRow(height, [Placed(WIDTH // len(panels), panel) for panel in panels])


@dataclass(frozen=True, slots=True)
class Section:
    """Rows of panels under a heading. If ``closed``, they are shown, and queried, once the reader opens the heading."""

    title: str
    rows: Sequence[PanelRow]
    closed: bool = False


@dataclass(frozen=True, slots=True)
class Board:
    """A board; ``name`` is the name of its file, and its uid without the ``agentstack-`` prefix."""

    name: str
    title: str
    description: str
    sections: Sequence[Section]

    @property
    def uid(self) -> str:
        """The uid that links and provisioning use; it never changes."""
        return uid_of(self.name)


def uid_of(name: str) -> str:
    """The uid of the board with this name."""
    return f"agentstack-{name}"


def as_dashboard(board: Board) -> dict[str, Any]:
    """The board as Grafana's classic JSON, for provisioning: the data source is the variable ``datasource``."""
    built = builders.Dashboard(board.title).uid(board.uid).description(board.description).tags([TAG]).readonly()
    built.time("now-1h", "now").refresh("30s").timezone("browser").tooltip(model.DashboardCursorSync.CROSSHAIR)
    built.with_variable(datasource())
    for variable in filters():
        built.with_variable(variable)
    for link in board_links():
        built.link(link)
    for annotation in annotations():
        built.annotation(annotation)
    dashboard = built.build()
    dashboard.panels = _laid_out(board)
    plain: dict[str, Any] = json.loads(json.dumps(dashboard, cls=JSONEncoder))
    for variable in plain["templating"]["list"]:
        # The SDK writes options of interval variables for every kind; Grafana's types have none for these.
        for stray in ("auto", "auto_min", "auto_count"):
            variable.pop(stray, None)
    for panel in _panels_of(plain):
        panel["options"].pop("footer", None)  # of tables, which have had it per column since Grafana 12.2
    return plain


def _panels_of(dashboard: dict[str, Any]) -> list[dict[str, Any]]:
    """The panels that show data, also those under closed headings."""
    return [panel for each in dashboard["panels"] for panel in (each["panels"] if each["type"] == "row" else [each])]


def _laid_out(board: Board) -> list[model.Panel | model.RowPanel]:
    found: list[model.Panel | model.RowPanel] = []
    numbers = itertools.count(1)
    top = 0
    for section in board.sections:
        row = builders.Row(section.title).collapsed(section.closed).build()
        row.grid_pos, row.id_val = model.GridPos(h=1, w=WIDTH, x=0, y=top), next(numbers)
        found.append(row)
        panels = _placed(section, top + 1, numbers, board.title)
        if section.closed:
            # Grafana puts them below the heading when it is opened, and moves down what follows.
            row.panels = panels
            top += 1
        else:
            found += panels
            top += 1 + sum(each.height for each in section.rows)
    return found


def _placed(section: Section, top: int, numbers: Iterator[int], title: str) -> list[model.Panel]:
    found = []
    for row in section.rows:
        left = 0
        for each in row.panels:
            each.panel.grid_pos = model.GridPos(h=row.height, w=each.width, x=left, y=top)
            each.panel.id_val = next(numbers)
            found.append(each.panel)
            left += each.width
        if left != WIDTH:
            raise ValueError(f"{title}, {section.title}: a row of panels is {left} wide, not {WIDTH}")
        top += row.height
    return found


def as_export(dashboard: dict[str, Any]) -> dict[str, Any]:
    """The form for grafana.com and the import page: it asks which Prometheus to use and lists what the board needs."""
    kinds = sorted({panel["type"] for panel in _panels_of(dashboard)})
    asked = {"name": "DS_PROMETHEUS", "label": "Prometheus", "description": "", "type": "datasource"}
    needs = [
        {"type": "grafana", "id": "grafana", "name": "Grafana", "version": _GRAFANA},
        {"type": "datasource", "id": "prometheus", "name": "Prometheus", "version": "1.0.0"},
        *({"type": "panel", "id": kind, "name": _PANEL_NAMES[kind], "version": ""} for kind in kinds),
    ]
    exported: dict[str, Any] = json.loads(json.dumps(dashboard))
    exported["templating"]["list"][0]["current"] = {"selected": True, "text": "Prometheus", "value": "${DS_PROMETHEUS}"}
    head = {"__inputs": [asked | {"pluginId": "prometheus", "pluginName": "Prometheus"}], "__elements": {}, "__requires": needs}
    return head | {"id": None} | exported
