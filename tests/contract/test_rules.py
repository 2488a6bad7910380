"""Rules, alerts and their routing: sound, complete, and about metrics that exist."""

import re
import runpy
import shlex
import subprocess
from pathlib import Path
from typing import Any

import promql_parser
import pytest
import yaml

from exporter.metrics import inventory
from grafana.objective import BURNS_FAST, CRITICAL, OBJECTIVE, QUEUE_FILLS, SLO_BOUND
from tests.support.house_rules import ROOT
from tests.support.native_series import as_native
from tests.support.peers import RELEASES, Release, require
from tests.support.rule_scenarios import SCENARIOS, Scenario
from tests.support.shipped_rules import ALERTS, FILES, NATIVE_FILES, RECORDED, RULES, alone, rules, run_cases, run_promtool, values

RUNBOOKS = ROOT / "docs" / "runbooks"
SUFFIXES = ("_bucket", "_count", "_sum")


def metrics_in(expression: str) -> set[str]:
    """The metrics an expression names."""
    found = set(re.findall(r"(?<![\w\":.])([a-zA-Z_:][\w:]*)(?=\{|\[| |\)|$|\n)", re.sub(r'"[^"]*"', '""', expression)))
    return {name for name in found if name.startswith("agentstack") or name == "up"}


@pytest.mark.external
@pytest.mark.parametrize("release", RELEASES)
def test_promtool_takes_them(release: Release) -> None:
    """The rules and the example configuration are what Prometheus wants."""
    run_promtool(release, "check", "rules", *map(str, FILES))
    run_promtool(release, "check", "rules", *map(str, NATIVE_FILES))
    run_promtool(release, "check", "config", "--syntax-only", str(RULES / "prometheus.yml"))
    if release == "newest":  # the settings are of Prometheus 3.8
        run_promtool(release, "check", "config", "--syntax-only", str(RULES / "native" / "prometheus.yml"))


def test_native_rules_record_the_same() -> None:
    """The native rules are those that are made from the classic ones, and both have the same records and alerts."""
    module = runpy.run_path(str(RULES / "native_rules.py"))
    assert (RULES / "native" / "recording.rules.yml").read_text(encoding="utf-8") == module["rendered"](), "run make docs"
    of_both = [[(rule.get("record"), rule.get("alert")) for rule in rules(files)] for files in (FILES, NATIVE_FILES)]
    assert of_both[0] == of_both[1]


def test_each_form_reads_its_own_histograms() -> None:
    """Classic rules read histograms by bucket, native rules whole ones, and alerts only what both record."""
    histograms = {name for name, spec in inventory.metrics().items() if spec.kind == "histogram"}
    every = {name + suffix for name in histograms for suffix in ("", *SUFFIXES)}
    for files, suffixes in ((FILES, ("_bucket", "_count")), (NATIVE_FILES, ("",))):
        wanted = {name + suffix for name in histograms for suffix in suffixes}
        read = {name for rule in rules(files) for name in metrics_in(rule["expr"])} & every
        assert read
        assert read <= wanted
    assert not {name for rule in ALERTS.values() for name in metrics_in(rule["expr"])} & every


def test_every_expression_is_promql_of_known_metrics() -> None:
    """Expressions parse with types, and name only what the exporter, Prometheus or another rule makes."""
    known = set(inventory.metrics())
    for rule in (*rules(), *rules(NATIVE_FILES)):
        expression = rule["expr"]
        promql_parser.parse(expression)
        for name in metrics_in(expression):
            base = next(
                (name.removesuffix(suffix) for suffix in SUFFIXES if name.endswith(suffix) and name.removesuffix(suffix) in known), name
            )
            assert base in known or name in RECORDED or name == "up", f"{name} in {rule.get('alert', rule.get('record'))}"


def test_labels_exist() -> None:
    """Labels that are selected or grouped by are labels of the metric."""
    known = inventory.metrics()
    for rule in (*rules(), *rules(NATIVE_FILES)):
        for name, inside in re.findall(r"(agentstack_[a-z_]+)\{([^}]*)\}", rule["expr"]):
            base = next(
                (name.removesuffix(suffix) for suffix in SUFFIXES if name.endswith(suffix) and name.removesuffix(suffix) in known), name
            )
            for label in re.findall(r"(\w+)\s*(?:=|!=|=~|!~)", re.sub(r'"[^"]*"', '""', inside)):
                assert label in (*known[base].labels, "le", "job", "instance"), f"{name}{{{label}}}"


