"""A handle on one metric, for code that records it by hand and not through an event's declarations."""

from bisect import bisect_left
from collections.abc import Callable
from operator import itemgetter
from typing import NoReturn

from exporter.catalogue.declarations import MetricSpec
from exporter.metrics.store import Observe, Row, Store


class Instrument:
    """Records one metric. Values are in the metric's own unit, label values are given by name.

    Every method raises ``TypeError`` if the label names are not those of the metric. ``now`` is when a new series starts, in unix
    seconds; 0 stands for the start of the store.
    """

    __slots__ = ("_divisor", "_edges", "_index", "_label_count", "_layout", "_rows", "_store", "_values_of")

    def __init__(self, store: Store, spec: MetricSpec) -> None:
        self._store = store
        self._layout, self._index = store.place(spec)
        self._label_count = len(spec.labels)
        self._values_of = _getter(spec.labels)
        self._divisor = self._layout.divisors[self._index]
        places = self._layout.places[self._index]
        self._edges = places.edges if places else ()
        self._rows = self._layout.rows

    @property
    def label_names(self) -> tuple[str, ...]:
        """The names of the metric's labels, in the order of the declaration."""
        return self._layout.label_names

    def add(self, amount: float, /, *, now: float = 0.0, **labels: str) -> None:
        """Add to a counter or a gauge."""
        row = self._row(labels, now)
        row[self._index] = (row[self._index] or 0.0) + amount * self._divisor

    def set(self, value: float, /, *, now: float = 0.0, **labels: str) -> None:
        """Set a gauge, or a counter whose value is kept elsewhere."""
        self._row(labels, now)[self._index] = value * self._divisor

    def observe(self, value: float, /, *, now: float = 0.0, **labels: str) -> None:
        """Observe a value in a histogram."""
        cell, wire_value = self._row(labels, now)[self._index], round(value * self._divisor, 9)
        if not isinstance(cell, list):
            cell.observe(wire_value)
            return
        cell[bisect_left(self._edges, wire_value)] += 1
        cell[len(self._edges) + 1] += wire_value

    def row(self, *, now: float = 0.0, **labels: str) -> Row:
        """The row of one series, for the hot path. In a layout of one metric the first cell is this metric's.

        Discard the row when the store drops it, as label values that made room for others are dropped with their series.
        """
        return self._row(labels, now)

    def observer(self, *, now: float = 0.0, **labels: str) -> Observe:
        """A function that observes values in one series, for the hot path. Discard it when the store drops the series' row."""
        cell = self._row(labels, now)[self._index]
        edges, divisor, size = self._edges, self._divisor, len(self._edges) + 1
        if not isinstance(cell, list):
            in_c: Observe = cell.observe
            return in_c if divisor == 1.0 else lambda value: in_c(value * divisor)

        def observe(value: float) -> None:
            wire_value = value * divisor
            cell[bisect_left(edges, wire_value)] += 1
            cell[size] += wire_value

        return observe

    def _row(self, labels: dict[str, str], now: float) -> Row:
        if len(labels) != self._label_count:
            self._wrong_labels(labels)
        try:
            values = self._values_of(labels)
        except KeyError:
            self._wrong_labels(labels)
        return self._rows.get(values) or self._store.row(self._layout, values, now)

    def _wrong_labels(self, labels: dict[str, str]) -> NoReturn:
        spec = self._layout.specs[self._index]
        raise TypeError(f"{spec.name} has the labels ({', '.join(spec.labels)}), but was given ({', '.join(labels)})")


def _getter(names: tuple[str, ...]) -> Callable[[dict[str, str]], tuple[str, ...]]:
    """A function that returns the values of ``names``, in their order. It raises ``KeyError`` if one is missing."""
    if not names:
        return lambda _: ()
    if len(names) == 1:
        (name,) = names
        return lambda labels: (labels[name],)
    return itemgetter(*names)
