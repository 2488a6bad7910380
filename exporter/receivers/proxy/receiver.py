"""The receiver in front of the customer's app: it checks the platform's handshake and then tunnels bytes to the app.

The auth policy decides about the platform's request (:mod:`exporter.receivers.proxy.platform_connection`). An accepted request goes on
to the app, and the app's answer goes back to the platform (:mod:`exporter.receivers.proxy.app_connection`). After that all bytes are
forwarded (:mod:`exporter.receivers.proxy.tunnel`), and a copy is measured (:mod:`exporter.receivers.proxy.inspector`).
"""

import asyncio
from time import monotonic
from typing import Final

from websockets.frames import CloseCode

from exporter.receivers.proxy.platform_connection import PlatformConnection
from exporter.receivers.proxy.registry import ProxyConfig, ProxyRegistry

__all__ = ["ProxyConfig", "ProxyReceiver"]

_CLOSE_TIMEOUT: Final = 0.05
"""Seconds for the close frames to reach both peers, even if the drain timeout is over."""


class ProxyReceiver(ProxyRegistry):
    """Makes the protocol of each new connection, and ends all connections when the process stops."""

    def __call__(self) -> PlatformConnection:
        """The protocol of a new connection."""
        return PlatformConnection(self)

    async def drain(self, within: float) -> None:
        """Refuse new connections. Open calls may go on for ``within`` seconds; then close them."""
        self.draining = True
        deadline = monotonic() + within
        await self._until_empty(within)
        for tunnel in list(self.tunnels):
            tunnel.close(CloseCode.GOING_AWAY, "exporter is stopping")
        await self._until_empty(max(_CLOSE_TIMEOUT, deadline - monotonic()))
        for tunnel in list(self.tunnels):
            tunnel.abort()
        await self._until_empty(_CLOSE_TIMEOUT)

    async def sweep(self) -> None:
        """Nothing: the relay has no timers of its own."""

    async def _until_empty(self, within: float) -> None:
        if self.tunnels:
            self.emptied.clear()
            try:
                async with asyncio.timeout(within):
                    await self.emptied.wait()
            except TimeoutError:
                return
