"""Listeners: a uvicorn server that the daemon binds, starts and stops, and one for connections without an HTTP server."""

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Callable, Iterator
from typing import Any, Final

import uvicorn
from starlette.types import ASGIApp

from exporter.auth.peer import OnRefused, ignore_refusal
from exporter.server.listener_config import TRANSPORT_CAP, ListenerConfig, ListenerLimits
from exporter.server.tested_versions import untested
from exporter.server.tls_server import ListenerTls, TlsServer

PING_INTERVAL: Final = 20.0
"""Seconds between pings. They detect peers that have vanished."""
PONG_TIMEOUT: Final = 20.0
"""Seconds a peer gets to answer a ping."""
_BACKLOG: Final = 2048
_SHUTDOWN_TIMEOUT: Final = 2
"""Seconds for requests in progress when the server stops."""

_COMMON: Final[dict[str, Any]] = {
    "ws_max_size": TRANSPORT_CAP,
    "ws_per_message_deflate": False,
    "ws_ping_interval": PING_INTERVAL,
    "ws_ping_timeout": PONG_TIMEOUT,
    "lifespan": "off",
    "log_config": None,
    "access_log": False,
    "server_header": False,
    "timeout_graceful_shutdown": _SHUTDOWN_TIMEOUT,
    "backlog": _BACKLOG,
}
"""uvicorn's settings, whichever protocols are used."""


class _Server(uvicorn.Server):
    """uvicorn's server without its signal handling, which drops unread data and ends the process by the signal."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.exit_requested = asyncio.Event()

    async def main_loop(self) -> None:
        """Update the date of answers once a second until the server stops. uvicorn's own loop wakes ten times a second."""
        while not await self.on_tick(0):
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(1.0):
                    await self.exit_requested.wait()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave the signals to the daemon."""
        yield


class _HardenedServer(_Server):
    """A server with our own protocols, see :mod:`exporter.server.uvicorn_protocols`."""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen on the bound sockets. uvicorn's own way allows a TLS handshake a minute."""
        from exporter.server.http_protocol import HttpProtocol  # noqa: PLC0415 - an untested uvicorn may not have what it needs

        config = self.config
        assert isinstance(config, ListenerConfig)  # noqa: S101 - for the types

        def protocol() -> HttpProtocol:
            return HttpProtocol(config=config, server_state=self.server_state, app_state={})

        tls = None
        if config.ssl is not None:
            tls = ListenerTls(config.ssl, config.limits.handshake_timeout, config.limits.max_pending, config.on_refused)
        self.servers = [await _serve(protocol, bound, tls) for bound in sockets or ()]  # type: ignore[misc] # uvicorn only closes them
        self.started = True


class Listener:
    """One address with an ASGI application.

    With ``tls`` it speaks TLS. ``on_refused`` is called when a connection exceeds one of the ``limits``, sends no request, or fails in
    its TLS handshake. Unless it is ``hardened``, it speaks through uvicorn's own protocols, which know none of these limits. By default
    it is if the installed uvicorn and websockets are versions that our protocols were tested with.
    """

    def __init__(
        self,
        app: ASGIApp,
        host: str,
        port: int,
        *,
        tls: ssl.SSLContext | None = None,
        limits: ListenerLimits | None = None,
        on_refused: OnRefused | None = None,
        hardened: bool | None = None,
    ) -> None:
        self._host = host
        self._port = port
        self._socket: socket.socket | None = None
        self._serving: asyncio.Task[None] | None = None
        hardened = not untested() if hardened is None else hardened
        config = _hardened_config(app) if hardened else ListenerConfig(app, **_COMMON)
        config.limit(limits or ListenerLimits(), on_refused or ignore_refusal)
        config.load()
        config.ssl = tls
        self._server = _HardenedServer(config) if hardened else _Server(config)

    @property
    def bound(self) -> tuple[str, int]:
        """Host and port of the bound socket. A configured port 0 becomes the real one."""
        return _bound(self._socket, self._host, self._port)

    async def start(self) -> None:
        """Bind the address and serve. Raises ``OSError`` that names the address if that fails."""
        self._socket = await _bind(self._host, self._port)
        self._serving = asyncio.create_task(self._server.serve(sockets=[self._socket]))
        while not self._server.started:
            if self._serving.done():
                await self._serving
            await asyncio.sleep(0.001)

    def close(self) -> None:
        """Accept no more connections. Open ones go on."""
        for server in getattr(self._server, "servers", ()):
            server.close()

    async def stop(self) -> None:
        """Close everything that is still open."""
        if self._serving is not None:
            self._server.should_exit = True
            self._server.exit_requested.set()
            await self._serving
            self._serving = None


def _hardened_config(app: ASGIApp) -> ListenerConfig:
    from exporter.server.http_protocol import HttpProtocol  # noqa: PLC0415 - an untested uvicorn may not have what they need
    from exporter.server.uvicorn_protocols import WebSocketProtocol  # noqa: PLC0415 - as above

    return ListenerConfig(app, http=HttpProtocol, ws=WebSocketProtocol, **_COMMON)


class RawListener:
    """One address without an HTTP server.

    ``new_protocol`` makes the protocol of each connection.
    """

    def __init__(self, new_protocol: Callable[[], asyncio.BaseProtocol], host: str, port: int, tls: ListenerTls | None) -> None:
        self._new_protocol = new_protocol
        self._host = host
        self._port = port
        self._tls = tls
        self._socket: socket.socket | None = None
        self._server: asyncio.Server | TlsServer | None = None

    @property
    def bound(self) -> tuple[str, int]:
        """Host and port of the bound socket. A configured port 0 becomes the real one."""
        return _bound(self._socket, self._host, self._port)

    async def start(self) -> None:
        """Bind the address and serve. Raises ``OSError`` that names the address if that fails."""
        self._socket = await _bind(self._host, self._port)
        self._server = await _serve(self._new_protocol, self._socket, self._tls)

    def close(self) -> None:
        """Accept no more connections. Open ones go on."""
        if self._server is not None:
            self._server.close()

    async def stop(self) -> None:
        """Accept no more connections. The daemon has ended the open ones before."""
        self.close()


async def _serve(
    new_protocol: Callable[[], asyncio.BaseProtocol], bound: socket.socket, tls: ListenerTls | None
) -> asyncio.Server | TlsServer:
    """Accept connections on a bound socket."""
    if tls is not None:
        return TlsServer(new_protocol, bound, tls)
    return await asyncio.get_running_loop().create_server(new_protocol, sock=bound, backlog=_BACKLOG)


def _bound(found: socket.socket | None, host: str, port: int) -> tuple[str, int]:
    if found is None:
        return host, port
    host, port = found.getsockname()[:2]
    return str(host), int(port)


class ListenError(OSError):
    """An address cannot be listened on. ``strerror`` names it, and the reason."""


async def _bind(host: str, port: int) -> socket.socket:
    """A listening socket. Raises :class:`ListenError`."""
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
        raise ListenError(error.errno, f"cannot listen on {host}:{port}: {error.strerror or error}") from error
    return bound
