"""Base-2 exponential buckets. One search finds both the explicit and the exponential bucket of a value.

Bucket ``i`` at scale ``s`` counts values in (2**(i / 2**s), 2**((i + 1) / 2**s)]. Both kinds of bucket include their upper edge, so
one sorted table of all edges serves both: all values between two neighbouring edges are in the same two buckets. Floating point holds
powers of two exactly, so a power of two is always on the right side of its edge.
Source: OpenTelemetry data model, "ExponentialHistogram".
"""

from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from math import ldexp
from typing import Final

SCALE: Final = 4
"""Buckets are 4.4 % wide, so a percentile has an error of at most 2.2 %. Fixed, so that buckets of several exporters add up."""
ZERO_THRESHOLD: Final = 2.0**-20
"""Values up to this (in the metric's unit: about a microsecond, or a millionth) count as zero."""
ZERO: Final = (-20 << SCALE) - 1
"""The bucket index under which values up to :data:`ZERO_THRESHOLD` are counted: just below the lowest bucket."""
MOST_BUCKETS: Final = 160
"""Buckets that a data point is exported with, at most; the specification's default."""

_OCTAVES = range(-20, 30)
_STEPS = 1 << SCALE


@dataclass(frozen=True, slots=True)
class BucketPlaces:
    """``places[bisect_left(edges, value)]`` is the explicit bucket and the exponential bucket of a value."""

    edges: tuple[float, ...]
    places: tuple[tuple[int, int], ...]


@lru_cache
def bucket_places(bounds: tuple[float, ...], divisor: float) -> BucketPlaces:
    """The table for explicit ``bounds`` in wire units; ``divisor`` turns wire units into the metric's unit.

    Values above 2**30 of the metric's unit go into the highest bucket; no plausible measurement is that large.
    """
    octaves = [ldexp(2.0 ** (step / _STEPS), octave) * divisor for octave in _OCTAVES for step in range(_STEPS)]
    exponential = (*octaves, ldexp(1.0, _OCTAVES.stop) * divisor)
    edges = tuple(sorted({*bounds, *exponential}))
    top = ZERO + len(exponential) - 1
    places = [(bisect_left(bounds, edge), min(ZERO + bisect_left(exponential, edge), top)) for edge in edges]
    return BucketPlaces(edges, (*places, (len(bounds), top)))


def downscaled(counts: Mapping[int, int], scale: int) -> tuple[int, int, list[int]]:
    """Sparse ``counts`` by bucket index → scale, first index, and a list of counts, at most :data:`MOST_BUCKETS`.

    Pairs of neighbouring buckets are merged until they fit; each merge lowers the scale by one. Without counts the list is empty.
    """
    if not counts:
        return scale, 0, []
    first, last, shift = min(counts), max(counts), 0
    while (last >> shift) - (first >> shift) >= MOST_BUCKETS:
        shift += 1
    if not shift:
        return scale, first, [counts.get(index, 0) for index in range(first, last + 1)]
    offset = first >> shift
    dense = [0] * ((last >> shift) - offset + 1)
    for index, count in counts.items():
        dense[(index >> shift) - offset] += count
    return scale - shift, offset, dense
