"""Where calls come in: the endpoint that takes them itself or, with ``--upstream``, the relay before the customer's app."""

from typing import Final

from exporter.config import Address, Settings
from exporter.daemon.auth import ingest_door, ingest_tls
from exporter.pipeline.call_feed import CallFeed
from exporter.pipeline.pipeline import SUBSCRIPTION, SWEEP_EVERY, Pipeline
from exporter.pipeline.tap_feed import TapFeed
from exporter.receivers.proxy.observer import Dropped
from exporter.receivers.proxy.relay import ProxyConfig, Relay
from exporter.receivers.proxy.upstream import parse_upstream
from exporter.receivers.tap.clients import Clients, TapLimits
from exporter.receivers.websocket import Endpoint, Terms
from exporter.server.listeners import Listener, RawListener, Tls

DRAIN_ENDPOINT: Final = 2.0
DRAIN_RELAY: Final = 25.0
"""Seconds for open connections at the end, unless set: an app's calls are to end by themselves, within Kubernetes' usual 30 s."""


class Counts:
    """What the ways in report, put into the exporter's own metrics."""

    def __init__(self, pipeline: Pipeline, now: float) -> None:
        self._metrics = pipeline.metrics
        self.relay_delay = pipeline.metrics.relay_delay.observer(now=now)

    def connected(self) -> None:
        """A connection was accepted."""
        self._metrics.connections[0] += 1.0
        self._metrics.connections_active.add(1)

    def disconnected(self) -> None:
        """A connection is gone."""
        self._metrics.connections_active.add(-1)

    def refused(self, reason: str) -> None:
        """A connection was turned away, or cut off."""
        self._metrics.connections_refused.add(1, reason=reason)

    def slow_handshake(self) -> None:
        """A connection made no request in time."""
        self.refused("slow_handshake")

    def failed_tls(self) -> None:
        """A connection did not get through its TLS handshake."""
        self.refused("tls_handshake")

    def tap_connected(self, change: int) -> None:
        """So many more taps are connected."""
        self._metrics.taps_active.add(change)

    def tap_dropped(self, reason: str, events: int) -> None:
        """A tap could not send so many events."""
        self._metrics.tap_dropped.add(events, reason=reason)

    def tap_duplicate(self) -> None:
        """A tap sent an event a second time."""
        self._metrics.tap_repeated[0] += 1.0

    def upstream_failed(self, reason: str) -> None:
        """The app could not be reached, or would not have the connection."""
        self._metrics.upstream_failures.add(1, reason=reason)

    def upstream_connected(self, took: float) -> None:
        """The app was reached, in so many seconds."""
        self._metrics.upstream_connect.observe(took)

    def relay_dropped(self, reason: Dropped) -> None:
        """A message was passed on and not measured."""
        self._metrics.relay_dropped.add(1, reason=reason)


class Receiver:
    """The ingest listener, whichever it is; raises ``ValueError`` for a file or URL that cannot be used."""

    def __init__(self, settings: Settings, pipeline: Pipeline, counts: Counts) -> None:
        self._settings = settings
        tls, listen, handshake_timeout = ingest_tls(settings), settings.listen, settings.handshake_timeout
        self._tls = tls is not None
        subscription = SUBSCRIPTION if settings.subscribe else None
        if settings.upstream is None:
            terms = Terms(
                subscription, settings.session_linger, settings.max_silence, settings.max_message_rate, settings.max_frame_bytes
            )
            limits = TapLimits(settings.max_frame_bytes, settings.session_linger, settings.idle_timeout + SWEEP_EVERY)
            taps = Clients(limits, lambda name: TapFeed(pipeline, name), counts)
            self._takes: Endpoint | Relay = Endpoint(
                ingest_door(settings, settings.path), terms, lambda: CallFeed(pipeline), taps, counts
            )
            self._listener: Listener | RawListener = Listener(
                self._takes,
                listen.host,
                listen.port,
                tls=tls,
                handshake_timeout=handshake_timeout,
                on_slow=counts.slow_handshake,
                on_no_tls=counts.failed_tls,
            )
        else:
            authorities = str(settings.upstream_ca) if settings.upstream_ca else None
            plan = ProxyConfig(
                upstream=parse_upstream(settings.upstream, authorities),
                handshake_timeout=handshake_timeout,
                timeout=settings.upstream_timeout,
                subscription=subscription,
                longest=settings.max_frame_bytes,
                alone=settings.observe_without_upstream,
            )
            self._takes = Relay(ingest_door(settings, None), plan, lambda: CallFeed(pipeline, relayed=True), counts)
            handshakes = None if tls is None else Tls(tls, handshake_timeout, counts.failed_tls)
            self._listener = RawListener(self._takes, listen.host, listen.port, handshakes)

    @property
    def listen(self) -> Address:
        """Where it listens, once started."""
        return Address(*self._listener.bound)

    @property
    def url(self) -> str:
        """What the platform is given; before an app with paths of its own, up to the path."""
        path = self._settings.path if self._settings.upstream is None else "/"
        return f"{'wss' if self._tls else 'ws'}://{self.listen}{path}"

    async def start(self) -> None:
        """Listen; raises ``OSError`` naming the address that cannot be had."""
        await self._listener.start()

    async def stop(self) -> None:
        """Take no new connections, let those that are open come to their end within the drain timeout, and end the others."""
        self._listener.close()
        default = DRAIN_ENDPOINT if self._settings.upstream is None else DRAIN_RELAY
        within = self._settings.drain_timeout
        await self._takes.drain(default if within is None else within)
        await self._listener.stop()

    async def sweep(self) -> None:
        """Do what is due; to be called about once a second."""
        await self._takes.sweep()
