"""uvicorn's protocols, hardened against peers that send too much, too fast, too slowly or in pieces.

A listener that measures phone calls needs what uvicorn does not provide:

- uvicorn parses everything that one read of the socket returned before others get their turn. A quarter of a megabyte of tiny frames
  takes half a second.
- It loses messages that arrive together with a violation of the protocol.
- A peer that sends pings and never reads makes the process grow. So does a peer that never ends a message in fragments, and one that
  sends messages that are larger than anything that is read.
- A peer that does not read keeps its connection for ever, although it was closed.
"""

import asyncio
from typing import Any, Final

from websockets.frames import Close, CloseCode, Frame, Opcode
from websockets.protocol import CLOSED, CLOSING, OPEN
from websockets.speedups import apply_mask

from exporter.compiled import take_messages
from exporter.receivers.call_reader import DIRECT_READER
from exporter.receivers.fairness import MESSAGES_PER_TURN
from exporter.receivers.websocket import LETS_PEER_READ, PROTOCOL_ERROR
from exporter.server.listener_config import ListenerConfig
from exporter.server.long_message import LongMessage
from exporter.server.message_delivery import MessageDelivery
from exporter.server.token_bucket import TokenBucket

PIECE: Final = 8192
"""Bytes parsed before other connections get their turn: at worst, with empty frames, a few milliseconds of work."""
MAX_FRAMES: Final = 64
"""Frames that the library parses before other connections get their turn: about half a millisecond of work."""
_CLOSING_PIECE: Final = 384
"""As :data:`PIECE`, but after the close frame, when the library parses everything: at worst 64 frames."""
MAX_UNPARSED: Final = 65_536
"""Bytes read and not yet parsed above which reading pauses."""
_WHOLE_TEXT: Final = 0x81
_WHOLE: Final = (_WHOLE_TEXT, 0x82)
"""First bytes of frames that hold a whole text or binary message, without extensions (RFC 6455, section 5.2)."""
_MASKED: Final = 0x80
_FINAL: Final = 0x80
_CONTROL: Final = 0x08
_NOT_DATA: Final = 0x7C
"""Bits of a frame's first byte that are not set in a data frame."""
_LONG: Final = _MASKED | 127
"""Second byte of a masked frame whose length has eight bytes."""
_OPCODE: Final = 0x0F
_MIN_HEADER: Final = 2
_SHORT_LENGTH: Final = 125


