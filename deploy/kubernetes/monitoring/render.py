"""Writes prometheusrule.yaml from the rule files, for `make docs`; the Prometheus Operator wants them in an object of its own.

With the argument ``native``, the recording rules are those that read native histograms.
"""

import sys
from pathlib import Path

import yaml

HERE = Path(__file__).parent
RULES = HERE.parents[1] / "prometheus"


def rendered(*, native: bool = False) -> str:
    """The PrometheusRule with the groups of all rule files; the native ones replace those of the same name."""
    files = {file.name: file for folder in (RULES, RULES / "native")[: 1 + native] for file in sorted(folder.glob("*.rules.yml"))}
    groups = [group for _, file in sorted(files.items()) for group in yaml.safe_load(file.read_text(encoding="utf-8"))["groups"]]
    labels = {"app.kubernetes.io/name": "agentstack-exporter", "role": "alert-rules"}
    document = {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "PrometheusRule",
        "metadata": {"name": "agentstack-exporter", "labels": labels},
        "spec": {"groups": groups},
    }
    read = "the native recording rules" if native else "deploy/prometheus/*.rules.yml"
    return f"# Written by `make docs` from {read}.\n" + yaml.safe_dump(document, sort_keys=False, width=200)


if __name__ == "__main__":
    sys.stdout.write(rendered(native=sys.argv[1:] == ["native"]))
