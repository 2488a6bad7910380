"""A ``turn.metrics`` ⇄ the few hundred bytes that a journal keeps of it.

The fields stand one behind the other, without their names. That takes a fifth of the frame that the turn came in, and an eighth of its
event. What is kept of many calls is too much for the processor's caches, so its size is what keeping it costs.
"""

from collections.abc import Callable, Collection
from typing import Final, get_type_hints

import msgspec
from msgspec.structs import astuple

from exporter.compiled import Packer
from exporter.events.turn_metrics import TurnMetrics

_NAMES: Final = TurnMetrics.__struct_fields__
_TYPES: Final = get_type_hints(TurnMetrics)
_decode: Final = msgspec.msgpack.Decoder(
    msgspec.defstruct("Packed", [(name, _TYPES[name] | None, None) for name in _NAMES], array_like=True, gc=False)
).decode
Pack = Callable[[TurnMetrics], bytes]


def turn_packer(left_out: Collection[str]) -> Pack:
    """What packs a turn without the fields that are ``left_out``."""
    pack = plain_packer(left_out)
    if Packer is None:
        return pack
    pack_short = Packer(TurnMetrics, left_out).pack
    return lambda event: pack_short(event) or pack(event)


def plain_packer(left_out: Collection[str]) -> Pack:
    """The same, for turns of any size and without compiled code."""
    encode = msgspec.msgpack.Encoder().encode
    places = [place for place, name in enumerate(_NAMES) if name in left_out]

    def pack(event: TurnMetrics) -> bytes:
        values: list[object] = list(astuple(event))
        for place in places:
            values[place] = None
        return encode(values)

    return pack


def unpacked(content: bytes) -> TurnMetrics:
    """The event that was packed. Raises ``msgspec.DecodeError`` if it was not."""
    return TurnMetrics(*astuple(_decode(content)))
