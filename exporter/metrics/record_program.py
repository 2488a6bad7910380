"""What a recorder written in C is told to do: the uses of :mod:`exporter.metrics.recorder_source`, as plain values."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from exporter.catalogue.inspect import EventSpec, FieldSpec
from exporter.metrics.recorder_source import Bundle, Use
from exporter.metrics.store import Layout, wire_bounds

if TYPE_CHECKING:
    from exporter.compiled import record

WORTH_IT: Final = 32
"""Fields from which on C pays: reading all fields of a small event into a tuple costs more than it saves."""


def record_program(event: EventSpec, bundles: list[Bundle], layouts: Mapping[str, Layout], first: int) -> "list[record.Bundle] | None":
    """The bundles with places instead of names, or ``None`` if the event is too small or has what only the text can say."""
    if len(event.fields) < WORTH_IT or any(layout.exponential for layout in layouts.values()):
        return None
    if any(len(field.path) > 1 for field in event.fields) or any(use.moves.takes == "base64_bytes" for b in bundles for use in b.uses):
        return None
    places = {name: place for place, name in enumerate(event.type.__struct_fields__)}
    return [_bundle(event, bundle, first + offset, layouts, places) for offset, bundle in enumerate(bundles)]


def _bundle(event: EventSpec, bundle: Bundle, index: int, layouts: Mapping[str, Layout], places: Mapping[str, int]) -> "record.Bundle":
    rows = [layouts[names[0]] for names in bundle.metrics]
    key = tuple(places[event.field(name).path[0]] for name in bundle.fields)
    return index, key, [_use(use, rows, layouts[use.moves.spec.name], places) for use in bundle.uses]


def _use(use: Use, rows: list[Layout], layout: Layout, places: Mapping[str, int]) -> "record.Use":
    spec = use.moves.spec
    fields: tuple[FieldSpec, ...] = (use.field, *use.aliases) if use.field else ()
    return (
        _kind(use),
        tuple(places[field.path[0]] for field in fields),
        rows.index(layout),
        layout.specs.index(spec),
        wire_bounds(spec.bounds, use.divisor),
        use.moves.zero_is_unknown,
        spec.exemplars,
    )


def _kind(use: Use) -> "record.Kind":
    kind = use.moves.spec.kind
    if use.field is None:
        return "event"
    if kind == "counter":
        return "presence" if use.moves.takes == "presence" else "counter"
    return kind
