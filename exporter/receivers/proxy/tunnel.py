"""One relayed connection once both sides are joined: bytes go on first and unchanged, then are looked at.

A side that does not read makes the other stop being read, so what is held is bounded by the buffers of two sockets. A side that ends
ends the other after what it sent has been passed on.
"""

import asyncio
from collections.abc import Callable
from time import perf_counter, time
from typing import Final

from exporter.receivers.proxy.frames import Message, Scanner, close_frame, text_frame
from exporter.receivers.proxy.observer import Direction, Observer

HIGH_WATER: Final = 256 * 1024
"""Bytes that may wait to be written to a side before the other is no longer read."""
_CLOSE_MASK: Final = b"\x37\xa1\x5c\xe9"
"""Mask of the one frame we write as a client; masks protect proxies from scripts, and this frame's content is fixed."""


class Tunnel:
    """Passes bytes between ``platform`` and ``app`` until both are gone, then calls ``gone``."""

    def __init__(
        self,
        platform: asyncio.Transport,
        app: asyncio.Transport,
        longest: int,
        delay: Callable[[float], None],
        gone: Callable[["Tunnel"], None],
    ) -> None:
        self._platform = platform
        self._app = app
        self._from_platform = Scanner(longest)
        self._from_app = Scanner(longest)
        self._delay = delay
        self._gone = gone
        self._to_insert: list[bytes] = []
        self._observer: Observer | None = None
        self._open = 2
        self._told_end: asyncio.Transport | None = None
        for transport in (platform, app):
            transport.set_write_buffer_limits(high=HIGH_WATER)

    def observe(self, observer: Observer) -> None:
        """Let somebody look at what passes."""
        self._observer = observer

    def from_platform(self, data: bytes) -> None:
        """The platform sent this."""
        before = perf_counter()
        self._app.write(data)
        self._delay(perf_counter() - before)
        self._look("caller", self._from_platform, data)

    def from_app(self, data: bytes) -> None:
        """The app sent this."""
        before = perf_counter()
        if self._to_insert:
            self._pass_with_ours(data)
            self._delay(perf_counter() - before)
            return
        self._platform.write(data)
        self._delay(perf_counter() - before)
        self._look("agent", self._from_app, data)

    def insert(self, text: bytes) -> None:
        """Send the platform a message of ours, as soon as the app's own are not interrupted by it."""
        if self._from_app.between:
            if self._told_end is not self._platform and not self._platform.is_closing():
                self._platform.write(text_frame(text))
        elif not (self._from_app.lost or self._from_app.closing):
            self._to_insert = [*self._to_insert[-1:], text]

    def close(self, code: int, reason: str) -> None:
        """Say to both sides that it is over, where that does not break into a message, and end it."""
        for transport, scanner, mask in ((self._platform, self._from_app, b""), (self._app, self._from_platform, _CLOSE_MASK)):
            if scanner.between and transport is not self._told_end and not transport.is_closing():
                transport.write(close_frame(code, reason, mask=mask))
            transport.close()

    def abort(self) -> None:
        """End it at once."""
        for transport in (self._platform, self._app):
            transport.abort()

    def ended(self, side: asyncio.Transport) -> None:
        """A side will send no more; the other is told once it has been given everything."""
        other = self._app if side is self._platform else self._platform
        if self._told_end is not None or not (other.can_write_eof() and side.can_write_eof()):
            self._platform.close()
            self._app.close()
            return
        self._told_end = other
        if not other.is_closing():
            other.write_eof()

    def lost(self, side: asyncio.Transport) -> None:
        """A side is gone, and so, when it has got what is on its way to it, is the other."""
        self._open -= 1
        other = self._app if side is self._platform else self._platform
        other.close()
        if not self._open:
            if self._observer is not None:
                self._observer.close()
            self._gone(self)

    def pause(self, slow: asyncio.Transport) -> None:
        """A side does not read: stop reading from the other."""
        other = self._app if slow is self._platform else self._platform
        if not other.is_closing():
            other.pause_reading()

    def resume(self, ready: asyncio.Transport) -> None:
        """The side reads again."""
        other = self._app if ready is self._platform else self._platform
        if not other.is_closing():
            other.resume_reading()

    def _pass_with_ours(self, data: bytes) -> None:
        """Pass the app's bytes on with our messages at the first place where none of its own is interrupted."""
        messages = self._scanned(self._from_app, data)
        gap = self._from_app.gap
        if gap < 0 or not self._may_insert():
            self._platform.write(data)
        else:
            ours, self._to_insert = self._to_insert, []
            self._platform.write(b"".join((data[:gap], *(text_frame(text) for text in ours), data[gap:])))
        self._offer("agent", messages)

    def _may_insert(self) -> bool:
        return not (self._from_app.lost or self._from_app.closing)

    def _look(self, direction: Direction, scanner: Scanner, data: bytes) -> None:
        if not scanner.lost:
            self._offer(direction, self._scanned(scanner, data))

    def _scanned(self, scanner: Scanner, data: bytes) -> list[Message]:
        """The messages that end in ``data``. An error of ours costs what we see, never what passes."""
        try:
            messages = scanner.scan(data)
        except Exception as error:  # noqa: BLE001 - whatever it is, the bytes pass; it is counted and reported
            scanner.lost = True
            if self._observer is not None:
                self._observer.failed(error)
            return []
        if scanner.lost and self._observer is not None:
            self._observer.lost()
        return messages

    def _offer(self, direction: Direction, messages: list[Message]) -> None:
        if messages and self._observer is not None:
            try:
                self._observer.offer(direction, messages, time())
            except Exception as error:  # noqa: BLE001 - as above
                self._observer.failed(error)
