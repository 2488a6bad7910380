"""Which live call has the longest journal, found without asking all of them."""

from collections.abc import Callable, Collection
from heapq import heapify, heappop, heappush, heapreplace
from itertools import count
from typing import Final, Generic, TypeVar

J = TypeVar("J")
_SPARE: Final = 64


class LongestJournals(Generic[J]):
    """Journals by their length, which ``length_of`` returns. ``live`` are those that count; others may come and go in it at any time.

    A journal whose length grew must be added again. One that became shorter is noticed when it is looked at.
    """

    def __init__(self, live: Collection[J], length_of: Callable[[J], int]) -> None:
        self._live = live
        self._length_of = length_of
        self._order = count()
        self._heap: list[tuple[int, int, J]] = []
        """The lengths, negative so that the longest comes first. Each is at least what the journal's length is now, or not its last."""

    def __len__(self) -> int:
        """How many entries it has; some may be of journals that ended."""
        return len(self._heap)

    def add(self, journal: J) -> None:
        """The journal is new, or longer than before."""
        if len(self._heap) > 2 * len(self._live) + _SPARE:
            self._heap = [self._entry(each) for each in self._live if each is not journal]
            heapify(self._heap)
        heappush(self._heap, self._entry(journal))

    def longest(self) -> J | None:
        """The longest live journal of those that were added."""
        heap = self._heap
        while heap:
            length, _, journal = heap[0]
            now = self._length_of(journal)
            if journal not in self._live or -length < now:
                heappop(heap)  # it ended, or grew and was added again
            elif -length > now:
                heapreplace(heap, self._entry(journal))
            else:
                return journal
        return None

    def _entry(self, journal: J) -> tuple[int, int, J]:
        return -self._length_of(journal), next(self._order), journal