def test_callers_are_people() -> None:
    """What callers wait is asked without the calls that a machine answered, in the rules and in the objective for Sloth."""
    slo = yaml.safe_load((ROOT / "deploy" / "slo" / "sloth.yml").read_text(encoding="utf-8"))["slos"][0]
    asked = [*(rule["expr"] for rule in (*rules(), *rules(NATIVE_FILES))), *slo["sli"]["events"].values()]
    found = [inside for text in asked for inside in re.findall(r"agentstack_(?:user_perceived_latency|caller_turns)\w+\{([^}]*)", text)]
    assert found
    assert [inside for inside in found if 'answered_by!="machine"' not in inside] == []
    assert not [text for text in asked if re.search(r"agentstack_(?:user_perceived_latency|caller_turns)\w+[^\w{]", text)]


def test_every_alert_has_all_that_who_is_paged_needs() -> None:
    """Severity, area, summary, description, a board, and a runbook that is there; and no runbook is without its alert."""
    for name, rule in ALERTS.items():
        assert rule["labels"]["severity"] in ("warning", "critical"), name
        assert rule["labels"]["area"] in ("callers", "components", "cost", "exporter"), name
        annotations = rule["annotations"]
        assert {"summary", "description", "runbook_url", "dashboard"} <= annotations.keys(), name
        assert (ROOT / "grafana" / "dashboards" / f"{annotations['dashboard'].removeprefix('/d/agentstack-')}.json").exists(), name
        assert annotations["runbook_url"].endswith(f"/docs/runbooks/{name}.md"), name
        page = (RUNBOOKS / f"{name}.md").read_text(encoding="utf-8")
        assert f"Severity: {rule['labels']['severity']}" in page, name
        assert "## Look at" in page, name
        assert "## Do" in page, name
    assert {page.stem for page in RUNBOOKS.glob("*.md")} == ALERTS.keys()


def test_the_board_of_an_alert_leads_to_its_runbook() -> None:
    """On the board that an alert names a panel shows what it is about, and links its runbook."""
    led = set()
    for board in (ROOT / "grafana" / "dashboards").glob("*.json"):
        for runbook in re.findall(r"/docs/runbooks/(\w+)\.md", board.read_text(encoding="utf-8")):
            led.add((runbook, f"/d/agentstack-{board.stem}"))
    asked = {(name, rule["annotations"]["dashboard"]) for name, rule in ALERTS.items()}
    assert {name for name, _ in asked - led} == {"AgentStackThresholdsMissing", "AgentStackHistogramsMissing"}, (
        "the rules' own faults are on no panel"
    )
    for name, rule in ALERTS.items():
        assert f"Dashboard: `{rule['annotations']['dashboard']}`" in (RUNBOOKS / f"{name}.md").read_text(encoding="utf-8"), name


def test_runbooks_name_metrics_that_exist() -> None:
    """A query of a runbook asks for what there is."""
    known = {*inventory.metrics(), *RECORDED}
    for page in RUNBOOKS.glob("*.md"):
        for code in re.findall(r"`([^`]+)`", page.read_text(encoding="utf-8")):
            for name in re.findall(r"agentstack_[a-z_0-9]+|agentstack:[a-z_0-9:]+", code):
                base = next((name.removesuffix(suffix) for suffix in SUFFIXES if name.removesuffix(suffix) in known), name)
                assert base in known or base.startswith("_"), f"{name} in {page.name}"


def test_thresholds_can_be_seen() -> None:
    """A latency threshold lies below the top bucket of its metric, and the objective on a bound."""
    known = inventory.metrics()
    thresholds = {
        rule["record"]: float(rule["expr"].removeprefix("vector(").removesuffix(")"))
        for rule in rules()
        if ":threshold:" in rule.get("record", "")
    }
    for record, value in thresholds.items():
        stage = re.fullmatch(r"agentstack:threshold:(\w+)_p95_seconds", record)
        if stage is not None:
            assert value < known[f"agentstack_{stage[1]}_seconds"].bounds[-1], record
    objective = {float(bound) for rule in rules() for bound in re.findall(r'le="([\d.]+)"', rule["expr"])}
    assert objective == {2.0}
    assert objective <= set(known["agentstack_user_perceived_latency_seconds"].bounds)


