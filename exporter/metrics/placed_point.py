"""A histogram series that was counted by place: its buckets are worked out when they are first read."""

from collections.abc import Sequence
from typing import Any, Final

from exporter.catalogue.exponential import SCALE, Places, explicit_counts, exponential_counts
from exporter.metrics.snapshot import Exemplar, ExponentialPoint, HistogramPoint

_COMPARED: Final = ("sum", "counts", "exponential", "exemplars")


class PlacedPoint(HistogramPoint):
    """A point with the counts of its places. It equals the point that has the same buckets.

    A snapshot is taken in one go while all calls wait, and most readers need only one kind of bucket: so both are worked out later.
    """

    __slots__ = ("_by_place", "_places", "_worked_out")

    _places: Places
    _by_place: Sequence[int]
    _worked_out: dict[str, Any]

    def __init__(self, places: Places, by_place: Sequence[int], total: float, exemplars: tuple[Exemplar | None, ...]) -> None:
        put = object.__setattr__  # the base is frozen
        put(self, "sum", total)
        put(self, "exemplars", exemplars)
        put(self, "_places", places)
        put(self, "_by_place", by_place)
        put(self, "_worked_out", {})

    @property
    def counts(self) -> tuple[int, ...]:
        """What each classic bucket has."""
        kept = self._worked_out
        if "counts" not in kept:
            kept["counts"] = explicit_counts(self._places, self._by_place)
        found: tuple[int, ...] = kept["counts"]
        return found

    @property
    def exponential(self) -> ExponentialPoint:
        """The same measurements in exponential buckets."""
        kept = self._worked_out
        if "exponential" not in kept:
            counts = exponential_counts(self._places, self._by_place)
            zeros = counts.pop(self._places.zero, 0)
            kept["exponential"] = ExponentialPoint(SCALE, self._places.zero_threshold, zeros, counts)
        found: ExponentialPoint = kept["exponential"]
        return found

    @property
    def count(self) -> int:
        """How many values were observed."""
        return sum(self._by_place)

    @property
    def is_exponential(self) -> bool:
        """Always: a point without exponential buckets is a plain one."""
        return True

    def __eq__(self, other: object) -> bool:
        return isinstance(other, HistogramPoint) and all(getattr(self, name) == getattr(other, name) for name in _COMPARED)

    def __hash__(self) -> int:
        return hash((self.sum, self.count))
