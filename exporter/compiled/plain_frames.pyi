from collections.abc import Collection, Mapping
from typing import Any

from exporter.events import Wire

class PlainFrames:
    def __init__(self, event_type: type[Wire], fields: Mapping[str, Any], repeated: Collection[str]) -> None: ...
    def read(self, frame: str | bytes) -> Wire | None: ...
