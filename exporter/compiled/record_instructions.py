"""What :class:`exporter.compiled.record.RecordWriter` is told at start: label groups and updates, with places instead of names.

A *place* is the index of a field among the event's values, as ``msgspec.structs.astuple`` returns them.
"""

from typing import Literal, NamedTuple

Kind = Literal["histogram", "counter", "presence", "gauge", "event"]
"""What an update does: observe the value, add it, add 1 if there is one, set it, or add 1 for the event itself."""


class UpdateInstruction(NamedTuple):
    """One metric to update.

    ``fields`` are the places of the field and of its earlier names: the first that is present counts. The cell is at index
    ``column`` of the group's row number ``row``. ``edges`` are those of a histogram's places in wire units, and ``explicit`` is the
    classic bucket of each place.
    """

    kind: Kind
    fields: tuple[int, ...]
    row: int
    column: int
    edges: tuple[float, ...] = ()
    explicit: tuple[int, ...] = ()
    zero_is_unknown: bool = False
    exemplars: bool = False


class GroupInstruction(NamedTuple):
    """The updates that share rows: ``number`` is that of the dictionary in the cache, ``key`` the places of its key's fields."""

    number: int
    key: tuple[int, ...]
    updates: list[UpdateInstruction]
