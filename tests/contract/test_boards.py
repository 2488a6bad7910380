"""The dashboards as committed: they keep the linter's rules and ours, and each rule can be broken."""

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import promql_parser
import pytest

from grafana.boards import BOARDS
from grafana.native import as_native
from grafana.objective import CRITICAL, OBJECTIVE, SLO_BOUND
from grafana.queries import METRICS, PERCEIVED, select
from grafana.variables import DOCS
from tests.support import board_looks as looks
from tests.support import board_rules as rules
from tests.support.house_rules import ROOT

DIRECTORY, EXPORTS = ROOT / "grafana" / "dashboards", ROOT / "grafana" / "export"
NATIVE = ROOT / "grafana" / "dashboards-native"
FILES = sorted(DIRECTORY.glob("*.json"))


def read(file: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return found


RULES = (*rules.RULES, *looks.LOOKS)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_boards_keep_the_rules(file: Path, rule: rules.Rule) -> None:
    """Every board keeps every rule."""
    assert rule(read(file)) == []


def test_every_board_is_there() -> None:
    """There is a file for each board, for provisioning and for import, each with a uid and a title of its own."""
    assert {file.stem for file in FILES} == {board.name for board in BOARDS} == {file.stem for file in EXPORTS.iterdir()}
    assert {file.name for file in FILES} == {file.name for file in NATIVE.iterdir()}
    for key in ("uid", "title"):
        assert len({read(file)[key] for file in FILES}) == len(BOARDS)


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_export_form(file: Path) -> None:
    """The form for import asks for a Prometheus, names every kind of panel it needs, and is otherwise the same board."""
    board, exported = read(file), read(EXPORTS / file.name)
    [asked] = exported.pop("__inputs")
    assert (asked["type"], asked["pluginId"]) == ("datasource", "prometheus")
    assert exported["templating"]["list"][0].pop("current")["value"] == f"${{{asked['name']}}}"
    needed = {(need["type"], need["id"]) for need in exported.pop("__requires")}
    assert needed == {("grafana", "grafana"), ("datasource", "prometheus")} | {
        ("panel", panel["type"]) for panel in rules.panels_of(board)
    }
    assert exported.pop("id") is None
    assert exported.pop("__elements") == {}
    board["templating"]["list"][0].pop("current", None)
    assert exported == board


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_native_form(file: Path) -> None:
    """The second form asks the same of native histograms: the same board, whose queries name only series that then exist."""
    board, native = read(file), read(NATIVE / file.name)
    assert native == as_native(board)
    asked = list(zip(rules.queries_of(board), rules.queries_of(native), strict=True))
    histograms = {name for name, spec in METRICS.items() if spec.kind == "histogram"}
    for (title, classic), (_, target) in asked:
        parsed = promql_parser.parse(rules.interpolated(target["expr"]))
        named = {selector.name for selector, _ in rules.selectors(parsed)}
        before = {selector.name for selector, _ in rules.selectors(promql_parser.parse(rules.interpolated(classic["expr"])))}
        assert {name for name in named if name.startswith("agentstack_")} <= METRICS.keys(), title
        assert named & histograms == {name.rpartition("_")[0] for name in before if name.rpartition("_")[0] in histograms}, title
        assert "by (le" not in target["expr"], title
    assert without_queries(native) == without_queries(board)


def without_queries(part: Any) -> Any:
    """A board without the expressions of its queries and the names of their series."""
    if isinstance(part, dict):
        return {key: without_queries(value) for key, value in part.items() if key not in ("expr", "legendFormat")}
    return [without_queries(each) for each in part] if isinstance(part, list) else part


def test_links_of_cells_lead_to_boards() -> None:
    """Every address of a board in a link is one of ours."""
    text = "".join(file.read_text(encoding="utf-8") for file in FILES)
    linked = {part.partition("?")[0] for part in text.split('"/d/')[1:]}
    assert linked
    assert linked <= {board.uid for board in BOARDS}


def test_the_objective_can_be_measured() -> None:
    """The objective's bound and the critical one are bucket bounds below the last, and the share is one."""
    bounds = METRICS[PERCEIVED].bounds
    assert {SLO_BOUND, CRITICAL} <= set(bounds[:-1])
    assert 0 < OBJECTIVE < 1


def test_a_query_names_only_what_exists() -> None:
    """A metric or label that the catalogue does not have cannot be written into a board."""
    with pytest.raises(KeyError, match="agentstack_nothing"):
        select("agentstack_nothing")
    with pytest.raises(ValueError, match="has no label colour"):
        select(PERCEIVED, colour="red")


def _expr(text: str) -> Callable[[dict[str, Any]], None]:
    return lambda board: rules.panels_of(board)[0]["targets"][0].update(expr=text)


def _of(unit: str) -> dict[str, Any]:
    return {"matcher": {"options": "of turns"}, "properties": [{"id": "unit", "value": unit}]}


def _first(**changes: Any) -> Callable[[dict[str, Any]], None]:
    return lambda board: rules.panels_of(board)[0].update(changes)


def _bars(**changes: Any) -> Callable[[dict[str, Any]], None]:
    return lambda board: next(panel for panel in rules.panels_of(board) if panel["title"] == "Caller turns").update(changes)


def _named(title: str, /, **changes: Any) -> Callable[[dict[str, Any]], None]:
    return lambda board: next(panel for panel in rules.panels_of(board) if panel["title"] == title).update(changes)


def _set(title: str, /, *path: str, to: Any) -> Callable[[dict[str, Any]], None]:
    """Set something deep within a panel."""

    def change(board: dict[str, Any]) -> None:
        found = next(panel for panel in rules.panels_of(board) if panel["title"] == title)
        for key in path[:-1]:
            found = found[key]
        found[path[-1]] = to

    return change


def _variable(name: str, /, **changes: Any) -> Callable[[dict[str, Any]], None]:
    return lambda board: next(each for each in board["templating"]["list"] if each["name"] == name).update(changes)


def _coloured(name: str, colour: str) -> dict[str, Any]:
    properties = [{"id": "color", "value": {"fixedColor": colour}}, {"id": "custom.cellOptions", "value": {}}]
    return {"matcher": {"options": name}, "properties": [*properties, {"id": "unit", "value": "short"}]}


SELECTED = '{job=~"$job", instance=~"$instance"}'
BREAKS: list[tuple[rules.Rule, Callable[[dict[str, Any]], None]]] = [
    (rules.target_promql, _expr("sum(rate(x)")),
    (rules.target_promql, _expr('up{job=~"$jobs", instance=~"$instance"}')),
    (rules.target_job_and_instance, _expr('up{job=~"$job"}')),
    (rules.target_agent_and_pipeline, _expr(f"agentstack_sessions_active{SELECTED}")),
    (rules.target_counter_agg, _expr(f"sum(agentstack_sessions_total{SELECTED})")),
    (rules.target_counter_agg, _expr(f"delta(agentstack_sessions_total{SELECTED}[5m])")),
    (rules.target_rate_interval, _expr(f"rate(agentstack_sessions_total{SELECTED}[5m])")),
    (rules.sums_add_up, _bars(targets=[{"expr": "sum(increase(x[$__rate_interval]))"}])),
    (rules.sums_add_up, _bars(interval=None)),
    (rules.known_metrics, _expr(f"agentstack_no_such_thing{SELECTED}")),
    (rules.known_metrics, _expr(f"{PERCEIVED}{SELECTED}")),
    (rules.known_metrics, _expr('up{job=~"$job", instance=~"$instance", agent="a"}')),
    (rules.callers_only, _expr(f"increase(agentstack_caller_turns_total{SELECTED}[5m])")),
    (rules.callers_only, _expr('increase(agentstack_caller_turns_total{answered_by="machine"}[5m])')),
    (rules.exact_bounds, _expr(f'increase({PERCEIVED}_bucket{{job=~"$job", instance=~"$instance", le="1.4"}}[5m])')),
    (rules.panel_title_description, _first(description="Latency")),
    (rules.panel_title_description, lambda board: rules.panels_of(board)[0].update(title=rules.panels_of(board)[1]["title"])),
    (rules.panel_units, _first(fieldConfig={"defaults": {"unit": "seconds"}})),
    (rules.panel_datasource, _first(datasource={"type": "prometheus", "uid": "P1809F7CD0C75ACF3"})),
    (rules.panel_no_targets, _first(targets=[])),
    (rules.template_datasource, _variable("datasource", name="ds")),
    (rules.template_filters, _variable("job", allValue=".*")),
    (rules.template_filters, _variable("instance", refresh=1)),
    (rules.template_filters, _variable("agent", query={"query": f"label_values(up{SELECTED}, agent)"})),
    (rules.uneditable, lambda board: board.update(editable=True)),
    (rules.identity, lambda board: board.update(uid="overview")),
    (rules.identity, _first(id=1)),
    (rules.links_keep_choices, lambda board: board["links"][0].update(keepTime=False)),
    (rules.links_keep_choices, lambda board: board.update(links=[])),
    (rules.links_to_pages, lambda board: board["links"].pop()),
    (rules.links_to_pages, _first(links=[{"type": "link", "url": f"{DOCS}/runbooks/AgentStackBored.md", "targetBlank": True}])),
    (rules.links_to_pages, _first(links=[{"type": "link", "url": f"{DOCS}/alerts.md", "targetBlank": False}])),
    (rules.layout, _first(gridPos={"x": 1, "y": 1, "w": 6, "h": 4})),
    (rules.layout, _first(gridPos={"x": 0, "y": 1, "w": 5, "h": 4})),
    (rules.layout, lambda board: board["panels"][-2].update(type="row", panels=[board["panels"].pop()])),
    (looks.marks, lambda board: board["annotations"]["list"].pop()),
    (looks.marks, lambda board: board["annotations"]["list"][0].update(enable=False)),
    (looks.component_colours, _set("Slow turns by bottleneck", "fieldConfig", "overrides", to=[])),
    (looks.component_colours, _set("Slow turns by bottleneck", "fieldConfig", "overrides", to=[_coloured("stt", "red")])),
    (looks.component_colours, _set("Calls", "fieldConfig", "overrides", to=[_coloured("LLM first token", "red")])),
    (looks.whole_counts, _set("Caller turns", "fieldConfig", "defaults", "decimals", to=1)),
    (looks.whole_counts, _set("Caller turns", "fieldConfig", "defaults", "unit", to="short")),
    (looks.rates_per_minute, _set("Calls", "fieldConfig", "defaults", "unit", to="cps")),
    (looks.rates_per_minute, _set("Calls", "targets", to=[{"expr": "sum(rate(x[1m]))"}])),
    (looks.short_steps, _named("What callers wait", interval="5m")),
    (looks.legends_fit, _set("Calls", "options", "legend", "placement", to="right")),
    (looks.legends_fit, _set("Calls", "targets", to=[{"expr": "x", "legendFormat": "{{provider}} {{model}}"}])),
    (looks.judged_values_have_a_whole, _set("Unanswered, last 15m", "fieldConfig", "defaults", "unit", to="locale")),
    (looks.judged_values_have_a_whole, _set("Agents, time shown", "fieldConfig", "overrides", to=[_coloured("Errors", "red")])),
    (looks.judged_shares_say_of_what, _named("Caller turns, last 15m", title="Turns")),
    (looks.wholes_fit, _set("Unanswered, last 15m", "fieldConfig", "overrides", to=[_of("suffix:turns")])),
    (looks.wholes_fit, _set("Within 2 s, time shown", "fieldConfig", "overrides", to=[_of("count:turns")])),
    (looks.longest_bars_first, _set("What callers wait", "type", to="bargauge")),
    (looks.speech_to_speech_apart, _set("Calls", "targets", to=[{"expr": "agentstack_realtime_x"}])),
    (looks.stacks_without_outlines, _set("Caller turns", "fieldConfig", "defaults", "custom", "lineWidth", to=1)),
    (looks.labelled_axes, _set("Caller turns", "fieldConfig", "defaults", "custom", "axisLabel", to="")),
    (looks.labelled_axes, _set("Caller turns", "fieldConfig", "defaults", "unit", to="currencyUSD")),
    (looks.lengths_in_minutes, _set("What callers wait", "targets", to=[{"expr": "agentstack_session_duration_seconds_bucket"}])),
    (looks.lines_stay_visible, _set("What callers wait", "targets", to=[{"expr": "x", "exemplar": True}])),
    (looks.named_providers, _expr("histogram_quantile(0.5, sum by (le, provider) (rate(x[5m])))")),
    (looks.costs_say_what_is_left_out, _set("Waiting now", "fieldConfig", "defaults", "unit", to="currencyUSD")),
]


@pytest.mark.parametrize(("rule", "break_it"), BREAKS)
def test_rules_can_be_broken(rule: rules.Rule, break_it: Callable[[dict[str, Any]], None]) -> None:
    """Each rule finds the fault it is for."""
    board = copy.deepcopy(read(DIRECTORY / "overview.json"))
    break_it(board)
    assert rule(board) != []


def test_every_rule_is_broken_once() -> None:
    """No rule is left untried."""
    assert {rule for rule, _ in BREAKS} == set(RULES)
