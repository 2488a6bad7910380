from collections.abc import Callable
from typing import Any, Literal

Kind = Literal["histogram", "counter", "presence", "gauge", "event"]
Use = tuple[Kind, tuple[int, ...], int, int, tuple[float, ...], bool, bool]
Bundle = tuple[int, tuple[int, ...], list[Use]]

class RecordWriter:
    def __init__(self, bundles: list[Bundle], fields: int, resolve: Callable[..., Any]) -> None: ...
    def record(self, values: tuple[Any, ...], caches: list[Any], cells: object, now: float, turn: object) -> None: ...
