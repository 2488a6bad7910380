"""Classic histograms of a rule scenario as the native histogram that promtool reads: the same measurements in the other form."""

import re
from itertools import accumulate
from math import ceil, inf, log2, sqrt

_SCHEMA = 3
"""Coarser than what the exporter writes, so that the text stays short; the rules do not depend on it."""
_BUCKET = re.compile(r'(?P<name>\w+)_bucket\{(?P<labels>.*),le="(?P<bound>[^"]+)"\}')
_PART = re.compile(r"(?P<name>\w+)_(?:bucket|count|sum)\{")


def as_native(series: dict[str, list[float]], gap: tuple[int, int] | None) -> tuple[dict[str, list[float]], list[dict[str, str]]]:
    """Split series (by name and labels → increase of each sample) into those that stay, and histograms as promtool's input."""
    buckets: dict[str, dict[float, list[float]]] = {}
    for key, rates in series.items():
        if found := _BUCKET.fullmatch(key):
            buckets.setdefault(f"{found['name']}{{{found['labels']}}}", {})[float(found["bound"])] = rates
    names = {key.partition("{")[0] for key in buckets}
    rest = {key: rates for key, rates in series.items() if not ((part := _PART.match(key)) and part["name"] in names)}
    return rest, [{"series": key, "values": _values(by_bound, gap)} for key, by_bound in buckets.items()]


def _values(by_bound: dict[float, list[float]], gap: tuple[int, int] | None) -> str:
    """A histogram at each sample. What a classic bucket has lies in the native bucket of its middle."""
    bounds = sorted(by_bound)
    indices = [_index(lower, upper) for lower, upper in zip((0.0, *bounds), bounds, strict=False)]
    totals = {bound: list(accumulate(by_bound[bound])) for bound in bounds}
    samples = []
    for sample in range(len(totals[bounds[0]])):
        counts: dict[int, float] = dict.fromkeys(indices, 0.0)
        before = 0.0
        for bound, index in zip(bounds, indices, strict=True):
            counts[index] += round(totals[bound][sample] - before, 6)
            before = totals[bound][sample]
        samples.append(counts)
    # promtool takes 10,000 numbers in a query at most, and empty buckets count.
    used = {index for index, count in samples[-1].items() if count} or {0}
    written = []
    for number, counts in enumerate(samples):
        inside = " ".join(f"{counts.get(index, 0):.12g}" for index in range(min(used), max(used) + 1))
        shown = f"{{{{schema:{_SCHEMA} sum:1 count:{sum(counts.values()):.12g} offset:{min(used)} buckets:[{inside}]}}}}"
        written.append("_" if gap and gap[0] <= number < gap[1] else shown)
    return " ".join(written)


def _index(lower: float, upper: float) -> int:
    middle = 2 * lower if upper == inf else sqrt(lower * upper) if lower else upper / 2
    return ceil(log2(middle) * (1 << _SCHEMA))
