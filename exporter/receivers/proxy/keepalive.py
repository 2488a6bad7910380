"""TCP options of relayed connections."""

import asyncio
import socket
from typing import Final

_KEEPALIVE: Final = ((socket.TCP_KEEPIDLE, 20), (socket.TCP_KEEPINTVL, 5), (socket.TCP_KEEPCNT, 4))
"""TCP detects a vanished peer after 40 s. WebSocket pings are the business of platform and app."""


def keep_alive(transport: asyncio.Transport) -> None:
    """Detect vanished peers, and send small frames without delay."""
    found: socket.socket | None = transport.get_extra_info("socket")
    if found is not None:
        found.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for option, value in _KEEPALIVE:
            found.setsockopt(socket.IPPROTO_TCP, option, value)
        found.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
