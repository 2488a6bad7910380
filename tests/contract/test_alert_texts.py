"""What alerts say: no word for what is not known, and the cause of what callers notice."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.support.house_rules import ROOT
from tests.support.peers import RELEASES, Release
from tests.support.rule_scenarios import AGENT, HERE, latency, turns
from tests.support.shipped_rules import ALERTS, alone, run_cases

STAGES = {
    "AgentStackSttSlow": ("Speech to text", "agentstack_stt_delay_seconds", ""),
    "AgentStackLlmSlow": ("The LLM", "agentstack_llm_time_to_first_token_seconds", ',cancelled="false"'),
    "AgentStackTtsSlow": ("Text to speech", "agentstack_tts_time_to_first_byte_seconds", ',cancelled="false"'),
    "AgentStackRealtimeSlow": ("The speech-to-speech model", "agentstack_realtime_time_to_first_token_seconds", ',cancelled="false"'),
}
"""Alerts that name a provider and a model, what they call them, and the histogram and further labels of their series."""
NAMED = {("unknown", "unknown"): "", ("acme", "unknown"): " acme", ("unknown", "m1"): " m1", ("acme", "m1"): " acme m1"}
"""Provider and model as the exporter writes them, and as an alert does."""


@pytest.mark.external
@pytest.mark.parametrize("release", RELEASES)
@pytest.mark.parametrize("name", STAGES)
def test_no_alert_names_what_is_unknown(name: str, release: Release, tmp_path: Path) -> None:
    """Turns without a provider or a model have an alert of their own, without the label and the word."""
    called, metric, labels = STAGES[name]
    rates: dict[str, float] = {}
    for provider, model in NAMED:
        rates |= latency(metric, f'{AGENT},provider="{provider}",model="{model}"{labels}', 10, 4.0)
    annotations = ALERTS[name]["annotations"] | {"description": "Its 95th percentile is 4.925s."}
    expected = [
        {
            "exp_labels": {"job": "agentstack-exporter"}
            | ALERTS[name]["labels"]
            | {label: value for label, value in zip(("provider", "model"), pair, strict=True) if value != "unknown"},
            "exp_annotations": annotations | {"summary": f"{called}{text} is slow"},
        }
        for pair, text in NAMED.items()
    ]
    slow = {
        "interval": "1m",
        "input_series": [{"series": key, "values": f"0+{rate:g}x60"} for key, rate in rates.items()],
        "alert_rule_test": [{"eval_time": "59m", "alertname": name, "exp_alerts": expected}],
    }
    run_cases(release, tmp_path, [slow], alone(name, tmp_path), "1m")


@pytest.mark.external
@pytest.mark.parametrize("release", RELEASES)
def test_a_page_names_the_cause(release: Release, tmp_path: Path) -> None:
    """What callers notice says which components of the job are slow, and which of the agent fail; unknown names are left out."""
    llm = f'{AGENT},provider="unknown",model="unknown",cancelled="false"'
    errors = {f'agentstack_turn_errors_total{{{HERE},agent="{agent}",component="{part}"}}': 5.0 for agent, part in CAUSES}
    rates = turns(10, 0.5, 6.0, 1.0) | latency("agentstack_llm_time_to_first_token_seconds", llm, 10, 4.0)
    rates |= {f'agentstack_errors_total{{{HERE},agent="support",code="unknown"}}': 5.0}
    rates |= {f'agentstack_sessions_ended_total{{{HERE},agent="support"}}': 10.0}
    rates |= errors | {f'agentstack_turns_total{{{HERE},agent="{agent}"}}': 10.0 for agent, _ in CAUSES}
    annotations = ALERTS["AgentStackLatencyCritical"]["annotations"] | {
        "summary": "Callers of support wait too long",
        "description": "The 95th percentile of what callers wait for an answer is 9.75s.",
        "cause": "llm is slow. tts fails. calls meet errors. ",
    }
    labels = {"job": "agentstack-exporter", "agent": "support"} | ALERTS["AgentStackLatencyCritical"]["labels"]
    slow = {
        "interval": "1m",
        "input_series": [{"series": key, "values": f"0+{rate:g}x60"} for key, rate in rates.items()],
        "alert_rule_test": [
            {
                "eval_time": "59m",
                "alertname": "AgentStackLatencyCritical",
                "exp_alerts": [{"exp_labels": labels, "exp_annotations": annotations}],
            }
        ],
    }
    run_cases(release, tmp_path, [slow], alone("AgentStackLatencyCritical", tmp_path), "1m")


CAUSES = (("support", "tts"), ("another", "stt"))
"""Agents and the component of theirs that fails."""


def inhibitions() -> Iterator[tuple[str, str]]:
    """Pairs of alerts of which, by the example routing, the first silences the second for the same job or agent."""
    routing = yaml.safe_load((ROOT / "deploy" / "alertmanager" / "alertmanager.yml").read_text(encoding="utf-8"))
    for rule in routing["inhibit_rules"]:
        for source in filter(lambda name: matches(name, rule["source_matchers"]), ALERTS):
            yield from ((source, target) for target in ALERTS if target != source and matches(target, rule["target_matchers"]))


def matches(name: str, matchers: list[str]) -> bool:
    """Whether the alert has the labels that all matchers want."""
    labels = {"alertname": name, **ALERTS[name]["labels"]}
    for matcher in matchers:
        [(label, negated, like, value)] = re.findall(r'^(\w+)(!?)=?(~?)"(.*)"$', matcher)
        found = bool(re.fullmatch(value, labels.get(label, ""))) if like else labels.get(label) == value
        if found == bool(negated):
            return False
    return True


def test_what_silences_others_says_why() -> None:
    """Whatever callers notice names its cause, since the alerts of components are silent then; no two alerts silence each other."""
    pairs = set(inhibitions())
    assert not {pair for pair in pairs if pair[::-1] in pairs}
    silenced = {source for source, target in pairs if ALERTS[target]["labels"]["area"] == "components"} - {"AgentStackAllExportersDown"}
    causes = {name: rule["annotations"]["cause"] for name, rule in ALERTS.items() if "cause" in rule["annotations"]}
    assert silenced == causes.keys()
    assert len(set(causes.values())) == 1, "test_a_page_names_the_cause looks at one of them"
    assert {target for _, target in pairs if target.endswith("Slow")} == {name for name in ALERTS if name.endswith("Slow")}
    assert not {target for _, target in pairs if ALERTS[target]["labels"]["area"] == "cost"} - {"AgentStackCostHigh"}


@pytest.mark.external
@pytest.mark.parametrize("name", ["AgentStackExporterExportFails", "AgentStackExporterDrops"])
def test_an_exporter_of_another_package_is_named(name: str, tmp_path: Path) -> None:
    """The failures and losses of an exporter of another package have an alert of their own, which names it."""
    labels = {"exporter": "console", "signal": "traces"}
    kind = 'exporter="console",signal="traces"'
    series = f'agentstack_exporter_sdk_attempts_total{{{HERE},{kind},outcome="failed"}}'
    summary = "traces do not reach the exporter console"
    if name == "AgentStackExporterDrops":
        series = f'agentstack_exporter_sdk_dropped_total{{{HERE},{kind},reason="failure"}}'
        labels["reason"], summary = "failure", "traces are lost (failure)"
    with_place = ALERTS[name]["labels"] | labels | {"job": "agentstack-exporter"} | dict(re.findall(r'(instance)="([^"]*)"', HERE))
    case = {
        "interval": "1m",
        "input_series": [{"series": series, "values": "0+5x60"}],
        "alert_rule_test": [
            {
                "eval_time": "30m",
                "alertname": name,
                "exp_alerts": [
                    {
                        "exp_labels": with_place,
                        "exp_annotations": ALERTS[name]["annotations"]
                        | {"summary": summary}
                        | ({"description": "50 in 10 minutes were dropped for good."} if "Drops" in name else {}),
                    }
                ],
            }
        ],
    }
    run_cases(RELEASES[0], tmp_path, [case], alone(name, tmp_path), "1m")


@pytest.mark.external
def test_a_full_store_is_not_called_a_full_label(tmp_path: Path) -> None:
    """When all series together are at their limit, the alert says so, and what it means for new agents."""
    name, place = "AgentStackExporterOverflow", {"job": "agentstack-exporter"} | dict(re.findall(r'(instance)="([^"]*)"', HERE))
    texts = {
        "agent": ("Label agent is full", "50 values were counted as _other in 30 minutes."),
        "series": (
            "The exporter holds as many series as it may",
            "50 values were counted as _other in 30 minutes. Agents that are new since then have no series of their own.",
        ),
    }
    alerts = [
        {
            "exp_labels": ALERTS[name]["labels"] | place | {"label": label},
            "exp_annotations": ALERTS[name]["annotations"] | {"summary": summary, "description": description},
        }
        for label, (summary, description) in texts.items()
    ]
    series = [f'agentstack_exporter_label_overflow_total{{{HERE},label="{label}"}}' for label in texts]
    case = {
        "interval": "1m",
        "input_series": [{"series": each, "values": "0 50x60"} for each in series],
        "alert_rule_test": [{"eval_time": "30m", "alertname": name, "exp_alerts": alerts}],
    }
    run_cases(RELEASES[0], tmp_path, [case], alone(name, tmp_path), "1m")
