"""A relayed connection whose app cannot be reached: the exporter accepts it, answers pings and measures, and does nothing else."""

import asyncio
from collections.abc import Callable
from time import time
from typing import Final

from websockets.frames import Frame, Opcode
from websockets.protocol import OPEN
from websockets.server import ServerProtocol
from websockets.utils import accept_key

from exporter.protocol.arriving_event import ArrivingEvent
from exporter.receivers.proxy.frames import Message, close_frame, text_frame
from exporter.receivers.proxy.http1 import Head
from exporter.receivers.proxy.inspector import MessageInspector

_MAX_MESSAGE: Final = 16 * 1024 * 1024
"""Largest WebSocket message accepted, in bytes."""


def acceptance(head: Head) -> bytes:
    """The answer that accepts the request."""
    key = accept_key(head.get("sec-websocket-key") or "")
    return (
        f"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {key}\r\n\r\n".encode()
    )


class FallbackSession:
    """Takes the place of a tunnel.

    Messages of more than ``max_message`` bytes are shortened. ``on_end`` is called when the platform's connection has ended.
    """

    def __init__(self, platform: asyncio.Transport, max_message: int, on_end: Callable[["FallbackSession"], None]) -> None:
        self._platform = platform
        self._max_message = max_message
        self._on_end = on_end
        self._protocol = ServerProtocol(state=OPEN, max_size=_MAX_MESSAGE)
        self._protocol.debug = False  # its debug log contains what callers say
        self._inspector: MessageInspector | None = None
        self._opcode = 0
        self._fragments = bytearray()

    def inspect(self, inspector: MessageInspector) -> None:
        """Pass all further messages to ``inspector``."""
        self._inspector = inspector

    def from_platform(self, data: bytes) -> None:
        """Process bytes of the platform."""
        self._protocol.receive_data(data)
        messages = [found for event in self._protocol.events_received() if isinstance(event, Frame) for found in self._message(event)]
        if self._inspector is not None:
            self._inspector.offer("caller", messages, time())
        for output in self._protocol.data_to_send():
            if output:
                self._platform.write(output)
            else:
                self._platform.close()

    def insert(self, text: bytes) -> None:
        """Send a message to the platform."""
        if not self._platform.is_closing():
            self._platform.write(text_frame(text))

    def close(self, code: int, reason: str) -> None:
        """Close the connection with a close frame."""
        if not self._platform.is_closing():
            self._platform.write(close_frame(code, reason))
        self._platform.close()

    def abort(self) -> None:
        """Close the connection at once."""
        self._platform.abort()

    def eof_received(self, _sender: asyncio.Transport) -> None:
        """The platform sends no more."""
        self._platform.close()

    def connection_lost(self, _lost: asyncio.Transport) -> None:
        """The platform's connection has ended."""
        if self._inspector is not None:
            self._inspector.close()
        self._on_end(self)

    def pause_writing(self, _slow: asyncio.Transport) -> None:
        """The platform does not read, so it is not read either."""
        self._platform.pause_reading()

    def resume_writing(self, _ready: asyncio.Transport) -> None:
        """The platform reads again."""
        if not self._platform.is_closing():
            self._platform.resume_reading()

    def _message(self, frame: Frame) -> list[Message]:
        """The message that ends with this frame, if any."""
        if frame.opcode in (Opcode.TEXT, Opcode.BINARY):
            self._opcode, self._fragments = frame.opcode.value, bytearray()
        elif frame.opcode is not Opcode.CONT:
            return []
        self._fragments += frame.data
        if not frame.fin:
            return []
        payload, self._fragments = bytes(self._fragments), bytearray()
        return [Message(self._opcode, payload if len(payload) <= self._max_message else _arrived(payload), b"")]


def _arrived(payload: bytes) -> ArrivingEvent:
    event = ArrivingEvent()
    event.feed(payload)
    return event
