from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from exporter.events import Wire
from exporter.protocol.decoder import PartialEvent

class PlainFrames:
    def __init__(
        self,
        event_type: type[Wire],
        fields: Mapping[str, Any],
        repeated: Collection[str],
        unknown: Collection[str],
        with_flaws: Callable[[Any, Sequence[tuple[str, float | None]], Sequence[str]], PartialEvent],
    ) -> None: ...
    def read(self, frame: str | bytes) -> Wire | PartialEvent | None: ...
