"""Places: the cuts of a histogram's range from which both its classic and its exponential buckets follow.

Bucket ``i`` at scale ``s`` counts values in (2**(i / 2**s), 2**((i + 1) / 2**s)]. Both kinds of bucket include their upper edge, so
one sorted table of all edges serves both: the values between two neighbouring edges, a *place*, are in the same two buckets. A
histogram is counted by place, which costs one search and one addition, and a bucket has what its places have. Floating point holds
powers of two exactly, so a power of two is always on the right side of its edge.
Source: OpenTelemetry data model, "ExponentialHistogram"; Prometheus, "Native histograms".
"""

from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from itertools import compress
from math import ceil, floor, ldexp, log2
from typing import Any, Final

SCALE: Final = 5
"""Buckets are 2.2 % wide, so a percentile has an error of about 1 %. Fixed, so that buckets of several exporters add up."""
OTLP_BUCKETS: Final = 160
"""Buckets that an OTLP data point has at most, empty ones included; the specification's default."""

_STEPS = 1 << SCALE
_BEYOND_THE_BOUNDS: Final = 3
"""Octaves below the first positive bound and above the last one that have buckets too: more would cost memory, and time at a scrape."""


@dataclass(frozen=True, slots=True)
class Places:
    """The places of a histogram, ``bisect_left(edges, value)`` for each value in wire units.

    ``explicit`` is the classic bucket of each place, and ``exponential`` the index of its exponential bucket, empty if the histogram
    has none. Values up to ``zero_threshold`` (in the metric's unit) have the index ``zero``.
    """

    edges: tuple[float, ...]
    explicit: tuple[int, ...]
    exponential: tuple[int, ...] = ()
    zero: int = 0
    zero_threshold: float = 0.0
    nothing: list[int] = field(init=False, compare=False)
    """The counts of a histogram that has observed nothing: comparing with it is the cheapest way to see that."""
    of_buckets: tuple[slice, ...] = field(init=False, compare=False)
    """The places of each classic bucket, which are neighbours."""
    indices: tuple[int, ...] = field(init=False, compare=False)
    """All places, for :func:`itertools.compress`."""

    empty_cells: dict[bool, Any] = field(init=False, compare=False)
    """Compiled cells to copy, without and with exemplars: making one anew takes longer."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "empty_cells", {})
        ends = [bisect_right(self.explicit, bucket) for bucket in range(self.explicit[-1] + 1)]
        object.__setattr__(self, "nothing", [0] * self.size)
        object.__setattr__(self, "of_buckets", tuple(map(slice, [0, *ends[:-1]], ends)))
        object.__setattr__(self, "indices", tuple(range(self.size)))

    @property
    def size(self) -> int:
        """How many places there are."""
        return len(self.explicit)


def wire_bounds(bounds: tuple[float, ...], divisor: float) -> tuple[float, ...]:
    """Bucket bounds in wire units, rounded so that a bound of 0.3 s is exactly 300 ms."""
    return tuple(round(bound * divisor, 9) for bound in bounds)


@cache
def classic_places(bounds: tuple[float, ...], divisor: float) -> Places:
    """Places of a histogram that has classic buckets only; ``divisor`` turns wire units into those of ``bounds``."""
    return Places(wire_bounds(bounds, divisor), tuple(range(len(bounds) + 1)))


@cache
def fine_places(bounds: tuple[float, ...], unit: str, divisor: float) -> Places:
    """Places of a histogram that has exponential buckets too.

    Values below the lowest octave count as zero, and values above the highest one are in its last bucket.
    """
    low, high = octaves(bounds, unit)
    powers = [ldexp(2.0 ** (step / _STEPS), octave) * divisor for octave in range(low, high) for step in range(_STEPS)]
    powers.append(ldexp(1.0, high) * divisor)
    classic = wire_bounds(bounds, divisor)
    edges = tuple(sorted({*classic, *powers}))
    zero = (low << SCALE) - 1
    top = zero + len(powers) - 1
    explicit = [bisect_left(classic, edge) for edge in edges]
    exponential = [min(zero + bisect_left(powers, edge), top) for edge in edges]
    return Places(edges, (*explicit, len(classic)), (*exponential, top), zero, ldexp(1.0, low))


def octaves(bounds: tuple[float, ...], unit: str) -> tuple[int, int]:
    """The powers of two between which values have exponential buckets."""
    first = next(bound for bound in bounds if bound > 0)
    highest = 0 if unit == "1" else ceil(log2(bounds[-1])) + _BEYOND_THE_BOUNDS  # no ratio is above 1
    return floor(log2(first)) - _BEYOND_THE_BOUNDS, highest


def explicit_counts(places: Places, counts: Sequence[int]) -> tuple[int, ...]:
    """What each classic bucket has; ``counts`` are by place."""
    return tuple([sum(counts[part]) for part in places.of_buckets])


def exponential_counts(places: Places, counts: Sequence[int]) -> dict[int, int]:
    """What each populated exponential bucket has, by index in rising order; zeros are under ``places.zero``."""
    found: dict[int, int] = {}
    exponential = places.exponential
    for place in compress(places.indices, counts):
        index = exponential[place]
        found[index] = found.get(index, 0) + counts[place]
    return found


def halved(counts: Mapping[int, int], times: int = 1) -> dict[int, int]:
    """Sparse ``counts`` at a scale that is lower by ``times``: pairs of neighbouring buckets are merged as often."""
    merged: dict[int, int] = {}
    for index, count in counts.items():
        merged[index >> times] = merged.get(index >> times, 0) + count
    return merged


def downscaled(counts: Mapping[int, int], scale: int) -> tuple[int, int, list[int]]:
    """Sparse ``counts`` by bucket index → scale, first index, and a list of counts, at most :data:`OTLP_BUCKETS`.

    Pairs of neighbouring buckets are merged until they fit; each merge lowers the scale by one. Without counts the list is empty.
    """
    if not counts:
        return scale, 0, []
    first, last, shift = min(counts), max(counts), 0
    while (last >> shift) - (first >> shift) >= OTLP_BUCKETS:
        shift += 1
    merged = halved(counts, shift) if shift else counts
    return scale - shift, first >> shift, [merged.get(index, 0) for index in range(first >> shift, (last >> shift) + 1)]
