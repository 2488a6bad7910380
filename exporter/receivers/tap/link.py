"""The connection of a tap: it sends events of many calls and receives the numbers of processed messages."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

import msgspec
from starlette.types import Message, Receive
from websockets.frames import CloseCode

from exporter.protocol.long_event import LONGEST_EVENT
from exporter.receivers.fairness import BYTES_PER_MESSAGE, MESSAGES_PER_TURN
from exporter.receivers.long_messages import MORE, LongMessages
from exporter.receivers.read_budget import ReadBudget
from exporter.receivers.steady_clock import CLOCK
from exporter.receivers.tap.arriving_envelope import ArrivingEnvelope
from exporter.receivers.tap.client_sequences import TapClients
from exporter.receivers.tap.envelope import VERSION, Hello

ACK_AFTER: Final = 0.05
"""Seconds after which a message is acknowledged, together with all others received until then."""


class TapLink:
    """Serves one connection of a tap. ``send`` sends a message to a peer that may be gone, and raises nothing."""

    def __init__(self, clients: TapClients, hello: Hello, send: Callable[[Message], Awaitable[None]], budget: ReadBudget) -> None:
        self._clients = clients
        self._send = send
        self._long_messages = LongMessages(budget, lambda: ArrivingEnvelope(clients.max_event), clients.lost)
        self._client = clients.connect(hello, self)
        self._ack_task: asyncio.Task[None] | None = None
        self._stopping = False

    async def greet(self) -> None:
        """Answer the hello with the number of the last processed message and the largest event accepted."""
        max_event = max(self._clients.max_event, LONGEST_EVENT)
        await self._send_json({"hello": {"version": VERSION, "acked": self._client.seq, "max_event_bytes": max_event}})

    async def read(self, receive: Receive, touch: Callable[[], None]) -> None:
        """Process messages until the connection ends, and discard them after :meth:`stop`. Calls ``touch`` for each processed one."""
        messages_left = MESSAGES_PER_TURN
        while True:
            message = await receive()
            if message["type"] != "websocket.receive":
                return
            if self._stopping:  # to return would end the connection, while the states of calls are still being sent
                await asyncio.sleep(0)
                continue
            if self._client.connection is not self:
                await self._send(
                    {"type": "websocket.close", "code": CloseCode.POLICY_VIOLATION, "reason": "the tap has a newer connection"}
                )
                return
            touch()
            text: str | None = message.get("text")
            frame: str | bytes | ArrivingEnvelope | None = text
            if text is None:
                frame = self._long_messages.add(message) if MORE in message else message["bytes"]
            if frame is None or isinstance(frame, ArrivingEnvelope):
                messages_left = 1  # reading a piece takes as long as many messages
            else:
                messages_left -= len(frame) // BYTES_PER_MESSAGE
            if frame is not None and (answer := self._clients.process(self._client, frame, CLOCK.time())) is not None:
                await self._send({"type": "websocket.send", "text": answer})
            if self._ack_task is None:
                self._ack_task = asyncio.create_task(self._acknowledge_soon())
            messages_left -= 1
            if messages_left <= 0:
                messages_left = MESSAGES_PER_TURN
                await asyncio.sleep(0)

    async def stop(self) -> None:
        """Process no more messages. Acknowledge the processed ones, and send the state that the next process needs."""
        if self._client.connection is not self:
            return
        self._stopping = True
        await self._send_json({"ack": self._client.seq})
        for name, state in list(self._clients.hand_off(self._client, CLOCK.time())):
            await self._send_json({"session": name, "state": state})

    def close(self) -> None:
        """The connection has ended."""
        if self._ack_task is not None:
            self._ack_task.cancel()
            self._ack_task = None  # it holds the link
        self._long_messages.close()
        self._clients.disconnect(self._client, self, CLOCK.time())

    async def _acknowledge_soon(self) -> None:
        await asyncio.sleep(ACK_AFTER)
        self._ack_task = None
        if not self._stopping:
            await self._send_json({"ack": self._client.seq})

    async def _send_json(self, content: dict[str, object]) -> None:
        await self._send({"type": "websocket.send", "text": msgspec.json.encode(content).decode()})
