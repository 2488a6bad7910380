"""Events that are on their way: numbered, kept until the exporter has acknowledged them, within a bound.

What the exporter must know of a session when it has restarted (who the agent is, and what had been used so far) is kept as well, and
told again as context, which counts for nothing.
"""

import json
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from threading import Lock
from typing import Final, Literal

Kind = Literal["started", "usage", "ended", ""]
MOST_SESSIONS: Final = 10_000
"""Sessions whose context is kept."""
_LOOKED_AT: Final = 400
_NAMES: Final[dict[str, Kind]] = {
    "session.started": "started",
    "agent_session.started": "started",
    "start": "started",
    "session.usage": "usage",
    "session.ended": "ended",
    "agent_session.ended": "ended",
    "stop": "ended",
}


@dataclass(frozen=True, slots=True)
class Item:
    """An event on its way: its number, its session, what is to be remembered of it, and it itself as JSON."""

    seq: int
    session: str
    kind: Kind
    event: str

    @property
    def envelope(self) -> str:
        """What is sent."""
        return f'{{"session":{json.dumps(self.session)},"seq":{self.seq},"event":{self.event}}}'


class Outbox:
    """Takes events from any thread and gives them to one sender."""

    def __init__(self, most_events: int, most_bytes: int) -> None:
        self._most_events = most_events
        self._most_bytes = most_bytes
        self._items: deque[Item] = deque()
        self._bytes = 0
        self._seq = 0
        self._sent = 0
        self._context: dict[str, dict[Kind, str]] = {}
        self._lock = Lock()
        self.dropped = 0
        """Events for which there was no room, so far."""

    def __len__(self) -> int:
        return len(self._items)

    def put(self, session: str, event: str, name: str | None) -> bool:
        """Number an event and keep it; returns whether there was room. ``name`` is its type, if that is known."""
        kind = _NAMES.get(name, "") if name is not None else _kind_of(event)
        with self._lock:
            if len(self._items) >= self._most_events or self._bytes + len(event) > self._most_bytes:
                self.dropped += 1
                return False
            self._seq += 1
            self._items.append(Item(self._seq, session, kind, event))
            self._bytes += len(event)
            return True

    def rewind(self) -> list[str]:
        """A connection is new: everything that was not acknowledged is to be sent again. Returns what goes before it."""
        with self._lock:
            self._sent = 0
            return [
                f'{{"session":{json.dumps(session)},"context":{event}}}'
                for session, kept in self._context.items()
                for event in (kept.get("started"), kept.get("usage"))
                if event is not None
            ]

    def unsent(self, most: int) -> list[str]:
        """The next envelopes; each is given once a connection."""
        with self._lock:
            found = [item.envelope for item in islice(self._items, self._sent, self._sent + most)]
            self._sent += len(found)
            return found

    def acknowledge(self, seq: int) -> None:
        """The exporter has taken in everything up to ``seq``."""
        with self._lock:
            for item in self._acknowledged(seq):
                self._bytes -= len(item.event)
                self._sent = max(0, self._sent - 1)
                self._remember(item)

    def _acknowledged(self, seq: int) -> Iterator[Item]:
        while self._items and self._items[0].seq <= seq:
            yield self._items.popleft()

    def _remember(self, item: Item) -> None:
        if item.kind == "ended":
            self._context.pop(item.session, None)
        elif item.kind:
            self._context.setdefault(item.session, {})[item.kind] = item.event
            if len(self._context) > MOST_SESSIONS:
                del self._context[next(iter(self._context))]


def _kind_of(event: str) -> Kind:
    """What is to be remembered of an event that came as text."""
    head = event[:_LOOKED_AT].replace(" ", "")
    for name, kind in _NAMES.items():
        if f'"type":"{name}"' in head or f'"event":"{name}"' in head:
            return kind
    return ""
