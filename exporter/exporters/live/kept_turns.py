"""A turn in a journal → its event, as the pipeline recorded it."""

import msgspec

from exporter.events.turn_metrics import TurnMetrics
from exporter.sessions.journal import KeptTurn
from exporter.sessions.packed_turn import unpacked


def turn_of(kept: KeptTurn) -> TurnMetrics:
    """The turn's event."""
    event = unpacked(kept.event)
    if event.agent_first and event.user_perceived_ms is not None:
        return msgspec.structs.replace(event, user_perceived_ms=None)  # nobody waits for a greeting
    return event


def wait_of(event: TurnMetrics) -> float | None:
    """What the caller waited in the turn, in seconds."""
    return None if event.user_perceived_ms is None or event.agent_first else event.user_perceived_ms / 1000.0