class WebSocketProtocol(MessageDelivery):
    """A WebSocket that is parsed piece by piece: the next piece follows once the application has taken the messages of the last one.

    Nearly all frames of the platform are small, masked and hold a whole message. This class decodes them itself, at a third of the
    library's cost. Everything else (the handshake, control frames, fragments, long frames, violations of the protocol) goes to the
    library, frame by frame. The library never sees the other frames.

    A long message is not kept: the application receives each piece as it arrives, and the library gets an empty frame instead of each
    of its frames. What is beyond the longest message that anybody reads is skipped.
    """

    whole_frames = True
    """Whether this class decodes whole messages itself. The tests compare with the library alone."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 - they are uvicorn's
        super().__init__(*args, **kwargs)
        self.conn.debug = False  # its debug log contains what callers say
        self._parsed = 0
        self._to_library = 0
        self._frames_left = MAX_FRAMES
        self._incomplete = False
        self._frame_rate = TokenBucket(self._limits.max_frame_rate, self.loop.time())
        self._waits_for_rate = self._is_lost = False
        self._abort_timer: asyncio.TimerHandle | None = None
        self._lets_peer_read = False

    def data_received(self, data: bytes) -> None:
        """Keep what was read, and parse its beginning unless the application is busy."""
        self._unparsed = self._unparsed[self._parsed :] + data if self._unparsed else data
        self._parsed = 0
        self._incomplete = False
        if self._is_idle() and not self._parses_soon:
            self._parse_next()
        if len(self._unparsed) - self._parsed > MAX_UNPARSED and not self.read_paused:
            self.read_paused = True
            self.transport.pause_reading()

    async def send(self, message: Any) -> None:  # noqa: ANN401 - uvicorn's type of a message is private
        """Send a message. A refusal with its own answer completes the handshake, so that uvicorn does not log it as an error."""
        if message.get(LETS_PEER_READ):
            self._lets_peer_read = True
        await super().send(message)
        if message["type"] == "websocket.accept":
            self._direct = message.get(DIRECT_READER, self._direct)
            self._parse_next()
        elif message["type"] == "websocket.http.response.body" and not message.get("more_body"):
            self.handshake_complete = True

    def connection_lost(self, exc: Exception | None) -> None:
        """Parse what is left, piece by piece, before the application learns of the end."""
        self._is_lost = True
        if self._abort_timer is not None:
            self._abort_timer.cancel()
        if self._unparsed and not self._incomplete:
            self._parse_piece()
        if self._unparsed and not self._incomplete:
            self.loop.call_soon(self.connection_lost, exc)
        else:
            self._hold(0)
            super().connection_lost(exc)

    def on_task_complete(self, task: asyncio.Task[None]) -> None:
        """The application is done with the connection: the peer has some time to read the rest."""
        super().on_task_complete(task)
        self._abort_later()

    def keepalive_timeout(self) -> None:
        """Close the connection of a peer that does not answer pings, although it does not read the close frame."""
        super().keepalive_timeout()
        self._abort_later()

    def shutdown(self) -> None:
        """Close the connection. If its WebSocket is already closed and only TLS has not ended yet, send no close frame.

        If the close says so, the closing handshake goes on: to cut the connection while the peer still sends would destroy what the
        peer has not read yet.
        """
        if self.conn.state in (CLOSING, CLOSED) and not self.close_sent:
            self.stop_keepalive()
            self.transport.close()
        elif not self._lets_peer_read or self.close_timer is None:
            super().shutdown()

    def handle_ping(self) -> None:
        """Send the answer to this ping, unless the peer does not read.

        The answers to later pings of the same piece stay in the library: a violation between the two discards them.
        """
        if self.conn.writes:
            answer = self.conn.writes.pop(0)
            if self.writable.is_set() and not self._is_lost:
                self.transport.write(answer)

    def handle_parser_exception(self) -> None:
        """Close with the code of the violation that the library has found."""
        assert self.conn.close_sent is not None  # noqa: S101 - for the types; the library has closed before uvicorn calls this
        self._end_by_violation(self.conn.close_sent.code, b"".join(self.conn.data_to_send()))

    def _fail(self, code: CloseCode) -> None:
        """Fail the connection for a violation that the library does not check.

        After a violation nothing from the peer is processed (RFC 6455, section 7.1.7). The library has parsed the whole piece already,
        so its answers to frames behind the violation are discarded. For the violations that it checks, the library does the same.
        """
        if not self.handshake_complete:  # the peer has not waited for the answer to its handshake, so no frame may precede that
            self._enqueue({"type": "websocket.disconnect", "code": code, PROTOCOL_ERROR: True})
            return
        self.conn.fail(code)
        self.conn.writes.clear()
        self._end_by_violation(code, Frame(Opcode.CLOSE, Close(code, "").serialize()).serialize(mask=False))

    def _end_by_violation(self, code: int, close_frame: bytes) -> None:
        self._unparsed, self._parsed = b"", 0
        is_known = self._long is not None and self._long.skips  # the application has received the end of this message
        self._enqueue({"type": "websocket.disconnect", "code": code, PROTOCOL_ERROR: not is_known})
        self.transport.write(close_frame)
        self.close_sent = True
        self.transport.close()
        self._abort_later()

    def _parse_next(self) -> None:
        """Parse a piece if the application is idle or finished. What a lost connection has left is parsed by :meth:`connection_lost`.

        A piece with messages wakes the application, which yields to other connections itself. After one without, this method yields.
        """
        if self._is_lost:
            return
        if self._must_parse():
            self._parse_piece()
        if self._must_parse():
            self._parse_soon()
            return
        if self.read_paused and len(self._unparsed) - self._parsed <= MAX_UNPARSED and not self.transport.is_closing():
            self.read_paused = False
            self.transport.resume_reading()

    def _must_parse(self) -> bool:
        return bool(self._unparsed) and not self._incomplete and not self._waits_for_rate and self._is_idle()

    def _is_idle(self) -> bool:
        """Whether frames may be parsed. Those of a peer that has not waited for the answer to its handshake wait for it."""
        return self.close_sent or (not self._queue.messages and (self.handshake_complete or not self.handshake_initiated))

    def _parse_piece(self) -> None:
        """Parse frames until a piece is done, or only an incomplete frame is left."""
        read = self._unparsed
        at, end = self._parsed, len(read)
        stop = min(end, at + (_CLOSING_PIECE if self.close_sent else PIECE if self.handshake_initiated else end))
        self._frames_left, self._messages_left = MAX_FRAMES, MESSAGES_PER_TURN
        while at < stop and self._messages_left:
            if self._long is not None and self._long.left:
                at += self._read_long(self._long, read, at, stop)
                if self._unparsed is not read:
                    return
                continue
            if not self._to_library and not self._uses_library_only():
                after = self._whole_frames(read, at, stop)
                if after == at:
                    after = self._library_frame(read, at)
                if self._unparsed is not read:
                    return
                if after > at:
                    at = after
                    continue
                if not self._to_library:
                    break
            given = min(self._to_library or end, stop - at)
            self._to_library = max(0, self._to_library - given)
            at += given
            self._parsed = at
            self._give_library(read[at - given : at])
            if self._unparsed is not read:
                return
        self._unparsed, self._parsed = (b"", 0) if at >= end else (read, at)

    def _uses_library_only(self) -> bool:
        return not self.whole_frames or self.close_sent or self.conn.state is not OPEN

    def _whole_frames(self, read: bytes, at: int, stop: int) -> int:
        """Pass on the messages in the frames from offset ``at`` to ``stop``, or just the first one. Returns as the next method."""
        if take_messages is not None and self.conn.current_size is None:
            after, messages = take_messages(read, at, stop, PIECE, self._messages_left)
            if messages:
                self._pass_on(messages)
                return after
        return self._whole_frame(read, at, len(read))

    def _whole_frame(self, read: bytes, at: int, end: int) -> int:
        """Pass on the message in the frame at offset ``at``. Returns the offset of the next frame.

        Returns ``at`` if there is no message: the frame is incomplete, or it is for the library and ``_to_library`` has its length.
        """
        if end - at < _MIN_HEADER:
            return at
        first, second = read[at], read[at + 1]
        length, body = second & 0x7F, at + _MIN_HEADER
        if length > _SHORT_LENGTH:
            body += 2 if length == _SHORT_LENGTH + 1 else 8
            if body > end:
                return at
            length = int.from_bytes(read[at + _MIN_HEADER : body], "big")
        if second & _MASKED:
            body += 4
        after = body + length
        if not (second & _MASKED and first in _WHOLE and after - at <= PIECE and self.conn.current_size is None):
            if body <= end or first & _NOT_DATA or not second & _MASKED or length > self.config.ws_max_size:
                self._to_library = after - at
            return at
        if after > end:
            return at
        data = apply_mask(read[body:after], read[body - 4 : body])
        if first == _WHOLE_TEXT:
            try:
                text = data.decode()
            except UnicodeDecodeError:
                self._to_library = after - at
                return at
            self._pass_on([{"type": "websocket.receive", "text": text}])
        else:
            self._pass_on([{"type": "websocket.receive", "bytes": data}])
        return after

    def _library_frame(self, read: bytes, at: int) -> int:
        """Decide about the frame at offset ``at``. ``_to_library`` has its length, or is 0 if its header is incomplete.

        Returns ``at`` if the library gets the frame as it is, or if ``_to_library`` is 0 now: then parsing pauses. If the frame belongs
        to a long message, returns the offset of its payload.
        """
        if not self._to_library:
            self._incomplete = True
        elif not self._frames_left or not self._is_within_rate(read[at]):
            self._to_library = 0
        else:
            self._frames_left -= 1
            return self._begin_long_frame(read, at)
        return at

    def _is_within_rate(self, first: int) -> bool:
        """Whether the frame with this first byte may be parsed now. Otherwise parsing continues when it may.

        Only control frames and fragments are counted here. The application counts messages.
        """
        if self._is_lost or (first & _FINAL and not first & _CONTROL):
            return True
        wait = self._frame_rate.take(self.loop.time())
        if wait:
            self._waits_for_rate = True
            self.loop.call_later(wait, self._continue)
        return not wait

    def _continue(self) -> None:
        self._waits_for_rate = False
        if not self._is_lost:
            self._parse_next()

    def _begin_long_frame(self, read: bytes, at: int) -> int:
        """Read the frame at offset ``at`` as it arrives if its message is long, or if there is no room for it.

        Returns the offset of the payload; or ``at`` if the library gets the frame as it is.
        """
        first, second, is_begun = read[at], read[at + 1], self.conn.current_size is not None
        opcode = first & _OPCODE
        if first & _NOT_DATA or opcode > Opcode.BINARY or not second & _MASKED:
            return at
        body = at + _MIN_HEADER + 4 + {126: 2, 127: 8}.get(second & 0x7F, 0)
        length = at + self._to_library - body
        size = length + (self.conn.current_size or 0 if self._long is None else self._long.size)
        if length + (self.conn.current_size or 0) > self.config.ws_max_size:
            return at
        if size > self.config.ws_max_size:
            return self._give_header(bytes((first, _LONG)) + (self.config.ws_max_size + 1).to_bytes(8, "big"), body)
        is_here = first & _FINAL and not is_begun and body + length <= len(read)
        if self._long is None and size <= self._limits.max_message and (is_here or self._hold(size)):
            return at
        if is_begun == (opcode != Opcode.CONT):
            return self._give_header(_empty_frame(first), body)
        self._to_library = 0
        if self._long is None:
            self._begin_long(opcode, lost=size <= self._limits.max_message)
        if self._long is not None:
            self._long.begin_frame(first, length, read[body - 4 : body])
            if not length:
                self._give_library(_empty_frame(first))
        return body

    def _give_header(self, header: bytes, body: int) -> int:
        """Give the library the header of a frame that violates the protocol, instead of the frame. Returns ``body``."""
        self._to_library = 0
        self._give_library(header)
        return body

    def _read_long(self, long: LongMessage, read: bytes, at: int, stop: int) -> int:
        """Read a piece of a long message at offset ``at``. Returns the size of the piece."""
        size = min(long.left, (len(read) if long.skips else stop) - at)
        self._parsed = at + size
        if long.skips or self.close_sent:
            long.skip(size)
        else:
            self._pass_on_piece(lambda long: long.read(read[at : at + size]))
        if not long.left and self._long is long:
            self._give_library(_empty_frame(long.first))
        return size

    def _abort_later(self) -> None:
        """Give the peer the write timeout to read the rest, after its time for the closing handshake if that is in progress."""
        if self._abort_timer is None and not self._is_lost:
            closing = 0.0 if self.close_timer is None else self.close_timeout
            self._abort_timer = self.loop.call_later(closing + self._limits.write_timeout, self._abort)

    def _abort(self) -> None:
        self._report("slow_reader")
        self.transport.abort()

    def _report(self, reason: str, status: int | None = None) -> None:
        if isinstance(self.config, ListenerConfig):
            self.config.on_refused(reason, self.client, status=status)

    def _give_library(self, data: bytes) -> None:
        self.conn.receive_data(data)
        self.handle_events()
        if self.conn.handshake_exc is not None and not self.handshake_complete:
            self._refuse_handshake()
        elif self.conn.parser_exc is not None and not self.close_sent:
            self.handle_parser_exception()

    def _refuse_handshake(self) -> None:
        self.handshake_complete = self.close_sent = True
        self._report("bad_request", 400)
        self._abort_later()
        self.transport.write(b"HTTP/1.1 400 Bad Request\r\nconnection: close\r\ncontent-length: 0\r\n\r\n")
        self.transport.close()


def _empty_frame(first: int) -> bytes:
    """A frame without a payload, for the library, instead of one that it does not need to see."""
    return bytes((first, _MASKED, 0, 0, 0, 0))
