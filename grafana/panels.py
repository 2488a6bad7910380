"""Panels in one style: each takes a title, a description that says what to do about what it shows, a unit and queries."""

from collections.abc import Sequence
from typing import Final, Literal

from grafana_foundation_sdk.builders import bargauge, common, heatmap, stat, statetimeline, table, timeseries
from grafana_foundation_sdk.builders import dashboard as builders
from grafana_foundation_sdk.builders import prometheus as queries
from grafana_foundation_sdk.models import common as shapes
from grafana_foundation_sdk.models import dashboard as model
from grafana_foundation_sdk.models import heatmap as heat
from grafana_foundation_sdk.models import prometheus

from grafana.queries import Query
from grafana.variables import DATASOURCE, runbook

Unit = Literal[
    "s", "short", "percentunit", "percent", "none", "reqps", "ops", "cps", "bytes", "Bps", "currencyUSD", "dateTimeAsIso", "hertz",
    "turns", "tokens", "cores", "count",
]  # fmt: skip
_UNITS = {"turns": "short", "tokens": "short", "cores": "none", "count": "short"}
_COUNTED = frozenset({"turns", "count"})
"""Units of things counted one by one: a single number is written out, not rounded to thousands."""
Steps = Sequence[tuple[float | None, str]]
"""Colours, each from a value on; the first begins at ``None``, which is below all values."""

COLOURS = {
    "endpointing": "blue",
    "callback": "purple",
    "llm": "orange",
    "tts": "green",
    "realtime": "light-red",
    "unexplained": "#8e8e8e",
    "stt": "light-blue",
}
"""A component has the same colour on every board; unexplained time is grey. Red and yellow are kept for trouble."""

GOOD, WARN, BAD = "dark-green", "orange", "red"
NEUTRAL: Steps = ((None, "text"),)
_NOTHING = "#5b5f66"
"""The background of a number without a value: neither good nor bad."""
_LOWEST = -1e9
_LEAST_AXIS = {"s": 0.01, "percentunit": 0.05, "cps": 0.1, "none": 1}
"""The least upper end of an axis, so that a flat 0 looks like 0."""
_BAR = "2m"
"""The least time of a bar: with fewer than two scrapes in it Prometheus counts no increase."""
_REF_IDS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


def lines(
    title: str,
    description: str,
    unit: Unit,
    *asked: Query,
    steps: Steps = (),
    stacked: bool = False,
    bars: bool = False,
    colours: dict[str, str] | None = None,
    top: float | None = None,
    bottom: float = 0,
    signed: bool = False,
    slow: bool = False,
    side: bool = False,
    values: Sequence[str] = (),
    alerts: Sequence[str] = (),
) -> model.Panel:
    """Values over time.

    ``steps`` draws dashed lines. ``colours`` sets the colours of named series. The axis ends at ``top`` and begins at 0, or at
    ``bottom`` as long as no value is below it, or anywhere if ``signed``. ``slow`` takes five minutes for each point: for series that
    are too sparse for a point every minute. ``bars`` is for :func:`~grafana.queries.tally`. ``values`` are the numbers in the legend;
    ``side`` makes the legend a table at the right. The runbooks of ``alerts`` are linked.
    """
    panel = timeseries.Panel().title(title).description(description).unit(_unit(unit)).datasource(DATASOURCE)
    panel.targets([_target(query, at) for at, query in enumerate(asked)])
    panel.line_width(1 if stacked else 2).fill_opacity(60 if stacked or bars else 0).show_points(shapes.VisibilityMode.AUTO)
    panel.span_nulls(False).line_interpolation(shapes.LineInterpolation.LINEAR)
    panel.legend(_legend(values, side=side)).tooltip(
        common.VizTooltipOptions().mode(shapes.TooltipDisplayMode.MULTI).sort(shapes.SortOrder.DESCENDING)
    )
    panel.color_scheme(builders.FieldColor().mode(model.FieldColorModeId.PALETTE_CLASSIC))
    panel.axis_soft_max(_LEAST_AXIS.get(unit, 1)) if top is None else panel.max(top)
    if not signed:
        panel.axis_soft_min(bottom) if bottom else panel.min(0)
    if alerts:
        panel.links([runbook(alert) for alert in alerts])
    if slow:
        panel.interval("5m")
    if bars:
        panel.draw_style(shapes.GraphDrawStyle.BARS).line_width(0).interval(_BAR)
    if stacked:
        panel.stacking(common.StackingConfig().mode(shapes.StackingMode.NORMAL).group("A"))
    if steps:
        panel.thresholds(_steps(steps)).thresholds_style(
            common.GraphThresholdsStyleConfig().mode(shapes.GraphThresholdsStyleMode.DASHED)
        )
    for name, colour in (colours or {}).items():
        panel.override_by_name(name, [_fixed(colour)])
    return panel.build()


