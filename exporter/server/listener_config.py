"""What one listener allows its peers: limits, and where its refusals are reported."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, Protocol

import uvicorn

from exporter.receivers.read_budget import ReadBudget

TRANSPORT_CAP: Final = 16 * 1024 * 1024
"""Largest WebSocket message accepted, in bytes. A larger one closes the connection with 1009."""


class PendingConnection(Protocol):
    """A connection that is no WebSocket."""

    answering: bool
    """Whether a request is being answered."""

    def cut_off(self, reason: str) -> None:
        """End the connection at once, and report the reason."""


@dataclass(frozen=True, slots=True)
class ListenerLimits:
    """Limits of one listener. Times are in seconds.

    ``handshake_timeout`` bounds the TLS handshake and the head of each request. ``write_timeout`` bounds how long a peer may read
    nothing, also after the connection was closed. ``max_pending`` connections may be open that are no WebSocket; a further one ends
    the oldest that waits for a request. ``max_stalled`` of them may hold an answer that their peer does not read; a further one ends
    the oldest. A longer WebSocket message than ``max_message`` bytes is delivered in pieces as it arrives, up to one byte more than
    ``longest_message`` bytes. ``read_budget`` counts what is held of messages that have not arrived completely.
    ``max_frame_rate`` is in control frames and fragments a second from one WebSocket. Those above it wait, and 0 disables the limit.
    """

    handshake_timeout: float = 10.0
    write_timeout: float = 10.0
    max_pending: int = 256
    max_stalled: int = 8
    max_message: int = TRANSPORT_CAP
    longest_message: int = TRANSPORT_CAP
    read_budget: ReadBudget = field(default_factory=ReadBudget)
    max_frame_rate: float = 0.0


class ListenerConfig(uvicorn.Config):
    """uvicorn's settings and the listener's limits.

    ``on_refused`` is called with the reason when a connection is refused or cut off before it is a WebSocket. ``pending`` and
    ``stalled`` are the connections that are counted against the limits, the oldest first.
    """

    limits: ListenerLimits
    on_refused: Callable[[str], None]
    pending: dict[PendingConnection, None]
    stalled: dict[PendingConnection, None]

    def limit(self, limits: ListenerLimits, on_refused: Callable[[str], None]) -> None:
        """Set the listener's limits and its observer."""
        self.limits, self.on_refused = limits, on_refused
        self.pending, self.stalled = {}, {}
