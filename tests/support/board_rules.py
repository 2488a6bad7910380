"""The rules for dashboards: each function returns the faults that it finds, one line each.

Those of Grafana's dashboard-linter (grafana/dashboard-linter, ``docs/rules``) that concern Prometheus are here under its names;
it is a Go program, and its rules are small. Beside them stand our own.
"""

import re
from collections.abc import Callable, Iterator
from typing import Any

import promql_parser as promql

from grafana.queries import METRICS, RULES_LOADED, SCRAPE
from grafana.variables import DOCS, TAG
from tests.support.house_rules import ROOT

Dashboard = dict[str, Any]
Rule = Callable[[Dashboard], list[str]]

INTERVALS = {"__rate_interval": "4m1s", "__interval": "3m7s", "__range": "59m"}
"""Values of the time variables for parsing an expression. No board uses exactly these durations."""
CHOICES = {"job": ".+", "instance": ".+", "agent": ".*", "pipeline": ".*"}
UNITS = {"s", "m", "short", "locale", "percentunit", "none", "count:per min", "bytes", "currencyUSD"}
"""The units of Grafana that the boards use. Those of a second (c/s, ops/s) are not among them: people count calls by the minute."""
_SUFFIXES = ("_bucket", "_sum", "_count")
_OWN_LABELS = {"job", "instance"}
OF_ALERTS = {"ALERTS": {"alertname", "alertstate", "severity", "agent"}, "ALERTS_FOR_STATE": {"alertname", "severity", "agent"}}
"""Series that Prometheus writes for alerts, and labels that they have."""
_OF_CALLERS = ("agentstack_user_perceived_latency_seconds", "agentstack_caller_turns_total")
"""Metrics of callers with a separate label value for calls answered by a machine. All other metrics of waits leave these calls out."""


def panels_of(dashboard: Dashboard) -> list[dict[str, Any]]:
    """The panels that show data, also those under closed headings."""
    return [panel for each in dashboard["panels"] for panel in (each["panels"] if each["type"] == "row" else [each])]


def queries_of(dashboard: Dashboard) -> Iterator[tuple[str, dict[str, Any]]]:
    """Each query with the title of its panel, or the name of its annotation."""
    for panel in panels_of(dashboard):
        for target in panel["targets"]:
            yield panel["title"], target
    for mark in dashboard["annotations"]["list"]:
        yield f"annotation {mark['name']}", {"refId": "A", "expr": mark["expr"], "datasource": mark["datasource"]}


def interpolated(expr: str, **chosen: str) -> str:
    """An expression with all variables replaced. The default is All."""
    values = CHOICES | INTERVALS | chosen
    return re.sub(r"\$(\w+)", lambda found: values.get(found[1], found[0]), expr)


def selectors(node: Any, parents: tuple[Any, ...] = ()) -> Iterator[tuple[Any, tuple[Any, ...]]]:
    """Each vector selector of a parsed expression, with the expressions around it, outermost first."""
    if isinstance(node, promql.VectorSelector):
        yield node, parents
        return
    for name in ("lhs", "rhs", "expr", "vector_selector", "args"):
        found = getattr(node, name, None)
        for child in found if isinstance(found, list) else [found]:
            if child is not None:
                yield from selectors(child, (*parents, node))


def target_promql(dashboard: Dashboard) -> list[str]:
    """Every expression can be parsed, and has variables only within quotes or as a window."""
    faults = []
    for title, target in queries_of(dashboard):
        try:
            expr = interpolated(target["expr"])
            promql.parse(expr)
        except ValueError as error:
            faults.append(f"{title}: {error}")
        else:
            faults += [f"{title}: unknown variable {name}" for name in re.findall(r"\$\w+", expr)]
    return faults


def _selected(dashboard: Dashboard) -> Iterator[tuple[str, Any, tuple[Any, ...]]]:
    for title, target in queries_of(dashboard):
        for selector, parents in selectors(promql.parse(interpolated(target["expr"]))):
            yield title, selector, parents


