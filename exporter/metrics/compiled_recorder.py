"""The instructions for a recorder written in C: the updates of :mod:`exporter.metrics.recorder_source`."""

from collections.abc import Mapping

from exporter.catalogue.inspect import EventSpec
from exporter.compiled.record_instructions import GroupInstruction, Kind, UpdateInstruction
from exporter.metrics.recorder_source import LabelGroup, Update
from exporter.metrics.store import Layout


def record_program(
    event: EventSpec, groups: list[LabelGroup], layouts: Mapping[str, Layout], first: int
) -> list[GroupInstruction] | None:
    """The event's label groups as instructions; ``first`` is the index of the first group.

    ``None`` if the event needs what only the Python text can do: nested fields, base64.
    """
    updates = [update for group in groups for update in group.updates]
    if any(len(field.path) > 1 for field in event.fields) or any(update.feeds.amount == "base64_bytes" for update in updates):
        return None
    return [_group(event, group, first + offset, layouts) for offset, group in enumerate(groups)]


def _group(event: EventSpec, group: LabelGroup, index: int, layouts: Mapping[str, Layout]) -> GroupInstruction:
    return GroupInstruction(
        number=index,
        key=tuple(event.field(name).path[0] for name in group.fields),
        updates=[_update(update, group.row_of(update), layouts[update.feeds.spec.name]) for update in group.updates],
    )


def _update(update: Update, row: int, layout: Layout) -> UpdateInstruction:
    spec = update.feeds.spec
    return UpdateInstruction(
        kind=_kind(update),
        fields=tuple(field.path[0] for field in update.fields),
        row=row,
        column=layout.specs.index(spec),
        zero_is_unknown=update.feeds.zero_is_unknown,
        exemplars=spec.exemplars,
    )


def _kind(update: Update) -> Kind:
    kind = update.feeds.spec.kind
    if update.field is None:
        return "event"
    if kind == "counter":
        return "presence" if update.feeds.amount == "presence" else "counter"
    return kind
