from collections.abc import Collection

import msgspec

from exporter.sessions.kept_turn import Written

class Packer:
    def __init__(self, event_type: type[msgspec.Struct], names: tuple[str, ...], left_out: Collection[str]) -> None: ...
    def pack(self, event: msgspec.Struct, received: float, written: Written | None, /) -> bytes | None: ...
