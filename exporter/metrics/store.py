"""The store: rows of cells by label values, to which measurements are added, and immutable snapshots of them.

Metrics that are always recorded together share a *layout*. One *row* of a layout holds a *cell* of each of its metrics, for one set
of label values. Only the event loop writes, so there are no locks. Values are kept in wire units and divided when a snapshot is
taken, so that sums of whole milliseconds stay exact.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

from exporter.catalogue.declarations import GENAI, DeclarationError, MetricSpec
from exporter.catalogue.exponential import Places, classic_places, fine_places
from exporter.catalogue.genai_metrics import evicted_labels
from exporter.compiled import HistogramCell
from exporter.metrics.label_limits import OTHER, component_of
from exporter.metrics.placed_point import PlacedPoint
from exporter.metrics.snapshot import Exemplar, Family, HistogramPoint, Series, Snapshot
from exporter.protocol.ids import TurnRef

Counts = list[Any]
"""A count for each place (:class:`exporter.catalogue.exponential.Places`), the sum, and the exemplars: a list with one item for each
classic bucket, or ``None``. A list of several types, not an object: reading list items at fixed indices is the cheapest that CPython
has, and every observation pays for it. Where C was compiled, a ``HistogramCell`` of ``exporter/compiled/record.pyx`` has these items.
"""
Cell = Any
"""What one metric has in a row: a ``float`` (counter), a ``float`` or ``None`` (gauge), or :data:`Counts`.

It is ``Any`` because the place in the row says which of them it is; a union would cost a check with every update.
"""
Row = list[Cell]
"""The cells of one layout for one set of label values."""
Observe = Callable[[float], None]
"""Observes a value in one series of a histogram."""

_K_contra = TypeVar("_K_contra", contravariant=True)
_V_contra = TypeVar("_V_contra", contravariant=True)
_K = TypeVar("_K")
_Found = TypeVar("_Found")

_OWN_ROOM = 2_500
"""Series reserved for the exporter's own metrics, which need fewer: their labels have few values."""


class Cache(Protocol[_K_contra, _V_contra]):
    """Where found rows are remembered: a dictionary or a list."""

    def __setitem__(self, key: _K_contra, value: _V_contra, /) -> None:
        """Remember ``value``."""


@dataclass(slots=True)
class Layout:
    """Metrics with the same labels that are recorded together.

    ``divisors`` turn wire units into base units. A ``reserved`` layout (the exporter's own metrics) gets its rows even when the store
    is full. ``tables`` are the tables of :class:`exporter.metrics.label_limits.LabelLimiter` that bound its label values: an eviction
    from one of them drops rows. ``places`` are those of each histogram. ``since`` is when each row was made, in unix seconds.
    """

    specs: tuple[MetricSpec, ...]
    divisors: tuple[float, ...]
    places: tuple[Places | None, ...]
    reserved: bool = False
    tables: frozenset[str] = frozenset()
    rows: dict[tuple[str, ...], Row] = field(default_factory=dict)
    since: dict[tuple[str, ...], float] = field(default_factory=dict)

    @property
    def label_names(self) -> tuple[str, ...]:
        """The labels that all metrics of the layout have."""
        return self.specs[0].labels

    @property
    def series_per_row(self) -> int:
        """How many series Prometheus stores for one row."""
        return sum(map(series_of, self.specs))

    def new_row(self) -> Row:
        """A row in which nothing has been recorded."""
        return [_new_cell(spec, places) for spec, places in zip(self.specs, self.places, strict=True)]

    def places_of(self, spec: MetricSpec) -> Places:
        """The places of one of the layout's histograms; raises ``DeclarationError`` for another metric."""
        places = self.places[self.specs.index(spec)]
        if places is None:
            raise DeclarationError(f"{spec.name} is not a histogram")
        return places


def _new_cell(spec: MetricSpec, places: Places | None) -> Cell:
    if places is not None:
        if HistogramCell is not None:
            if spec.exemplars not in places.empty_cells:
                places.empty_cells[spec.exemplars] = HistogramCell(places.edges, places.explicit, spec.exemplars)
            return places.empty_cells[spec.exemplars].copy()
        return [*[0] * places.size, 0.0, [None] * (len(spec.bounds) + 1) if spec.exemplars else None]
    return None if spec.kind == "gauge" else 0.0


def series_of(spec: MetricSpec) -> int:
    """How many series Prometheus stores for one set of label values of a metric."""
    return len(spec.bounds) + 3 if spec.bounds else 1


