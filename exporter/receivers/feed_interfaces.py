"""Where receivers send what they receive: one feed for each call.

:class:`exporter.pipeline.call_feed.CallFeed` implements the first two protocols, :class:`exporter.pipeline.tap_feed.TapFeed` the third.
All times are unix seconds.
"""

from typing import Protocol

from exporter.protocol.arriving_event import ArrivingEvent
from exporter.protocol.commands import Direction
from exporter.protocol.reasons import RejectionReason


class CallFeedProtocol(Protocol):
    """The feed of a call with a connection of its own."""

    def consume(self, frame: str | bytes | ArrivingEvent, now: float) -> bool:
        """Process a frame of the platform, or a long one that was shortened while it arrived. Returns whether it began the session."""

    def too_large(self) -> None:
        """Count a message that is not read because there is no room for it."""

    def skip(self) -> None:
        """Count a frame that is not read because the connection exceeds its message rate."""

    def unreadable(self, close_code: int) -> None:
        """Count the frame with which the peer violated the protocol. ``close_code`` ends the connection."""

    def close(self, now: float) -> None:
        """The connection has ended."""

    @property
    def ended(self) -> bool:
        """Whether the call is over."""


class RelayFeedProtocol(Protocol):
    """The feed of a call that the relay forwards to the customer's app."""

    def consume(self, frame: str | bytes | ArrivingEvent, now: float) -> bool:
        """Process a frame of the platform, or a long one that was shortened while it arrived. Returns whether it began the session."""

    def command(self, frame: str | bytes, now: float) -> bool:
        """Process a frame of the app. Returns whether it is an ``agent_session.update``."""

    def audio(self, direction: Direction, size: int, now: float) -> None:
        """An audio message of ``size`` bytes was forwarded."""

    def played(self, size: int, now: float) -> None:
        """An audio message of the app, of ``size`` bytes, was forwarded."""

    def too_large(self) -> None:
        """Count a message of the platform that is not read because there is no room for it."""

    def close(self, now: float) -> None:
        """The connection has ended."""


class TapFeedProtocol(Protocol):
    """The feed of a call that a tap carries."""

    def consume(self, frame: str | bytes | ArrivingEvent, now: float) -> bool:
        """Process an event, or a long one that was shortened while it arrived. Returns whether it began the session."""

    def resume(self, start: str | bytes | None, state: str | None, now: float) -> None:
        """Continue a call that another process counted before."""

    def hand_off(self, now: float) -> str | None:
        """Detach the call from this process. Returns the state that the next process needs, if any."""

    def malformed(self, reason: RejectionReason) -> None:
        """Count a message that holds no readable event."""

    def ignore(self) -> None:
        """Count a message that carries no event."""

    def close(self, now: float) -> None:
        """The connection of the call has ended."""

    @property
    def ended(self) -> bool:
        """Whether the call is over."""
