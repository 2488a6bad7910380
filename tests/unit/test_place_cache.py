"""The places of values that are remembered: those of a search, also when the cache is full."""

from bisect import bisect_left

from exporter.catalogue.exponential import fine_places
from exporter.metrics.place_cache import MOST_VALUES, PlaceCache

EDGES = fine_places((0.1, 0.5, 2.0), "s", 1000.0).edges


def test_places_are_those_of_a_search() -> None:
    """Each value has the place that a search finds: a new one, one that is remembered, and one that has no room any more."""
    cache = PlaceCache(EDGES)
    values = [*EDGES, *(number / 8 for number in range(2 * MOST_VALUES)), -1.0, float("inf")]
    for _ in range(2):
        assert [cache[value] for value in values] == [bisect_left(EDGES, value) for value in values]


def test_it_remembers_no_more_than_it_may() -> None:
    """Values that never repeat do not make it grow without end."""
    cache = PlaceCache(EDGES)
    for number in range(2 * MOST_VALUES):
        assert cache[number / 3] == bisect_left(EDGES, number / 3)
    assert len(cache) == MOST_VALUES
