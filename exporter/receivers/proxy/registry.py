"""What all connections of a relay share: its settings, the auth policy, the open tunnels and where they are measured."""

import asyncio
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from exporter.auth import AuthPolicy, ConnectionLoad, Handshake, Refusal
from exporter.receivers.feed_interfaces import RelayFeedProtocol
from exporter.receivers.observer_interfaces import ProxyObserver
from exporter.receivers.proxy.fallback_session import FallbackSession
from exporter.receivers.proxy.http1 import RELAYS
from exporter.receivers.proxy.inspector import MessageInspector
from exporter.receivers.proxy.tunnel import Tunnel
from exporter.receivers.proxy.upstream import Upstream
from exporter.receivers.read_budget import ReadBudget

LOOP: Final = Refusal(508, "loop", "--upstream leads back to this exporter: it must be the address of the app")


@dataclass(frozen=True, slots=True)
class ProxyConfig:
    """Settings of a relay. Times are in seconds.

    ``handshake_timeout`` bounds the platform's request, ``upstream_timeout`` connecting to the app and its answer. ``subscription`` is
    sent to the platform when a call begins, or ``None``. Messages of more than ``max_message`` bytes are shortened before they are
    measured. With ``allow_fallback`` connections are accepted although the app cannot be reached.
    """

    upstream: Upstream
    handshake_timeout: float
    upstream_timeout: float
    subscription: str | None
    max_message: int
    allow_fallback: bool = False


class ProxyRegistry:
    """The connections of a relay. ``open_feed`` makes the feed of a new call."""

    def __init__(
        self, auth_policy: AuthPolicy, config: ProxyConfig, open_feed: Callable[[], RelayFeedProtocol], observer: ProxyObserver
    ) -> None:
        self.auth_policy = auth_policy
        self.config = config
        self.observer = observer
        self.relay_id = secrets.token_hex(16)
        """Identifies this process to itself: a request that carries it has come back."""
        self.draining = False
        self.tunnels: set[Tunnel | FallbackSession] = set()
        self.budget = ReadBudget()
        self.handshakes = 0
        """Connections that are not yet accepted or refused."""
        self.emptied = asyncio.Event()
        """Set when the last tunnel has ended."""
        self._open_feed = open_feed

    def add(self, tunnel: Tunnel | FallbackSession) -> None:
        """A connection was accepted: inspect it from now on."""
        subscription = self.config.subscription
        tunnel.inspect(
            MessageInspector(
                self._open_feed(),
                None if subscription is None else subscription.encode(),
                tunnel.insert,
                self.observer.relay_dropped,
            )
        )
        self.tunnels.add(tunnel)
        self.observer.connected()

    def remove(self, tunnel: Tunnel | FallbackSession) -> None:
        """A connection has ended."""
        self.tunnels.discard(tunnel)
        if not self.tunnels:
            self.emptied.set()
        self.observer.disconnected()

    def decide(self, handshake: Handshake) -> Refusal | None:
        """Return the refusal of a handshake, or ``None`` to accept it."""
        if self.relay_id in (id_.strip() for id_ in (handshake.header(RELAYS) or "").split(",")):
            return LOOP
        return self.auth_policy.decide(handshake, ConnectionLoad(len(self.tunnels) + self.handshakes - 1, self.draining))
