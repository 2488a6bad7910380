"""Rules for how dashboards look to somebody who is woken up by an alert: each function returns the faults that it finds."""

import re
from collections.abc import Iterator
from typing import Any

from grafana.style import COLOURS
from tests.support.board_rules import Dashboard, Rule, panels_of, queries_of

_STAGES = {
    "speech to text": "stt",
    "turn decision": "endpointing",
    "callback": "callback",
    "LLM first token": "llm",
    "TTS first byte": "tts",
    "realtime first token": "realtime",
}
_PLAIN = {"short", "locale", "none", "currencyUSD"}
"""Units whose values do not say what they count."""
_JUDGED = {"percentunit", "s"}
"""Units of values that can be judged: shares, and times."""
_LONGEST_STEP = {None, "2m"}
_NARROWEST = 11
"""Columns that a panel needs for a legend at its side."""


def _graphs(dashboard: Dashboard) -> list[dict[str, Any]]:
    return [panel for panel in panels_of(dashboard) if panel["type"] == "timeseries"]


def _defaults(panel: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = panel["fieldConfig"]["defaults"]
    return found


def _custom(panel: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = _defaults(panel).get("custom", {})
    return found


def _overrides(panel: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """What is set for each named series or column."""
    for override in panel["fieldConfig"].get("overrides", ()):
        yield override["matcher"]["options"], {each["id"]: each["value"] for each in override["properties"]}


def marks(dashboard: Dashboard) -> list[str]:
    """Alerts that fire, and new versions of the exporter and of agents, are marked on the time axis."""
    exprs = " ".join(mark["expr"] for mark in dashboard["annotations"]["list"] if mark["enable"])
    wanted = ('alertstate="firing"', "agentstack_exporter_build_info", "by (agent, provider, model)")
    return [f"nothing marks {text}" for text in wanted if text not in exprs]


def component_colours(dashboard: Dashboard) -> list[str]:
    """A component has its colour wherever it is a series: under its own name, and as a stage."""
    faults = []
    for panel in panels_of(dashboard):
        own = {name: found["color"]["fixedColor"] for name, found in _overrides(panel) if "color" in found}
        wanted = COLOURS if any(target.get("legendFormat") == "{{component}}" for target in panel["targets"]) else {}
        wanted = wanted | {name: COLOURS[_STAGES.get(name, name)] for name in own if _STAGES.get(name, name) in COLOURS}
        if panel["type"] in ("timeseries", "bargauge"):
            faults += [f"{panel['title']}: {name} is {own.get(name)}" for name, colour in wanted.items() if own.get(name) != colour]
    return faults


def whole_counts(dashboard: Dashboard) -> list[str]:
    """What is counted one by one has no decimals, although Prometheus estimates increases with a fraction."""
    counted = [(panel["title"], _defaults(panel)) for panel in panels_of(dashboard)]
    counted += [(f"{panel['title']}, {name}", found) for panel in panels_of(dashboard) for name, found in _overrides(panel)]
    faults = [title for title, found in counted if found.get("unit") == "locale" and found.get("decimals") != 0]
    summed = [panel for panel in _graphs(dashboard) if "sum" in panel["options"]["legend"]["calcs"]]
    return faults + [panel["title"] for panel in summed if _defaults(panel)["unit"] != "locale"]


def rates_per_minute(dashboard: Dashboard) -> list[str]:
    """The rate of events is one of a minute, by its unit and by its query."""
    faults = []
    for panel in _graphs(dashboard):
        minutes = all(target["expr"].replace("topk(10, ", "").startswith("60 * ") for target in panel["targets"])
        if (_defaults(panel)["unit"] == "count:per min") != minutes and _custom(panel).get("axisLabel") != "minutes an hour":
            faults.append(panel["title"])
    return faults


def short_steps(dashboard: Dashboard) -> list[str]:
    """No step is so long that the beginning of trouble lies between two points."""
    return [f"{panel['title']}: {panel['interval']}" for panel in panels_of(dashboard) if panel.get("interval") not in _LONGEST_STEP]


def legends_fit(dashboard: Dashboard) -> list[str]:
    """A legend at the side is in a wide panel, and so are names of models: in a narrow one they would be cut."""
    faults = []
    for panel in _graphs(dashboard):
        legend, narrow = panel["options"]["legend"], panel["gridPos"]["w"] < _NARROWEST
        models = any("{{model}}" in target["legendFormat"] for target in panel["targets"])
        if narrow and (models or legend["placement"] == "right"):
            faults.append(panel["title"])
    return faults


def judged_values_have_a_whole(dashboard: Dashboard) -> list[str]:
    """Only shares and times are good or bad: the same count is nothing in a busy hour and much in a quiet one."""
    faults = []
    for panel in panels_of(dashboard):
        if panel["type"] == "stat" and panel["options"]["colorMode"] != "value" and _defaults(panel)["unit"] not in _JUDGED:
            faults.append(panel["title"])
        if panel["type"] == "table":
            coloured = {name: found for name, found in _overrides(panel) if {"custom.cellOptions", "unit"} <= found.keys()}
            faults += [f"{panel['title']}, {name}" for name, found in coloured.items() if found["unit"] not in _JUDGED]
    return faults


def judged_shares_say_of_what(dashboard: Dashboard) -> list[str]:
    """Beside a coloured share stands how many it is a share of: in its own panel or, on Overview, in a panel of its own."""
    counted = {"Caller turns, last 15m"} & {panel["title"] for panel in panels_of(dashboard)}
    shares = [
        panel
        for panel in panels_of(dashboard)
        if panel["type"] == "stat" and panel["options"]["colorMode"] != "value" and _defaults(panel)["unit"] == "percentunit"
    ]
    return [panel["title"] for panel in shares if not counted and not any(name.startswith("of ") for name, _ in _overrides(panel))]


def wholes_fit(dashboard: Dashboard) -> list[str]:
    """How many something is a share of is short, however many it is: a day has millions of messages, and their panel is narrow."""
    wholes = [(panel["title"], found) for panel in panels_of(dashboard) for name, found in _overrides(panel) if name.startswith("of ")]
    fixed = [panel["title"] for panel in panels_of(dashboard) if "decimals" in _defaults(panel)]
    return [title for title, found in wholes if not found["unit"].startswith("count:") or title in fixed or "decimals" in found]


def longest_bars_first(dashboard: Dashboard) -> list[str]:
    """Bars are sorted: descriptions say to begin with the longest."""
    bars = [panel for panel in panels_of(dashboard) if panel["type"] == "bargauge"]
    return [panel["title"] for panel in bars if not all(target["expr"].startswith("sort_desc(") for target in panel["targets"])]


def speech_to_speech_apart(dashboard: Dashboard) -> list[str]:
    """Panels of speech-to-speech models alone are under a closed heading: most fleets have none and would see empty panels."""
    opened = [panel for panel in dashboard["panels"] if panel["type"] != "row"]
    return [
        panel["title"]
        for panel in opened
        if all(set(re.findall(r"agentstack_(\w+?)_", target["expr"])) == {"realtime"} for target in panel["targets"])
    ]


def stacks_without_outlines(dashboard: Dashboard) -> list[str]:
    """A stack has no outlines: that of a series at 0 would lie on the total, in its own colour."""
    stacked = [panel for panel in _graphs(dashboard) if _custom(panel).get("stacking", {}).get("mode") == "normal"]
    return [panel["title"] for panel in stacked if _custom(panel)["lineWidth"]]


def labelled_axes(dashboard: Dashboard) -> list[str]:
    """An axis of plain numbers says what they count, and one of money per what."""
    plain = [panel for panel in _graphs(dashboard) if _defaults(panel)["unit"] in _PLAIN]
    faults = [panel["title"] for panel in plain if _custom(panel).get("axisLabel") in (None, "", "number")]
    money = [panel for panel in plain if _defaults(panel)["unit"] == "currencyUSD"]
    return faults + [panel["title"] for panel in money if "hour" not in _custom(panel).get("axisLabel", "")]


def lengths_in_minutes(dashboard: Dashboard) -> list[str]:
    """Lengths of calls are in minutes: Grafana's ticks for seconds would be 1.67 min."""
    units = {panel["title"]: _defaults(panel)["unit"] for panel in panels_of(dashboard)}
    return [
        title
        for title, target in queries_of(dashboard)
        if "agentstack_session_duration_seconds_bucket" in target["expr"] and units.get(title) != "m"
    ]


def lines_stay_visible(dashboard: Dashboard) -> list[str]:
    """Exemplars on lines are of slow turns only: those of all turns would bury the lines."""
    dotted = [(panel["title"], target) for panel in _graphs(dashboard) for target in panel["targets"] if target.get("exemplar")]
    return [title for title, target in dotted if "le=~" not in target["expr"]]


def named_providers(dashboard: Dashboard) -> list[str]:
    """Where providers are compared, turns without a provider are left out."""
    compared = [(title, target["expr"]) for title, target in queries_of(dashboard) if "histogram_quantile" in target["expr"]]
    return [title for title, expr in compared if re.search(r"by \([^)]*provider", expr) and 'provider!="unknown"' not in expr]


def costs_say_what_is_left_out(dashboard: Dashboard) -> list[str]:
    """A number of dollars has ≥ before it when usage without a price is not in it."""
    costs = [panel for panel in panels_of(dashboard) if panel["type"] == "stat" and _defaults(panel)["unit"] == "currencyUSD"]
    return [panel["title"] for panel in costs if "currency:≥ $" not in [found.get("unit") for _, found in _overrides(panel)]]


LOOKS: tuple[Rule, ...] = (
    marks,
    component_colours,
    whole_counts,
    rates_per_minute,
    short_steps,
    legends_fit,
    judged_values_have_a_whole,
    judged_shares_say_of_what,
    wholes_fit,
    longest_bars_first,
    speech_to_speech_apart,
    stacks_without_outlines,
    labelled_axes,
    lengths_in_minutes,
    lines_stay_visible,
    named_providers,
    costs_say_what_is_left_out,
)
