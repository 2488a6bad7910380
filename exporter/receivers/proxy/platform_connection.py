"""The platform's connection to a relay: it opens with a request, and carries the bytes for the app once the app has accepted."""

import asyncio
import logging
from time import monotonic
from typing import cast

from exporter.auth import Refusal
from exporter.receivers.proxy.app_connection import AppConnection
from exporter.receivers.proxy.fallback_session import FallbackSession, acceptance
from exporter.receivers.proxy.http1 import (
    HEAD_END,
    MAX_HEAD,
    RELAYS,
    BadHeadError,
    Head,
    Target,
    TooLargeError,
    handshake_of,
    is_upgrade,
    parse_head,
    refusal_answer,
    target_of,
)
from exporter.receivers.proxy.keepalive import keep_alive
from exporter.receivers.proxy.registry import ProxyRegistry
from exporter.receivers.proxy.tunnel import Tunnel

log = logging.getLogger(__name__)


class PlatformConnection(asyncio.Protocol):
    """The platform's connection: first its request, then the bytes for the app. ``tunnel`` is set once the app has accepted."""

    transport: asyncio.Transport | None = None
    """Set when the connection is made, after a TLS handshake if there is one."""

    def __init__(self, registry: ProxyRegistry) -> None:
        self._registry = registry
        self._received = bytearray()
        self._head_complete = False
        self._dial_task: asyncio.Task[None] | None = None
        self._app: AppConnection | None = None
        self._handshake_timer: asyncio.TimerHandle | None = None
        self.tunnel: Tunnel | FallbackSession | None = None

    @property
    def open_transport(self) -> asyncio.Transport:
        """The transport; only once the connection is made."""
        assert self.transport is not None  # noqa: S101 - asyncio calls connection_made before anything else
        return self.transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Wait for the request, within the handshake timeout."""
        self.transport = cast(asyncio.Transport, transport)  # what asyncio makes for a stream socket
        keep_alive(self.transport)
        loop = asyncio.get_running_loop()
        self._handshake_timer = loop.call_later(self._registry.config.handshake_timeout, self.cut_off, "slow_handshake")
        self._registry.wait(self)

    def data_received(self, data: bytes) -> None:
        """Forward bytes, or read the request. Bytes after the request wait until the app has answered."""
        if self.tunnel is not None:
            self.tunnel.from_platform(data)
            return
        self._received += data
        if self._head_complete:
            if len(self._received) > MAX_HEAD:
                self.open_transport.pause_reading()
            return
        end = self._received.find(HEAD_END)
        if (len(self._received) if end < 0 else end) > MAX_HEAD:
            self._received.clear()
            self._refuse(Refusal(431, "bad_request", f"the request is too large: expected at most {MAX_HEAD} bytes"))
        elif end >= 0:
            self._head_complete = True
            head, self._received = bytes(self._received[:end]), self._received[end + len(HEAD_END) :]
            self._request_received(head)

    def eof_received(self) -> bool:
        """The platform sends no more, but it may still read."""
        if self.tunnel is None:
            return False
        self.tunnel.eof_received(self.open_transport)
        return bool(self.open_transport.can_write_eof())

    def connection_lost(self, _: Exception | None) -> None:
        """The platform's connection has ended."""
        self._stop_waiting()
        if self.tunnel is None and self._dial_task is not None:
            self._registry.dialing -= 1
        if self._dial_task is not None:
            self._dial_task.cancel()
        if self.tunnel is not None:
            self.tunnel.connection_lost(self.open_transport)
        elif self._app is not None:
            self._app.abort()
        self._app = self._dial_task = None  # both hold this connection

    def pause_writing(self) -> None:
        """The platform does not read."""
        if self.tunnel is not None:
            self.tunnel.pause_writing(self.open_transport)

    def resume_writing(self) -> None:
        """The platform reads again."""
        if self.tunnel is not None:
            self.tunnel.resume_writing(self.open_transport)

    def cut_off(self, reason: str) -> None:
        """End a connection that has not sent its request."""
        self._stop_waiting()
        self._registry.observer.refused(reason, self.open_transport.get_extra_info("peername"))
        self.open_transport.abort()

    def join(self, tunnel: Tunnel | FallbackSession, answer: bytes) -> None:
        """Send the answer that accepts the request, then forward what the platform sent meanwhile."""
        self._registry.dialing -= 1
        self.open_transport.write(answer)
        self.tunnel = tunnel
        early, self._received = bytes(self._received), bytearray()
        if early:
            tunnel.from_platform(early)
        self.open_transport.resume_reading()

    def _refuse(self, refusal: Refusal) -> None:
        self._stop_waiting()
        peer = self.open_transport.get_extra_info("peername")
        self._registry.observer.refused(refusal.reason, peer, status=refusal.status)
        if not self.open_transport.is_closing():
            self.open_transport.write(refusal_answer(refusal.status, refusal.message))
            self.open_transport.close()

    def _request_received(self, raw: bytes) -> None:
        self._stop_waiting()
        try:
            head = parse_head(raw)
            target = target_of(head)
        except BadHeadError as error:
            self._refuse(Refusal(431 if isinstance(error, TooLargeError) else 400, "bad_request", f"bad request: {error}"))
            return
        if not is_upgrade(head):
            self._refuse(Refusal(426, "no_websocket", "expected a WebSocket handshake"))
            return
        handshake = handshake_of(head, target)
        refusal = self._registry.decide(handshake)
        if refusal is not None:
            self._refuse(refusal)
            return
        policy = self._registry.auth_policy
        request = self._registry.config.upstream.request(
            head, Target(policy.public_path(target.path), target.query), drop_authorization=policy.consumed_authorization(handshake)
        )
        request = request.with_header(RELAYS, self._registry.relay_id)
        self._registry.dialing += 1
        self._dial_task = asyncio.get_running_loop().create_task(self._dial(head, request.encoded()))

    async def _dial(self, head: Head, request: bytes) -> None:
        """Connect to the app, send it the request, and wait for its answer."""
        config, loop = self._registry.config, asyncio.get_running_loop()
        upstream, started = config.upstream, monotonic()
        app = self._app = AppConnection(self._registry, self.open_transport, self.join)
        server_name = upstream.host if upstream.tls else None
        try:
            async with asyncio.timeout(config.upstream_timeout):
                await loop.create_connection(lambda: app, upstream.host, upstream.port, ssl=upstream.tls, server_hostname=server_name)
                self._registry.observer.upstream_connected(monotonic() - started)
                app.open_transport.write(request)
                await app.answered
        except TimeoutError:
            self._dial_failed(head, app, 504, "timeout", f"no answer within {config.upstream_timeout:g} s")
        except OSError as error:
            self._dial_failed(head, app, 502, "unreachable", error.strerror or type(error).__name__)
        except BadHeadError as error:
            self._dial_failed(head, app, 502, "no_answer", str(error))

    def _dial_failed(self, head: Head, app: AppConnection, status: int, reason: str, detail: str) -> None:
        registry = self._registry
        registry.observer.upstream_failed(reason)
        log.warning("connection to the app failed", extra={"upstream": str(registry.config.upstream), "reason": detail})
        app.abort()
        if not registry.config.allow_fallback:
            self._refuse(Refusal(status, "upstream", "the app behind the exporter cannot be reached"))
        elif not self.open_transport.is_closing():
            session = FallbackSession(self.open_transport, registry.config.max_message, registry.budget, registry.remove)
            registry.add(session)
            self.join(session, acceptance(head))

    def _stop_waiting(self) -> None:
        self._registry.waiting.pop(self, None)
        if self._handshake_timer is not None:
            self._handshake_timer.cancel()
            self._handshake_timer = None
