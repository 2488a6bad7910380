"""A relayed connection whose app could not be reached, taken in all the same: we answer in its place, measure, and do nothing else."""

import asyncio
from collections.abc import Callable
from time import time
from typing import Final

from websockets.frames import Frame, Opcode
from websockets.protocol import OPEN
from websockets.server import ServerProtocol
from websockets.utils import accept_key

from exporter.receivers.proxy.frames import Message, close_frame, text_frame
from exporter.receivers.proxy.http1 import Head
from exporter.receivers.proxy.observer import Observer

_LARGEST: Final = 16 * 1024 * 1024


def acceptance(head: Head) -> bytes:
    """The answer that accepts the request."""
    key = accept_key(head.get("sec-websocket-key") or "")
    return (
        f"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {key}\r\n\r\n".encode()
    )


class FallbackSession:
    """Stands where a tunnel would; calls ``gone`` when the platform has left."""

    def __init__(self, platform: asyncio.Transport, longest: int, gone: Callable[["FallbackSession"], None]) -> None:
        self._platform = platform
        self._longest = longest
        self._gone = gone
        self._protocol = ServerProtocol(state=OPEN, max_size=_LARGEST)
        self._protocol.debug = False  # it would log what callers say
        self._observer: Observer | None = None
        self._opcode = 0
        self._joined = bytearray()

    def observe(self, observer: Observer) -> None:
        """Let somebody look at what comes."""
        self._observer = observer

    def from_platform(self, data: bytes) -> None:
        """The platform sent this."""
        self._protocol.receive_data(data)
        messages = [found for event in self._protocol.events_received() if isinstance(event, Frame) for found in self._message(event)]
        if self._observer is not None:
            self._observer.offer("caller", messages, time())
        for output in self._protocol.data_to_send():
            if output:
                self._platform.write(output)
            else:
                self._platform.close()

    def insert(self, text: bytes) -> None:
        """Send the platform a message."""
        if not self._platform.is_closing():
            self._platform.write(text_frame(text))

    def close(self, code: int, reason: str) -> None:
        """End it, and say so."""
        if not self._platform.is_closing():
            self._platform.write(close_frame(code, reason))
        self._platform.close()

    def abort(self) -> None:
        """End it at once."""
        self._platform.abort()

    def ended(self, _side: asyncio.Transport) -> None:
        """The platform will send no more."""
        self._platform.close()

    def lost(self, _side: asyncio.Transport) -> None:
        """The platform is gone."""
        if self._observer is not None:
            self._observer.close()
        self._gone(self)

    def pause(self, _slow: asyncio.Transport) -> None:
        """The platform does not read, and is not read either."""
        self._platform.pause_reading()

    def resume(self, _ready: asyncio.Transport) -> None:
        """It reads again."""
        if not self._platform.is_closing():
            self._platform.resume_reading()

    def _message(self, frame: Frame) -> list[Message]:
        if frame.opcode in (Opcode.TEXT, Opcode.BINARY):
            self._opcode, self._joined = frame.opcode.value, bytearray()
        elif frame.opcode is not Opcode.CONT:
            return []
        self._joined += frame.data
        if not frame.fin:
            return []
        payload, self._joined = bytes(self._joined), bytearray()
        return [Message(self._opcode, payload if len(payload) <= self._longest else None, b"")]
