"""Panels over time: each takes a title, a description that says what to do about what it shows, a unit and queries."""

from collections.abc import Sequence
from typing import Final

from grafana_foundation_sdk.builders import bargauge, common, heatmap, statetimeline, timeseries
from grafana_foundation_sdk.builders import dashboard as builders
from grafana_foundation_sdk.models import common as shapes
from grafana_foundation_sdk.models import dashboard as model
from grafana_foundation_sdk.models import heatmap as heat

from grafana.queries import Query
from grafana.style import NOTHING, Steps, fixed, target, thresholds
from grafana.units import STYLES, Unit
from grafana.variables import DATASOURCE, runbook

_BAR = "2m"
"""The least time of a bar: with fewer than two scrapes in it Prometheus counts no increase."""


_DOTS_ONLY: Final = [
    model.DynamicConfigValue(id_val="custom.lineWidth", value=0),
    model.DynamicConfigValue(id_val="custom.showPoints", value="never"),
    model.DynamicConfigValue(id_val="custom.hideFrom", value={"legend": True, "tooltip": True, "viz": False}),
]


def lines(
    title: str,
    description: str,
    unit: Unit,
    *asked: Query,
    axis: str = "",
    steps: Steps = (),
    stacked: bool = False,
    bars: bool = False,
    colours: dict[str, str] | None = None,
    top: float | None = None,
    bottom: float = 0,
    signed: bool = False,
    side: bool = False,
    values: Sequence[str] = (),
    alerts: Sequence[str] = (),
) -> model.Panel:
    """Values over time.

    ``axis`` labels the axis, if the unit's own label does not say what is counted. ``steps`` draws dashed lines. ``colours`` sets
    the colours of named series. The axis ends at ``top`` and begins at 0, or at ``bottom`` as long as no value is below it, or
    anywhere if ``signed``. ``bars`` is for :func:`~grafana.queries.tally`. ``values`` are the numbers in the legend; ``side`` makes
    the legend a table at the right. The runbooks of ``alerts`` are linked.
    """
    style = STYLES[unit]
    panel = timeseries.Panel().title(title).description(description).unit(style.grafana).datasource(DATASOURCE)
    panel.targets([target(query, at) for at, query in enumerate(asked)]).axis_label(axis or style.axis)
    # An outline around an area would be drawn on top of the stack for a series that is 0, in the colour of trouble.
    panel.line_width(0 if stacked or bars else 2).fill_opacity(60 if stacked or bars else 0).show_points(_points(stacked=stacked))
    panel.span_nulls(False).line_interpolation(shapes.LineInterpolation.LINEAR)
    panel.legend(_legend(values, side=side)).tooltip(
        common.VizTooltipOptions().mode(shapes.TooltipDisplayMode.MULTI).sort(shapes.SortOrder.DESCENDING)
    )
    panel.color_scheme(builders.FieldColor().mode(model.FieldColorModeId.PALETTE_CLASSIC))
    panel.axis_soft_max(style.least) if top is None else panel.max(top)
    if style.decimals is not None:
        panel.decimals(style.decimals)
    if not signed:
        panel.axis_soft_min(bottom) if bottom else panel.min(0)
    if alerts:
        panel.links([runbook(alert) for alert in alerts])
    if bars:
        panel.draw_style(shapes.GraphDrawStyle.BARS).interval(_BAR)
    if stacked:
        panel.stacking(common.StackingConfig().mode(shapes.StackingMode.NORMAL).group("A"))
    if steps:
        panel.thresholds(thresholds(steps)).thresholds_style(
            common.GraphThresholdsStyleConfig().mode(shapes.GraphThresholdsStyleMode.DASHED)
        )
    for query in asked:
        if query.dots:
            panel.override_by_name(query.legend, _DOTS_ONLY)
    for name, colour in (colours or {}).items():
        panel.override_by_name(name, [fixed(colour)])
    return panel.build()


def _points(*, stacked: bool) -> shapes.VisibilityMode:
    return shapes.VisibilityMode.NEVER if stacked else shapes.VisibilityMode.AUTO


def heat_map(title: str, description: str, query: Query) -> model.Panel:
    """A histogram over time; a dot is an exemplar and opens its trace."""
    panel = heatmap.Panel().title(title).description(description).unit("s").datasource(DATASOURCE)
    panel.targets([target(query, 0)]).calculate(False).cell_gap(1).hide_legend()
    panel.y_axis(heatmap.YAxisConfig().unit("s").axis_placement(shapes.AxisPlacement.LEFT))
    panel.color(heatmap.HeatmapColorOptions().mode(heat.HeatmapColorMode.SCHEME).scheme("Blues").steps(64).exponent(0.5).reverse(False))
    panel.filter_values(heatmap.FilterValueRange().le(1e-9)).exemplars_color("rgba(255,120,10,0.9)")
    panel.tooltip(heatmap.HeatmapTooltip().mode(shapes.TooltipDisplayMode.SINGLE).y_histogram(True))
    return panel.build()


def ranking(title: str, description: str, unit: Unit, asked: Query, colours: dict[str, str] | None = None) -> model.Panel:
    """The newest values as horizontal bars, the longest first."""
    panel = bargauge.Panel().title(title).description(description).unit(STYLES[unit].grafana).datasource(DATASOURCE).min(0)
    panel.targets([target(Query(f"sort_desc({asked.expr})", asked.legend, instant=True), 0)]).no_value("none")
    panel.orientation(shapes.VizOrientation.HORIZONTAL).display_mode(shapes.BarGaugeDisplayMode.BASIC)
    panel.reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]).values(False).fields(""))
    panel.color_scheme(builders.FieldColor().mode(model.FieldColorModeId.FIXED).fixed_color("blue"))
    panel.thresholds(thresholds(((None, "blue"),)))
    if (decimals := STYLES[unit].decimals) is not None:
        panel.decimals(decimals)
    for name, colour in (colours or {}).items():
        panel.override_by_name(name, [fixed(colour)])
    return panel.build()


def states(title: str, description: str, query: Query, words: dict[int, tuple[str, str]]) -> model.Panel:
    """A band over time for each series, coloured by state: ``words`` maps each value to its word and colour."""
    panel = statetimeline.Panel().title(title).description(description).unit("none").datasource(DATASOURCE)
    panel.targets([target(query, 0)]).show_value(shapes.VisibilityMode.NEVER).row_height(0.8).merge_values(True).fill_opacity(80)
    options = {str(value): model.ValueMappingResult(text=text, color=colour) for value, (text, colour) in words.items()}
    panel.mappings([model.ValueMap(options=options)]).color_scheme(builders.FieldColor().mode(model.FieldColorModeId.THRESHOLDS))
    panel.thresholds(thresholds(((None, NOTHING),))).legend(_legend((), side=False))
    return panel.build()


def _legend(values: Sequence[str], *, side: bool) -> common.VizLegendOptions:
    legend = common.VizLegendOptions().show_legend(True).calcs(list(values))
    legend.display_mode(shapes.LegendDisplayMode.TABLE if side else shapes.LegendDisplayMode.LIST)
    return legend.placement(shapes.LegendPlacement.RIGHT if side else shapes.LegendPlacement.BOTTOM)
