"""The Python text of a recorder: straight code that reads each field once and adds it to its cell.

Half of a turn's cost is here, so the text does what is cheapest in CPython 3.11: attribute reads of slots, list items at fixed
places, one look-up of the place a histogram, and for an absent field only a test.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from exporter.catalogue.declarations import Feeds, Labels, MetricSpec
from exporter.catalogue.exponential import Places
from exporter.catalogue.inspect import EventSpec, FieldSpec
from exporter.metrics.place_cache import PlaceCache
from exporter.metrics.store import Layout

_AMOUNTS = {"value": "v", "presence": "1.0", "base64_bytes": "max(len(v) * 3 // 4 - v.count('=', -2), 0)"}
"""Source text of what is added to a counter for a field whose value is ``v``."""


@dataclass(frozen=True, slots=True)
class Update:
    """One metric that a field (or, where it is absent, one of its aliases) updates; with ``field=None`` the event does."""

    feeds: Feeds
    field: FieldSpec | None

    @property
    def fields(self) -> tuple[FieldSpec, ...]:
        """The fields that may hold the value, in the order in which they are tried."""
        return (self.field, *self.field.aliases) if self.field else ()

    @property
    def divisor(self) -> float:
        """What a recorded value is divided by to be in the metric's unit."""
        return self.field.divisor if self.field and self.feeds.amount == "value" else 1.0


@dataclass(slots=True)
class LabelGroup:
    """The updates whose labels are read from the same wire ``fields``.

    ``labels`` and ``metrics`` run in parallel, with one entry for each row: its labels, and the names of the group's metrics in it.
    """

    fields: tuple[str, ...]
    labels: list[Labels] = field(default_factory=list)
    metrics: list[list[str]] = field(default_factory=list)
    updates: list[Update] = field(default_factory=list)

    def row_of(self, update: Update) -> int:
        """Which of the group's rows the update changes."""
        rows = zip(self.labels, self.metrics, strict=True)
        return next(place for place, (of, names) in enumerate(rows) if of == update.feeds.labels and update.feeds.spec.name in names)


def label_groups(updates: Iterable[Update], layouts: Mapping[str, Layout]) -> list[LabelGroup]:
    """Put an event's updates into label groups; ``layouts`` are by metric name."""
    groups: dict[tuple[str, ...], LabelGroup] = {}
    for update in updates:
        fields = tuple(sorted(update.feeds.labels.fields))
        group = groups.setdefault(fields, LabelGroup(fields))
        name = update.feeds.spec.name
        group.updates.append(update)
        for of, names in zip(group.labels, group.metrics, strict=True):
            if layouts[names[0]] is layouts[name] and of == update.feeds.labels:
                names.append(name)
                break
        else:
            group.labels.append(update.feeds.labels)
            group.metrics.append([name])
    return list(groups.values())


def recorder_source(
    event: EventSpec, groups: list[LabelGroup], layouts: Mapping[str, Layout], first: int
) -> tuple[str, dict[str, Any]]:
    """The text of ``record(e, cache, now, turn)`` and the constants it needs; ``first`` is the index of the first group."""
    writer = _Writer(event, layouts)
    writer.line(0, "def record(e, cache, now, turn):")
    writer.line(1, "rows_by_key = cache.rows")
    for offset, group in enumerate(groups):
        writer.group(group, first + offset)
    return "\n".join(writer.lines) + "\n", writer.constants


class _Writer:
    def __init__(self, event: EventSpec, layouts: Mapping[str, Layout]) -> None:
        self._event = event
        self._layouts = layouts
        self.lines: list[str] = []
        self.constants: dict[str, Any] = {}
        self._caches: dict[tuple[float, ...], PlaceCache] = {}

    def line(self, depth: int, text: str) -> None:
        self.lines.append("    " * depth + text)

    def group(self, group: LabelGroup, index: int) -> None:
        depth = 1
        if all(update.field for update in group.updates):
            present = [f"{field.expression} is not None" for update in group.updates for field in update.fields]
            self.line(1, f"if {' or '.join(dict.fromkeys(present))}:")
            depth = 2
        reads = [self._event.field(name).expression for name in group.fields]
        key = reads[0] if len(reads) == 1 else f"({', '.join(reads)})" if reads else "None"
        self.line(depth, f"key = {key}")
        self.line(depth, "try:")
        self.line(depth + 1, f"rows = rows_by_key[{index}][key]")
        self.line(depth, "except KeyError:")
        self.line(depth + 1, f"rows = find_rows({index}, cache, key, now)")
        for place in range(len(group.metrics)):
            self.line(depth, f"row{place} = rows[{place}]")
        for update in group.updates:
            self._update(depth, update, group.row_of(update), self._layouts[update.feeds.spec.name])

    def _update(self, depth: int, update: Update, place: int, layout: Layout) -> None:
        cell = f"row{place}[{layout.specs.index(update.feeds.spec)}]"
        if update.field is None:
            self.line(depth, f"{cell} += 1.0")
            return
        self.line(depth, f"v = {update.field.expression}")
        for alias in update.field.aliases:
            self.line(depth, "if v is None:")
            self.line(depth + 1, f"v = {alias.expression}")
        if update.feeds.spec.kind == "histogram":
            self.line(depth, "if v:" if update.feeds.zero_is_unknown else "if v is not None:")
            self._observe(depth + 1, update.feeds.spec, cell, layout.places_of(update.feeds.spec))
        elif update.feeds.spec.kind == "gauge":
            self.line(depth, "if v is not None:")
            self.line(depth + 1, f"{cell} = v")
        else:
            self.line(depth, "if v:")
            self.line(depth + 1, f"{cell} += {_AMOUNTS[update.feeds.amount]}")

    def _observe(self, depth: int, spec: MetricSpec, cell: str, places: Places) -> None:
        place, explicit = f"place_{spec.name}", f"explicit_{spec.name}"
        self.constants[place] = self._caches.setdefault(places.edges, PlaceCache(places.edges))
        self.line(depth, f"h = {cell}")
        self.line(depth, f"i = {place}[v]")
        self.line(depth, "h[i] += 1")
        self.line(depth, f"h[{places.size}] += v")
        if spec.exemplars:
            self.line(depth, "if turn is not None:")
            self.line(depth + 1, f"h[{places.size + 1}][{explicit}[i]] = (v, turn, now)")
            self.constants[explicit] = places.explicit
