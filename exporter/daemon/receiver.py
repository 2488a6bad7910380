"""The receiver that the settings ask for: the endpoint, or with ``--upstream`` the relay in front of the customer's app."""

import ssl
from typing import Final

import msgspec

from exporter.config import Address, Settings
from exporter.daemon.auth import IngestTokens, ingest_auth_policy, ingest_tls
from exporter.daemon.descriptors import Places
from exporter.daemon.receiver_metrics import ReceiverMetrics
from exporter.pipeline.call_feed import CallFeed
from exporter.pipeline.pipeline import SUBSCRIPTION, SWEEP_EVERY, Pipeline
from exporter.pipeline.tap_feed import TapFeed
from exporter.protocol.long_event import LONGEST_EVENT
from exporter.receivers.proxy.receiver import ProxyConfig, ProxyReceiver
from exporter.receivers.proxy.upstream import parse_upstream
from exporter.receivers.read_budget import ReadBudget
from exporter.receivers.tap.client_sequences import TapClients, TapLimits, largest_message
from exporter.receivers.websocket import Endpoint, EndpointConfig
from exporter.server.listener_config import ListenerLimits
from exporter.server.listeners import Listener, RawListener
from exporter.server.reloading_file import FileWatcher
from exporter.server.tls_server import ListenerTls

DRAIN_ENDPOINT: Final = 2.0
DRAIN_RELAY: Final = 25.0
"""Default drain timeouts in seconds. The calls of an app end by themselves, within the 30 s that Kubernetes usually grants."""


class Receiver:
    """The ingest listener with its receiver, for the connections that it has ``places`` for.

    Raises ``ValueError`` for a file or URL that cannot be used.
    """

    def __init__(self, settings: Settings, places: Places, pipeline: Pipeline, metrics: ReceiverMetrics, watcher: FileWatcher) -> None:
        settings = msgspec.structs.replace(settings, max_connections=places.calls)
        self._settings = settings
        self.tokens = IngestTokens(settings, watcher)
        tls = ingest_tls(settings, watcher)
        self._scheme = "ws" if tls is None else "wss"
        self._application: Endpoint | ProxyReceiver
        self._listener: Listener | RawListener
        budget = ReadBudget()
        if settings.upstream is None:
            self._application = endpoint = create_endpoint(settings, pipeline, metrics, self.tokens, budget)
            self._listener = _endpoint_listener(settings, endpoint, tls, metrics, max_pending=places.pending, budget=budget)
        else:
            self._application = relay = _relay(settings, settings.upstream, pipeline, metrics, self.tokens, max_waiting=places.pending)
            listener_tls = None if tls is None else ListenerTls(tls, settings.handshake_timeout, places.pending, metrics.refused)
            self._listener = RawListener(relay, settings.listen.host, settings.listen.port, listener_tls)

    @property
    def listen(self) -> Address:
        """The address it listens on, once started."""
        return Address(*self._listener.bound)

    @property
    def url(self) -> str:
        """The URL for the platform. In front of an app, which has its own paths, the URL ends with ``/``."""
        path = self._settings.path if self._settings.upstream is None else "/"
        return f"{self._scheme}://{self.listen}{path}"

    async def start(self) -> None:
        """Listen. Raises ``OSError`` that names the address if that fails."""
        await self._listener.start()

    async def stop(self) -> None:
        """Accept no new connections, let the open ones end within the drain timeout, and close the others."""
        self._listener.close()
        await self._application.drain(drain_timeout(self._settings))
        await self._listener.stop()

    async def sweep(self) -> None:
        """Do what is due. To be called about once a second."""
        await self._application.sweep()


def drain_timeout(settings: Settings) -> float:
    """Seconds that open connections are read after a stop was requested."""
    if settings.drain_timeout is not None:
        return settings.drain_timeout
    return DRAIN_ENDPOINT if settings.upstream is None else DRAIN_RELAY


def create_endpoint(
    settings: Settings, pipeline: Pipeline, metrics: ReceiverMetrics, tokens: IngestTokens, budget: ReadBudget
) -> Endpoint:
    """The ASGI application that receives events."""
    config = EndpointConfig(
        subscription=SUBSCRIPTION if settings.subscribe else None,
        linger=settings.session_linger,
        max_silence=settings.max_silence,
        max_rate=settings.max_message_rate,
        read_budget=budget,
    )
    limits = TapLimits(event=settings.max_frame_bytes, linger=settings.session_linger, silence=settings.idle_timeout + SWEEP_EVERY)
    taps = TapClients(limits, lambda name: TapFeed(pipeline, name), metrics)
    return Endpoint(ingest_auth_policy(settings, settings.path, tokens), config, lambda: CallFeed(pipeline), taps, metrics)


def _endpoint_listener(
    settings: Settings,
    endpoint: Endpoint,
    tls: ssl.SSLContext | None,
    metrics: ReceiverMetrics,
    *,
    max_pending: int,
    budget: ReadBudget,
) -> Listener:
    return Listener(
        endpoint,
        settings.listen.host,
        settings.listen.port,
        tls=tls,
        limits=ListenerLimits(
            handshake_timeout=settings.handshake_timeout,
            max_pending=max_pending,
            max_message=settings.max_frame_bytes,
            longest_message=largest_message(max(settings.max_frame_bytes, LONGEST_EVENT)),
            read_budget=budget,
            max_frame_rate=settings.max_message_rate,
        ),
        on_refused=metrics.refused,
    )


def _relay(
    settings: Settings, upstream: str, pipeline: Pipeline, metrics: ReceiverMetrics, tokens: IngestTokens, *, max_waiting: int
) -> ProxyReceiver:
    config = ProxyConfig(
        upstream=parse_upstream(upstream, None if settings.upstream_ca is None else str(settings.upstream_ca)),
        handshake_timeout=settings.handshake_timeout,
        upstream_timeout=settings.upstream_timeout,
        subscription=SUBSCRIPTION if settings.subscribe else None,
        max_message=settings.max_frame_bytes,
        allow_fallback=settings.observe_without_upstream,
        max_waiting=max_waiting,
    )
    return ProxyReceiver(ingest_auth_policy(settings, None, tokens), config, lambda: CallFeed(pipeline, relayed=True), metrics)
