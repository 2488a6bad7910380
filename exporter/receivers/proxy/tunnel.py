"""A relayed connection after the handshake: bytes are forwarded first and unchanged, and inspected afterwards.

If one side does not read, the other side is no longer read. So the buffers of two sockets bound what is held in memory. If one side
ends, the other one ends too, after everything that was sent has been forwarded.
"""

import asyncio
from collections.abc import Callable
from time import perf_counter
from typing import Final

from exporter.protocol.commands import Direction
from exporter.receivers.proxy.frames import Message, Scanner, close_frame, text_frame
from exporter.receivers.proxy.inspector import MessageInspector
from exporter.receivers.read_budget import ReadBudget
from exporter.receivers.steady_clock import CLOCK

HIGH_WATER: Final = 256 * 1024
"""Bytes that may wait to be written to one side before the other side is no longer read."""
_CLOSE_MASK: Final = b"\x37\xa1\x5c\xe9"
"""Mask of the close frame for the app. A mask protects proxies from scripts; this frame has fixed content, so the mask is fixed too."""


class Tunnel:
    """Forwards bytes between ``platform`` and ``app`` until both connections have ended, then calls ``on_end``.

    Messages of more than ``max_message`` bytes are shortened while they arrive. ``budget`` counts what is held of messages that have
    not yet arrived completely. ``observe_delay`` is called with the seconds that forwarding took.
    """

    def __init__(
        self,
        platform: asyncio.Transport,
        app: asyncio.Transport,
        *,
        max_message: int,
        budget: ReadBudget,
        observe_delay: Callable[[float], None],
        on_end: Callable[["Tunnel"], None],
    ) -> None:
        self._platform = platform
        self._app = app
        self._platform_scanner = Scanner(max_message, budget)
        self._app_scanner = Scanner(max_message, budget)
        self._observe_delay = observe_delay
        self._on_end = on_end
        self._to_insert: list[bytes] = []
        self._inspector: MessageInspector | None = None
        self._open_sides = 2
        self._eof_sent_to: asyncio.Transport | None = None
        for transport in (platform, app):
            transport.set_write_buffer_limits(high=HIGH_WATER)

    def inspect(self, inspector: MessageInspector) -> None:
        """Pass all further messages to ``inspector``."""
        self._inspector = inspector

    def from_platform(self, data: bytes) -> None:
        """Forward bytes of the platform."""
        before = perf_counter()
        self._app.write(data)
        self._observe_delay(perf_counter() - before)
        self._scan("caller", self._platform_scanner, data)

    def from_app(self, data: bytes) -> None:
        """Forward bytes of the app."""
        before = perf_counter()
        if self._to_insert:
            self._forward_and_insert(data)
            self._observe_delay(perf_counter() - before)
            return
        self._platform.write(data)
        self._observe_delay(perf_counter() - before)
        self._scan("agent", self._app_scanner, data)

    def insert(self, text: bytes) -> None:
        """Send a message of the exporter to the platform, at once or after the app's message that is under way."""
        if self._app_scanner.between:
            if self._eof_sent_to is not self._platform and not self._platform.is_closing():
                self._platform.write(text_frame(text))
        elif self._may_insert():
            self._to_insert = [*self._to_insert[-1:], text]

    def close(self, code: int, reason: str) -> None:
        """Close both connections. Each side gets a close frame, unless it would interrupt a message."""
        for transport, scanner, mask in (
            (self._platform, self._app_scanner, b""),
            (self._app, self._platform_scanner, _CLOSE_MASK),
        ):
            if scanner.between and transport is not self._eof_sent_to and not transport.is_closing():
                transport.write(close_frame(code, reason, mask=mask))
            transport.close()

    def abort(self) -> None:
        """Close both connections at once."""
        for transport in (self._platform, self._app):
            transport.abort()

    def eof_received(self, sender: asyncio.Transport) -> None:
        """One side sends no more. The other side gets the end of the stream after all data."""
        other = self._other(sender)
        if self._eof_sent_to is not None or not (other.can_write_eof() and sender.can_write_eof()):
            self._platform.close()
            self._app.close()
            return
        self._eof_sent_to = other
        if not other.is_closing():
            other.write_eof()

    def connection_lost(self, lost: asyncio.Transport) -> None:
        """The connection of one side has ended. The other one is closed after all data."""
        self._open_sides -= 1
        self._other(lost).close()
        (self._platform_scanner if lost is self._platform else self._app_scanner).close()
        if not self._open_sides:
            if self._inspector is not None:
                self._inspector.close()
                self._inspector = None  # it holds the tunnel
            self._on_end(self)

    def pause_writing(self, slow: asyncio.Transport) -> None:
        """One side does not read: stop reading the other one."""
        other = self._other(slow)
        if not other.is_closing():
            other.pause_reading()

    def resume_writing(self, ready: asyncio.Transport) -> None:
        """The side reads again."""
        other = self._other(ready)
        if not other.is_closing():
            other.resume_reading()

    def _other(self, side: asyncio.Transport) -> asyncio.Transport:
        return self._app if side is self._platform else self._platform

    def _forward_and_insert(self, data: bytes) -> None:
        """Forward bytes of the app, and insert the exporter's messages at the first place between two of the app's."""
        messages = self._scanned(self._app_scanner, data)
        gap = self._app_scanner.gap
        if gap < 0 or not self._may_insert():
            self._platform.write(data)
        else:
            inserted, self._to_insert = self._to_insert, []
            self._platform.write(b"".join((data[:gap], *(text_frame(text) for text in inserted), data[gap:])))
        self._offer("agent", messages)

    def _may_insert(self) -> bool:
        return not (self._app_scanner.gave_up or self._app_scanner.closing)

    def _scan(self, direction: Direction, scanner: Scanner, data: bytes) -> None:
        if not scanner.gave_up:
            self._offer(direction, self._scanned(scanner, data))

    def _scanned(self, scanner: Scanner, data: bytes) -> list[Message]:
        """The messages that end in ``data``. An internal error ends the inspection, never the forwarding."""
        try:
            messages = scanner.scan(data)
        except Exception as error:  # noqa: BLE001 - whatever it is, bytes are forwarded; it is counted and reported
            scanner.gave_up = True
            scanner.close()
            if self._inspector is not None:
                self._inspector.failed(error)
            return []
        if scanner.gave_up and self._inspector is not None:
            self._inspector.not_websocket()
        return messages

    def _offer(self, direction: Direction, messages: list[Message]) -> None:
        if messages and self._inspector is not None:
            try:
                self._inspector.offer(direction, messages, CLOCK.time())
            except Exception as error:  # noqa: BLE001 - as above
                self._inspector.failed(error)
