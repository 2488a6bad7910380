"""The reader of turns in which nearly everything is as usual, if it was compiled. It takes half of the time that msgspec takes."""

import typing
from collections.abc import Collection, Sequence
from typing import Final

from exporter.catalogue.declarations import BecomesLabel
from exporter.compiled import PlainFrames
from exporter.events import Wire
from exporter.events.turn_metrics import TurnMetrics
from exporter.protocol.decoder import PartialEvent
from exporter.protocol.plausible_values import FIELDS, out_of_range
from exporter.protocol.reasons import RefusalReason, RefusedValue

if typing.TYPE_CHECKING:
    from exporter.compiled import plain_frames


_FIELDS: Final = FIELDS[TurnMetrics]
_NAME: Final = str(TurnMetrics.__struct_config__.tag)


def plain_turns(unknown: Collection[str] = ()) -> "plain_frames.PlainFrames | None":
    """A reader that reads a frame as :func:`exporter.protocol.decoder.decode` does, or returns ``None``.

    ``unknown`` are keys of fields that the exporter does not know and that come nevertheless.
    """
    if PlainFrames is None:
        return None
    return PlainFrames(TurnMetrics, _FIELDS, REPEATED, [key for key in unknown if key not in _FIELDS], with_flaws)


def with_flaws(turn: TurnMetrics, refused: Sequence[tuple[str, float | None]], unknown: Sequence[str]) -> PartialEvent:
    """A turn of which values were ``refused``: a number out of its range, or ``None`` for a value of a wrong type."""
    return PartialEvent(_NAME, turn, tuple([_refused(key, value) for key, value in refused]), tuple(unknown))


def _refused(key: str, value: float | None) -> RefusedValue:
    return RefusedValue(key, RefusalReason.WRONG_TYPE if value is None else out_of_range(_FIELDS[key].most, value))


def _labels(event: type[Wire]) -> frozenset[str]:
    hints = typing.get_type_hints(event, include_extras=True)
    labels = [name for name, hint in hints.items() if any(isinstance(item, BecomesLabel) for item in getattr(hint, "__metadata__", ()))]
    return frozenset(labels)


REPEATED: Final = _labels(TurnMetrics)
"""The fields whose texts come again and again, because they are labels."""
