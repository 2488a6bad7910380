"""A TLS server that knows whose handshake failed, and bounds how many are in progress.

asyncio's own server reports no failed handshake. Its protocols learn of a connection only once the handshake is done.
"""

import asyncio
import contextlib
import logging
import socket
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from exporter.auth.peer import OnRefused

_ACCEPTS_PER_TURN: Final = 64
"""Connections accepted before other work of the event loop gets its turn."""
_RETRY_AFTER: Final = 1.0
"""Seconds until connections are accepted again, after the system had no descriptors or memory for one."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ListenerTls:
    """TLS of a listener.

    ``on_refused`` is called if a handshake fails, takes longer than ``handshake_timeout`` seconds, or is the oldest of more than
    ``max_pending``.
    """

    context: ssl.SSLContext
    handshake_timeout: float
    max_pending: int
    on_refused: OnRefused


class TlsServer:
    """Accepts connections on a bound socket. ``new_protocol`` makes the protocol of each one whose handshake is done."""

    def __init__(self, new_protocol: Callable[[], asyncio.BaseProtocol], bound: socket.socket, tls: ListenerTls) -> None:
        self._new_protocol = new_protocol
        self._bound = bound
        self._tls = tls
        self._loop = asyncio.get_running_loop()
        self._tasks: set[asyncio.Task[None]] = set()
        self._pending: dict[asyncio.Task[None], object] = {}
        """The peers of handshakes in progress, the oldest first."""
        self._closed = False
        self._resume()

    def close(self) -> None:
        """Accept no more connections. Handshakes in progress go on."""
        if not self._closed:
            self._closed = True
            self._loop.remove_reader(self._bound)
            self._bound.close()

    async def wait_closed(self) -> None:
        """Nothing: connections are ended by whoever serves them. uvicorn asks each of its servers."""

    def _resume(self) -> None:
        if not self._closed:
            self._loop.add_reader(self._bound, self._accept)

    def _accept(self) -> None:
        for _ in range(_ACCEPTS_PER_TURN):
            try:
                connection, peer = self._bound.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                log.error("accepting connections failed", extra={"reason": error.strerror})  # noqa: TRY400 - the reason says all
                self._loop.remove_reader(self._bound)
                self._loop.call_later(_RETRY_AFTER, self._resume)
                return
            connection.setblocking(False)  # noqa: FBT003 - the socket module takes it by position
            with contextlib.suppress(OSError):  # the peer is gone already, or this is no TCP socket
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            task = self._loop.create_task(self._shake_hands(connection, peer))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _shake_hands(self, connection: socket.socket, peer: object) -> None:
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - for the types
        self._pending[task] = peer
        if len(self._pending) > self._tls.max_pending:
            self._end_oldest()
        deadline = self._loop.time() + self._tls.handshake_timeout
        try:
            if await self._has_spoken(connection, deadline):
                await self._loop.connect_accepted_socket(
                    self._new_protocol,
                    connection,
                    ssl=self._tls.context,
                    ssl_handshake_timeout=max(0.001, deadline - self._loop.time()),
                )
        except OSError as error:
            self._tls.on_refused("tls_handshake", peer, problem=_problem(error))
        finally:
            self._pending.pop(task, None)

    async def _has_spoken(self, connection: socket.socket, deadline: float) -> bool:
        """Wait for the first byte. A port probe sends none and closes, which is no failed handshake.

        Closes the connection unless there is a byte. Raises TimeoutError at the deadline.
        """
        readable: asyncio.Future[None] = self._loop.create_future()
        self._loop.add_reader(connection, _done, readable)
        spoken = False
        try:
            async with asyncio.timeout_at(deadline):
                await readable
            with contextlib.suppress(ConnectionError):
                spoken = bool(connection.recv(1, socket.MSG_PEEK))
        finally:
            self._loop.remove_reader(connection)
            if not spoken:
                connection.close()
        return spoken

    def _end_oldest(self) -> None:
        oldest = next(iter(self._pending))
        self._tls.on_refused("too_many", self._pending.pop(oldest))
        oldest.cancel()


def _done(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


def _problem(error: OSError) -> str:
    """What went wrong, in the words of OpenSSL or of the system."""
    if isinstance(error, ssl.SSLError):
        return (error.reason or "TLS error").lower().replace("_", " ")
    return "timeout" if isinstance(error, TimeoutError | ConnectionAbortedError) else "connection closed"
