"""What the viewers of one stream see, and the differences between what they have and what there is.

Each part and each item is encoded once, when it changes, and gets the number of that change. A message for a viewer is what has a
higher number than the viewer's last message. So a viewer that skipped some messages gets all that it missed in one.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

import msgspec

from exporter.bounded_dict import BoundedDict

MOST_GONE: Final = 1_000
"""Removed items that are remembered, so that viewers hear of them."""
_MOST_CACHED: Final = 4


class _Encoded:
    __slots__ = ("number", "raw", "text")

    def __init__(self, text: bytes, number: int) -> None:
        self.text = text
        self.raw = msgspec.Raw(text)
        self.number = number


class Channel:
    """The items (by key) and the parts (by name) of a stream.

    ``state`` and ``change`` make the messages: both get the parts, the items, and for a change the keys of the items that are gone.
    """

    def __init__(self, state: "MakeState", change: "MakeChange") -> None:
        self._state = state
        self._change = change
        self._items: dict[str, _Encoded] = {}
        self._parts: dict[str, _Encoded] = {}
        self._gone: BoundedDict[str, int] = BoundedDict(MOST_GONE)
        self._cached: BoundedDict[int, bytes] = BoundedDict(_MOST_CACHED)
        self._bridged_from = 0
        self.number = 0
        """The number of the latest change."""

    def set_item(self, key: str, item: object) -> None:
        """Set an item. Nothing happens if it has not changed."""
        text = _encode(item)
        known = self._items.get(key)
        if known is not None and known.text == text:
            return
        if known is not None:
            del self._items[key]  # so that items are in the order of their changes
        self._gone.pop(key, None)
        self._items[key] = _Encoded(text, self._next())

    def remove(self, key: str) -> None:
        """Remove an item."""
        if self._items.pop(key, None) is not None:
            evicted = self._gone.renew(key, self._next())
            if evicted is not None:
                self._bridged_from = max(self._bridged_from, evicted[1])

    def set_part(self, name: str, part: object) -> None:
        """Set a part. Nothing happens if it has not changed."""
        text = _encode(part)
        known = self._parts.get(name)
        if known is None or known.text != text:
            self._parts[name] = _Encoded(text, self._next())

    def keys(self) -> list[str]:
        """The keys of all items."""
        return list(self._items)

    def bridges(self, number: int) -> bool:
        """Whether a change can lead from the state with this number to the present one."""
        return self._bridged_from <= number <= self.number

    def state(self) -> bytes:
        """The whole state as JSON."""
        return self._cached_for(-1, lambda: self._state(self.number, self._raw_parts(-1), [item.raw for item in self._items.values()]))

    def change_since(self, number: int) -> bytes:
        """What has changed since ``number``, as JSON."""

        def make() -> object:
            gone = [key for key, at in self._gone.items() if at > number]
            return self._change(self.number, self._raw_parts(number), [item.raw for item in self._newer(number)], gone)

        return self._cached_for(number, make)

    def new_frame(self) -> None:
        """Time has passed: messages that were made before are not sent any more."""
        self._cached.clear()

    def _cached_for(self, number: int, make: Callable[[], object]) -> bytes:
        found = self._cached.get(number)
        if found is None:
            found = self._cached[number] = _encode(make())
        return found

    def _newer(self, number: int) -> Iterator[_Encoded]:
        for item in reversed(self._items.values()):
            if item.number <= number:
                return
            yield item

    def _raw_parts(self, number: int) -> dict[str, Any]:
        return {name: part.raw for name, part in self._parts.items() if part.number > number}

    def _next(self) -> int:
        self._cached.clear()
        self.number += 1
        return self.number


MakeState = Callable[[int, Mapping[str, Any], list[Any]], object]
"""Makes a whole state of its number, the parts and the items, which are encoded already."""
MakeChange = Callable[[int, Mapping[str, Any], list[Any], list[str]], object]
"""Makes a change of its number, the parts that changed, the items that changed, and the keys of those that are gone."""

_encoder = msgspec.json.Encoder()


def _encode(value: object) -> bytes:
    return _encoder.encode(value)
