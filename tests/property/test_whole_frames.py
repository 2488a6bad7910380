"""Messages that our protocol decodes itself, compared with the library alone, for any frames cut into any reads."""

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from uvicorn import Config
from uvicorn.server import ServerState
from websockets.frames import Frame, Opcode

from exporter.server.uvicorn_protocols import WebSocketProtocol
from tests.support.waiting import eventually

HANDSHAKE = (
    b"GET /ws HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)


class LibraryAlone(WebSocketProtocol):
    whole_frames = False


class Wire(asyncio.Transport):
    """A transport that keeps what is written, and whether it was closed."""

    def __init__(self) -> None:
        super().__init__()
        self.written: list[bytes] = []
        self.closed = False

    def write(self, data: Any) -> None:
        self.written.append(bytes(data))

    def close(self) -> None:
        self.closed = True

    def is_closing(self) -> bool:
        return self.closed

    def pause_reading(self) -> None:
        """The test decides when bytes arrive."""

    def resume_reading(self) -> None:
        """As above."""


async def played(kind: type[WebSocketProtocol], reads: Sequence[bytes]) -> tuple[list[Any], bytes, bool]:
    """The messages that the application receives, the bytes that the peer receives, and whether the connection was closed."""
    messages: list[Any] = []
    over = asyncio.Event()

    async def app(_scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        while True:
            message = await receive()
            messages.append(message)
            if message["type"] == "websocket.disconnect":
                over.set()
                return

    config = Config(
        app, ws=kind, ws_max_size=1 << 20, ws_per_message_deflate=False, ws_ping_interval=None, lifespan="off", log_config=None
    )
    config.load()
    wire = Wire()
    protocol = kind(config, ServerState(), {}, asyncio.get_running_loop())
    protocol.connection_made(wire)
    protocol.data_received(HANDSHAKE)
    await eventually(lambda: wire.written)
    for read in reads:
        if not wire.closed:
            protocol.data_received(read)
            await asyncio.sleep(0)
    protocol.connection_lost(None)
    await asyncio.wait_for(over.wait(), 10)
    return messages, b"".join(wire.written[1:]), wire.closed


def masked(opcode: Opcode, data: bytes, *, fin: bool = True) -> bytes:
    return Frame(opcode, data, fin=fin).serialize(mask=True)


texts = st.text(max_size=40).map(str.encode) | st.integers(0, 300).map(lambda size: b"x" * size) | st.just(b"y" * 9000)
whole = st.builds(masked, st.sampled_from((Opcode.TEXT, Opcode.BINARY)), texts)
fragments = st.builds(
    lambda opcode, first, last: masked(opcode, first, fin=False) + masked(Opcode.CONT, last),
    st.sampled_from((Opcode.TEXT, Opcode.BINARY)),
    texts,
    texts,
)
control = st.builds(masked, st.sampled_from((Opcode.PING, Opcode.PONG)), st.binary(max_size=20))
violations = st.sampled_from(
    (
        Frame(Opcode.TEXT, b"unmasked").serialize(mask=False),
        masked(Opcode.TEXT, b"\xff\xfe"),
        masked(Opcode.TEXT, b"never ended", fin=False),
        masked(Opcode.CONT, b"never begun"),
        masked(Opcode.CLOSE, b"\x03\xe8"),
        b"\xc1\x81\x00\x00\x00\x00x",
        b"\x81\xff\xff\xff\xff\xff\xff\xff\xff\xff\x00\x00\x00\x00",
        b"\x83\x80\x00\x00\x00\x00",
    )
)
usual = st.lists(whole | control | fragments, max_size=25).map(b"".join)
anything = st.lists(whole | control | fragments | violations, max_size=6).map(b"".join)


@st.composite
def streams(draw: st.DrawFn) -> list[bytes]:
    """Frames, sometimes with violations of the protocol or a close among them, cut into reads."""
    stream = draw(usual) + draw(st.just(b"") | violations) + draw(anything | usual)
    cuts = sorted(draw(st.lists(st.integers(0, len(stream)), max_size=12)))
    return [stream[start:end] for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True) if start < end]


@pytest.mark.filterwarnings("ignore::ResourceWarning")
@given(reads=streams())
@example(reads=[b"\x81\x82\x1a\xfb \xb0\xe5\x05\x89\x80\xef\xeaNX"])
@example(reads=[masked(Opcode.PING, b"before") + masked(Opcode.TEXT, b"\xff") + masked(Opcode.PING, b"after")])
@example(reads=[masked(Opcode.TEXT, b"\xff") + masked(Opcode.CLOSE, b"\x03\xe8")])
def test_whole_frames_are_read_as_the_library_reads_them(reads: list[bytes]) -> None:
    """Whatever frames arrive, in whatever reads, messages, answers and the close are those of the library."""
    assert asyncio.run(played(WebSocketProtocol, reads)) == asyncio.run(played(LibraryAlone, reads))


@pytest.mark.parametrize("kind", [WebSocketProtocol, LibraryAlone])
@pytest.mark.parametrize(
    ("violation", "code"),
    [
        (masked(Opcode.TEXT, b"\xff"), 1007),
        (masked(Opcode.TEXT, b"\xff", fin=False) + masked(Opcode.CONT, b""), 1007),
        (masked(Opcode.CONT, b"never begun"), 1002),
        (Frame(Opcode.TEXT, b"unmasked").serialize(mask=False), 1002),
    ],
    ids=["no UTF-8", "no UTF-8 in fragments", "never begun", "unmasked"],
)
@pytest.mark.filterwarnings("ignore::ResourceWarning")
async def test_nothing_after_a_violation_is_processed(kind: type[WebSocketProtocol], violation: bytes, code: int) -> None:
    """A ping before a violation is answered, frames after it in the same read are ignored (RFC 6455, section 7.1.7)."""
    after = masked(Opcode.PING, b"after") + masked(Opcode.TEXT, b"lost") + masked(Opcode.CLOSE, b"\x03\xe8")
    messages, written, closed = await played(kind, [masked(Opcode.PING, b"before") + violation + after])
    assert [(message["type"], message["code"]) for message in messages] == [("websocket.disconnect", code)]
    pong = Frame(Opcode.PONG, b"before").serialize(mask=False)
    assert written.startswith(pong + b"\x88")
    assert written[len(pong) + 2 :][:2] == code.to_bytes(2, "big")
    assert written.count(b"after") == 0
    assert closed
