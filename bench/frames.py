"""Traffic prepared in advance: events of simulated calls as WebSocket frames of a client."""

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain, count, islice
from typing import Any

import msgspec
from websockets.frames import Frame, Opcode

from exporter.events.turn_metrics import TurnMetrics
from exporter.simulate.call import plan_call
from exporter.simulate.profiles import fleet_of

SMALL = 250
"""The largest small event, in bytes: states, speech, transcripts, but not the reports on a turn."""
_FLEET = fleet_of(("typical",))
_NOT_SMALL = ("session.", "turn.", "agent_tool.", "call.")

_NEVER_SIMULATED: dict[str, str | float] = {
    "context_msg_count": 12,
    "fallback_silence_ms": 120,
    "interruption_reason": "barge_in",
    "on_user_turn_completed_ms": 9,
    "pause_duration_ms": 150,
    "tts_gate_wait_ms": 5,
    "tts_pipeline_ms": 40,
}

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


def full() -> Iterator[Event]:
    """Turns in which every field of turn.metrics is filled, also those that one turn never has together."""
    kinds = chain.from_iterable(islice(plan_events(name), 2000) for name in ("messy", "s2s", "typical"))
    filled = {key: value for event in kinds if event.get("type") == "turn.metrics" for key, value in event.items() if value is not None}
    rest = {key: filled[key] if key in filled else _NEVER_SIMULATED[key] for key in TurnMetrics.__struct_encode_fields__}
    named = {"type": "turn.metrics", **rest}  # the name first, as the platform sends it
    return ({**named, **{key: value for key, value in event.items() if value is not None}} for event in turns())


def plan_events(profile: str) -> Iterator[Event]:
    """The events of calls of one kind."""
    return (event for number in count() for _, event in plan_call(7, number, fleet_of((profile,)), turns=8).steps(time.time()))


def drifted() -> Iterator[Event]:
    """Turns of a platform that sends a field unknown to the exporter."""
    return ({**event, "llm_reasoning_effort": 3} for event in turns())


def small_drifted() -> Iterator[Event]:
    """Small events of the same platform."""
    return ({**event, "sequence": 3} for event in small())


def mistyped() -> Iterator[Event]:
    """Turns of a platform that sends a number where there was a text."""
    return ({**event, "llm_model": 4} for event in turns())


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
