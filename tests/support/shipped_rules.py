"""The shipped rules, and promtool to judge them."""

import json
import subprocess
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from tests.support.house_rules import ROOT
from tests.support.peers import Release, require
from tests.support.quick_yaml import load

RULES = ROOT / "deploy" / "prometheus"
FILES = sorted(RULES.glob("*.rules.yml"))
NATIVE_FILES = [RULES / "native" / file.name if (RULES / "native" / file.name).exists() else file for file in FILES]
"""The files to load where Prometheus has native histograms."""


def rules(files: Sequence[Path] = FILES) -> Iterator[dict[str, Any]]:
    """Every rule of every file."""
    for file in files:
        for group in _groups(file):
            yield from group["rules"]


@cache
def _groups(file: Path) -> list[dict[str, Any]]:
    """The groups of a file, read once: to read them takes as long as to judge most of them. Change none of them."""
    found: list[dict[str, Any]] = load(file.read_text(encoding="utf-8"))["groups"]
    return found


ALERTS = {rule["alert"]: rule for rule in rules() if "alert" in rule}
RECORDED = {rule["record"] for rule in rules() if "record" in rule}


def run_promtool(release: Release, *arguments: str, at: Path = ROOT) -> str:
    """What promtool says; fails with it if it is not content."""
    done = subprocess.run([require("promtool", release), *arguments], cwd=at, capture_output=True, text=True, check=False, timeout=110)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    return done.stdout


def values(rates: list[float], *, gauge: bool, gap: tuple[int, int] | None) -> str:
    """Samples of a series as promtool reads them; in the gap there are none."""
    total, written = 0.0, []
    for number, rate in enumerate(rates):
        total = rate if gauge else total + rate
        written.append("_" if gap and gap[0] <= number < gap[1] else f"{total:g}")
    return " ".join(written)


def run_cases(release: Release, folder: Path, cases: list[dict[str, Any]], files: list[Path], interval: str) -> None:
    """Let promtool judge."""
    # promtool takes groups in any order unless told; alerts are to see what was recorded at the same moment.
    order = ["thresholds", "turns", "stages", "objective", "callers", "components", "exporter"]
    document = {
        "rule_files": [str(file) for file in files],
        "evaluation_interval": interval,
        "group_eval_order": [f"agentstack-{name}" for name in order if name != "thresholds" or len(files) == len(FILES)],
        "tests": cases,
    }
    (folder / "cases.yml").write_text(json.dumps(document), encoding="utf-8")  # which is YAML, and quickly written
    run_promtool(release, "test", "rules", "cases.yml", at=folder)


def alone(name: str, folder: Path, files: Sequence[Path] = FILES, *, cause: bool = True) -> list[Path]:
    """The files with this alert and no other, and only what it asks for recorded: all of them take promtool five times as long.

    What an alert names as its cause asks for most of what is recorded; ``cause=False`` leaves it out.
    """
    kept = {
        file: [{**group, "rules": [rule if cause else _without_cause(rule) for rule in group["rules"]]} for group in _groups(file)]
        for file in files
    }
    every = [rule for groups in kept.values() for group in groups for rule in group["rules"]]
    needed, grown = {name}, True
    while grown:
        asked = " ".join(
            rule["expr"] + rule.get("annotations", {}).get("cause", "")
            for rule in every
            if {rule.get("alert"), rule.get("record")} & needed
        )
        grown = bool(found := {record for record in RECORDED if record in asked} - needed)
        needed |= found
    written = []
    for file, groups in kept.items():
        left = [
            {**group, "rules": [rule for rule in group["rules"] if {rule.get("alert"), rule.get("record")} & needed]}
            for group in groups
        ]
        written.append(folder / file.name)
        written[-1].write_text(json.dumps({"groups": left}), encoding="utf-8")
    return written


def _without_cause(rule: dict[str, Any]) -> dict[str, Any]:
    annotations = {key: text for key, text in rule.get("annotations", {}).items() if key != "cause"}
    return {**rule, "annotations": annotations} if "alert" in rule else rule