def target_job_and_instance(dashboard: Dashboard) -> list[str]:
    """Every selector is filtered by the variables job and instance."""
    # An alert may be about all of them and has no such label then.
    wanted = [{'job=~"$job"', 'instance=~"$instance"'}, {'job=~"$job|"', 'instance=~"$instance|"'}]
    return [
        f"{title}: {name}{{{selector}}}"
        for title, target in queries_of(dashboard)
        for name, selector in re.findall(r"(\w+)\{([^{}]*)\}", target["expr"])
        if not wanted[name in OF_ALERTS] <= set(selector.split(", "))
    ]


def target_agent_and_pipeline(dashboard: Dashboard) -> list[str]:
    """Every selector of a metric by agent or pipeline is filtered by that variable."""
    return [
        f"{title}: {selector.name} is not filtered by {label}"
        for title, selector, _ in _selected(dashboard)
        for label in ("agent", "pipeline")
        if label in (_labels(selector.name) or ()) and label not in _matched(selector)
    ]


def target_counter_agg(dashboard: Dashboard) -> list[str]:
    """Counters are read through rate, irate or increase only."""
    faults = []
    for title, selector, parents in _selected(dashboard):
        of = parents[-2] if len(parents) > 1 and isinstance(parents[-1], promql.MatrixSelector) else None
        if any(isinstance(each, promql.AggregateExpr) and str(each.op) == "count" for each in parents):
            continue  # how many series there are, whatever their values
        counted = isinstance(of, promql.Call) and of.func.name in ("rate", "irate", "increase")
        if selector.name.endswith(("_total", *_SUFFIXES)) and not counted:
            faults.append(f"{title}: {selector.name} is not read as a rate")
    return faults


def target_rate_interval(dashboard: Dashboard) -> list[str]:
    """The window of a rate is $__rate_interval."""
    spans = [
        (title, span) for title, target in queries_of(dashboard) for span in re.findall(r"\bi?rate\([^[]*\[([^]]+)\]", target["expr"])
    ]
    return [f"{title}: rate over {span}" for title, span in spans if span != "$__rate_interval"]


def sums_add_up(dashboard: Dashboard) -> list[str]:
    """A sum in a legend uses windows that do not overlap. The windows of a rate overlap and would count events several times."""
    bars = [panel for panel in panels_of(dashboard) if "sum" in panel["options"].get("legend", {}).get("calcs", ())]
    windows = {panel["title"]: re.findall(r"\[([^]]+)\]", str([target["expr"] for target in panel["targets"]])[1:-1]) for panel in bars}
    faults = [f"{title}: adds up {found}" for title, found in windows.items() if set(found) != {"$__interval"}]
    return faults + [f"{panel['title']}: no least time of a bar" for panel in bars if not panel.get("interval")]


def known_metrics(dashboard: Dashboard) -> list[str]:
    """Every metric and label is in the catalogue."""
    faults = []
    for title, selector, _ in _selected(dashboard):
        labels = _labels(selector.name)
        if labels is None:
            faults.append(f"{title}: no metric {selector.name}")
        else:
            faults += [f"{title}: {selector.name} has no label {label}" for label in _matched(selector) - labels - _OWN_LABELS]
    return faults


def _labels(name: str) -> set[str] | None:
    """The labels of a metric's series under that name; None if there is no such metric."""
    if name in SCRAPE or name == RULES_LOADED:
        return set()
    if name in OF_ALERTS:
        return OF_ALERTS[name]
    base = next((name.removesuffix(suffix) for suffix in _SUFFIXES if name.endswith(suffix) and name not in METRICS), name)
    spec = METRICS.get(base)
    if spec is None or (spec.kind == "histogram") != (base != name):
        return None
    return {*spec.scraped_labels, "le"} if name.endswith("_bucket") else {*spec.scraped_labels}


def _matched(selector: Any) -> set[str]:
    return {matcher.name for matcher in selector.matchers.matchers}


