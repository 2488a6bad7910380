"""The two connections that a relay joins: the platform's, which comes with a request, and the app's, which answers it."""

import asyncio
import logging
import socket
from time import monotonic
from typing import Any, Final

from exporter.receivers.proxy.fallback_session import FallbackSession, acceptance
from exporter.receivers.proxy.http1 import (
    END,
    EXTENSIONS,
    LONGEST,
    BadHeadError,
    Head,
    Target,
    handshake_of,
    is_upgrade,
    parse_head,
    refusal,
    status_of,
    target_of,
)
from exporter.receivers.proxy.registry import ProxyRegistry
from exporter.receivers.proxy.tunnel import Tunnel

_SWITCHING: Final = 101
_KEEPALIVE: Final = ((socket.TCP_KEEPIDLE, 20), (socket.TCP_KEEPINTVL, 5), (socket.TCP_KEEPCNT, 4))
"""A peer that is gone is found out after 40 s: pings are the two sides' own affair."""

log = logging.getLogger(__name__)


class PlatformSide(asyncio.Protocol):
    """The platform's connection: first its request, then what it sends."""

    def __init__(self, board: ProxyRegistry) -> None:
        self._board = board
        self._raw = bytearray()
        self._read_head = False
        self._dialling: asyncio.Task[None] | None = None
        self._app: AppLatency | None = None
        self._patience: asyncio.TimerHandle | None = None
        self.transport: Any = None
        self.tunnel: Tunnel | FallbackSession | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Wait for the request, for a time."""
        self.transport = transport
        _keep_alive(self.transport)
        self._board.opening += 1
        self._patience = asyncio.get_running_loop().call_later(self._board.plan.handshake_timeout, self._lose_patience)

    def data_received(self, data: bytes) -> None:
        """Pass on what came, or read on for the request; what comes with it waits for the app's answer."""
        if self.tunnel is not None:
            self.tunnel.from_platform(data)
            return
        self._raw += data
        if self._read_head:
            if len(self._raw) > LONGEST:
                self.transport.pause_reading()
            return
        end = self._raw.find(END)
        if end >= 0:
            self._read_head = True
            head, self._raw = bytes(self._raw[:end]), self._raw[end + len(END) :]
            self._ask(head)
        elif len(self._raw) > LONGEST:
            self.refuse(431, "bad_request", "the request is too large")

    def eof_received(self) -> bool:
        """The platform sends no more; it may still read."""
        if self.tunnel is None:
            return False
        self.tunnel.ended(self.transport)
        return bool(self.transport.can_write_eof())

    def connection_lost(self, _: Exception | None) -> None:
        """The platform is gone."""
        self._stop_waiting()
        if self.tunnel is None:
            self._board.opening -= 1
        if self._dialling is not None:
            self._dialling.cancel()
        if self.tunnel is not None:
            self.tunnel.lost(self.transport)
        elif self._app is not None and self._app.transport is not None:
            self._app.transport.abort()

    def pause_writing(self) -> None:
        """The platform does not read."""
        if self.tunnel is not None:
            self.tunnel.pause(self.transport)

    def resume_writing(self) -> None:
        """It reads again."""
        if self.tunnel is not None:
            self.tunnel.resume(self.transport)

    def refuse(self, status: int, reason: str, told: str) -> None:
        """Turn the connection away."""
        self._board.counts.refused(reason)
        log.info("a connection was refused", extra={"reason": reason, "status": status})
        if not self.transport.is_closing():
            self.transport.write(refusal(status, told))
            self.transport.close()

    def joined(self, tunnel: Tunnel | FallbackSession, answer: bytes) -> None:
        """The app accepted: answer the platform, and pass on what it sent meanwhile."""
        self._board.opening -= 1
        self.transport.write(answer)
        self.tunnel = tunnel
        early, self._raw = bytes(self._raw), bytearray()
        if early:
            tunnel.from_platform(early)
        self.transport.resume_reading()

    def _ask(self, raw: bytes) -> None:
        self._stop_waiting()
        try:
            head = parse_head(raw)
            target = target_of(head)
        except BadHeadError as error:
            self.refuse(400, "bad_request", str(error))
            return
        if not is_upgrade(head):
            self.refuse(426, "no_websocket", "this is a WebSocket endpoint")
            return
        judged = self._board.judged(head, target)
        if judged is not None:
            self.refuse(*judged)
            return
        door, plan = self._board.door, self._board.plan
        public = Target(door.public_path(target.path), target.query)
        request = plan.upstream.request(head, public, ours=door.took_token(handshake_of(head, target)))
        self._dialling = asyncio.get_running_loop().create_task(self._dial(head, request.encoded()))

    async def _dial(self, head: Head, request: bytes) -> None:
        """Reach the app, send it the request, and see what it answers."""
        plan, counts, loop = self._board.plan, self._board.counts, asyncio.get_running_loop()
        upstream, before = plan.upstream, monotonic()
        app = self._app = AppLatency(self._board, self)
        try:
            async with asyncio.timeout(plan.timeout):
                tls: dict[str, Any] = {"ssl": upstream.tls, "server_hostname": upstream.host} if upstream.tls else {}
                await loop.create_connection(lambda: app, upstream.host, upstream.port, **tls)
                counts.upstream_connected(monotonic() - before)
                app.transport.write(request)
                await app.answered
        except TimeoutError:
            self._fail(head, app, (504, "timeout"), f"did not answer within {plan.timeout:g} s")
        except OSError as error:
            self._fail(head, app, (502, "unreachable"), error.strerror or type(error).__name__)
        except BadHeadError as error:
            self._fail(head, app, (502, "no_answer"), str(error))

    def _fail(self, head: Head, app: "AppLatency", answer: tuple[int, str], why: str) -> None:
        status, reason = answer
        self._board.counts.upstream_failed(reason)
        log.warning("the app cannot be reached", extra={"upstream": str(self._board.plan.upstream), "reason": why})
        if app.transport is not None:
            app.transport.abort()
        if not self._board.plan.alone:
            self.refuse(status, "upstream", "the app behind the exporter cannot be reached")
        elif not self.transport.is_closing():
            taken = FallbackSession(self.transport, self._board.plan.longest, self._board.gone)
            self._board.watch(taken)
            self.joined(taken, acceptance(head))

    def _lose_patience(self) -> None:
        self._board.counts.refused("slow_handshake")
        self.transport.close()

    def _stop_waiting(self) -> None:
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None


