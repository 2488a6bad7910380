"""Quantiles of histograms, as Prometheus estimates them."""

from collections.abc import Sequence


def quantile(q: float, bounds: Sequence[float], counts: Sequence[int]) -> float | None:
    """The ``q`` quantile of a histogram, interpolated within its bucket as in Prometheus, or ``None`` without observations."""
    rank = q * sum(counts)
    below, lower = 0, 0.0
    for bound, count in zip(bounds, counts, strict=False):
        if count and below + count >= rank:
            return lower + (bound - lower) * (rank - below) / count
        below, lower = below + count, bound
    return lower if sum(counts) else None
