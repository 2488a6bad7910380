"""The second form of the boards, which reads native histograms: each query rewritten, everything else the same.

A board has the same uid in both forms, so links and bookmarks stay. Provision one of the two (docs/native-histograms.md).
"""

import json
import re
from typing import Any, Final

_BY = r"sum(?: by \((?P<by>[^)]*)\))? "
_SERIES = r"(?P<name>agentstack_\w+?)"
_MATCHERS = r"\{(?P<matchers>[^}]*)\}\[(?P<window>[^]]+)\]"
_BUCKETS: Final = re.compile(rf"{_BY}\(increase\({_SERIES}_bucket{_MATCHERS}\)\)")
_TOTALS: Final = re.compile(rf"{_BY}\(increase\({_SERIES}_(?P<part>count|sum){_MATCHERS}\)\)")
_EXISTS: Final = re.compile(rf"{_SERIES}_count(?=\{{)")
_LEFT: Final = re.compile(r"agentstack_\w+_bucket\b|agentstack_\w+_seconds_(?:count|sum)\b")


def as_native(dashboard: dict[str, Any]) -> dict[str, Any]:
    """The dashboard over native histograms. Raises ``ValueError`` if a query still reads a classic one."""
    native: dict[str, Any] = json.loads(json.dumps(dashboard))
    panels = [panel for each in native["panels"] for panel in (each["panels"] if each["type"] == "row" else [each])]
    for panel in panels:
        for target in panel["targets"]:
            target["expr"] = rewritten(target["expr"])
            if target.get("legendFormat") == "{{le}}":
                target["legendFormat"] = ""
    for mark in native["annotations"]["list"]:
        mark["expr"] = rewritten(mark["expr"])
    return native


def rewritten(expr: str) -> str:
    """An expression over classic histograms as one over native ones."""
    text = _EXISTS.sub(r"\g<name>", _TOTALS.sub(_total, _BUCKETS.sub(_whole, expr)))
    if left := _LEFT.search(text):
        raise ValueError(f"{left[0]} is a classic series in {text}")
    return text


def _whole(found: re.Match[str]) -> str:
    """Buckets by ``le`` as one histogram, and the bucket of the objective as the share of it that is within the bound."""
    by = [label for label in (found["by"] or "").split(", ") if label]
    matchers = [each for each in found["matchers"].split(", ") if not each.startswith("le=")]
    histogram = _summed([label for label in by if label != "le"], found["name"], matchers, found["window"])
    bound = re.search(r'le="([\d.]+)"', found["matchers"])
    if bound is None or "le" in by:
        return histogram
    return f"(histogram_fraction(-Inf, {bound[1]}, {histogram}) * (histogram_count({histogram}) > 0))"


def _total(found: re.Match[str]) -> str:
    by = found["by"].split(", ") if found["by"] else []
    return f"histogram_{found['part']}({_summed(by, found['name'], found['matchers'].split(', '), found['window'])})"


def _summed(by: list[str], name: str, matchers: list[str], window: str) -> str:
    grouped = f"sum by ({', '.join(by)})" if by else "sum"
    return f"{grouped} (increase({name}{{{', '.join(matchers)}}}[{window}]))"
