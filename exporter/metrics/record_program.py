"""What a recorder written in C is told to do: the uses of :mod:`exporter.metrics.recorder_source`, as plain values."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from exporter.catalogue.inspect import EventSpec, FieldSpec
from exporter.metrics.recorder_source import LabelGroup, Update
from exporter.metrics.store import Layout, wire_bounds

if TYPE_CHECKING:
    from exporter.compiled import record

WORTH_IT: Final = 32
"""Fields from which on C pays: reading all fields of a small event into a tuple costs more than it saves."""


def record_program(
    event: EventSpec, groups: list[LabelGroup], layouts: Mapping[str, Layout], first: int
) -> "list[record.LabelGroup] | None":
    """The bundles with places instead of names, or ``None`` if the event is too small or has what only the text can say."""
    if len(event.fields) < WORTH_IT or any(layout.exponential for layout in layouts.values()):
        return None
    if any(len(field.path) > 1 for field in event.fields) or any(use.feeds.takes == "base64_bytes" for b in groups for use in b.uses):
        return None
    places = {name: place for place, name in enumerate(event.type.__struct_fields__)}
    return [_group(event, group, first + offset, layouts, places) for offset, group in enumerate(groups)]


def _group(
    event: EventSpec, group: LabelGroup, index: int, layouts: Mapping[str, Layout], places: Mapping[str, int]
) -> "record.LabelGroup":
    rows = [layouts[names[0]] for names in group.metrics]
    key = tuple(places[event.field(name).path[0]] for name in group.fields)
    return index, key, [_use(use, rows, layouts[use.feeds.spec.name], places) for use in group.uses]


def _use(use: Update, rows: list[Layout], layout: Layout, places: Mapping[str, int]) -> "record.Update":
    spec = use.feeds.spec
    fields: tuple[FieldSpec, ...] = (use.field, *use.aliases) if use.field else ()
    return (
        _kind(use),
        tuple(places[field.path[0]] for field in fields),
        rows.index(layout),
        layout.specs.index(spec),
        wire_bounds(spec.bounds, use.divisor),
        use.feeds.zero_is_unknown,
        spec.exemplars,
    )


def _kind(use: Update) -> "record.Kind":
    kind = use.feeds.spec.kind
    if use.field is None:
        return "event"
    if kind == "counter":
        return "presence" if use.feeds.takes == "presence" else "counter"
    return kind
