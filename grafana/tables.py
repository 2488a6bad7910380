"""Tables: a row for each agent, model or alert."""

from dataclasses import dataclass
from typing import Final

from grafana_foundation_sdk.builders import common, table
from grafana_foundation_sdk.models import dashboard as model

from grafana.queries import Query
from grafana.style import BAD, REF_IDS, WARN, Steps, prop, shades, target
from grafana.units import STYLES, Unit
from grafana.variables import DATASOURCE


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table: ``steps`` are the colours of its values."""

    heading: str
    unit: Unit
    query: Query
    steps: Steps = ()


def grid(
    title: str,
    description: str,
    keys: dict[str, str],
    *columns: Column,
    link: model.DashboardLink | None = None,
    none: str = "–",
    empty: str = "",
    urgency: str = "",
) -> model.Panel:
    """A table with a row for each combination of the labels ``keys`` (label → heading), sorted by its first column of numbers.

    ``link`` makes the cells of the first key open another page. ``none`` is the text of a cell without a value, ``empty`` that of a
    table without rows. ``urgency`` is the heading of a column with an alert's severity: it is coloured, and critical rows come first.
    """
    panel = table.Panel().title(title).description(description).unit("short").datasource(DATASOURCE).min_width(_NARROW)
    asked = [Query(column.query.expr, instant=True, format="table") for column in columns]
    panel.targets([target(query, at) for at, query in enumerate(asked)]).no_value(empty or none)
    names = {f"Value #{REF_IDS[at]}" if len(columns) > 1 else "Value": column.heading for at, column in enumerate(columns)}
    panel.with_transformation(model.DataTransformerConfig("merge", options={}))
    order = {name: at for at, name in enumerate([*keys, *names])}
    organised = {"excludeByName": {"Time": True}, "renameByName": keys | names, "indexByName": order}
    panel.with_transformation(model.DataTransformerConfig("organize", options=organised))
    largest = common.TableSortByFieldState().display_name(columns[0].heading).desc(True)
    panel.sort_by([*_first_by(urgency), largest])
    if urgency:
        panel.override_by_name(urgency, [prop("mappings", [_SEVERITIES]), prop("custom.cellOptions", {"type": "color-text"})])
    for column in columns:
        width = [prop("custom.width", _NUMBER)] if len(keys) > 1 else []
        panel.override_by_name(column.heading, [*_written(column.unit), *width, *_cell_colours(column.steps)])
    for heading in keys.values() if empty else ():
        panel.override_by_name(heading, [prop("noValue", none)])
    if link is not None:
        panel.override_by_name(next(iter(keys.values())), [prop("links", [{"title": link.title, "url": link.url}])])
    return panel.build()


_NARROW: Final = 64
"""The least width of a column, in pixels. Grafana's default of 150 pushes the numbers at the right out of sight."""
_NUMBER: Final = 94
"""The width of a column of numbers, in pixels, in a table with several columns of names."""


_SEVERITIES: Final = {
    "type": "value",
    "options": {"critical": {"color": BAD, "index": 0}, "warning": {"color": WARN, "index": 1}},
}


def _first_by(urgency: str) -> list[common.TableSortByFieldState]:
    return [common.TableSortByFieldState().display_name(urgency).desc(False)] if urgency else []


def _written(unit: Unit) -> list[model.DynamicConfigValue]:
    style = STYLES[unit]
    decimals = [] if style.decimals is None else [prop("decimals", style.decimals)]
    return [prop("unit", style.grafana), *decimals]


def _cell_colours(steps: Steps) -> list[model.DynamicConfigValue]:
    if not steps:
        return []
    colours = {"mode": "absolute", "steps": [{"value": value, "color": colour} for value, colour in shades(steps)]}
    return [prop("thresholds", colours), prop("custom.cellOptions", {"type": "color-text"})]
