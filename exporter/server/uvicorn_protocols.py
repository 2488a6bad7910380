"""uvicorn's protocols, made fit for peers that send too much, too fast, too slowly or in pieces.

What uvicorn leaves open and a listener that measures phone calls cannot: one read of the socket is parsed whole before anybody else
gets a turn (a quarter of a megabyte of tiny frames takes half a second); messages that came together with a breach of the protocol are
lost; a peer that pings and never reads makes the process grow, and so does one that never ends a message in fragments; a handshake that
does not end, or that the WebSocket library cannot read, holds its connection for ever.
"""

import asyncio
import logging
from collections.abc import Callable
from typing import Any, Final

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.exceptions import InvalidState
from websockets.frames import CloseCode, Frame
from websockets.protocol import CLOSED, CLOSING, OPEN
from websockets.speedups import apply_mask

from exporter.receivers.websocket import BREACH

PIECE: Final = 8192
"""Bytes parsed before other connections get their turn: at worst, of empty frames, a few milliseconds' work."""
ENOUGH: Final = 65_536
"""Bytes read and not parsed with which reading pauses."""
_WHOLE_TEXT: Final = 0x81
_WHOLE: Final = (_WHOLE_TEXT, 0x82)
"""First bytes of frames that hold a whole text or binary message, without extensions (RFC 6455, section 5.2)."""
_MASKED: Final = 0x80
_LEAST_HEADER: Final = 2
_SHORT_LENGTH: Final = 125

log = logging.getLogger(__name__)


