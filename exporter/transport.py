"""uvicorn's protocols, made fit for peers that send too much, too fast, too slowly or in pieces.

What uvicorn leaves open and a listener that measures phone calls cannot: one read of the socket is parsed whole before anybody else
gets a turn (a quarter of a megabyte of tiny frames takes half a second); messages that came together with a breach of the protocol are
lost; a peer that pings and never reads makes the process grow, and so does one that never ends a message in fragments; a handshake that
does not end, or that the WebSocket library cannot read, holds its connection for ever.
"""

import asyncio
import logging
from typing import Any, Final

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.frames import Frame

from exporter.ingest.endpoint import BREACH

PIECE: Final = 8192
"""Bytes parsed before other connections get their turn: at worst, of empty frames, about ten milliseconds' work."""
REQUEST_WITHIN: Final = 10.0
"""Seconds a new connection gets to send its first request, or its opening handshake."""

log = logging.getLogger(__name__)


class WebSocketProtocol(WebSocketsSansIOProtocol):
    """A WebSocket of which one piece is parsed at a time, the next once the application has taken what was in it."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 - they are uvicorn's
        super().__init__(*args, **kwargs)
        self.conn.debug = False  # it would log what callers say
        self._unparsed = b""
        self._parsed = 0
        self._joined = bytearray()

    def data_received(self, data: bytes) -> None:
        """Parse what was read, or its beginning."""
        if self._unparsed or len(data) > PIECE:
            self._unparsed = self._unparsed[self._parsed :] + data
            self._parsed = 0
            self._pause()
            self._parse_next()
        else:
            self._parse(data)

    async def receive(self) -> Any:  # noqa: ANN401 - ASGI messages are dictionaries of anything
        """Give the application its next message; when it has had them all, go on parsing, else reading."""
        message = await self.queue.get()
        if self.queue.empty():
            if self._unparsed:
                self._parse_next()
            else:
                self._read_on()
        return message

    def connection_lost(self, exc: Exception | None) -> None:
        """Parse what is left before the application is told."""
        while self._unparsed:
            self._parse(self._take_piece())
        super().connection_lost(exc)

    def handle_ping(self) -> None:
        """Answer, unless the peer does not read the answers."""
        output = b"".join(self.conn.data_to_send())
        if output and self.writable.is_set():
            self.transport.write(output)

    def handle_cont(self, event: Frame) -> None:
        """Join fragments as they come: as a list, empty ones would add up without end."""
        if self.frames:
            self._joined = bytearray(self.frames.pop())
        self._joined += event.data
        if event.fin:
            self.frames = [bytes(self._joined)]
            self._joined = bytearray()
            self.send_receive_event_to_app()

    def handle_parser_exception(self) -> None:
        """Close with the code that the breach calls for."""
        assert self.conn.close_sent is not None  # noqa: S101 - for the types; the library has closed before uvicorn calls this
        self._unparsed = b""
        message: Any = {"type": "websocket.disconnect", "code": self.conn.close_sent.code, BREACH: True}
        self.queue.put_nowait(message)
        self.transport.write(b"".join(self.conn.data_to_send()))
        self.close_sent = True
        self.transport.close()

    def _parse(self, data: bytes) -> None:
        self.conn.receive_data(data)
        self.handle_events()
        if self.conn.handshake_exc is not None and not self.handshake_complete:
            self._refuse_handshake()
        elif self.conn.parser_exc is not None and not self.close_sent:
            self.handle_parser_exception()

    def _parse_next(self) -> None:
        """Parse a piece if the application has nothing to do (or will not do it any more).

        With messages in it the application goes on at once: it lets others have their turn itself. Without any it is done here.
        """
        if self._unparsed and self._is_idle():
            self._parse(self._take_piece())
            if not self._is_idle():
                return
            if self._unparsed:
                self.loop.call_soon(self._parse_next)
            else:
                self._read_on()

    def _is_idle(self) -> bool:
        return self.close_sent or self.queue.empty()

    def _take_piece(self) -> bytes:
        piece = self._unparsed[self._parsed : self._parsed + PIECE]
        self._parsed += PIECE
        if self._parsed >= len(self._unparsed):
            self._unparsed, self._parsed = b"", 0
        return piece

    def _pause(self) -> None:
        if not self.read_paused:
            self.read_paused = True
            self.transport.pause_reading()

    def _read_on(self) -> None:
        if self.read_paused and not self.transport.is_closing():
            self.read_paused = False
            self.transport.resume_reading()

    def _refuse_handshake(self) -> None:
        self.handshake_complete = self.close_sent = True
        self.transport.write(b"HTTP/1.1 400 Bad Request\r\nconnection: close\r\ncontent-length: 0\r\n\r\n")
        self.transport.close()


class HttpProtocol(HttpToolsProtocol):
    """HTTP of which the first request has to come within a time."""

    _patience: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # as uvicorn has it
        """Begin to wait for the request."""
        super().connection_made(transport)
        self._patience = self.loop.call_later(REQUEST_WITHIN, self._lose_patience)

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait no longer."""
        self._stop_waiting()
        super().connection_lost(exc)

    def on_headers_complete(self) -> None:
        """The request is there."""
        self._stop_waiting()
        super().on_headers_complete()

    def _lose_patience(self) -> None:
        log.debug("a connection was closed that made no request")
        self.transport.close()

    def _stop_waiting(self) -> None:
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None
