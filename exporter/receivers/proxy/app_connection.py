"""The app's connection of a relay: it answers the platform's request, and carries the bytes for the platform after that."""

import asyncio
from collections.abc import Callable
from typing import Final, cast

from exporter.receivers.proxy.http1 import EXTENSIONS, HEAD_END, MAX_HEAD, BadHeadError, Head, parse_head, status_of
from exporter.receivers.proxy.keepalive import keep_alive
from exporter.receivers.proxy.registry import ProxyRegistry
from exporter.receivers.proxy.tunnel import Tunnel

_SWITCHING: Final = 101
_FIRST_FINAL: Final = 200


class AppConnection(asyncio.Protocol):
    """The app's connection: first its answer, then the bytes for the platform.

    ``platform`` is the connection of the platform. ``join`` is called with the tunnel and the answer when the app accepts.
    ``answered`` is done once the answer has arrived. It holds :class:`BadHeadError` if the answer is not HTTP or never arrives.
    """

    def __init__(self, registry: ProxyRegistry, platform: asyncio.Transport, join: Callable[[Tunnel, bytes], None]) -> None:
        self._registry = registry
        self._platform = platform
        self._join = join
        self._received = bytearray()
        self._interim = 0
        self._forwarding_refusal = False
        self._transport: asyncio.Transport | None = None
        self.tunnel: Tunnel | None = None
        self.answered: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    @property
    def open_transport(self) -> asyncio.Transport:
        """The transport; only once the connection is made."""
        assert self._transport is not None  # noqa: S101 - asyncio calls connection_made before anything else
        return self._transport

    def abort(self) -> None:
        """Close the connection at once, if it is made."""
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The app was reached."""
        self._transport = cast(asyncio.Transport, transport)  # what asyncio makes for a stream socket
        keep_alive(self._transport)

    def data_received(self, data: bytes) -> None:
        """Forward bytes, or read the answer."""
        if self.tunnel is not None:
            self.tunnel.from_app(data)
        elif self._forwarding_refusal:
            self._platform.write(data)
        else:
            self._received += data
            self._read_answer()

    def eof_received(self) -> bool:
        """The app sends no more, but it may still read."""
        if self.tunnel is None:
            return False
        self.tunnel.eof_received(self.open_transport)
        return bool(self.open_transport.can_write_eof())

    def connection_lost(self, _: Exception | None) -> None:
        """The app's connection has ended."""
        if self.tunnel is not None:
            self.tunnel.connection_lost(self.open_transport)
        elif self._forwarding_refusal:
            self._platform.close()
        else:
            self._answer_failed("the app closed the connection without an answer")

    def pause_writing(self) -> None:
        """The app does not read."""
        if self.tunnel is not None:
            self.tunnel.pause_writing(self.open_transport)

    def resume_writing(self) -> None:
        """The app reads again."""
        if self.tunnel is not None:
            self.tunnel.resume_writing(self.open_transport)

    def _read_answer(self) -> None:
        """Read the final answer. Interim answers before it, such as 103, are forwarded as any proxy must (RFC 9110, section 15.2)."""
        while 0 <= (end := self._received.find(HEAD_END)) <= MAX_HEAD - self._interim:
            raw, rest = bytes(self._received[:end]), bytes(self._received[end + len(HEAD_END) :])
            try:
                head = parse_head(raw)
                status = status_of(head)
            except BadHeadError as error:
                self._answer_failed(f"the app's answer is not HTTP: {error}")
                return
            if status >= _FIRST_FINAL or status == _SWITCHING:
                self._answer_received(head, status, rest)
                return
            self._interim += end
            self._received = bytearray(rest)
            if not self._platform.is_closing():
                self._platform.write(raw + HEAD_END)
        if len(self._received) + self._interim > MAX_HEAD:
            self._answer_failed(f"the app's answer is too large: expected at most {MAX_HEAD} bytes")

    def _answer_received(self, head: Head, status: int, rest: bytes) -> None:
        if not self.answered.done():
            self.answered.set_result(None)
        if self._platform.is_closing():
            self.abort()
        elif status == _SWITCHING:
            self._accept(head.without(EXTENSIONS).encoded(), rest)
        else:
            self._forward_refusal(head, rest)

    def _accept(self, answer: bytes, rest: bytes) -> None:
        registry = self._registry
        tunnel = Tunnel(
            self._platform,
            self.open_transport,
            max_message=registry.config.max_message,
            budget=registry.budget,
            observe_delay=registry.observer.relay_delay,
            on_end=registry.remove,
        )
        registry.add(tunnel)
        self.tunnel = tunnel
        self._join(tunnel, answer)
        if rest:
            tunnel.from_app(rest)

    def _forward_refusal(self, head: Head, rest: bytes) -> None:
        """The app refuses the connection: forward its own answer to the platform."""
        self._forwarding_refusal = True
        asyncio.get_running_loop().call_later(self._registry.config.upstream_timeout, self.open_transport.close)
        self._registry.observer.upstream_failed("refused")
        self._registry.observer.refused("upstream")
        self._platform.write(head.encoded() + rest)

    def _answer_failed(self, problem: str) -> None:
        if not self.answered.done():
            self.answered.set_exception(BadHeadError(problem))
