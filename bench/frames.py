"""Traffic prepared in advance: events of simulated calls as WebSocket frames of a client."""

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import count, islice
from typing import Any

import msgspec
from websockets.frames import Frame, Opcode

from exporter.simulate.call import plan_call
from exporter.simulate.profiles import fleet_of

SMALL = 250
"""The largest small event, in bytes: states, speech, transcripts, but not the reports on a turn."""
_FLEET = fleet_of(("typical",))
_NOT_SMALL = ("session.", "turn.", "agent_tool.", "call.")

Event = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Load:
    """What one connection sends: whole frames, one after the other, and where each of them ends."""

    name: str
    data: bytes
    ends: tuple[int, ...]

    def part(self, share: int) -> "Load":
        """The first frames of the load: 1/``share`` of them."""
        ends = self.ends[: len(self.ends) // share]
        return Load(self.name, self.data[: ends[-1]], ends)


def calls(turns: int = 20, started_at: float | None = None) -> Iterator[list[Event]]:
    """The events of simulated calls, one call after the other, without end."""
    for number in count():
        yield [event for _, event in plan_call(7, number, _FLEET, turns=turns).steps(started_at or time.time())]


def turns() -> Iterator[Event]:
    """The turn.metrics of many calls as if they were one call: each turn has its own number."""
    number = 0
    for call in calls():
        for event in call:
            if event["type"] == "turn.metrics" and "llm_ttft_ms" in event:
                number += 1
                yield {**event, "turn_number": number, "agent_tool_id": None}


def small() -> Iterator[Event]:
    """The small events of calls in their order."""
    for call in calls():
        for event in call:
            if len(msgspec.json.encode(event)) <= SMALL and not event["type"].startswith(_NOT_SMALL):
                yield event


def of_type(kind: str) -> Iterator[Event]:
    """The events of one type."""
    return (event for call in calls() for event in call if event["type"] == kind)


def drifted() -> Iterator[Event]:
    """Turns of a platform that sends a field unknown to the exporter."""
    return ({**event, "llm_reasoning_effort": 3} for event in turns())


def sentinel() -> Iterator[Event]:
    """Turns in which a missing value is sent as −1."""
    return ({**event, "llm_ttft_ms": -1} for event in turns())


def masked(event: Event) -> bytes:
    """The frame in which a client sends the event."""
    return Frame(Opcode.TEXT, msgspec.json.encode(event)).serialize(mask=True)


def unmasked_key(event: Event) -> bytes:
    """Like :func:`masked`, with a key of zeros: the text in the frame is not changed by the mask, and can be edited in place."""
    text = msgspec.json.encode(event)
    length = bytes([0x80 | len(text)]) if len(text) < 126 else bytes([0x80 | 126]) + len(text).to_bytes(2, "big")
    return b"\x81" + length + bytes(4) + text


def load(name: str, events: Iterable[Event], number: int) -> Load:
    """The first ``number`` of the events, ready to be sent."""
    frames = [masked(event) for event in islice(events, number)]
    ends, end = [], 0
    for frame in frames:
        end += len(frame)
        ends.append(end)
    return Load(name, b"".join(frames), tuple(ends))
