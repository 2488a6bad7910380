"""A ``turn.metrics`` ⇄ the few hundred bytes that a journal keeps of it.

The fields stand one behind the other, without their names. That takes a fifth of the frame that the turn came in, and an eighth of its
event. What is kept of many calls is too much for the processor's caches, so its size is what keeping it costs.
"""

from collections.abc import Callable, Collection
from typing import Any, Final, get_type_hints

import msgspec
from msgspec.structs import astuple

from exporter.compiled import Packer
from exporter.events.turn_metrics import TurnMetrics

_NAMES: Final = TurnMetrics.__struct_fields__
_TYPES: Final = get_type_hints(TurnMetrics)
_decode: Final = msgspec.msgpack.Decoder(
    msgspec.defstruct("Packed", [(name, _TYPES[name] | None, None) for name in _NAMES], array_like=True, gc=False)
).decode
Values = tuple[Any, ...]


def turn_packer(left_out: Collection[str]) -> Callable[[TurnMetrics], bytes]:
    """What packs a turn without the fields that are ``left_out``."""
    places = frozenset(place for place, name in enumerate(_NAMES) if name in left_out)
    pack = plain_packer(places)
    if Packer is None:
        return lambda event: pack(astuple(event))
    pack_short = Packer(places).pack
    return lambda event: pack_short(values := astuple(event)) or pack(values)


def plain_packer(left_out: Collection[int]) -> Callable[[Values], bytes]:
    """What packs the values of an event, but for those at the places ``left_out``."""
    encode = msgspec.msgpack.Encoder().encode

    def pack(values: Values) -> bytes:
        kept = list(values)
        for place in left_out:
            kept[place] = None
        return encode(kept)

    return pack


def unpacked(content: bytes) -> TurnMetrics:
    """The event that was packed. Raises ``msgspec.DecodeError`` if it was not."""
    return TurnMetrics(*astuple(_decode(content)))
