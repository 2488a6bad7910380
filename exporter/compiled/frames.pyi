from collections.abc import MutableMapping
from typing import Any

def take_messages(read: bytes, at: int, stop: int, longest: int, most: int) -> tuple[int, list[MutableMapping[str, Any]]]: ...
