"""What all connections of a relay share: the rules, who is open, and where what passes is measured."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from exporter.auth import Door, Load
from exporter.receivers.proxy.fallback_session import FallbackSession
from exporter.receivers.proxy.http1 import Head, Target, handshake_of
from exporter.receivers.proxy.observer import Dropped, Observer, RelayedFeed
from exporter.receivers.proxy.tunnel import Tunnel
from exporter.receivers.proxy.upstream import Upstream


class Counts(Protocol):
    """What the relay reports of itself. Times are in seconds."""

    def connected(self) -> None:
        """A connection was accepted by the app."""

    def disconnected(self) -> None:
        """A connection is gone."""

    def refused(self, reason: str) -> None:
        """A connection was turned away."""

    def upstream_failed(self, reason: str) -> None:
        """The app could not be reached, or would not have the connection."""

    def upstream_connected(self, took: float) -> None:
        """The app was reached."""

    def relay_delay(self, took: float) -> None:
        """Bytes were passed on."""

    def relay_dropped(self, reason: Dropped) -> None:
        """A message was passed on and not measured."""


@dataclass(frozen=True, slots=True)
class ProxyConfig:
    """Where connections lead and what holds for them. Times are in seconds, ``longest`` is in bytes.

    ``handshake_timeout`` is for the platform's request, ``timeout`` for reaching the app and for its answer. ``subscription`` is
    sent to the
    platform when a call begins, or nothing. Messages of more than ``longest`` are passed on and not read. ``alone`` accepts
    connections although the app cannot be reached.
    """

    upstream: Upstream
    handshake_timeout: float
    timeout: float
    subscription: str | None
    longest: int
    alone: bool = False


class ProxyRegistry:
    """The connections of a relay."""

    def __init__(self, door: Door, plan: ProxyConfig, feed: Callable[[], RelayedFeed], counts: Counts) -> None:
        self.door = door
        self.plan = plan
        self.counts = counts
        self.draining = False
        self.tunnels: set[Tunnel | FallbackSession] = set()
        self.opening = 0
        """Connections that are yet to be accepted or refused."""
        self.emptied = asyncio.Event()
        """Set when the last of them is gone."""
        self._feed = feed

    def watch(self, tunnel: Tunnel | FallbackSession) -> None:
        """A connection was accepted: measure it."""
        asked = None if self.plan.subscription is None else self.plan.subscription.encode()
        tunnel.observe(Observer(self._feed(), asked, tunnel.insert, self.counts.relay_dropped))
        self.tunnels.add(tunnel)
        self.counts.connected()

    def gone(self, tunnel: Tunnel | FallbackSession) -> None:
        """It is over."""
        self.tunnels.discard(tunnel)
        if not self.tunnels:
            self.emptied.set()
        self.counts.disconnected()

    def judged(self, head: Head, target: Target) -> tuple[int, str, str] | None:
        """What the door says: status, reason and words of a refusal, or nothing."""
        found = self.door.decide(handshake_of(head, target), Load(len(self.tunnels) + self.opening - 1, self.draining))
        return None if found is None else (found.status, found.reason, found.told)
