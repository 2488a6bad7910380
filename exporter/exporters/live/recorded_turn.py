"""A turn in a journal → the turn, with its event as the pipeline recorded it."""

import msgspec

from exporter.events.turn_metrics import TurnMetrics
from exporter.sessions.kept_turn import KeptTurn, unpacked


def recorded_turn(content: bytes) -> KeptTurn:
    """The turn that was packed."""
    turn = unpacked(content)
    if turn.event.agent_first and turn.event.user_perceived_ms is not None:
        event = msgspec.structs.replace(turn.event, user_perceived_ms=None)  # nobody waits for a greeting
        return msgspec.structs.replace(turn, event=event)
    return turn


def wait_of(event: TurnMetrics) -> float | None:
    """What the caller waited in the turn, in seconds."""
    return None if event.user_perceived_ms is None or event.agent_first else event.user_perceived_ms / 1000.0