def number(
    title: str,
    description: str,
    unit: Unit,
    query: Query,
    *,
    steps: Steps = NEUTRAL,
    decimals: int | None = None,
    none: str = "no data",
    sparkline: bool = False,
    alerts: Sequence[str] = (),
) -> model.Panel:
    """One big number. ``none`` is the text without a value: words, because a 0 would look good.

    ``alerts`` is as for :func:`lines`.
    """
    panel = stat.Panel().title(title).description(description).unit(_exact(unit)).datasource(DATASOURCE).no_value(none)
    panel.targets([_target(query, 0)]).thresholds(_steps(steps if steps is NEUTRAL else _judged(steps)))
    panel.color_mode(shapes.BigValueColorMode.VALUE if steps is NEUTRAL else shapes.BigValueColorMode.BACKGROUND_SOLID)
    panel.graph_mode(shapes.BigValueGraphMode.AREA if sparkline else shapes.BigValueGraphMode.NONE)
    panel.reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]).values(False).fields(""))
    panel.text_mode(shapes.BigValueTextMode.NAME if query.legend else shapes.BigValueTextMode.VALUE)
    panel.justify_mode(shapes.BigValueJustifyMode.CENTER).color_scheme(builders.FieldColor().mode(model.FieldColorModeId.THRESHOLDS))
    if decimals is not None:
        panel.decimals(decimals)
    if alerts:
        panel.links([runbook(alert) for alert in alerts])
    return panel.build()


def heat_map(title: str, description: str, query: Query) -> model.Panel:
    """A histogram over time; a dot is an exemplar and opens its trace."""
    panel = heatmap.Panel().title(title).description(description).unit("s").datasource(DATASOURCE)
    panel.targets([_target(query, 0)]).calculate(False).cell_gap(1).hide_legend()
    panel.y_axis(heatmap.YAxisConfig().unit("s").axis_placement(shapes.AxisPlacement.LEFT))
    panel.color(heatmap.HeatmapColorOptions().mode(heat.HeatmapColorMode.SCHEME).scheme("Blues").steps(64).exponent(0.5).reverse(False))
    panel.filter_values(heatmap.FilterValueRange().le(1e-9)).exemplars_color("rgba(255,120,10,0.9)")
    panel.tooltip(heatmap.HeatmapTooltip().mode(shapes.TooltipDisplayMode.SINGLE).y_histogram(True))
    return panel.build()


def ranking(title: str, description: str, unit: Unit, *asked: Query, colours: dict[str, str] | None = None) -> model.Panel:
    """The newest values as horizontal bars."""
    panel = bargauge.Panel().title(title).description(description).unit(_unit(unit)).datasource(DATASOURCE).min(0)
    panel.targets([_target(query, at) for at, query in enumerate(asked)]).no_value("none")
    panel.orientation(shapes.VizOrientation.HORIZONTAL).display_mode(shapes.BarGaugeDisplayMode.BASIC)
    panel.reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]).values(False).fields(""))
    panel.color_scheme(builders.FieldColor().mode(model.FieldColorModeId.FIXED).fixed_color("blue"))
    panel.thresholds(_steps(((None, "blue"),)))
    for name, colour in (colours or {}).items():
        panel.override_by_name(name, [_fixed(colour)])
    return panel.build()


def states(title: str, description: str, query: Query, words: dict[int, tuple[str, str]]) -> model.Panel:
    """A band over time for each series, coloured by state: ``words`` maps each value to its word and colour."""
    panel = statetimeline.Panel().title(title).description(description).unit("none").datasource(DATASOURCE)
    panel.targets([_target(query, 0)]).show_value(shapes.VisibilityMode.NEVER).row_height(0.8).merge_values(True).fill_opacity(80)
    options = {str(value): model.ValueMappingResult(text=text, color=colour) for value, (text, colour) in words.items()}
    panel.mappings([model.ValueMap(options=options)]).color_scheme(builders.FieldColor().mode(model.FieldColorModeId.THRESHOLDS))
    panel.thresholds(_steps(((None, _NOTHING),))).legend(_legend((), side=False))
    return panel.build()


