"""A relayed connection whose app cannot be reached: the exporter accepts it, answers pings and measures, and does nothing else."""

import asyncio
from collections.abc import Callable

from websockets.frames import CloseCode
from websockets.utils import accept_key

from exporter.receivers.proxy.frames import CLOSE, PING, PONG, Scanner, close_frame, server_frame, text_frame
from exporter.receivers.proxy.http1 import Head
from exporter.receivers.proxy.inspector import MessageInspector
from exporter.receivers.read_budget import ReadBudget
from exporter.receivers.steady_clock import CLOCK


def acceptance(head: Head) -> bytes:
    """The answer that accepts the request."""
    key = accept_key(head.get("sec-websocket-key") or "")
    return (
        f"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {key}\r\n\r\n".encode()
    )


class _ScannerOfAll(Scanner):
    """A scanner that keeps control frames, because nobody else answers them."""

    __slots__ = ("controls",)

    def __init__(self, max_message: int, budget: ReadBudget) -> None:
        super().__init__(max_message, budget)
        self.controls: list[tuple[int, bytes]] = []

    @property
    def is_over(self) -> bool:
        """Whether nothing more is read."""
        return self.gave_up or self.closing

    def _control(self, opcode: int, body: bytes) -> None:
        self.controls.append((opcode, body))


class FallbackSession:
    """Takes the place of a tunnel.

    Messages of more than ``max_message`` bytes are shortened while they arrive. ``budget`` counts what is held of messages that have
    not yet arrived completely. ``on_end`` is called when the platform's connection has ended.
    """

    def __init__(
        self, platform: asyncio.Transport, max_message: int, budget: ReadBudget, on_end: Callable[["FallbackSession"], None]
    ) -> None:
        self._platform = platform
        self._on_end = on_end
        self._scanner = _ScannerOfAll(max_message, budget)
        self._inspector: MessageInspector | None = None

    def inspect(self, inspector: MessageInspector) -> None:
        """Pass all further messages to ``inspector``."""
        self._inspector = inspector

    def from_platform(self, data: bytes) -> None:
        """Process bytes of the platform. After its close frame nothing is read."""
        scanner, inspector = self._scanner, self._inspector
        if scanner.is_over:
            return
        messages = scanner.scan(data)
        if inspector is not None:
            inspector.offer("caller", messages, CLOCK.time())
        controls, scanner.controls = scanner.controls, []
        for opcode, body in controls:
            self._answer(opcode, body)
        if scanner.gave_up:
            if inspector is not None:
                inspector.not_websocket()
            self.close(CloseCode.PROTOCOL_ERROR, "")

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
        self._scanner.close()
        if self._inspector is not None:
            self._inspector.close()
            self._inspector = None  # it holds this session
        self._on_end(self)

    def pause_writing(self, _slow: asyncio.Transport) -> None:
        """The platform does not read, so it is not read either."""
        self._platform.pause_reading()

    def resume_writing(self, _ready: asyncio.Transport) -> None:
        """The platform reads again."""
        if not self._platform.is_closing():
            self._platform.resume_reading()

    def _answer(self, opcode: int, body: bytes) -> None:
        """Answer a control frame with the same content."""
        if self._platform.is_closing():
            return
        if opcode == PING:
            self._platform.write(server_frame(PONG, body))
        elif opcode == CLOSE:
            self._platform.write(server_frame(CLOSE, body))
            self._platform.close()
