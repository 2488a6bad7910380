"""The way in that stands before the customer's app: a byte tunnel per connection, opened by the door and an answer of the app.

The platform's request is read, judged by the door and sent on; what the app answers is what the platform gets
(:mod:`exporter.receivers.proxy.connections`). After that bytes pass both ways (:mod:`exporter.receivers.proxy.tunnel`) and are
looked at on the side
(:mod:`exporter.receivers.proxy.observer`).
"""

import asyncio
from time import monotonic
from typing import Final

from exporter.receivers.proxy.connections import PlatformSide
from exporter.receivers.proxy.registry import Counts, ProxyConfig, ProxyRegistry
from exporter.receivers.websocket import GOING_AWAY

__all__ = ["Counts", "ProxyConfig", "Relay"]

_LAST_WORDS: Final = 0.05
"""Seconds that a side gets to be told that it is over."""


class Relay(ProxyRegistry):
    """Makes the protocol of each new connection, and ends them all when the process stops."""

    def __call__(self) -> PlatformSide:
        """The protocol of a new connection."""
        return PlatformSide(self)

    async def drain(self, within: float) -> None:
        """Turn new connections away, let the calls that are going on end by themselves for so many seconds, then end them."""
        self.draining = True
        deadline = monotonic() + within
        await self._until_empty(within)
        for tunnel in list(self.tunnels):
            tunnel.close(GOING_AWAY, "exporter is stopping")
        await self._until_empty(max(_LAST_WORDS, deadline - monotonic()))
        for tunnel in list(self.tunnels):
            tunnel.abort()
        await self._until_empty(_LAST_WORDS)

    async def sweep(self) -> None:
        """There is nothing to be done by the clock."""

    async def _until_empty(self, within: float) -> None:
        if self.tunnels:
            self.emptied.clear()
            try:
                async with asyncio.timeout(within):
                    await self.emptied.wait()
            except TimeoutError:
                return
