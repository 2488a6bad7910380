"""A turn's frame in a journal → its event, as the pipeline recorded it."""

import msgspec

from exporter.events.turn_metrics import TurnMetrics
from exporter.protocol.decoder import FrameRejected, PartialEvent, decode
from exporter.sessions.journal import KeptTurn


def turn_of(kept: KeptTurn) -> TurnMetrics | None:
    """The event in a frame; ``None`` if the frame cannot be read any more, after a text was cut out of a peculiar one."""
    try:
        decoded = decode(kept.frame)
    except FrameRejected:
        return None
    event = decoded.event if isinstance(decoded, PartialEvent) else decoded
    if not isinstance(event, TurnMetrics):
        return None
    if event.agent_first and event.user_perceived_ms is not None:
        return msgspec.structs.replace(event, user_perceived_ms=None)  # nobody waits for a greeting
    return event


def wait_of(event: TurnMetrics) -> float | None:
    """What the caller waited in the turn, in seconds."""
    return None if event.user_perceived_ms is None or event.agent_first else event.user_perceived_ms / 1000.0
