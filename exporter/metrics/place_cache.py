"""The place of a value, remembered: a look-up is cheaper than a search, and most measurements are whole milliseconds."""

from bisect import bisect_left
from functools import partial
from typing import Final

MOST_VALUES: Final = 4096
"""Values that a cache remembers: the whole milliseconds of four seconds. Later ones are searched for each time, in C."""


class PlaceCache(dict[float, int]):
    """``cache[value]`` is ``bisect_left(edges, value)``."""

    __slots__ = ("_edges",)

    def __init__(self, edges: tuple[float, ...]) -> None:
        super().__init__()
        self._edges = edges

    def __missing__(self, value: float) -> int:
        place = self[value] = bisect_left(self._edges, value)
        if len(self) == MOST_VALUES:
            # From now on a miss only searches: a function of C costs half as much as this one.
            search = staticmethod(partial(bisect_left, self._edges))
            self.__class__ = type("FullPlaceCache", (PlaceCache,), {"__slots__": (), "__missing__": search})
        return place
