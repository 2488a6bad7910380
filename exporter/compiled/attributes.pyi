from collections.abc import Callable
from typing import Any, Literal

Kind = Literal["double", "integer", "boolean", "text", "remembered", "written"]
Entry = tuple[Kind, tuple[int, ...], float, bytes, bytes, dict[str, bytes] | Callable[[Any], bytes] | None]

class AttributeWriter:
    def __init__(self, spans: list[list[Entry]], fields: int, tag: int, length: int) -> None: ...
    def write(self, values: tuple[Any, ...]) -> list[bytes]: ...
