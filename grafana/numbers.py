"""Panels of one big number."""

from collections.abc import Sequence
from dataclasses import dataclass

from grafana_foundation_sdk.builders import common, stat
from grafana_foundation_sdk.builders import dashboard as builders
from grafana_foundation_sdk.models import common as shapes
from grafana_foundation_sdk.models import dashboard as model

from grafana.queries import Query
from grafana.style import COLOURS, NEUTRAL, UNCOLOURED, Steps, prop, shades, target, thresholds
from grafana.units import STYLES, Unit
from grafana.variables import DATASOURCE, runbook

_BESIDE = 26
"""The size of numbers that share a panel, in pixels: left alone, Grafana makes each panel's as large as its words allow."""


@dataclass(frozen=True, slots=True)
class Of:
    """What a share is a share of: the word for it, and how many there are, in thousands or millions where there are many."""

    what: str
    query: Query


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
    of: Of | None = None,
    alerts: Sequence[str] = (),
) -> model.Panel:
    """One big number. ``none`` is the text without a value: words, because a 0 would look good.

    ``of`` is shown beside it, uncoloured: a third of three calls is no alarm. ``alerts`` is as for :func:`lines`.
    """
    panel = stat.Panel().title(title).description(description).unit(STYLES[unit].grafana).datasource(DATASOURCE).no_value(none)
    decimals = STYLES[unit].decimals if decimals is None else decimals
    panel.targets([target(query, 0)]).thresholds(thresholds(steps if steps is NEUTRAL else shades(steps)))
    panel.color_mode(shapes.BigValueColorMode.VALUE if steps is NEUTRAL else shapes.BigValueColorMode.BACKGROUND_SOLID)
    panel.graph_mode(shapes.BigValueGraphMode.AREA if sparkline else shapes.BigValueGraphMode.NONE)
    panel.reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]).values(False).fields(""))
    panel.text_mode(shapes.BigValueTextMode.NAME if query.legend else shapes.BigValueTextMode.VALUE)
    panel.justify_mode(shapes.BigValueJustifyMode.CENTER).color_scheme(builders.FieldColor().mode(model.FieldColorModeId.THRESHOLDS))
    if of is not None:
        _add_whole(panel, of, judged=steps is not NEUTRAL)
    if decimals is not None and of is None:
        panel.decimals(decimals)
    elif decimals is not None:  # of the share: what it is a share of has as many as its size asks for
        panel.override_by_query("A", [prop("decimals", decimals)])
    if alerts:
        panel.links([runbook(alert) for alert in alerts])
    return panel.build()


def at_least(
    title: str,
    description: str,
    cost: str,
    left_out: str,
    *,
    shares: str | None = None,
    decimals: int | None = None,
    none: str,
    alerts: Sequence[str] = (),
) -> model.Panel:
    """An amount in dollars; with ≥ before it if ``left_out`` has a value. The largest of ``shares``, by component, stands beside it."""
    panel = stat.Panel().title(title).description(description).unit(STYLES["dollars"].grafana).datasource(DATASOURCE).no_value(none)
    asked = [Query(f"{cost} unless on () ({left_out})", "all"), Query(f"{cost} and on () ({left_out})", "at least")]
    asked += [Query(f"topk(1, 100 * {shares})", "{{component}}")] if shares else []
    panel.targets([target(Query(query.expr, query.legend, instant=True), at) for at, query in enumerate(asked)])
    panel.thresholds(thresholds(NEUTRAL)).color_mode(shapes.BigValueColorMode.VALUE).graph_mode(shapes.BigValueGraphMode.NONE)
    panel.reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]).values(False).fields(""))
    panel.text_mode(shapes.BigValueTextMode.VALUE).justify_mode(shapes.BigValueJustifyMode.CENTER)
    if shares:
        panel.orientation(shapes.VizOrientation.HORIZONTAL).text(common.VizTextDisplayOptions().value_size(_BESIDE))
    panel.color_scheme(builders.FieldColor().mode(model.FieldColorModeId.THRESHOLDS)).override_by_name(
        "at least", [prop("unit", "currency:≥ $")]
    )
    for component in COLOURS if shares else ():
        panel.override_by_name(component, [prop("unit", f"suffix:% of {component} unpriced"), prop("decimals", 0)])
    if decimals is not None:
        panel.decimals(decimals)
    if alerts:
        panel.links([runbook(alert) for alert in alerts])
    return panel.build()


def _add_whole(panel: stat.Panel, of: Of, *, judged: bool) -> None:
    name = f"of {of.what}"
    panel.with_target(target(Query(f"round({of.query.expr})", name, instant=True), 1)).orientation(shapes.VizOrientation.HORIZONTAL)
    panel.text(common.VizTextDisplayOptions().value_size(_BESIDE))
    grey = {"mode": "absolute", "steps": [{"value": None, "color": UNCOLOURED}]}
    colours = [prop("thresholds", grey)] if judged else []
    panel.override_by_name(name, [prop("unit", f"count:{of.what}"), *colours])
