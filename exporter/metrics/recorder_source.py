"""The source text of a recorder: straight code that reads each field once and folds it into its cell.

Half of a turn's cost is here, so the text does what is cheapest in CPython 3.11: attribute reads of slots, list items at fixed
places, one ``bisect`` a histogram, and nothing for absent fields but a test.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from exporter.catalogue.exponential import bucket_places
from exporter.catalogue.inspect import EventSpec, FieldSpec
from exporter.catalogue.model import Feeds, Labels
from exporter.metrics.store import Layout, wire_bounds


@dataclass(frozen=True, slots=True)
class Update:
    """One metric moved by one field (and its earlier names), or with ``field=None`` by the event as a whole."""

    feeds: Feeds
    field: FieldSpec | None
    aliases: tuple[FieldSpec, ...] = ()

    @property
    def divisor(self) -> float:
        """By how much to divide what is recorded for the metric's unit."""
        return self.field.divisor if self.field and self.feeds.takes == "value" else 1.0


@dataclass(slots=True)
class LabelGroup:
    """The uses whose labels come from the same wire ``fields``.

    ``labels`` and ``metrics`` run in parallel: one entry a layout, with the names of the bundle's metrics in it.
    """

    fields: tuple[str, ...]
    labels: list[Labels] = field(default_factory=list)
    metrics: list[list[str]] = field(default_factory=list)
    uses: list[Update] = field(default_factory=list)


def groups_of(uses: Iterable[Update], layouts: Mapping[str, Layout]) -> list[LabelGroup]:
    """Gather an event's uses into bundles."""
    found: dict[tuple[str, ...], LabelGroup] = {}
    for use in uses:
        fields = tuple(dict.fromkeys(use.feeds.labels.fields))
        group = found.setdefault(fields, LabelGroup(fields))
        name = use.feeds.spec.name
        group.uses.append(use)
        for names in group.metrics:
            if layouts[names[0]] is layouts[name]:
                names.append(name)
                break
        else:
            group.labels.append(use.feeds.labels)
            group.metrics.append([name])
    return list(found.values())


def recorder_source(
    event: EventSpec, groups: list[LabelGroup], layouts: Mapping[str, Layout], first: int
) -> tuple[str, dict[str, Any]]:
    """The text of ``record(e, cells, now, turn)`` and the constants it needs; ``first`` is the index of the first bundle."""
    writer = _Writer(event, layouts)
    writer.line(0, "def record(e, cells, now, turn):")
    writer.line(1, "caches = cells.caches")
    for offset, group in enumerate(groups):
        writer.group(group, first + offset)
    return "\n".join(writer.lines) + "\n", writer.constants


class _Writer:
    def __init__(self, event: EventSpec, layouts: Mapping[str, Layout]) -> None:
        self._event = event
        self._layouts = layouts
        self.lines: list[str] = []
        self.constants: dict[str, Any] = {}

    def line(self, depth: int, text: str) -> None:
        self.lines.append("    " * depth + text)

    def group(self, group: LabelGroup, index: int) -> None:
        depth = 1
        if all(use.field for use in group.uses):
            present = [f"{spec.expression} is not None" for use in group.uses for spec in (use.field, *use.aliases) if spec]
            self.line(1, f"if {' or '.join(dict.fromkeys(present))}:")
            depth = 2
        reads = [self._event.field(name).expression for name in group.fields]
        key = reads[0] if len(reads) == 1 else f"({', '.join(reads)})" if reads else "None"
        self.line(depth, f"key = {key}")
        self.line(depth, "try:")
        self.line(depth + 1, f"rows = caches[{index}][key]")
        self.line(depth, "except KeyError:")
        self.line(depth + 1, f"rows = resolve({index}, cells, key, now)")
        places = [self._layouts[names[0]] for names in group.metrics]
        for place in range(len(places)):
            self.line(depth, f"row{place} = rows[{place}]")
        for use in group.uses:
            layout = self._layouts[use.feeds.spec.name]
            self._use(depth, use, places.index(layout), layout)

    def _use(self, depth: int, use: Update, place: int, layout: Layout) -> None:
        target = f"row{place}[{layout.specs.index(use.feeds.spec)}]"
        if use.field is None:
            self.line(depth, f"{target} += 1.0")
            return
        self.line(depth, f"v = {use.field.expression}")
        for alias in use.aliases:
            self.line(depth, "if v is None:")
            self.line(depth + 1, f"v = {alias.expression}")
        if use.feeds.spec.kind == "histogram":
            self.line(depth, "if v:" if use.feeds.zero_is_unknown else "if v is not None:")
            self._observe(depth + 1, use, target, exponential=layout.exponential)
        elif use.feeds.spec.kind == "gauge":
            self.line(depth, "if v is not None:")
            self.line(depth + 1, f"{target} = v")
        else:
            amount = {"value": "v", "presence": "1.0", "base64_bytes": "max(len(v) * 3 // 4 - v.count('=', -2), 0)"}[use.feeds.takes]
            self.line(depth, "if v:")
            self.line(depth + 1, f"{target} += {amount}")

    def _observe(self, depth: int, use: Update, target: str, *, exponential: bool) -> None:
        spec = use.feeds.spec
        bounds, places = f"bounds_{spec.name}", f"places_{spec.name}"
        self.constants[bounds] = wire_bounds(spec.bounds, use.divisor)
        self.line(depth, f"h = {target}")
        if exponential:
            table = bucket_places(self.constants[bounds], use.divisor)
            self.constants[bounds], self.constants[places] = table.edges, table.places
            self.line(depth, f"i, x = {places}[bisect_left({bounds}, v)]")
            self.line(depth, f"counts = h[{len(spec.bounds) + 3}]")
            self.line(depth, "try:")
            self.line(depth + 1, "counts[x] += 1")
            self.line(depth, "except KeyError:")
            self.line(depth + 1, "counts[x] = 1")
        else:
            self.line(depth, f"i = bisect_left({bounds}, v)")
        self.line(depth, "h[i] += 1")
        self.line(depth, f"h[{len(spec.bounds) + 1}] += v")
        if spec.exemplars:
            self.line(depth, "if turn is not None:")
            self.line(depth + 1, f"h[{len(spec.bounds) + 2}][i] = (v, turn, now)")
