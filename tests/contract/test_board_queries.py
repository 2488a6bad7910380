"""Queries of boards on series made up for them, as Prometheus itself evaluates them."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.board_rules import interpolated, queries_of
from tests.support.house_rules import ROOT
from tests.support.peers import RELEASES, Release, require

pytestmark = pytest.mark.external

OF = 'job="voice", instance="a:1"'
TURNS = "agentstack_llm_time_to_first_token_seconds_count"
LABELS = f'{OF}, agent="billing", cancelled="false", provider="openai"'
TOKENS = f'agentstack_llm_completion_tokens_total{{{OF}, provider="openai", model="gpt", cancelled="false"}}'
COST = f'agentstack_cost_usd_total{{{OF}, component="llm", provider="openai", model="gpt"}}'
UNPRICED = f'agentstack_unpriced_usage_total{{{OF}, component="llm", provider="groq", model="llama", kind="output"}}'


def asked(board: str, title: str, ref: str = "A") -> str:
    """A query as Grafana sends it when nothing is chosen."""
    content = json.loads((ROOT / "grafana" / "dashboards" / f"{board}.json").read_text(encoding="utf-8"))
    [expr] = [target["expr"] for name, target in queries_of(content) if (name, target["refId"]) == (title, ref)]
    return interpolated(expr, __range="30m", __rate_interval="1m")


def judge(release: Release, directory: Path, series: dict[str, str], *expected: tuple[str, str, dict[str, float]]) -> None:
    """Let promtool evaluate: each expectation is a time, a query and its series."""
    tests = [
        {"expr": expr, "eval_time": at, "exp_samples": [{"labels": labels, "value": value} for labels, value in wanted.items()]}
        for at, expr, wanted in expected
    ]
    given: list[dict[str, Any]] = [{"series": name, "values": values} for name, values in series.items()]
    content = {"evaluation_interval": "1m", "tests": [{"interval": "1m", "input_series": given, "promql_expr_test": tests}]}
    (directory / "test.yml").write_text(yaml.safe_dump(content), encoding="utf-8")
    command = [require("promtool", release), "test", "rules", "test.yml"]
    done = subprocess.run(command, cwd=directory, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]


@pytest.mark.parametrize("release", RELEASES)
def test_firing_alerts_are_listed(release: Release, tmp_path: Path) -> None:
    """An alert that fires is listed with what it is about and for how long; a pending one and another project's are not."""
    slow, others = 'alertname="AgentStackLlmSlow", severity="warning", job="voice", agent="billing"', 'alertname="Disk", job="voice"'
    pending = 'alertname="AgentStackSttSlow", severity="warning", job="voice"'
    series = {
        f'ALERTS{{alertstate="firing", {slow}}}': "_x10 1x20",
        f"ALERTS_FOR_STATE{{{slow}}}": "_x5 300x25",
        f'ALERTS{{alertstate="pending", {pending}}}': "1x30",
        f"ALERTS_FOR_STATE{{{pending}}}": "0x30",
        f'ALERTS{{alertstate="firing", {others}}}': "1x30",
        f"ALERTS_FOR_STATE{{{others}}}": "0x30",
        "agentstack:threshold:caller_turns_10m": "20x30",
    }
    row = '{alertname="AgentStackLlmSlow", severity="warning", of="billing      "}'
    board = asked("overview", "Firing alerts")
    mark = asked("turns", "annotation Firing alerts")
    there = {f'ALERTS{{alertstate="firing", {slow}}}': 1.0}
    judge(release, tmp_path, series, ("5m", board, {}), ("20m", board, {row: 900.0}), ("5m", mark, {}), ("20m", mark, there))


@pytest.mark.parametrize("release", RELEASES)
def test_missing_rules_are_said(release: Release, tmp_path: Path) -> None:
    """Without the alert rules the list does not look as if all were well."""
    said = {'{severity="the alert rules are not loaded"}': 0.0}
    judge(release, tmp_path, {f"up{{{OF}}}": "1x10"}, ("5m", asked("overview", "Firing alerts"), said))


@pytest.mark.parametrize("release", RELEASES)
def test_new_versions_are_marked(release: Release, tmp_path: Path) -> None:
    """A version that follows another is marked for some minutes, but neither the first ever nor a second exporter of it."""
    series = {
        f'agentstack_exporter_build_info{{{OF}, version="1"}}': "_x5 1x50 _x40",
        f'agentstack_exporter_build_info{{{OF}, version="2"}}': "_x57 1x40",
        'agentstack_exporter_build_info{job="voice", instance="b:1", version="2"}': "_x70 1x40",
    }
    mark = asked("overview", "annotation New exporter versions")
    judge(release, tmp_path, series, ("7m", mark, {}), ("58m", mark, {'{version="2"}': 1.0}), ("65m", mark, {}), ("73m", mark, {}))


@pytest.mark.parametrize("release", RELEASES)
def test_new_models_of_an_agent_are_marked(release: Release, tmp_path: Path) -> None:
    """A model that an agent did not use before is marked; what is new in the first half hour of an agent is not."""
    series = {
        f'{TURNS}{{{LABELS}, model="gpt"}}': "0+1x80",
        f'{TURNS}{{{LABELS}, model="early"}}': "_x10 1+1x80",
        f'{TURNS}{{{LABELS}, model="new"}}': "_x40 1+1x40",
        f'{TURNS}{{{LABELS}, model="unknown"}}': "_x40 1+1x40",
        f'{TURNS}{{{LABELS.replace("billing", "sales")}, model="gpt"}}': "_x40 1+1x40",
    }
    mark = asked("providers", "annotation New models of agents")
    new = {'{agent="billing", provider="openai", model="new"}': 1.0}
    judge(release, tmp_path, series, ("12m", mark, {}), ("42m", mark, new), ("50m", mark, {}))


@pytest.mark.parametrize("release", RELEASES)
def test_a_cost_says_what_it_leaves_out(release: Release, tmp_path: Path) -> None:
    """Costs move from the plain number to the one with ≥ once usage without a price is counted, and its share is there."""
    series = {TOKENS: "0+100x60", COST: "0+1x60", UNPRICED: "0x30 0+50x30"}
    plain, at_least, share = (f"round({asked('usage', 'Cost', ref)})" for ref in "ABC")
    judge(release, tmp_path, series, ("30m", plain, {"{}": 30.0}), ("30m", at_least, {}), ("30m", share, {}))
    later = {'{component="llm"}': 48.0}
    judge(release, tmp_path, series, ("60m", plain, {}), ("60m", at_least, {"{}": 30.0}), ("60m", share, later))
