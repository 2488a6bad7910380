"""The parts of a caller's wait, as Pipecat takes it apart."""

from collections.abc import Iterable
from typing import Any

from agentstack_tap.pipecat.turn import date_time


def contributions(parts: Iterable[Any]) -> list[dict[str, Any]]:
    """``LatencyBreakdown.contributions`` as events: what each part of the wait was, what spent it, when and for how long."""
    return [
        {
            "type": "turn.contribution",
            "contribution": part.key,
            "owner": part.owner,
            "owner_kind": str(part.owner_kind),
            "duration_ms": round(max(0.0, part.duration_secs) * 1000, 3),
            "started_at": date_time(part.start_time),
        }
        for part in parts
    ]
