"""What panels have in common: colours, thresholds, and how a query is asked."""

from collections.abc import Sequence

from grafana_foundation_sdk.builders import dashboard as builders
from grafana_foundation_sdk.builders import prometheus as queries
from grafana_foundation_sdk.models import dashboard as model
from grafana_foundation_sdk.models import prometheus

from grafana.queries import Query
from grafana.variables import DATASOURCE

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
NOTHING = "#5b5f66"
"""The background of a number without a value: neither good nor bad."""
UNCOLOURED = "#2c3038"
"""The background of a number that is not judged, beside one that is."""
_LOWEST = -1e9
REF_IDS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


def target(query: Query, at: int) -> queries.Dataquery:
    """The query as a panel asks it; ``at`` is its place among the panel's queries."""
    built = queries.Dataquery().ref_id(REF_IDS[at]).expr(query.expr).datasource(DATASOURCE)
    built.format(prometheus.PromQueryFormat(query.format)).legend_format(query.legend)
    if query.exemplar:
        built.exemplar(True)
    return built.instant() if query.instant else built.range()


def shades(steps: Steps) -> Steps:
    """The same colours for every value, and grey without a value: Grafana gives a missing value the first colour."""
    return ((None, NOTHING), *((_LOWEST if value is None else value, colour) for value, colour in steps))


def thresholds(steps: Steps) -> builders.ThresholdsConfig:
    """Colours by absolute value."""
    return (
        builders.ThresholdsConfig()
        .mode(model.ThresholdsMode.ABSOLUTE)
        .steps([model.Threshold(value=value, color=colour) for value, colour in steps])
    )


def fixed(colour: str) -> model.DynamicConfigValue:
    """An override by one colour."""
    return prop("color", {"mode": "fixed", "fixedColor": colour})


def prop(name: str, value: object) -> model.DynamicConfigValue:
    """An override of one property."""
    return model.DynamicConfigValue(id_val=name, value=value)
