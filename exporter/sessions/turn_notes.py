"""The slow and failed turns of the last hour, whatever else is still known of their calls."""

from collections import deque
from collections.abc import Iterator
from typing import Final, NamedTuple

from exporter.catalogue.operator_metrics import TurnComponent
from exporter.events.turn_metrics import TurnMetrics
from exporter.protocol.ids import TurnKey, is_by_id, turn_key
from exporter.sessions.call_journal import live_id
from exporter.sessions.session import Session
from exporter.sessions.shown_text import shown

MOST_NOTES: Final = 100
OLDEST: Final = 3_600.0
"""Seconds that a note is shown."""


class NotableTurn(NamedTuple):
    """A slow or failed turn. ``call`` is the id of its call in URLs; ``wait`` is in seconds, ``at`` in unix seconds."""

    call: str
    turn: str
    agent: str
    at: float
    wait: float | None
    bottleneck: TurnComponent | None
    error: str | None


class TurnNotes:
    """The latest slow and failed turns. A turn that is both is noted once, as slow."""

    def __init__(self) -> None:
        self._turns: deque[NotableTurn] = deque(maxlen=MOST_NOTES)
        self.count = 0
        """How many were noted, also those that are no longer there."""

    def slow(self, session: Session, event: TurnMetrics, bottleneck: TurnComponent, now: float) -> None:
        """Note a slow turn."""
        self._add(session, event, bottleneck, now)

    def failed(self, session: Session, event: TurnMetrics, now: float) -> None:
        """Note a turn in which a component failed."""
        last = self._turns[-1] if self._turns else None
        if last is None or last.at != now or (last.call, last.turn) != (live_id(session), key_text(event)):
            self._add(session, event, None, now)

    def latest(self, now: float) -> Iterator[NotableTurn]:
        """The turns of the last hour, newest first."""
        return (turn for turn in reversed(self._turns) if now - turn.at <= OLDEST)

    def _add(self, session: Session, event: TurnMetrics, bottleneck: TurnComponent | None, now: float) -> None:
        wait = None if event.user_perceived_ms is None or event.agent_first else event.user_perceived_ms / 1000.0
        self._turns.append(
            NotableTurn(live_id(session), key_text(event), session.agent_label, now, wait, bottleneck, event.error_source)
        )
        self.count += 1


def key_text(event: TurnMetrics) -> str:
    """The key of a turn as people see it."""
    return "" if event.turn_number is None else turn_key_text(turn_key(event.agent_tool_id, event.turn_number))


def turn_key_text(key: TurnKey) -> str:
    """The text of a turn's key: its number, after the sub-agent's id if there is one; or the turn's id."""
    name = shown(key[0])
    if is_by_id(key):
        return f"id:{name}"
    return f"{name}/{key[1]}" if name else str(key[1])
