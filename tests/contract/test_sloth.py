"""The objective for Sloth: the real Sloth takes it, and what it generates says the same as the shipped burn-rate alerts."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.support.house_rules import ROOT
from tests.support.peers import RELEASES, Release, require
from tests.support.quick_yaml import load
from tests.support.rule_scenarios import Rates, turns
from tests.support.shipped_rules import ALERTS, FILES, run_promtool, values

pytestmark = [pytest.mark.external, pytest.mark.timeout(120)]

SPECIFICATION = ROOT / "deploy" / "slo" / "sloth.yml"
PAGE, TICKET = "AgentStackObjectiveBurnsFast", "AgentStackObjectiveBurnsSlowly"
GOOD = turns(10, 0.5)
HISTORIES: dict[str, tuple[int, list[tuple[int, Rates]], set[str]]] = {
    "all-slow-for-an-hour": (1, [(120, GOOD), (90, turns(10, 3.0)), (90, GOOD)], {PAGE, TICKET}),
    "half-unanswered-for-hours": (5, [(24, GOOD), (72, turns(10, 0.5, unanswered=5)), (120, GOOD)], {PAGE, TICKET}),
    # A quiet day makes the window of 1 day see it before that of 3 days.
    "all-slow-after-a-quiet-day": (20, [(216, turns(20, 0.5)), (72, GOOD), (15, turns(10, 3.0)), (36, GOOD)], {PAGE, TICKET}),
    "a-tenth-slow-for-days": (20, [(72, GOOD), (216, turns(10, 0.5, 3.0, 0.1)), (144, GOOD)], {TICKET}),
    "a-thirtieth-slow": (20, [(72, GOOD), (216, turns(10, 0.5, 3.0, 0.03))], set()),
}
"""Minutes between samples and evaluations, phases in samples with their rates a minute, and the alerts that become active."""


def generated(folder: Path) -> Path:
    """The rules that Sloth makes of the shipped specification."""
    made = folder / "sloth.rules.yml"
    command = [require("sloth"), "generate", "--no-log", "-i", str(SPECIFICATION), "-o", str(made)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    return made


def groups(file: Path) -> list[dict[str, Any]]:
    """The groups of a rule file."""
    found: list[dict[str, Any]] = load(file.read_text(encoding="utf-8"))["groups"]
    return found


def shipped(folder: Path) -> Path:
    """Our rules for the objective: its two alerts, and what they ask for."""
    every = {group["name"]: group for file in FILES for group in groups(file)}
    # In this order, so that alerts see what was recorded at the same moment.
    kept = [every[f"agentstack-{name}"] for name in ("thresholds", "objective", "callers")]
    for group in kept:
        group["rules"] = [rule for rule in group["rules"] if rule.get("alert", PAGE) in (PAGE, TICKET)]
    made = folder / "shipped.rules.yml"
    made.write_text(json.dumps({"groups": kept}), encoding="utf-8")
    return made


def active(selector: str) -> str:
    """Whether an alert is pending or firing, as 1 or 0."""
    return f"(count(ALERTS{{{selector}}}) > bool 0 or vector(0))"


def expectation(expression: str, at: str, *, value: int) -> dict[str, Any]:
    """What a query has to give at a moment."""
    return {"expr": expression, "eval_time": at, "exp_samples": [{"labels": "{}", "value": value}]}


def agreement(name: str, window: str, step: int, *, fires: bool) -> list[dict[str, Any]]:
    """Over the whole history: both are active for a while, or neither; and they differ at two evaluations at most."""
    severity = ALERTS[name]["labels"]["severity"]
    ours, theirs = active(f'alertname="{name}"'), active(f'alertname="AgentStackObjective", severity="{severity}"')
    over = f"[{window}:{step}m]"
    return [
        expectation(f"sum_over_time({ours}{over}) > bool 3", window, value=int(fires)),
        expectation(f"sum_over_time({theirs}{over}) > bool 3", window, value=int(fires)),
        expectation(f"sum_over_time(abs({ours} - {theirs}){over}) <= bool 2", window, value=1),
    ]


@pytest.mark.parametrize("release", RELEASES)
def test_sloth_takes_the_objective(release: Release, tmp_path: Path) -> None:
    """Sloth generates a page and a ticket, which Prometheus takes; they have our severities and area, and name agent and runbook."""
    made = generated(tmp_path)
    run_promtool(release, "check", "rules", str(made))
    alerts = {rule["labels"]["sloth_severity"]: rule for group in groups(made) for rule in group["rules"] if "alert" in rule}
    for kind, name in (("page", PAGE), ("ticket", TICKET)):
        assert ALERTS[name]["labels"].items() <= alerts[kind]["labels"].items()
        assert {key: alerts[kind]["annotations"][key] for key in ("summary", "runbook_url")} == {
            key: ALERTS[name]["annotations"][key] for key in ("summary", "runbook_url")
        }


@pytest.mark.parametrize("history", HISTORIES)
def test_its_alerts_are_ours(history: str, tmp_path: Path) -> None:
    """On the same series both become active and end at the same evaluations, one more or less."""
    step, phases, fired = HISTORIES[history]
    keys = sorted({key for _, rates in phases for key in rates})
    samples = {key: [rates.get(key, 0.0) * step for count, rates in phases for _ in range(count)] for key in keys}
    files = [shipped(tmp_path), generated(tmp_path)]
    window = f"{step * sum(count for count, _ in phases)}m"
    document = {
        "rule_files": [str(file) for file in files],
        "evaluation_interval": f"{step}m",
        "group_eval_order": [group["name"] for file in files for group in groups(file)],
        "tests": [
            {
                "interval": f"{step}m",
                "input_series": [{"series": key, "values": values(rates, gauge=False, gap=None)} for key, rates in samples.items()],
                "promql_expr_test": [part for name in (PAGE, TICKET) for part in agreement(name, window, step, fires=name in fired)],
            }
        ],
    }
    (tmp_path / "cases.yml").write_text(json.dumps(document), encoding="utf-8")
    run_promtool("newest", "test", "rules", "cases.yml", at=tmp_path)
