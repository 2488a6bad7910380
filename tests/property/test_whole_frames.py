"""Messages that our protocol decodes itself, compared with the library alone, for any frames cut into any reads."""

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from uvicorn import Config
from uvicorn.server import ServerState
from websockets.frames import Frame, Opcode

from exporter.auth.peer import ignore_refusal
from exporter.server.listener_config import ListenerConfig, ListenerLimits
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


async def played(
    kind: type[WebSocketProtocol], reads: Sequence[bytes], limits: ListenerLimits | None = None
) -> tuple[list[Any], bytes, bool]:
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

    config = (Config if limits is None else ListenerConfig)(
        app, ws=kind, ws_max_size=1 << 20, ws_per_message_deflate=False, ws_ping_interval=None, lifespan="off", log_config=None
    )
    if isinstance(config, ListenerConfig):
        config.limit(limits or ListenerLimits(), ignore_refusal)
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


READ = 20_000
"""The largest message that is read in the tests below."""


@st.composite
def large_messages(draw: st.DrawFn) -> tuple[list[bytes], list[bytes]]:
    """Messages of any size, in any fragments with pings between them, cut into reads; and the messages themselves."""
    sizes = st.sampled_from((0, 1, 100, 8_000, READ - 1, READ, READ + 1, 60_000))
    messages = draw(st.lists(sizes.map(lambda size: b"x" * size), max_size=4))
    stream = b""
    for message in messages:
        cuts = sorted(draw(st.lists(st.integers(0, len(message)), max_size=4)))
        parts = [message[start:end] for start, end in zip([0, *cuts], [*cuts, len(message)], strict=True)]
        for number, part in enumerate(parts):
            stream += masked(Opcode.CONT if number else Opcode.TEXT, part, fin=number == len(parts) - 1)
            stream += draw(st.sampled_from((b"", masked(Opcode.PING, b"between"))))
    stream += masked(Opcode.TEXT, b"last")
    cuts = sorted(draw(st.lists(st.integers(0, len(stream)), max_size=12)))
    reads = [stream[start:end] for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True) if start < end]
    return reads, [*messages, b"last"]


@pytest.mark.filterwarnings("ignore::ResourceWarning")
@settings(max_examples=30)
@given(sent=large_messages())
def test_what_cannot_be_read_is_not_kept(sent: tuple[list[bytes], list[bytes]]) -> None:
    """A message that is larger than what is read is delivered one byte too long, and all others are as they were sent."""
    reads, messages = sent
    received, _, _ = asyncio.run(played(WebSocketProtocol, reads, ListenerLimits(max_message=READ)))
    texts = [message["bytes"] if "bytes" in message else message["text"].encode() for message in received[:-1]]
    assert texts == [message[: READ + 1] for message in messages]
    assert received[-1]["code"] == 1005


HALF = b"x" * (1 << 19)


@pytest.mark.parametrize(
    ("reads", "texts", "code"),
    [
        ([masked(Opcode.TEXT, HALF, fin=False), masked(Opcode.CONT, HALF), masked(Opcode.TEXT, b"after")], [None, "after"], 1005),
        ([masked(Opcode.TEXT, HALF, fin=False), masked(Opcode.CONT, HALF + b"x"), masked(Opcode.TEXT, b"after")], [], 1009),
        ([masked(Opcode.TEXT, HALF + HALF), masked(Opcode.TEXT, b"after")], [None, "after"], 1005),
        ([masked(Opcode.TEXT, HALF + HALF + b"x"), masked(Opcode.TEXT, b"after")], [], 1009),
    ],
    ids=["fragments of the cap", "fragments above it", "the cap", "above it"],
)
@pytest.mark.filterwarnings("ignore::ResourceWarning")
async def test_the_transport_cap(reads: list[bytes], texts: list[str | None], code: int) -> None:
    """A message of the transport's cap is skipped and the connection goes on; one byte more closes it with 1009, as before."""
    messages, _, _ = await played(WebSocketProtocol, reads, ListenerLimits(max_message=READ))
    assert [message.get("text") for message in messages[:-1]] == texts
    assert messages[-1]["code"] == code


@pytest.mark.parametrize("flood", [b"\x89\x80abcd", b"\x00\x81abcdx"], ids=["pings", "fragments"])
@pytest.mark.filterwarnings("ignore::ResourceWarning")
async def test_control_frames_and_fragments_take_turns(flood: bytes) -> None:
    """Other tasks run at least once for each 64 frames that the library parses, also after the connection is lost."""
    turns = 0

    async def other() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    running = asyncio.create_task(other())
    await played(WebSocketProtocol, [masked(Opcode.TEXT, b"x", fin=False) + flood * 6_400 + masked(Opcode.CONT, b"x")])
    running.cancel()
    assert turns >= 100