class WebSocketProtocol(WebSocketsSansIOProtocol):
    """A WebSocket of which one piece is parsed at a time, the next once the application has taken what was in it.

    Nearly all frames of a platform are small, masked and hold a whole message: those are taken out of what was read here, at a third
    of the library's cost. Everything else (the handshake, control frames, fragments, long frames, breaches of the protocol) is handed
    to the library frame by frame, which is told nothing of the others.
    """

    whole_frames = True
    """Whether whole messages are taken out here; the tests compare with the library alone."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 - they are uvicorn's
        super().__init__(*args, **kwargs)
        self.conn.debug = False  # it would log what callers say
        self._unparsed = b""
        self._parsed = 0
        self._to_library = 0
        self._incomplete = False
        self._joined = bytearray()

    def data_received(self, data: bytes) -> None:
        """Take in what was read, and parse its beginning unless the application has something to do."""
        self._unparsed = self._unparsed[self._parsed :] + data if self._unparsed else data
        self._parsed = 0
        self._incomplete = False
        if self._is_idle():
            self._parse_next()
        if len(self._unparsed) - self._parsed > ENOUGH and not self.read_paused:
            self.read_paused = True
            self.transport.pause_reading()

    async def receive(self) -> Any:  # noqa: ANN401 - ASGI messages are dictionaries of anything
        """Give the application its next message; when it has had them all, go on parsing, else reading."""
        queue = self.queue
        message = await queue.get() if queue.empty() else queue.get_nowait()
        if queue.empty() and (self._unparsed or self.read_paused):
            self._parse_next()
        return message

    async def send(self, message: Any) -> None:  # noqa: ANN401 - as above
        """Send; a refusal with an answer of its own ends the handshake, and is no mistake to be logged as one."""
        await super().send(message)
        if message["type"] == "websocket.http.response.body" and not message.get("more_body"):
            self.handshake_complete = True

    def connection_lost(self, exc: Exception | None) -> None:
        """Parse what is left before the application is told."""
        while self._unparsed and not self._incomplete:
            self._parse_piece()
        super().connection_lost(exc)

    def shutdown(self) -> None:
        """Close the connection. One whose WebSocket is closed already may still wait for its TLS to end, and takes no close frame."""
        if self.conn.state in (CLOSING, CLOSED) and not self.close_sent:
            self.stop_keepalive()
            self.transport.close()
        else:
            super().shutdown()

    def send_receive_event_to_app(self) -> None:
        """Queue a message of the library's; how much is read ahead is decided in one place, by bytes.

        Text that is no UTF-8 ends the connection; where the peer has closed it already, it can't be told and only the end is noted.
        """
        paused, self.read_paused = self.read_paused, True
        try:
            super().send_receive_event_to_app()
        except InvalidState:
            message: Any = {"type": "websocket.disconnect", "code": CloseCode.INVALID_DATA, BREACH: True}
            self.queue.put_nowait(message)
        self.read_paused = paused

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
        self._unparsed, self._parsed = b"", 0
        message: Any = {"type": "websocket.disconnect", "code": self.conn.close_sent.code, BREACH: True}
        self.queue.put_nowait(message)
        self.transport.write(b"".join(self.conn.data_to_send()))
        self.close_sent = True
        self.transport.close()

    def _parse_next(self) -> None:
        """Parse a piece if the application has nothing to do (or will not do it any more).

        With messages in it the application goes on at once: it lets others have their turn itself. Without any it is done here.
        """
        if self._is_waited_for():
            self._parse_piece()
        if self._is_waited_for():
            self.loop.call_soon(self._parse_next)
            return
        if self.read_paused and len(self._unparsed) - self._parsed <= ENOUGH and not self.transport.is_closing():
            self.read_paused = False
            self.transport.resume_reading()

    def _is_waited_for(self) -> bool:
        return bool(self._unparsed) and not self._incomplete and self._is_idle()

    def _is_idle(self) -> bool:
        return self.close_sent or self.queue.empty()

    def _parse_piece(self) -> None:
        """Parse frames until a piece of them is done, or only the beginning of one is left."""
        read = self._unparsed
        at, end = self._parsed, len(read)
        stop = min(end, at + PIECE)
        while at < stop:
            if not self._to_library and not self._is_library_alone():
                after = self._whole_frame(read, at, end)
                if after > at:
                    at = after
                    continue
                if not self._to_library:
                    self._incomplete = True
                    break
            given = min(self._to_library or end, stop - at)
            self._to_library = max(0, self._to_library - given)
            at += given
            self._parsed = at
            self._give_library(read[at - given : at])
            if self._unparsed is not read:
                return
        self._unparsed, self._parsed = (b"", 0) if at >= end else (read, at)

    def _is_library_alone(self) -> bool:
        return not self.whole_frames or self.close_sent or self.conn.state is not OPEN

    def _whole_frame(self, read: bytes, at: int, end: int) -> int:
        """Take the message out of the frame at ``at``; returns where the next one begins.

        Returns ``at`` where there is none: the frame is not all there yet, or ``_to_library`` says how much of what follows is for it.
        """
        if end - at < _LEAST_HEADER:
            return at
        first, second = read[at], read[at + 1]
        length, body = second & 0x7F, at + _LEAST_HEADER
        if length > _SHORT_LENGTH:
            body += 2 if length == _SHORT_LENGTH + 1 else 8
            if body > end:
                return at
            length = int.from_bytes(read[at + _LEAST_HEADER : body], "big")
        if second & _MASKED:
            body += 4
        after = body + length
        if not (second & _MASKED and first in _WHOLE and after - at <= PIECE and self.conn.current_size is None):
            self._to_library = after - at
            return at
        if after > end:
            return at
        data = apply_mask(read[body:after], read[body - 4 : body])
        message: Any
        if first == _WHOLE_TEXT:
            try:
                message = {"type": "websocket.receive", "text": data.decode()}
            except UnicodeDecodeError:
                self._to_library = after - at
                return at
        else:
            message = {"type": "websocket.receive", "bytes": data}
        self.queue.put_nowait(message)
        return after

    def _give_library(self, data: bytes) -> None:
        self.conn.receive_data(data)
        self.handle_events()
        if self.conn.handshake_exc is not None and not self.handshake_complete:
            self._refuse_handshake()
        elif self.conn.parser_exc is not None and not self.close_sent:
            self.handle_parser_exception()

    def _refuse_handshake(self) -> None:
        self.handshake_complete = self.close_sent = True
        self.transport.write(b"HTTP/1.1 400 Bad Request\r\nconnection: close\r\ncontent-length: 0\r\n\r\n")
        self.transport.close()


class ListenerConfig(uvicorn.Config):
    """uvicorn's settings, and how long a new connection gets to make its first request, in seconds.

    ``on_slow`` is called when one did not, ``on_no_tls`` when one did not get through its TLS handshake.
    """

    handshake_timeout: float = 10.0
    on_slow: Callable[[], None] = staticmethod(lambda: None)
    on_no_tls: Callable[[], None] = staticmethod(lambda: None)


class HttpProtocol(HttpToolsProtocol):
    """HTTP of which the first request has to come within a time; a WebSocket's opening handshake is one."""

    _patience: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # as uvicorn has it
        """Begin to wait for the request."""
        super().connection_made(transport)
        assert isinstance(self.config, ListenerConfig)  # noqa: S101 - for the types
        self._patience = self.loop.call_later(self.config.handshake_timeout, self._lose_patience, self.config.on_slow)

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait no longer."""
        self._stop_waiting()
        super().connection_lost(exc)

    def on_headers_complete(self) -> None:
        """The request is there."""
        self._stop_waiting()
        super().on_headers_complete()

    def _lose_patience(self, on_slow: Callable[[], None]) -> None:
        log.debug("a connection was closed that made no request")
        on_slow()
        self.transport.close()

    def _stop_waiting(self) -> None:
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None