def test_boards_and_rules_have_the_same_objective() -> None:
    """What a board calls within the objective is what the alerts do."""
    boards = [board.read_text(encoding="utf-8") for board in (ROOT / "grafana" / "dashboards").glob("*.json")]
    bounds = {float(bound) for board in boards for bound in re.findall(r'le=\\"([\d.]+)\\"', board)}
    assert bounds == {SLO_BOUND} == {2.0}
    assert OBJECTIVE == 0.95


def test_boards_draw_the_thresholds_of_the_alerts() -> None:
    """Where a board says from when on something is bad, and an alert does, they agree."""
    thresholds = {
        (rule["record"].removeprefix("agentstack:threshold:"), tuple(sorted(rule.get("labels", {}).items()))): float(
            rule["expr"].removeprefix("vector(").removesuffix(")")
        )
        for rule in rules()
        if ":threshold:" in rule.get("record", "")
    }
    waits = "user_perceived_latency_p95_seconds"
    assert thresholds[waits, (("severity", "warning"),)] == SLO_BOUND
    assert thresholds[waits, (("severity", "critical"),)] == CRITICAL
    assert thresholds["error_budget", ()] == pytest.approx(1 - OBJECTIVE)
    assert thresholds["burn_rate", (("severity", "critical"), ("window", "1h"))] == BURNS_FAST
    assert thresholds["otlp_queue_bytes", (("severity", "warning"),)] == QUEUE_FILLS


def test_alerts_name_no_number_of_their_own() -> None:
    """What an alert compares with is a threshold, or nothing at all: it stands in the one file that is meant to be changed."""
    own = {name: re.findall(r"(?:[<>]=?|[=!]=)\s*(?:bool\s+)?([\d.]+)", rule["expr"]) for name, rule in ALERTS.items()}
    assert {name: numbers for name, numbers in own.items() if set(numbers) - {"0"}} == {"AgentStackThresholdsMissing": ["32"]}


@pytest.mark.external
@pytest.mark.parametrize("release", RELEASES)
def test_alertmanager_takes_its_configuration(release: Release) -> None:
    """The example routes critical alerts to the pager and others to the channel."""
    amtool, config = require("amtool", release), str(ROOT / "deploy" / "alertmanager" / "alertmanager.yml")
    subprocess.run([amtool, "check-config", config], check=True, capture_output=True)
    for severity, receiver in (("critical", "pager"), ("warning", "channel")):
        routed = [amtool, "config", "routes", "test", f"--config.file={config}", f"severity={severity}"]
        assert subprocess.run(routed, check=True, capture_output=True, text=True).stdout.strip() == receiver


def test_the_objective_for_sloth_is_the_same() -> None:
    """The specification beside the rules asks for the same ratio."""
    slo = yaml.safe_load((ROOT / "deploy" / "slo" / "sloth.yml").read_text(encoding="utf-8"))["slos"][0]
    assert slo["objective"] == 95
    for query in slo["sli"]["events"].values():
        promql_parser.parse(query.replace("{{.window}}", "5m"))
        assert metrics_in(query) <= {"agentstack_caller_turns_total", "agentstack_user_perceived_latency_seconds_bucket"}


