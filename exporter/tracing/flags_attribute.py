"""Attributes with names that have a flag each, such as whether each model answers: one text of JSON."""

from collections.abc import Callable
from typing import Final

from exporter.protobuf import encoded_key, text_attribute

_MAX_CACHED: Final = 256
_LONGEST_CACHED: Final = 256


class FlagsAttributeCache:
    """Flags by name → the serialised attribute with their JSON, for flags that hardly change from turn to turn.

    ``to_json`` writes the text. Holds up to 256 attributes of up to 256 bytes; when it is full it starts anew.
    """

    __slots__ = ("_field", "_found", "_key", "_to_json")

    def __init__(self, field: int, key: str, to_json: Callable[[dict[str, bool]], str]) -> None:
        self._field = field
        self._key = encoded_key(key)
        self._to_json = to_json
        self._found: dict[tuple[tuple[str, bool], ...], bytes] = {}

    def __len__(self) -> int:
        return len(self._found)

    def __call__(self, flags: dict[str, bool]) -> bytes:
        """The attribute with these flags."""
        items = tuple(flags.items())  # the JSON has their order
        known = self._found.get(items)
        if known is not None:
            return known
        found = text_attribute(self._field, self._key, self._to_json(flags).encode())
        if len(found) <= _LONGEST_CACHED:
            if len(self._found) >= _MAX_CACHED:
                self._found.clear()
            self._found[items] = found
        return found
