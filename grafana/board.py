"""Boards from sections: the position and id of each panel, and the form for grafana.com."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from grafana_foundation_sdk.builders import dashboard as builders
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import dashboard as model

from grafana.variables import TAG, board_links, datasource, filters

WIDTH = 24
_GRAFANA = "11.0.0"
"""The oldest Grafana that the boards support."""
_PANEL_NAMES = {"timeseries": "Time series", "stat": "Stat", "heatmap": "Heatmap", "table": "Table", "bargauge": "Bar gauge"} | {
    "state-timeline": "State timeline"
}


PanelRow = tuple[int, Sequence[tuple[int, model.Panel]]]
"""Panels side by side: their height, and each one's width and itself."""


def even(height: int, *panels: model.Panel) -> PanelRow:
    """Panels of the same width."""
    return height, [(WIDTH // len(panels), panel) for panel in panels]


@dataclass(frozen=True, slots=True)
class Section:
    """Rows of panels under a heading."""

    title: str
    rows: Sequence[PanelRow]


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
    dashboard = built.build()
    dashboard.panels = _laid_out(board)
    plain: dict[str, Any] = json.loads(json.dumps(dashboard, cls=JSONEncoder))
    for variable in plain["templating"]["list"]:
        # The SDK writes options of interval variables for every kind; Grafana's types have none for these.
        for stray in ("auto", "auto_min", "auto_count"):
            variable.pop(stray, None)
    for panel in plain["panels"]:
        panel.get("options", {}).pop("footer", None)  # of tables, which have had it per column since Grafana 12.2
    return plain


def _laid_out(board: Board) -> list[model.Panel | model.RowPanel]:
    found: list[model.Panel | model.RowPanel] = []
    top = 0
    for section in board.sections:
        row = builders.Row(section.title).build()
        row.grid_pos, row.id_val = model.GridPos(h=1, w=WIDTH, x=0, y=top), len(found) + 1
        found.append(row)
        top += 1
        for height, panels in section.rows:
            left = 0
            for width, panel in panels:
                panel.grid_pos, panel.id_val = model.GridPos(h=height, w=width, x=left, y=top), len(found) + 1
                found.append(panel)
                left += width
            if left not in (0, WIDTH):
                raise ValueError(f"{board.title}, {section.title}: a row of panels is {left} wide, not {WIDTH}")
            top += height if left else 0
    return found


def as_export(dashboard: dict[str, Any]) -> dict[str, Any]:
    """The form for grafana.com and the import page: it asks which Prometheus to use and lists what the board needs."""
    kinds = sorted({panel["type"] for panel in dashboard["panels"]} - {"row"})
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
