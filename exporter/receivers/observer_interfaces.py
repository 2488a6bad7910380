"""What receivers report about themselves. One class in the daemon implements all of it and updates the metrics."""

from collections.abc import Callable
from typing import Literal, Protocol

RelayDropReason = Literal["overflow", "protocol", "error"]
"""Why the relay forwards messages without measuring them.

``overflow``: the queue is full, or there was no room for a message of the app. ``protocol``: the bytes are no WebSocket frames.
``error``: an internal error of the exporter.
"""


class ConnectionObserver(Protocol):
    """Reports of a receiver about its connections."""

    def connected(self) -> None:
        """A connection was accepted."""

    def disconnected(self) -> None:
        """An accepted connection has ended."""

    def refused(self, reason: str) -> None:
        """A connection was refused, or closed by the exporter."""


class ProxyObserver(ConnectionObserver, Protocol):
    """Reports of the relay. Times are in seconds."""

    def upstream_failed(self, reason: str) -> None:
        """The app could not be reached, or refused the connection."""

    def upstream_connected(self, duration: float) -> None:
        """The TCP connection to the app was established."""

    @property
    def relay_delay(self) -> Callable[[float], None]:
        """Called for all forwarded bytes with the time that forwarding took, so it is looked up once per connection."""

    def relay_dropped(self, reason: RelayDropReason) -> None:
        """A message was forwarded but not measured."""


class TapObserver(Protocol):
    """Reports about taps."""

    def tap_connected(self) -> None:
        """A tap has connected."""

    def tap_disconnected(self) -> None:
        """A connection of a tap has ended."""

    def tap_dropped(self, reason: str, events: int) -> None:
        """A tap reports that it dropped this many events."""

    def tap_duplicate(self) -> None:
        """A tap sent an event that was processed before."""