def callers_only(dashboard: Dashboard) -> list[str]:
    """Queries of waits, and of everything they are compared with, leave out calls that a machine answered."""
    return [
        f"{title}: {selector.name} has the calls that a machine answered"
        for title, selector, _ in _selected(dashboard)
        if selector.name.startswith(_OF_CALLERS) and 'answered_by!="machine"' not in str(selector.matchers)
    ]


def exact_bounds(dashboard: Dashboard) -> list[str]:
    """A bucket named in a query exists, written as scraped: 2.0 and not 2."""
    faults = []
    for title, selector, _ in _selected(dashboard):
        spec = METRICS.get(selector.name.removesuffix("_bucket"))
        bounds = [str(bound) for bound in spec.bounds] if spec else []
        picked = [bound for matcher in selector.matchers.matchers if matcher.name == "le" for bound in matcher.value.split("|")]
        faults += [f"{title}: {selector.name} has no bucket {bound}" for bound in picked if bound not in [*bounds, "[+]Inf"]]
    return faults


def panel_title_description(dashboard: Dashboard) -> list[str]:
    """Every panel has a title of its own and a description in sentences."""
    titles = [panel["title"] for panel in panels_of(dashboard)]
    faults = [f"{title}: twice on the board" for title in {title for title in titles if titles.count(title) > 1}]
    undescribed = [panel["title"] for panel in panels_of(dashboard) if len(panel.get("description", "")) < 40]
    unended = [panel["title"] for panel in panels_of(dashboard) if not panel.get("description", "").endswith(".")]
    return faults + [f"{title}: no description" for title in {*undescribed, *unended}]


def panel_units(dashboard: Dashboard) -> list[str]:
    """Every panel has one of Grafana's units."""
    units = {panel["title"]: panel["fieldConfig"]["defaults"].get("unit") for panel in panels_of(dashboard)}
    return [f"{title}: unit {unit}" for title, unit in units.items() if unit not in UNITS]


def panel_datasource(dashboard: Dashboard) -> list[str]:
    """Panels and queries use the chosen data source, and none names a uid."""
    asked = [(panel["title"], panel.get("datasource")) for panel in panels_of(dashboard)]
    asked += [(title, target.get("datasource")) for title, target in queries_of(dashboard)]
    return [f"{title}: {source}" for title, source in asked if source != {"type": "prometheus", "uid": "${datasource}"}]


def panel_no_targets(dashboard: Dashboard) -> list[str]:
    """Every panel has a query, and each query of a panel has its own name."""
    names = {panel["title"]: [target["refId"] for target in panel.get("targets", [])] for panel in panels_of(dashboard)}
    return [f"{title}: queries {found}" for title, found in names.items() if not found or len(set(found)) < len(found)]


def template_datasource(dashboard: Dashboard) -> list[str]:
    """The first variable chooses the Prometheus."""
    first = dashboard["templating"]["list"][0]
    found = {key: first.get(key) for key in ("name", "label", "type", "query")}
    wanted = {"name": "datasource", "label": "Data source", "type": "datasource", "query": "prometheus"}
    return [] if found == wanted else [str(found)]


def template_filters(dashboard: Dashboard) -> list[str]:
    """Job, instance, agent and pipeline are variables over label values: one, several or all, and they follow the time range."""
    faults = []
    for name, everything in (("job", ".+"), ("instance", ".+"), ("agent", ".*"), ("pipeline", ".*")):
        variable: dict[str, Any] = next((each for each in dashboard["templating"]["list"] if each["name"] == name), {})
        wanted = {"label": name.title(), "type": "query", "multi": True, "includeAll": True, "allValue": everything, "refresh": 2}
        wanted["datasource"] = {"type": "prometheus", "uid": "${datasource}"}
        faults += [f"{name}: {key} is {variable.get(key)}" for key, value in wanted.items() if variable.get(key) != value]
        asked = re.fullmatch(r"label_values\((.+), (\w+)\)", variable.get("query", {}).get("query", ""))
        if asked is None or asked[2] != name:
            faults.append(f"{name}: does not ask for its values")
        else:
            parsed = promql.parse(interpolated(asked[1]))
            faults += [
                f"{name}: {found.name}" for found, _ in selectors(parsed) if name not in (_labels(found.name) or set()) | _OWN_LABELS
            ]
    return faults


