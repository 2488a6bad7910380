"""A uvicorn server as a part of this process: bound by us, started and stopped in our order, signals left to us."""

import asyncio
import contextlib
import logging
import socket
import ssl
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final

import uvicorn

from exporter.server.uvicorn_protocols import HttpProtocol, ListenerConfig, WebSocketProtocol

TRANSPORT_CAP: Final = 16 * 1024 * 1024
"""Largest WebSocket message that is taken in at all, in bytes; above it the protocol closes with 1009."""
PING_EVERY: Final = 20.0
"""Seconds between pings, by which a connection whose other end is gone is found out."""
PONG_WITHIN: Final = 20.0
"""Seconds a peer gets to answer a ping."""
_TLS_SLACK: Final = 0.1
"""Seconds after the end of a handshake's time when it is looked whether there was one."""
_BACKLOG: Final = 2048
_LAST_REQUESTS: Final = 2
"""Seconds that requests under way get when the server stops."""


log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Tls:
    """TLS of a listener; a handshake gets ``handshake_timeout`` seconds, and ``on_failure`` is called if it fails or takes longer."""

    context: ssl.SSLContext
    handshake_timeout: float
    on_failure: Callable[[], None]


class _Server(uvicorn.Server):
    """uvicorn's own handling of signals drops what was not read yet and ends the process by the signal."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.told_to_exit = asyncio.Event()

    async def main_loop(self) -> None:
        """Keep the date of answers current until told to exit; uvicorn's own loop wakes ten times a second."""
        while not await self.on_tick(0):
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(1.0):
                    await self.told_to_exit.wait()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen on the sockets we bound; uvicorn's own way leaves a TLS handshake a minute."""
        config = self.config
        assert isinstance(config, ListenerConfig)  # noqa: S101 - for the types

        def protocol() -> HttpProtocol:
            return HttpProtocol(config=config, server_state=self.server_state, app_state={})

        tls = None if config.ssl is None else Tls(config.ssl, config.handshake_timeout, config.on_no_tls)
        self.servers = [await _serve(protocol, bound, tls) for bound in sockets or ()]
        self.started = True

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave the signals to the composition root."""
        yield


class Listener:
    """One address and the ASGI application behind it.

    With ``tls`` it speaks TLS, and ``on_no_tls`` is called for a connection that does not get through its handshake. One that makes no
    request within ``handshake_timeout`` seconds is closed, and ``on_slow`` called.
    """

    def __init__(
        self,
        app: Any,  # noqa: ANN401 - ASGI applications have no common type
        host: str,
        port: int,
        *,
        tls: ssl.SSLContext | None = None,
        handshake_timeout: float = 10.0,
        on_slow: Callable[[], None] = lambda: None,
        on_no_tls: Callable[[], None] = lambda: None,
    ) -> None:
        self._host = host
        self._port = port
        self._socket: socket.socket | None = None
        self._serving: asyncio.Task[None] | None = None
        config = ListenerConfig(
            app,
            http=HttpProtocol,
            ws=WebSocketProtocol,
            ws_max_size=TRANSPORT_CAP,
            ws_per_message_deflate=False,
            ws_ping_interval=PING_EVERY,
            ws_ping_timeout=PONG_WITHIN,
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=_LAST_REQUESTS,
            backlog=_BACKLOG,
            ssl_context_factory=None if tls is None else lambda *_: tls,
        )
        config.handshake_timeout, config.on_slow, config.on_no_tls = handshake_timeout, on_slow, on_no_tls
        self._server = _Server(config)

    @property
    def bound(self) -> tuple[str, int]:
        """Host and port that are really listened on."""
        return _bound(self._socket, self._host, self._port)

    async def start(self) -> None:
        """Bind and serve; raises ``OSError`` naming the address if it cannot be had."""
        self._socket = await _bind(self._host, self._port)
        self._serving = asyncio.create_task(self._server.serve(sockets=[self._socket]))
        while not self._server.started:
            if self._serving.done():
                await self._serving
            await asyncio.sleep(0.001)

    def close(self) -> None:
        """Take no further connections; those that are open go on."""
        for server in getattr(self._server, "servers", ()):
            server.close()

    async def stop(self) -> None:
        """End what is still open."""
        if self._serving is not None:
            self._server.should_exit = True
            self._server.told_to_exit.set()
            await self._serving
            self._serving = None


class RawListener:
    """One address behind which every connection gets a protocol of its own making, with no HTTP server between.

    ``protocols`` makes one for each connection; its ``transport`` is ``None`` until there is one.
    """

    def __init__(self, protocols: Callable[[], asyncio.BaseProtocol], host: str, port: int, tls: Tls | None) -> None:
        self._protocols = protocols
        self._host = host
        self._port = port
        self._tls = tls
        self._socket: socket.socket | None = None
        self._server: asyncio.AbstractServer | None = None

    @property
    def bound(self) -> tuple[str, int]:
        """Host and port that are really listened on."""
        return _bound(self._socket, self._host, self._port)

    async def start(self) -> None:
        """Bind and serve; raises ``OSError`` naming the address if it cannot be had."""
        self._socket = await _bind(self._host, self._port)
        self._server = await _serve(self._protocols, self._socket, self._tls)

    def close(self) -> None:
        """Take no further connections; those that are open go on."""
        if self._server is not None:
            self._server.close()

    async def stop(self) -> None:
        """Nothing is left to be done once the connections have ended."""
        self.close()


async def _serve(protocols: Callable[[], asyncio.BaseProtocol], bound: socket.socket, tls: Tls | None) -> asyncio.Server:
    """Take connections on a bound socket. A protocol is made for each at once, but is told of it only after its TLS handshake."""
    loop = asyncio.get_running_loop()
    if tls is None:
        return await loop.create_server(protocols, sock=bound, backlog=_BACKLOG)

    def watched() -> asyncio.BaseProtocol:
        protocol = protocols()
        loop.call_later(tls.handshake_timeout + _TLS_SLACK, _look_after, protocol, tls.on_failure)
        return protocol

    return await loop.create_server(watched, sock=bound, ssl=tls.context, backlog=_BACKLOG, ssl_handshake_timeout=tls.handshake_timeout)


def _look_after(protocol: asyncio.BaseProtocol, on_failure: Callable[[], None]) -> None:
    if getattr(protocol, "transport", None) is None:
        log.debug("a connection did not get through its TLS handshake")
        on_failure()


def _bound(found: socket.socket | None, host: str, port: int) -> tuple[str, int]:
    if found is None:
        return host, port
    host, port = found.getsockname()[:2]
    return str(host), int(port)


async def _bind(host: str, port: int) -> socket.socket:
    """A listening socket; raises ``OSError`` that names the address."""
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, kind, protocol, _, address = found[0]
        bound = socket.socket(family, kind, protocol)
        try:
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            bound.bind(address)
            bound.listen(_BACKLOG)
            bound.setblocking(False)  # noqa: FBT003 - the socket module takes it by position
        except OSError:
            bound.close()
            raise
    except OSError as error:
        raise OSError(error.errno, f"cannot listen on {host}:{port}: {error.strerror or error}") from error
    return bound
