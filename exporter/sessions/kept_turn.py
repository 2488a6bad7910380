"""A ``turn.metrics`` ⇄ the few hundred bytes that a journal keeps of it.

The fields stand one behind the other, without their names. That takes a fifth of the frame that the turn came in, and an eighth of its
event. What is kept of many calls is too much for the processor's caches, so its size is what keeping it costs. For the same reason
what else is known of the turn stands before its fields, in :data:`HEAD`: a turn is one object.
"""

import struct
from collections.abc import Callable, Collection, Sequence
from operator import attrgetter, itemgetter
from typing import Final, Protocol, get_type_hints

import msgspec
from msgspec.structs import astuple

from exporter.compiled import Packer
from exporter.events.turn_metrics import TurnMetrics

OUTLINE: Final = (
    *("turn_number", "agent_tool_id", "agent_first", "user_perceived_ms", "agent_started_speaking_at"),
    *("stt_delay_ms", "turn_decision_ms", "turn_completed_callback_ms", "on_user_turn_completed_ms"),
    *("llm_ttft_ms", "tts_ttfb_ms", "realtime_ttft_ms"),
)
"""What the list of calls needs of a turn. These fields come first, so that they can be read alone."""
_NAMES: Final = TurnMetrics.__struct_fields__
_IN_ORDER: Final = (*OUTLINE, *sorted(set(_NAMES) - {*OUTLINE}, key=lambda name: (name.startswith("realtime_"), _NAMES.index(name))))
"""The fields in the order in which they are packed. Those of speech-to-speech come last: most turns have none, and end before them."""
_in_event_order: Final = itemgetter(*map(_IN_ORDER.index, _NAMES))
_TYPES: Final = get_type_hints(TurnMetrics)


def _decoder(names: Sequence[str]) -> Callable[[memoryview], msgspec.Struct]:
    """What decodes the first fields of a packed turn, which have these names."""
    packed = msgspec.defstruct("Packed", [(name, _TYPES[name] | None, None) for name in names], array_like=True, gc=False)
    return msgspec.msgpack.Decoder(packed).decode


_decode: Final = _decoder(_IN_ORDER)
_decode_outline: Final = _decoder(OUTLINE)
HEAD: Final = struct.Struct("<dqqB")
"""When the turn was received, ``earliest``, ``lag``, and one bit for each stage that is present."""
_NO_SPANS: Final = 0x80
"""Stands where the bits of the stages would, which are seven at most."""


class Written(Protocol):
    """What spans say of a turn that they were written for, see :class:`exporter.tracing.turn_spans.WrittenTurn`."""

    @property
    def earliest(self) -> int:
        """See :attr:`KeptTurn.earliest`."""

    @property
    def lag(self) -> int:
        """See :attr:`KeptTurn.lag`."""

    @property
    def present(self) -> list[int]:
        """See :attr:`KeptTurn.present`."""


class KeptTurn(msgspec.Struct, frozen=True, gc=False):
    """A turn: its turn.metrics without what was said, received at ``received`` (unix seconds).

    ``earliest`` and ``lag`` are the state of the platform's clock that the turn's spans were made with, ``present`` the stages that
    have one; it is ``None`` if the turn has no spans.
    """

    event: TurnMetrics
    received: float
    earliest: int = 0
    lag: int = 0
    present: tuple[int, ...] | None = None


Pack = Callable[[TurnMetrics, float, Written | None], bytes]
"""Packs a turn, given when it was received, in unix seconds, and what its spans say."""


def turn_packer(left_out: Collection[str]) -> Pack:
    """What packs a turn without the fields that are ``left_out``."""
    pack = plain_packer(left_out)
    if Packer is None:
        return pack
    pack_short = Packer(TurnMetrics, _IN_ORDER, left_out).pack
    return lambda event, received, written: pack_short(event, received, written) or pack(event, received, written)


def plain_packer(left_out: Collection[str]) -> Pack:
    """The same, for turns of any size and without compiled code."""
    encode = msgspec.msgpack.Encoder().encode
    in_order = attrgetter(*_IN_ORDER)
    places = [place for place, name in enumerate(_IN_ORDER) if name in left_out]

    def pack(event: TurnMetrics, received: float, written: Written | None) -> bytes:
        values: list[object] = list(in_order(event))
        for place in places:
            values[place] = None
        head = _head(received, written)
        try:
            return head + encode(values)
        except OverflowError:
            return head + encode([None if _is_beyond_years(value) else value for value in values])

    return pack


def _is_beyond_years(value: object) -> bool:
    """Whether it is a time that lies before year 1 or after year 9999 in UTC, and so cannot be packed."""
    try:
        msgspec.msgpack.encode(value)
    except OverflowError:
        return True
    return False


def _head(received: float, written: Written | None) -> bytes:
    if written is None:
        return HEAD.pack(received, 0, 0, _NO_SPANS)
    return HEAD.pack(received, written.earliest, written.lag, sum(1 << stage for stage in written.present))


def unpacked(content: bytes) -> KeptTurn:
    """The turn that was packed. Raises ``struct.error`` or ``msgspec.DecodeError`` if it was not."""
    received, earliest, lag, stages = HEAD.unpack_from(content)
    event = TurnMetrics(*_in_event_order(astuple(_decode(memoryview(content)[HEAD.size :]))))
    present = None if stages == _NO_SPANS else tuple(stage for stage in range(8) if stages >> stage & 1)
    return KeptTurn(event, received, earliest, lag, present)


def unpacked_outline(content: bytes) -> TurnMetrics:
    """The event of the turn that was packed, with the fields of :data:`OUTLINE` only. Raises as :func:`unpacked`."""
    values = astuple(_decode_outline(memoryview(content)[HEAD.size :]))
    return TurnMetrics(**dict(zip(OUTLINE, values, strict=True)))