def uneditable(dashboard: Dashboard) -> list[str]:
    """A provisioned board cannot be edited in the browser."""
    return [] if dashboard["editable"] is False else ["editable"]


def identity(dashboard: Dashboard) -> list[str]:
    """The uid has the project's prefix and fits Grafana's limit, panel ids are unique, and the board has the tag."""
    ids = [each["id"] for each in [*panels_of(dashboard), *(row for row in dashboard["panels"] if row["type"] == "row")]]
    faults = [] if re.fullmatch(r"agentstack-[a-z-]{1,29}", dashboard["uid"]) else [f"uid {dashboard['uid']}"]
    faults += [] if len(set(ids)) == len(ids) and all(ids) else [f"panel ids {ids}"]
    return faults + ([] if TAG in dashboard["tags"] else ["tags"])


def links_keep_choices(dashboard: Dashboard) -> list[str]:
    """Links to other boards keep the time and the variables."""
    wanted = {"type": "dashboards", "tags": [TAG], "includeVars": True, "keepTime": True}
    found = [link for link in dashboard["links"] if link["type"] == "dashboards"]
    faults = [f"{link['title']}: {link}" for link in found if not wanted.items() <= link.items()]
    urls = re.findall(r'"url": "(/d/[^"]+)"', str(dashboard).replace("'", '"'))
    faults += [url for url in urls if "${__url_time_range}" not in url or "${job:queryparam}" not in url]
    return faults if found else ["no link to the other boards"]


def links_to_pages(dashboard: Dashboard) -> list[str]:
    """Links to pages of the documentation exist and open a new window, and one of them leads to the alerts."""
    links = [*dashboard["links"], *(link for panel in panels_of(dashboard) for link in panel.get("links", ()))]
    pages = {link["url"].removeprefix(DOCS): link for link in links if link["type"] == "link"}
    faults = [page for page, link in pages.items() if not link["targetBlank"] or not (ROOT / "docs" / page.removeprefix("/")).is_file()]
    return faults if "/alerts.md" in pages else [*faults, "no link to the alerts"]


def layout(dashboard: Dashboard) -> list[str]:
    """Panels fill rows of 24 without holes or overlaps, also those that an opened heading shows."""
    closed = [row["panels"] for row in dashboard["panels"] if row["type"] == "row" and row["panels"]]
    return [fault for panels in (dashboard["panels"], *closed) for fault in _filled(panels)]


def _filled(panels: list[dict[str, Any]]) -> list[str]:
    taken: dict[tuple[int, int], str] = {}
    faults = []
    top = min(panel["gridPos"]["y"] for panel in panels)
    for panel in panels:
        at = panel["gridPos"]
        for cell in ((x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])):
            if cell in taken or cell[0] >= 24:
                faults.append(f"{panel['title']}: overlaps {taken.get(cell, 'the edge')}")
            taken[cell] = panel["title"]
    height = max(y for _, y in taken) + 1 - top
    return sorted(set(faults)) + ([] if len(taken) == height * 24 else ["holes"])


RULES: tuple[Rule, ...] = (
    target_promql,
    target_job_and_instance,
    target_agent_and_pipeline,
    target_counter_agg,
    target_rate_interval,
    sums_add_up,
    known_metrics,
    callers_only,
    exact_bounds,
    panel_title_description,
    panel_units,
    panel_datasource,
    panel_no_targets,
    template_datasource,
    template_filters,
    uneditable,
    identity,
    links_keep_choices,
    links_to_pages,
    layout,
)