Column = tuple[str, Unit, Query, Steps]
"""A column of a table: its heading, unit, query, and the colours of its values."""


def grid(
    title: str,
    description: str,
    keys: dict[str, str],
    *columns: Column,
    link: model.DashboardLink | None = None,
    none: str = "–",
) -> model.Panel:
    """A table with a row for each combination of the labels ``keys`` (label → heading), sorted by its first column of numbers.

    ``link`` makes the cells of the first key open another board; ``none`` is the text of a cell without a value.
    """
    panel = table.Panel().title(title).description(description).unit("short").datasource(DATASOURCE).min_width(_NARROW)
    asked = [Query(query.expr, instant=True, format="table") for _, _, query, _ in columns]
    panel.targets([_target(query, at) for at, query in enumerate(asked)]).no_value(none)
    names = {f"Value #{_REF_IDS[at]}" if len(columns) > 1 else "Value": heading for at, (heading, *_) in enumerate(columns)}
    panel.with_transformation(model.DataTransformerConfig("merge", options={}))
    order = {name: at for at, name in enumerate([*keys, *names])}
    organised = {"excludeByName": {"Time": True}, "renameByName": keys | names, "indexByName": order}
    panel.with_transformation(model.DataTransformerConfig("organize", options=organised))
    panel.sort_by([common.TableSortByFieldState().display_name(columns[0][0]).desc(True)])
    for heading, unit, _, steps in columns:
        width = [_property("custom.width", _NUMBER)] if len(keys) > 1 else []
        panel.override_by_name(heading, [_property("unit", _exact(unit)), *_whole(unit), *width, *_cell_colours(steps)])
    if link is not None:
        panel.override_by_name(next(iter(keys.values())), [_property("links", [{"title": link.title, "url": link.url}])])
    return panel.build()


_NARROW: Final = 64
"""The least width of a column, in pixels. Grafana's default of 150 pushes the numbers at the right out of sight."""


_NUMBER: Final = 104
"""The width of a column of numbers, in pixels, in a table with several columns of names."""


def _whole(unit: Unit) -> list[model.DynamicConfigValue]:
    """Counts are shown without decimals, although Prometheus may estimate an increase with a fraction."""
    return [_property("decimals", 0)] if unit in _COUNTED else []


def _cell_colours(steps: Steps) -> list[model.DynamicConfigValue]:
    if not steps:
        return []
    thresholds = {"mode": "absolute", "steps": [{"value": value, "color": colour} for value, colour in _judged(steps)]}
    return [_property("thresholds", thresholds), _property("custom.cellOptions", {"type": "color-text"})]


def _target(query: Query, at: int) -> queries.Dataquery:
    built = queries.Dataquery().ref_id(_REF_IDS[at]).expr(query.expr).datasource(DATASOURCE)
    built.format(prometheus.PromQueryFormat(query.format)).legend_format(query.legend)
    if query.exemplar:
        built.exemplar(True)
    return built.instant() if query.instant else built.range()


def _legend(values: Sequence[str], *, side: bool) -> common.VizLegendOptions:
    legend = common.VizLegendOptions().show_legend(True).calcs(list(values))
    legend.display_mode(shapes.LegendDisplayMode.TABLE if side else shapes.LegendDisplayMode.LIST)
    return legend.placement(shapes.LegendPlacement.RIGHT if side else shapes.LegendPlacement.BOTTOM)


def _judged(steps: Steps) -> Steps:
    """The same colours for every value, and grey without a value: Grafana gives a missing value the first colour."""
    return ((None, _NOTHING), *((_LOWEST if value is None else value, colour) for value, colour in steps))


def _steps(steps: Steps) -> builders.ThresholdsConfig:
    return (
        builders.ThresholdsConfig()
        .mode(model.ThresholdsMode.ABSOLUTE)
        .steps([model.Threshold(value=value, color=colour) for value, colour in steps])
    )


def _fixed(colour: str) -> model.DynamicConfigValue:
    return _property("color", {"mode": "fixed", "fixedColor": colour})


def _property(name: str, value: object) -> model.DynamicConfigValue:
    return model.DynamicConfigValue(id_val=name, value=value)


def _unit(unit: Unit) -> str:
    return _UNITS.get(unit, unit)


def _exact(unit: Unit) -> str:
    return "locale" if unit in _COUNTED else _unit(unit)
