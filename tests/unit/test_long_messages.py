"""Long messages that arrive in pieces, and the room that all connections share for them."""

import json
from typing import Any

from exporter.protocol.arriving_event import ArrivingEvent
from exporter.protocol.long_event import shorten
from exporter.receivers.long_messages import LOST, MORE, LongMessages
from exporter.receivers.read_budget import ReadBudget

EVENT = json.dumps({"type": "session.ended", "transcript": ["hello"] * 20_000, "duration_seconds": 9}).encode()


def piece(data: bytes, *, more: bool = True, lost: bool = False) -> dict[str, Any]:
    return {"type": "websocket.receive", "bytes": data, MORE: more, LOST: lost}


class Connection:
    """The long messages of one connection."""

    def __init__(self, budget: ReadBudget) -> None:
        self.lost = 0
        self.messages = LongMessages(budget, ArrivingEvent, self._count)

    def _count(self) -> None:
        self.lost += 1


def test_messages_of_many_connections_arrive_at_once() -> None:
    """Pieces of different connections do not mix, and what was held is given back at the end."""
    budget = ReadBudget(1 << 20)
    connections = [Connection(budget) for _ in range(20)]
    for start in range(0, len(EVENT), 10_000):
        for each in connections:
            assert each.messages.add(piece(EVENT[start : start + 10_000])) is None
    assert budget.left < 1 << 20
    for each in connections:
        event = each.messages.add(piece(b"", more=False))
        assert event is not None
        assert event.document() == shorten(EVENT)
    assert budget.left == 1 << 20


def test_the_room_is_bounded() -> None:
    """However many connections begin a message, no more is held than there is room; a rejected one costs no other."""
    budget = ReadBudget(100_000)
    connections = [Connection(budget) for _ in range(200)]
    for each in connections:
        each.messages.add(piece(EVENT[:20_000]))
        assert 0 <= budget.left <= 100_000
    for each in connections[100:]:
        each.messages.close()
    for each in connections[:100]:
        each.messages.close()
    assert budget.left == 100_000
    late = Connection(budget)
    event = late.messages.add(piece(EVENT, more=False))
    assert event is not None
    assert event.document() == shorten(EVENT)


def test_a_message_that_the_listener_gave_up() -> None:
    """A message for which the listener had no room is counted once, and the next one is read."""
    connection = Connection(ReadBudget())
    assert connection.messages.add(piece(EVENT[:5_000])) is None
    assert connection.messages.add(piece(b"", more=False, lost=True)) is None
    assert connection.lost == 1
    event = connection.messages.add(piece(EVENT, more=False))
    assert event is not None
    assert event.document() == shorten(EVENT)
