"""How messages reach the application: directly or in a queue, joined from their fragments, or piece by piece if they are long."""

from abc import abstractmethod
from collections.abc import Callable, Sequence
from typing import Any

from starlette.types import Message
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.frames import CloseCode, Frame, Opcode

from exporter.receivers.call_reader import DirectReader
from exporter.receivers.fairness import MESSAGES_PER_TURN
from exporter.receivers.long_messages import LOST, MORE
from exporter.server.listener_config import ListenerConfig, ListenerLimits
from exporter.server.long_message import LongMessage
from exporter.server.message_queue import MessageQueue


class MessageDelivery(WebSocketsSansIOProtocol):
    """Passes messages on to the application, and counts what is held of a message that has not arrived completely."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 - they are uvicorn's
        super().__init__(*args, **kwargs)
        config = self.config
        self._limits = config.limits if isinstance(config, ListenerConfig) else ListenerLimits(max_message=config.ws_max_size)
        self._long: LongMessage | None = None
        self._held = 0
        self._fragments = bytearray()
        self._queue = MessageQueue()
        self.queue = self._queue  # type: ignore[assignment] # in place of uvicorn's, which uses these methods only
        self._enqueue: Callable[[Message], None] = self._queue.put_nowait
        self._direct = DirectReader()
        self._unparsed = b""
        self._parses_soon = False
        self._messages_left = MESSAGES_PER_TURN

    async def receive(self) -> Any:  # noqa: ANN401 - uvicorn's type of a message is private
        """Return the next message. After the last one continue parsing, or else reading."""
        messages = self._queue.messages
        message = messages.popleft() if messages else await self._queue.get()
        if not messages and (self._unparsed or self.read_paused):
            if self._direct.read is None:
                self._parse_next()
            else:
                self._parse_soon()  # what follows is read directly, but after this message
        return message

    def send_receive_event_to_app(self) -> None:
        """Queue the message that the library has read. Text that is not UTF-8 ends the connection with 1007.

        uvicorn's own method also pauses reading. Here :meth:`data_received` alone decides about that, by bytes.
        """
        data, self.frames = b"".join(self.frames), []
        long, self._long = self._long, None
        self._hold(0)
        if self.close_sent:
            return
        if long is not None:
            self._end_long(long)
        elif self.curr_msg_data_type == "text":
            try:
                self._enqueue({"type": "websocket.receive", "text": data.decode()})
            except UnicodeDecodeError:
                self._fail(CloseCode.INVALID_DATA)
        else:
            self._enqueue({"type": "websocket.receive", "bytes": data})

    def handle_cont(self, event: Frame) -> None:
        """Join fragments as they arrive. In a list, empty ones would add up without end."""
        if self.frames:
            self._fragments = bytearray(self.frames.pop())
        self._fragments += event.data
        if event.fin:
            self.frames = [bytes(self._fragments)]
            self._fragments = bytearray()
            self.send_receive_event_to_app()

    def _pass_on(self, messages: Sequence[Message]) -> None:
        """Have whole messages read: directly, if nothing was received before them that is not read yet."""
        self._messages_left -= len(messages)
        read = self._direct.read
        left = messages if read is None or not self._queue.awaited else read(messages)
        if left:
            self._queue.extend(left)

    def _begin_long(self, opcode: int, *, lost: bool) -> None:
        """Pass on what has arrived of a message, and from now on each of its pieces."""
        is_text = opcode == Opcode.TEXT or (opcode == Opcode.CONT and self.curr_msg_data_type == "text")
        self._long = LongMessage(self._limits.longest_message, is_text=is_text, lost=lost)
        arrived = b"".join((*self.frames, self._fragments))
        self.frames, self._fragments = [], bytearray()
        self._hold(0)
        self._pass_on_piece(lambda long: long.add(arrived))

    def _pass_on_piece(self, read: Callable[[LongMessage], bytes]) -> None:
        """Queue a piece of the long message. It is the last one if the rest is skipped."""
        long = self._long
        assert long is not None  # noqa: S101 - for the types
        try:
            piece = read(long)
        except UnicodeDecodeError:
            self._long = None
            self._fail(CloseCode.INVALID_DATA)
            return
        if piece or long.skips:
            self._enqueue({"type": "websocket.receive", "bytes": piece, MORE: not long.skips, LOST: long.lost})

    def _end_long(self, long: LongMessage) -> None:
        """Queue the end of a long message, unless its rest was skipped."""
        if long.skips:
            return
        try:
            long.end()
        except UnicodeDecodeError:
            self._fail(CloseCode.INVALID_DATA)
        else:
            self._enqueue({"type": "websocket.receive", "bytes": b"", MORE: False, LOST: False})

    def _hold(self, size: int) -> bool:
        """Count the bytes that are held of the current message. Returns whether there is room for them."""
        if not self._limits.read_budget.resize(self._held, size):
            return False
        self._held = size
        return True

    def _parse_soon(self) -> None:
        """Parse the next piece after the other connections had their turn."""
        if not self._parses_soon:
            self._parses_soon = True
            self.loop.call_soon(self._parse_now)

    def _parse_now(self) -> None:
        self._parses_soon = False
        self._parse_next()

    @abstractmethod
    def _parse_next(self) -> None:
        """Parse a piece, unless the application is busy."""

    @abstractmethod
    def _fail(self, code: CloseCode) -> None:
        """Fail the connection for a violation that the library does not check."""
