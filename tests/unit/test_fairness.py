"""Every receiver gives way after a few messages of one connection, and after fewer if they are long."""

import asyncio
import json
from collections.abc import Awaitable
from typing import Any

import pytest
from starlette.types import Message as AsgiMessage

from exporter.auth.policy import AccessRules, AuthPolicy
from exporter.receivers.proxy.frames import Message
from exporter.receivers.proxy.inspector import MessageInspector
from exporter.receivers.tap.client_sequences import TapClients, TapLimits
from exporter.receivers.tap.envelope import VERSION
from exporter.receivers.websocket import Endpoint, EndpointConfig
from tests.support.waiting import eventually

SHORT = b'{"type":"user.speech_started"}'
LONG = b'{"type":"user.speech_started","x":"' + b"y" * 60_000 + b'"}'
AT_ONCE = {SHORT: 32, LONG: 3}


class Feed:
    """Writes down which messages it got."""

    def __init__(self) -> None:
        self.frames: list[object] = []
        self.ended = False

    def consume(self, frame: object, _: float) -> bool:
        self.frames.append(frame)
        return False

    def __getattr__(self, _: str) -> Any:
        return lambda *_: None


async def most_at_once(feed: Feed, reading: Awaitable[None]) -> int:
    """The most messages that were read between two turns of others."""
    task, most, seen = asyncio.ensure_future(reading), 0, 0
    while not task.done():
        await asyncio.sleep(0)
        most, seen = max(most, len(feed.frames) - seen), len(feed.frames)
    await task
    return most


async def received(feed: Feed, messages: list[bytes]) -> None:
    """A connection to the endpoint, whose messages have all arrived."""
    taps = TapClients(TapLimits(65_536, 30, 60), lambda _: feed, Feed())
    endpoint = Endpoint(AuthPolicy(AccessRules("/ws", 10)), EndpointConfig(), lambda: feed, taps, Feed())
    arrived: list[AsgiMessage] = [
        {"type": "websocket.connect"},
        *({"type": "websocket.receive", "text": each.decode()} for each in messages),
    ]
    left = iter([*arrived, {"type": "websocket.disconnect", "code": 1000}])

    async def receive() -> AsgiMessage:
        return next(left)

    async def send(_: AsgiMessage) -> None:
        """Take it."""

    await endpoint({"type": "websocket", "raw_path": b"/ws", "headers": [], "query_string": b"", "client": None}, receive, send)


async def tapped(feed: Feed, messages: list[bytes]) -> None:
    """The same messages as events of a tap."""
    hello = {"hello": {"version": VERSION, "client": "some-tap"}}
    events = [json.dumps({"session": "s", "seq": seq, "event": json.loads(each)}).encode() for seq, each in enumerate(messages, 1)]
    await received(feed, [json.dumps(hello).encode(), *events])


async def relayed(feed: Feed, messages: list[bytes]) -> None:
    """The same messages behind the relay."""
    inspector = MessageInspector(feed, None, lambda _: None, lambda _: None)
    inspector.offer("caller", [Message(1, each, b"") for each in messages], 0.0)
    await eventually(lambda: len(feed.frames) == len(messages), within=10)


@pytest.mark.parametrize("way", [received, tapped, relayed])
@pytest.mark.parametrize("message", [SHORT, LONG], ids=["short", "long"])
async def test_others_get_their_turn(way: Any, message: bytes) -> None:
    """Between two turns of the event loop at most 32 short messages or three long ones of a connection are read."""
    feed = Feed()
    number = 100 if message is SHORT else 12
    most = await most_at_once(feed, way(feed, [message] * number))
    assert len(feed.frames) == number
    assert 1 <= most <= AT_ONCE[message]
