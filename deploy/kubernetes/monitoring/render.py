"""Writes prometheusrule.yaml from the rule files, for `make docs`; the Prometheus Operator wants them in an object of its own."""

import sys
from pathlib import Path

import yaml

HERE = Path(__file__).parent
RULES = HERE.parents[1] / "prometheus"


def rendered() -> str:
    """The PrometheusRule with the groups of all rule files."""
    groups = [
        group for file in sorted(RULES.glob("*.rules.yml")) for group in yaml.safe_load(file.read_text(encoding="utf-8"))["groups"]
    ]
    labels = {"app.kubernetes.io/name": "agentstack-exporter", "role": "alert-rules"}
    document = {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "PrometheusRule",
        "metadata": {"name": "agentstack-exporter", "labels": labels},
        "spec": {"groups": groups},
    }
    return "# Written by `make docs` from deploy/prometheus/*.rules.yml.\n" + yaml.safe_dump(document, sort_keys=False, width=200)


if __name__ == "__main__":
    sys.stdout.write(rendered())
