from collections.abc import Collection

import msgspec

class Packer:
    def __init__(self, event_type: type[msgspec.Struct], left_out: Collection[str]) -> None: ...
    def pack(self, event: msgspec.Struct, /) -> bytes | None: ...
