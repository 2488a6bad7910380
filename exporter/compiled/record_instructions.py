"""What :class:`exporter.compiled.record.RecordWriter` is told at start: label groups and updates."""

from typing import Literal, NamedTuple

Kind = Literal["histogram", "counter", "presence", "gauge", "event"]
"""What an update does: observe the value, add it, add 1 if there is one, set it, or add 1 for the event itself."""


class UpdateInstruction(NamedTuple):
    """One metric to update.

    ``fields`` are the field and its earlier names: the first that is present counts. The cell is at index ``column`` of the
    group's row number ``row``.
    """

    kind: Kind
    fields: tuple[str, ...]
    row: int
    column: int
    zero_is_unknown: bool = False
    exemplars: bool = False


class GroupInstruction(NamedTuple):
    """The updates that share rows: ``number`` is that of the dictionary in the cache, ``key`` the fields of its key."""

    number: int
    key: tuple[str, ...]
    updates: list[UpdateInstruction]
