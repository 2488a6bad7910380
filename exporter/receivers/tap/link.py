"""The connection of a tap: many calls' events come in, numbers of what was processed go out."""

import asyncio
from collections.abc import Awaitable, Callable
from time import time
from typing import Any, Final

import msgspec

from exporter.receivers.tap.clients import Client, Clients
from exporter.receivers.tap.envelope import VERSION, Hello

ACK_AFTER: Final = 0.05
"""Seconds after which a message is acknowledged, and all others that came meanwhile."""
MESSAGES_AT_ONCE: Final = 32
"""Messages taken from one tap before others get their turn."""
_REPLACED: Final = 1008

Message = dict[str, Any]


class TapLink:
    """Reads one tap. ``tell`` sends a message to a peer that may be gone."""

    def __init__(self, clients: Clients, hello: Hello, tell: Callable[[Message], Awaitable[None]], largest: int) -> None:
        self._clients = clients
        self._tell = tell
        self._largest = largest
        self._client: Client = clients.arrive(hello, self)
        self._acking: asyncio.Task[None] | None = None
        self._stopping = False

    async def greet(self) -> None:
        """Answer the hello: what the tap sent before and need not send again, and how large an event may be."""
        await self._send({"hello": {"version": VERSION, "acked": self._client.seq, "max_event_bytes": self._largest}})

    async def read(self, receive: Callable[[], Awaitable[Message]], heard: Callable[[], None]) -> None:
        """Take messages in until the connection ends or is told to, calling ``heard`` for each."""
        turn = MESSAGES_AT_ONCE
        while True:
            message = await receive()
            if message["type"] != "websocket.receive" or self._stopping:
                return
            if self._client.connection is not self:
                await self._tell({"type": "websocket.close", "code": _REPLACED, "reason": "the tap has a newer connection"})
                return
            heard()
            frame = message.get("text")
            answer = self._clients.take(self._client, message["bytes"] if frame is None else frame, time())
            if answer is not None:
                await self._tell({"type": "websocket.send", "text": answer})
            if self._acking is None:
                self._acking = asyncio.create_task(self._ack_soon())
            turn -= 1
            if not turn:
                turn = MESSAGES_AT_ONCE
                await asyncio.sleep(0)

    async def stop(self) -> None:
        """Take no more in, and tell the tap what was processed and what the next process has to know."""
        if self._client.connection is not self:
            return
        self._stopping = True
        await self._send({"ack": self._client.seq})
        for name, state in list(self._clients.hand_over(self._client, time())):
            await self._send({"session": name, "state": state})

    def close(self) -> None:
        """The connection is gone."""
        if self._acking is not None:
            self._acking.cancel()
        self._clients.leave(self._client, self, time())

    async def _ack_soon(self) -> None:
        await asyncio.sleep(ACK_AFTER)
        self._acking = None
        if not self._stopping:
            await self._send({"ack": self._client.seq})

    async def _send(self, content: dict[str, Any]) -> None:
        await self._tell({"type": "websocket.send", "text": msgspec.json.encode(content).decode()})