class AppLatency(asyncio.Protocol):
    """The app's connection: first its answer, then what it sends."""

    def __init__(self, board: ProxyRegistry, platform: PlatformSide) -> None:
        self._board = board
        self._platform = platform
        self._raw = bytearray()
        self._passing = False
        self.tunnel: Tunnel | None = None
        self.transport: Any = None
        self.answered: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The app was reached."""
        self.transport = transport
        _keep_alive(self.transport)

    def data_received(self, data: bytes) -> None:
        """Pass on what came, or read on for the answer."""
        if self.tunnel is not None:
            self.tunnel.from_app(data)
        elif self._passing:
            self._platform.transport.write(data)
        else:
            self._raw += data
            end = self._raw.find(END)
            if end >= 0:
                head, rest = bytes(self._raw[:end]), bytes(self._raw[end + len(END) :])
                self._take(head, rest)
            elif len(self._raw) > LONGEST:
                self._give_up("the app's answer is too large")

    def eof_received(self) -> bool:
        """The app sends no more; it may still read."""
        if self.tunnel is None:
            return False
        self.tunnel.ended(self.transport)
        return bool(self.transport.can_write_eof())

    def connection_lost(self, _: Exception | None) -> None:
        """The app is gone."""
        if self.tunnel is not None:
            self.tunnel.lost(self.transport)
        elif self._passing:
            self._platform.transport.close()
        else:
            self._give_up("the app closed the connection without an answer")

    def pause_writing(self) -> None:
        """The app does not read."""
        if self.tunnel is not None:
            self.tunnel.pause(self.transport)

    def resume_writing(self) -> None:
        """It reads again."""
        if self.tunnel is not None:
            self.tunnel.resume(self.transport)

    def _take(self, raw: bytes, rest: bytes) -> None:
        try:
            head = parse_head(raw)
            status = status_of(head)
        except BadHeadError as error:
            self._give_up(str(error))
            return
        if not self.answered.done():
            self.answered.set_result(None)
        if self._platform.transport.is_closing():
            self.transport.abort()
        elif status == _SWITCHING:
            self._join(head.without(EXTENSIONS).encoded(), rest)
        else:
            self._pass_refusal(head, rest)

    def _join(self, answer: bytes, rest: bytes) -> None:
        board, platform = self._board, self._platform
        tunnel = Tunnel(platform.transport, self.transport, board.plan.longest, board.counts.relay_delay, board.gone)
        board.watch(tunnel)
        self.tunnel = tunnel
        platform.joined(tunnel, answer)
        if rest:
            tunnel.from_app(rest)

    def _pass_refusal(self, head: Head, rest: bytes) -> None:
        """The app will not have the connection: the platform gets the app's own words."""
        self._passing = True
        asyncio.get_running_loop().call_later(self._board.plan.timeout, self.transport.close)
        self._board.counts.upstream_failed("refused")
        self._board.counts.refused("upstream")
        self._platform.transport.write(head.encoded() + rest)

    def _give_up(self, why: str) -> None:
        if not self.answered.done():
            self.answered.set_exception(BadHeadError(why))


def _keep_alive(transport: asyncio.Transport) -> None:
    """Notice peers that vanished, and send small frames at once."""
    found = transport.get_extra_info("socket")
    if found is not None:
        found.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for option, value in _KEEPALIVE:
            found.setsockopt(socket.IPPROTO_TCP, option, value)
        found.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
