"""The reader of turns in which everything is as it usually is, if it was compiled. It takes half of the time that msgspec takes."""

import typing
from typing import Final

from exporter.catalogue.declarations import BecomesLabel
from exporter.compiled import PlainFrames
from exporter.events import Wire
from exporter.events.turn_metrics import TurnMetrics
from exporter.protocol.plausible_values import FIELDS

if typing.TYPE_CHECKING:
    from exporter.compiled import plain_frames


def plain_turns() -> "plain_frames.PlainFrames | None":
    """A reader that reads a frame as msgspec does, or returns ``None``."""
    return None if PlainFrames is None else PlainFrames(TurnMetrics, FIELDS[TurnMetrics], REPEATED)


def _labels(event: type[Wire]) -> frozenset[str]:
    hints = typing.get_type_hints(event, include_extras=True)
    labels = [name for name, hint in hints.items() if any(isinstance(item, BecomesLabel) for item in getattr(hint, "__metadata__", ()))]
    return frozenset(labels)


REPEATED: Final = _labels(TurnMetrics)
"""The fields whose texts come again and again, because they are labels."""
