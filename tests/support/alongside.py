"""Tasks that run beside a test: for the length of a block, and to see that others get their turn."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any


@asynccontextmanager
async def alongside(work: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Run ``work`` during the block, and end it with the block."""
    running = asyncio.create_task(work)
    try:
        yield
    finally:
        running.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await running


@dataclass
class Turns:
    """How often another task of the event loop has run."""

    taken: int = 0

    async def take(self) -> None:
        """Run once each time that the loop comes round, for ever."""
        while True:
            self.taken += 1
            await asyncio.sleep(0)


@asynccontextmanager
async def turns_of_others() -> AsyncIterator[Turns]:
    """Count the turns that another task gets during the block."""
    turns = Turns()
    async with alongside(turns.take()):
        yield turns
