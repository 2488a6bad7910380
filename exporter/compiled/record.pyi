from collections.abc import Callable
from typing import Any, Literal

Kind = Literal["histogram", "counter", "presence", "gauge", "event"]
Update = tuple[Kind, tuple[int, ...], int, int, tuple[float, ...], bool, bool]
LabelGroup = tuple[int, tuple[int, ...], list[Update]]

class RecordWriter:
    def __init__(self, groups: list[LabelGroup], fields: int, resolve: Callable[..., Any]) -> None: ...
    def record(self, values: tuple[Any, ...], caches: list[Any], cells: object, now: float, turn: object) -> None: ...