def case(
    name: str, scenario: Scenario, bad: dict[str, float], *, fires: bool, gap: bool = False, native: bool = False
) -> dict[str, Any]:
    """One test of promtool: quiet before, as expected at the end of the bad phase, quiet again at the end."""
    first, middle, last = scenario.phases
    every = {**scenario.good, **bad}
    hole = (first + middle // 2, first + middle // 2 + max(1, 4 // scenario.step)) if gap else None
    rates = {}
    for key in every:
        phases = [scenario.good.get(key, 0.0)] * first + [bad.get(key, 0.0)] * middle + [scenario.good.get(key, 0.0)] * last
        rates[key] = phases if key.split("{")[0] in scenario.gauges else [rate * scenario.step for rate in phases]
    rates, histograms = as_native(rates, hole) if native else (rates, [])
    series = [
        {"series": key, "values": values(each, gauge=key.split("{")[0] in scenario.gauges, gap=hole)} for key, each in rates.items()
    ]
    step = scenario.step
    moments = [(first - 1, False), (first + middle - 1, fires), (first + middle + last - 1, False)]
    return {
        "interval": f"{step}m",
        "input_series": [*series, *histograms],
        "promql_expr_test": [
            {
                "expr": f'count(ALERTS{{alertname="{name}", alertstate="firing"}}) > bool 0',
                "eval_time": f"{at * step}m",
                "exp_samples": [{"labels": "{}", "value": 1}] if firing else [],
            }
            for at, firing in moments
        ],
    }


def test_every_alert_has_a_scenario() -> None:
    """No alert is untested."""
    assert SCENARIOS.keys() | {"AgentStackThresholdsMissing"} == ALERTS.keys()


@pytest.mark.parametrize("release", RELEASES)
@pytest.mark.parametrize("name", sorted(SCENARIOS))
@pytest.mark.external
def test_alerts(name: str, release: Release, tmp_path: Path) -> None:
    """Each fires, survives a gap in the scrapes, and resolves; it is quiet before, just below, and where too little happens."""
    run_cases(release, tmp_path, cases_of(name), alone(name, tmp_path, cause=False), f"{SCENARIOS[name].step}m")


@pytest.mark.parametrize(
    "name", sorted(name for name, scenario in SCENARIOS.items() if any("_bucket{" in key for key in scenario.good))
)
@pytest.mark.external
def test_alerts_on_native_histograms(name: str, tmp_path: Path) -> None:
    """Where the rules read native histograms, each alert that rests on one fires and is quiet in the same scenarios."""
    files = alone(name, tmp_path, NATIVE_FILES, cause=False)
    run_cases("newest", tmp_path, cases_of(name, native=True), files, f"{SCENARIOS[name].step}m")


def cases_of(name: str, *, native: bool = False) -> list[dict[str, Any]]:
    """The tests of an alert: it fires, also with a gap in the scrapes, and where it is to be quiet it is.

    Of native histograms one is left out: what fires with a gap in the scrapes fires without.
    """
    scenario = SCENARIOS[name]
    cases = [case(name, scenario, scenario.bad, fires=True, gap=gap, native=native) for gap in ([True] if native else [False, True])]
    quiet = (each for each in (scenario.below, scenario.few) if each is not None)
    return cases + [case(name, scenario, each, fires=False, native=native) for each in quiet]


@pytest.mark.external
@pytest.mark.parametrize("release", RELEASES)
def test_rules_for_older_engines(release: Release, tmp_path: Path) -> None:
    """The command of the page takes out what an older engine does not know, and nothing else; what is left are rules."""
    [command] = re.findall(r"^sed -i .*$", (ROOT / "docs" / "alerts.md").read_text(encoding="utf-8"), re.MULTILINE)
    written = tmp_path / "alerts.rules.yml"
    written.write_text((RULES / written.name).read_text(encoding="utf-8"), encoding="utf-8")
    subprocess.run(shlex.split(command), cwd=tmp_path, check=True)
    left = [rule for group in yaml.safe_load(written.read_text(encoding="utf-8"))["groups"] for rule in group["rules"]]
    assert left == [{key: value for key, value in rule.items() if key != "keep_firing_for"} for rule in ALERTS.values()]
    run_promtool(release, "check", "rules", str(written))


def test_as_many_thresholds_are_missed_as_there_are() -> None:
    """The alert that counts them knows their number: an older file of thresholds silences alerts that need new ones."""
    [expected] = re.findall(r"< (\d+)", ALERTS["AgentStackThresholdsMissing"]["expr"])
    assert int(expected) == sum(":threshold:" in rule.get("record", "") for rule in rules())


@pytest.mark.external
@pytest.mark.parametrize("release", RELEASES)
def test_missing_thresholds_are_told(release: Release, tmp_path: Path) -> None:
    """Without the file of thresholds one alert says so; with it, none."""
    nothing = {"interval": "1m", "input_series": [{"series": "up", "values": "1x20"}]}
    firing = {"expr": 'count(ALERTS{alertname="AgentStackThresholdsMissing", alertstate="firing"})', "eval_time": "15m"}
    without = [file for file in FILES if "thresholds" not in file.name]
    run_cases(
        release, tmp_path, [{**nothing, "promql_expr_test": [{**firing, "exp_samples": [{"labels": "{}", "value": 1}]}]}], without, "1m"
    )
    run_cases(release, tmp_path, [{**nothing, "promql_expr_test": [{**firing, "exp_samples": []}]}], FILES, "1m")
