from collections.abc import Callable, Hashable
from typing import Any

from exporter.compiled.record_instructions import GroupInstruction

_Rows = tuple[list[Any], ...]  # the cells of a row differ in type, see `Cell` of exporter/metrics/store.py

class RecordWriter:
    def __init__(self, groups: list[GroupInstruction], fields: int, find_rows: Callable[..., _Rows]) -> None: ...
    def record(
        self, values: tuple[Any, ...], rows_by_key: list[dict[Hashable, _Rows]], cache: object, now: float, turn: object
    ) -> None: ...
