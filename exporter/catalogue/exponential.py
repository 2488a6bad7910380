"""Base-2 exponential buckets: which one a measured value belongs to, found by the same search as its explicit bucket.

Bucket ``i`` at scale ``s`` holds what lies in (2**(i / 2**s), 2**((i + 1) / 2**s)]. Both kinds of bucket include their upper edge, so
one sorted table of all edges answers for both: what lies between two neighbouring edges is in one bucket of each kind. Powers of two
are edges that floating point holds exactly, so they never fall on the wrong side.
Source: OpenTelemetry data model, "ExponentialHistogram".
"""

from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from math import ldexp
from typing import Final

SCALE: Final = 4
"""Buckets are 4.4 % wide, so a percentile read from them is off by 2.2 % at most. Fixed, so that several exporters' add up."""
ZERO_THRESHOLD: Final = 2.0**-20
"""What is not above this (in the metric's unit: a microsecond, a millionth) counts as zero."""
ZERO: Final = (-20 << SCALE) - 1
"""The place where values up to :data:`ZERO_THRESHOLD` are counted: just under the lowest bucket."""
MOST_BUCKETS: Final = 160
"""How many neighbouring buckets a point is sent with at most; the specification's default."""

_OCTAVES = range(-20, 30)
_STEPS = 1 << SCALE


@dataclass(frozen=True, slots=True)
class BucketPlaces:
    """``places[bisect_left(edges, value)]`` is the explicit bucket and the exponential bucket of a value."""

    edges: tuple[float, ...]
    places: tuple[tuple[int, int], ...]


@lru_cache
def bucket_places(bounds: tuple[float, ...], divisor: float) -> BucketPlaces:
    """The table for explicit ``bounds`` and values that are divided by ``divisor`` to be in the metric's unit.

    The bounds are in the unit of the values. What lies above 2**30 of the metric's unit is put into the highest bucket; no
    plausible measurement does.
    """
    octaves = [ldexp(2.0 ** (step / _STEPS), octave) * divisor for octave in _OCTAVES for step in range(_STEPS)]
    exponential = (*octaves, ldexp(1.0, _OCTAVES.stop) * divisor)
    edges = tuple(sorted({*bounds, *exponential}))
    top = ZERO + len(exponential) - 1
    places = [(bisect_left(bounds, edge), min(ZERO + bisect_left(exponential, edge), top)) for edge in edges]
    return BucketPlaces(edges, (*places, (len(bounds), top)))


def downscaled(counts: Mapping[int, int], scale: int) -> tuple[int, int, list[int]]:
    """Sparse ``counts`` by bucket index as (scale, first index, counts from there on), at most :data:`MOST_BUCKETS` of them.

    Neighbours are merged until they fit, each time halving the resolution. Without counts the list is empty.
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