@dataclass(frozen=True, slots=True)
class Change:
    """A series before and after a change. ``before`` is ``None`` if the series is new."""

    spec: MetricSpec
    labels: tuple[str, ...]
    before: float | HistogramPoint | None
    after: float | HistogramPoint


@dataclass(slots=True)
class SeenLayout:
    """The rows of a layout by label values, each with a copy of what it held when :meth:`Store.changes` read it last."""

    rows: dict[tuple[str, ...], tuple[Row, Row]] = field(default_factory=dict)
    copies: list[Row] = field(default_factory=list)
    """All copies in the order of the rows, because comparing two lists is much faster than comparing row by row."""


Seen = dict[int, SeenLayout]
"""What :meth:`Store.changes` has read, by the number of the layout."""


class Store:
    """All series of the process, at most ``max_series``. Series without a start time use ``born`` (unix seconds).

    Within the bound, the store reserves room for the exporter's own metrics and for one ``_other`` row a layout: measurements that
    come when the store is full are counted there. A bound smaller than these reserves (about 3,000 series) is exceeded.
    With ``exponential``, histograms count finely enough for exponential buckets beside the classic ones.
    """

    def __init__(self, max_series: int, born: float = 0.0, *, exponential: bool = False) -> None:
        self._max_series = max_series
        self._born = born
        self._exponential = exponential
        self._series = 0
        self._kept_free = 0
        self._own_room = min(_OWN_ROOM, max_series // 10)
        self._layouts: list[Layout] = []
        self._by_name: dict[str, tuple[Layout, int]] = {}
        self.overflowed = 0
        """How often a row had to be ``_other`` because the store was full."""

    def add_layout(
        self,
        specs: Iterable[MetricSpec],
        divisors: Iterable[float] = (),
        *,
        reserved: bool = False,
        tables: Iterable[str] = (),
    ) -> Layout:
        """Add metrics that are recorded together.

        Raises :class:`DeclarationError` if the store has one of them already, or if their labels differ.
        """
        specs = tuple(specs)
        divisors = tuple(divisors) or (1.0,) * len(specs)
        places = tuple(map(self._places, specs, divisors))
        layout = Layout(specs, divisors, places, reserved, frozenset(tables))
        for index, spec in enumerate(specs):
            if spec.name in self._by_name:
                raise DeclarationError(f"{spec.name} is declared twice")
            if spec.labels != layout.label_names:
                raise DeclarationError(f"{spec.name} has other labels than its neighbours")
            self._by_name[spec.name] = (layout, index)
        self._layouts.append(layout)
        if not reserved:
            self._kept_free += layout.series_per_row
        return layout

    def _places(self, spec: MetricSpec, divisor: float) -> Places | None:
        if not spec.bounds:
            return None
        return fine_places(spec.bounds, spec.unit, divisor) if self._exponential else classic_places(spec.bounds, divisor)

    def spec(self, name: str) -> MetricSpec:
        """The metric with the scraped name ``name``; raises ``KeyError`` if there is none."""
        layout, index = self._by_name[name]
        return layout.specs[index]

    def place(self, spec: MetricSpec) -> tuple[Layout, int]:
        """The layout of a metric and the index of its cell in the rows."""
        return self._by_name[spec.name]

    def row(self, layout: Layout, labels: tuple[str, ...], now: float) -> Row:
        """The row for the label values ``labels``, which is made if it is missing, or the ``_other`` row when the store is full."""
        row = layout.rows.get(labels)
        if row is not None:
            return row
        if not layout.reserved:
            if not self._has_room(layout):
                self.overflowed += 1
                labels = (OTHER,) * len(labels)
            if all(value == OTHER for value in labels):
                row = layout.rows.get(labels)
                if row is not None:
                    return row
                self._kept_free -= layout.series_per_row
        row = layout.rows[labels] = layout.new_row()
        layout.since[labels] = now or self._born
        self._series += layout.series_per_row
        if layout.reserved:
            self._own_room = max(0, self._own_room - layout.series_per_row)
        return row

    def cached(self, cache: Cache[_K, _Found], key: _K, find: Callable[[], _Found]) -> _Found:
        """What ``find`` returns: rows, or what writes to them. It is remembered in ``cache`` unless the store was full.

        A row of a full store is ``_other``, and every use of it must be counted in :attr:`overflowed`: so it is found anew each time,
        unless the caller remembers it and counts, as the recorder does.
        """
        before = self.overflowed
        found = find()
        if self.overflowed == before:
            cache[key] = found
        return found

    def _has_room(self, layout: Layout) -> bool:
        return self._series + self._kept_free + self._own_room + layout.series_per_row <= self._max_series

    def drop(self, table: str, names: tuple[str, ...], values: tuple[str, ...]) -> int:
        """Remove all rows bounded by ``table`` whose labels ``names`` carry ``values``; returns how many."""
        dropped = 0
        for layout in self._layouts:
            if table not in layout.tables:
                continue
            wanted = dict(zip(names, values, strict=True))
            if layout.specs[0].otel_name.startswith(GENAI):
                wanted = evicted_labels(component_of(table), wanted)
            places = [layout.label_names.index(name) for name in wanted]
            sought = tuple(wanted.values())
            for labels in [key for key in layout.rows if tuple(key[place] for place in places) == sought]:
                del layout.rows[labels], layout.since[labels]
                self._series -= layout.series_per_row
                dropped += 1
        return dropped

    def largest(self, most: int) -> dict[str, int]:
        """The ``most`` metrics that make most series, and how many each makes."""
        found = {spec.name: len(layout.rows) * series_of(spec) for layout in self._layouts for spec in layout.specs}
        return dict(sorted(found.items(), key=lambda item: -item[1])[:most])

    @property
    def series(self) -> int:
        """How many series the rows make at most."""
        return self._series

    def snapshot(self, now: float) -> Snapshot:
        """An immutable copy of everything recorded so far; ``now`` is in unix seconds."""
        families = [family for layout in self._layouts for family in _families(layout)]
        return Snapshot(now, tuple(sorted(families, key=lambda family: family.spec.name)))

    def changes(self, seen: Seen) -> Iterator[Change]:
        """The series that changed since the last call with this ``seen``, which must be empty at first. Unchanged rows cost little."""
        for number, layout in enumerate(self._layouts):
            last = seen.setdefault(number, SeenLayout())
            if last.copies == list(layout.rows.values()):
                continue
            for labels, row in layout.rows.items():
                known, before = last.rows.get(labels, (None, None))
                if known is row and before == row:
                    continue
                last.rows[labels] = row, [_copy(cell) for cell in row]
                for index, spec in enumerate(layout.specs):
                    past = _point(layout, index, before[index]) if before is not None and known is row else None
                    value = _point(layout, index, row[index])
                    if value is not None and value != past:
                        yield Change(spec, labels, past, value)
            last.copies = [last.rows[labels][1] for labels in layout.rows]


def _copy(cell: Cell) -> Cell:
    if isinstance(cell, list):
        return [part.copy() if isinstance(part, list) else part for part in cell]
    return cell if cell is None or isinstance(cell, float) else cell.copy()


def _point(layout: Layout, index: int, cell: Cell) -> float | HistogramPoint | None:
    spec, divisor, places = layout.specs[index], layout.divisors[index], layout.places[index]
    return _number(spec, cell, divisor, layout.reserved) if places is None else _histogram(places, cell, divisor)


def _families(layout: Layout) -> Iterator[Family]:
    for index, spec in enumerate(layout.specs):
        found = []
        for labels, row in layout.rows.items():
            value = _point(layout, index, row[index])
            if value is not None:
                found.append(Series(labels, value, layout.since[labels]))
        yield Family(spec, tuple(found))


def _number(spec: MetricSpec, cell: float | None, divisor: float, reserved: bool) -> float | None:
    if cell is None or (cell == 0.0 and spec.kind == "counter" and not reserved):
        return None
    return float(cell / divisor)


def _histogram(places: Places, cell: Counts, divisor: float) -> HistogramPoint | None:
    size = places.size
    counts: list[int] = cell[:size]
    if counts == places.nothing:
        return None
    kept = cell[size + 1]
    exemplars = tuple(_exemplar(item, divisor) for item in kept) if kept and any(kept) else ()
    if not places.exponential:
        return HistogramPoint(tuple(counts), cell[size] / divisor, exemplars)
    return PlacedPoint(places, counts, cell[size] / divisor, exemplars)


def _exemplar(item: tuple[float, TurnRef, float] | None, divisor: float) -> Exemplar | None:
    if item is None:
        return None
    value, turn, at = item
    return Exemplar(value / divisor, turn.trace_id, turn.span_id, at)
