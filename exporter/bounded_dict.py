"""A dictionary that holds a limited number of entries."""

from collections.abc import Mapping
from typing import Generic, TypeVar

K = TypeVar("K")
V = TypeVar("V")


class BoundedDict(dict[K, V], Generic[K, V]):
    """A dictionary of at most ``limit`` entries: adding one more evicts the oldest.

    An entry is as old as its insertion. Writing to a key that is present keeps its age; :meth:`renew` makes it the newest.
    Only item assignment, ``add`` and ``renew`` are bounded; ``update`` and ``setdefault`` must not be used.
    """

    __slots__ = ("limit",)

    def __init__(self, limit: int, entries: Mapping[K, V] | None = None) -> None:
        super().__init__()
        self.limit = limit
        for key, value in (entries or {}).items():
            self[key] = value

    def __setitem__(self, key: K, value: V) -> None:
        self.add(key, value)

    def add(self, key: K, value: V) -> tuple[K, V] | None:
        """Set an entry; returns the entry that was evicted to make room, if any."""
        # dict.__setitem__ is faster than super(), and this is on the hot path.
        if len(self) < self.limit or key in self:
            dict.__setitem__(self, key, value)
            return None
        evicted = self._evict()
        dict.__setitem__(self, key, value)
        return evicted

    def renew(self, key: K, value: V) -> tuple[K, V] | None:
        """Set an entry and make it the newest; returns the entry that was evicted to make room, if any."""
        evicted = None
        if key in self:
            del self[key]
        elif len(self) >= self.limit:
            oldest = next(iter(self))  # as in _evict, on the hot path without a call
            evicted = oldest, self.pop(oldest)
        dict.__setitem__(self, key, value)
        return evicted

    def _evict(self) -> tuple[K, V]:
        oldest = next(iter(self))
        return oldest, self.pop(oldest)
