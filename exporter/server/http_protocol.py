"""uvicorn's HTTP protocol with a limit on everything that a peer can send, hold or leave unread.

uvicorn parses a head of any length while it arrives, at a cost that grows with the square of the length. It limits only the time of
an idle connection, keeps what a peer does not read, and answers any number of requests that arrive together. None of that needs
authentication. Here a request's head is parsed once it is complete, one request at a time.
"""

import asyncio
from typing import Final

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from exporter.receivers.proxy.http1 import HEAD_END, MAX_HEAD, MAX_HEADERS, refusal_answer
from exporter.server.listener_config import ListenerConfig

_LINE_BREAK: Final = b"\r\n"
"""Bytes that may precede a request (RFC 9112, section 2.2)."""


class HttpProtocol(HttpToolsProtocol):
    """A connection that has not become a WebSocket: one request after the other, each within the listener's limits.

    No page reads a request's body. So a body is not read, and the connection ends with the answer.
    """

    config: ListenerConfig  # type: ignore[mutable-override] # the listener gives no other

    def __init__(self, *args: object, **kwargs: object) -> None:
        super().__init__(*args, **kwargs)  # type: ignore[arg-type] # they are uvicorn's
        self._received = bytearray()
        self._searched = 0
        self.answering = False
        """Whether a request is being answered."""
        self._request_complete = False
        self._discards = False
        self._head_timer: asyncio.TimerHandle | None = None
        self._write_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # as uvicorn has it
        """Wait for the request, within the handshake timeout."""
        super().connection_made(transport)
        self.config.pending[self] = None
        if len(self.config.pending) > self.config.limits.max_pending:
            next((each for each in self.config.pending if not each.answering), self).cut_off("too_many")
            if self.transport.is_closing():
                return
        self._start_head_timer()

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection has ended."""
        self._leave()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Read the request's head. What follows it waits for the answer, or is discarded if it is a body."""
        if self._discards:
            return
        self._received += data
        if not self.answering:
            self._read_request()
        elif len(self._received) > MAX_HEAD:
            self.flow.pause_reading()

    def on_headers_complete(self) -> None:
        """The head of the request is complete."""
        self._stop_head_timer()
        self.answering = True
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """The request is complete."""
        self._request_complete = True
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """The request is answered. Read the next one, or give the peer time to read the answer before the end."""
        self.answering = False
        super().on_response_complete()
        if self.transport.is_closing():
            self._start_write_timer()
        elif self._received:
            self.loop.call_soon(self._read_request)

    def handle_websocket_upgrade(self) -> None:
        """The connection becomes a WebSocket. Give it what has arrived behind the handshake."""
        self._leave()
        super().handle_websocket_upgrade()
        if self._received:
            self.transport.get_protocol().data_received(bytes(self._received))  # type: ignore[attr-defined] # a stream's
            self._received.clear()
        self.parser = None  # type: ignore[assignment] # as when a connection ends: the two hold each other

    def send_400_response(self, msg: str) -> None:
        """Refuse bytes that are no request."""
        self._refuse(400, msg)

    def timeout_keep_alive_handler(self) -> None:
        """Close an idle connection."""
        super().timeout_keep_alive_handler()
        self._start_write_timer()

    def pause_writing(self) -> None:
        """The peer does not read: it gets the write timeout, and only so many of its kind are kept."""
        super().pause_writing()
        self._start_write_timer()
        stalled = self.config.stalled
        stalled[self] = None
        if len(stalled) > self.config.limits.max_stalled:
            next(iter(stalled)).cut_off("slow_reader")

    def resume_writing(self) -> None:
        """The peer has read."""
        super().resume_writing()
        self.config.stalled.pop(self, None)
        if not self.transport.is_closing():
            self._stop_write_timer()

    def cut_off(self, reason: str) -> None:
        """End the connection at once, without waiting for the peer to read."""
        self.config.on_refused(reason, self.client)
        self._leave()
        self._discard()
        self.transport.abort()

    def _read_request(self) -> None:
        """Give the parser the head of the next request once it is complete."""
        if self.transport.is_closing() or self.answering or not self._received:
            return
        self._unset_keepalive_if_required()
        self._start_head_timer()
        received = self._received
        if received[0] in _LINE_BREAK:
            del received[: len(received) - len(received.lstrip(_LINE_BREAK))]
            if not received:
                return
        if not received[:1].isalpha():
            self._refuse(400, "expected an HTTP request")
            return
        end = received.find(HEAD_END, max(0, self._searched - len(HEAD_END)))
        size = self._searched = len(received) if end < 0 else end + len(HEAD_END)
        if size > MAX_HEAD:
            self._refuse(431, f"the request is too large: expected at most {MAX_HEAD} bytes")
        elif end >= 0 and received.count(b"\n", 0, end) > MAX_HEADERS:
            self._refuse(431, f"the request has too many headers: expected at most {MAX_HEADERS}")
        elif end >= 0:
            self._parse_head(size)

    def _parse_head(self, size: int) -> None:
        head = bytes(self._received[:size])
        del self._received[:size]
        self._searched = 0
        self._request_complete = False
        super().data_received(head)
        if not self._request_complete and self.cycle is not None:  # uvicorn's type does not say that a handshake has no cycle
            self.cycle.keep_alive = False
            self._discard()

    def _refuse(self, status: int, message: str) -> None:
        self._stop_head_timer()
        self.config.on_refused("bad_request", self.client, status=status)
        self._discard()
        self.transport.write(refusal_answer(status, message))
        self.transport.close()
        self._start_write_timer()

    def _discard(self) -> None:
        self._discards = True
        self._received.clear()

    def _leave(self) -> None:
        """Take no further part in the limits of connections that are no WebSocket."""
        self._stop_head_timer()
        self._stop_write_timer()
        self.config.pending.pop(self, None)
        self.config.stalled.pop(self, None)

    def _start_head_timer(self) -> None:
        if self._head_timer is None:
            self._head_timer = self.loop.call_later(self.config.limits.handshake_timeout, self.cut_off, "slow_handshake")

    def _start_write_timer(self) -> None:
        if self._write_timer is None:
            self._write_timer = self.loop.call_later(self.config.limits.write_timeout, self.cut_off, "slow_reader")

    def _stop_head_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _stop_write_timer(self) -> None:
        if self._write_timer is not None:
            self._write_timer.cancel()
            self._write_timer = None
