from typing import Any

from exporter.tracing.turn_attributes import AttributeEntry

class AttributeWriter:
    def __init__(self, spans: list[list[AttributeEntry]], fields: int, field: int, length: int) -> None: ...
    def write(self, values: tuple[Any, ...]) -> list[bytes]: ...
