"""Messages that our protocol decodes itself, compared with the library alone, for any frames cut into any reads."""

import asyncio
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from uvicorn import Config
from uvicorn.server import ServerState
from websockets.frames import Frame, Opcode

from exporter.auth.peer import ignore_refusal
from exporter.receivers.call_reader import DIRECT_READER, DirectReader
from exporter.receivers.long_messages import LOST, MORE
from exporter.receivers.read_budget import MOST_PARTLY_READ, ReadBudget
from exporter.receivers.websocket import PROTOCOL_ERROR
from exporter.server.listener_config import ListenerConfig, ListenerLimits
from exporter.server.uvicorn_protocols import WebSocketProtocol
from tests.support.alongside import turns_of_others
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


_TURNS = 50
"""Turns of the event loop after which all that was read has been taken: many and long messages take more than one."""


async def played(
    kind: type[WebSocketProtocol], reads: Sequence[bytes], limits: ListenerLimits | None = None, most_directly: int = 0
) -> tuple[list[Any], bytes, bool]:
    """The messages that the application receives, the bytes that the peer receives, and whether the connection was closed.

    Up to ``most_directly`` messages at once are read directly. The application is sometimes busy with something else.
    """
    messages: list[Any] = []
    over = asyncio.Event()

    def read_directly(arrived: Sequence[Any]) -> Sequence[Any]:
        messages.extend(arrived[:most_directly])
        return arrived[most_directly:]

    async def app(_scope: Any, receive: Any, send: Any) -> None:
        direct = DirectReader()
        await receive()
        await send({"type": "websocket.accept", DIRECT_READER: direct})
        while True:
            direct.read = read_directly if most_directly else None
            message = await receive()
            messages.append(message)
            if message["type"] == "websocket.disconnect":
                over.set()
                return
            if most_directly and len(messages) % 3 == 0:
                await asyncio.sleep(0)

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
    for _ in range(_TURNS):
        await asyncio.sleep(0)
    protocol.connection_lost(None)
    await asyncio.wait_for(over.wait(), 10)
    return messages, b"".join(wire.written[1:]), wire.closed


def masked(opcode: Opcode, data: bytes, *, fin: bool = True) -> bytes:
    return Frame(opcode, data, fin=fin).serialize(mask=True)


texts = st.text(max_size=40).map(str.encode) | st.integers(0, 300).map(lambda size: b"x" * size) | st.just(b"y" * 9000)
texts |= st.sampled_from((125, 126, 8184, 8185)).map(lambda size: b"z" * size)  # where lengths take more bytes, and where a piece ends
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


@pytest.mark.filterwarnings("ignore::ResourceWarning")
@given(reads=streams(), most=st.integers(1, 40))
def test_messages_read_directly_keep_their_order(reads: list[bytes], most: int) -> None:
    """Whether messages are read directly or received, they come in the order in which they were sent, before the close."""
    assert asyncio.run(played(WebSocketProtocol, reads, most_directly=most)) == asyncio.run(played(LibraryAlone, reads))


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
"""The largest message that is delivered as a whole in the tests below."""
LONGEST = 50_000
"""The largest one that is delivered completely."""


def long_limits(budget: ReadBudget | None = None) -> ListenerLimits:
    return ListenerLimits(max_message=READ, longest_message=LONGEST, read_budget=budget or ReadBudget())


def joined(messages: Sequence[Any]) -> list[bytes | None]:
    """The messages, long ones joined from their pieces, and None for what found no room."""
    found: list[bytes | None] = []
    pieces: list[bytes] | None = None
    for message in messages:
        if MORE not in message:
            assert pieces is None
            found.append(message["bytes"] if "bytes" in message else message["text"].encode())
            continue
        pieces = [*(pieces or ()), message["bytes"]]
        assert len(message["bytes"]) <= READ
        if not message[MORE]:
            found.append(None if message[LOST] else b"".join(pieces))
            pieces = None
    return found


def fragmented(message: bytes, cuts: Sequence[int], between: Sequence[bytes], opcode: Opcode = Opcode.TEXT) -> bytes:
    """A message cut into fragments, with control frames behind them."""
    edges = [0, *sorted(cut % (len(message) + 1) for cut in cuts), len(message)]
    parts = [message[start:end] for start, end in pairwise(edges)]
    return b"".join(
        masked(Opcode.CONT if number else opcode, part, fin=number == len(parts) - 1) + between[number % len(between)]
        for number, part in enumerate(parts)
    )


@st.composite
def large_messages(draw: st.DrawFn) -> tuple[list[bytes], list[bytes]]:
    """Messages of any size, in any fragments with pings between them, cut into reads; and the messages themselves."""
    sizes = st.sampled_from((0, 1, 100, 8_000, READ - 1, READ, READ + 1, LONGEST, LONGEST + 1, 90_000))
    messages = draw(
        st.lists(st.builds(lambda size, text: (text * size)[:size], sizes, st.sampled_from((b"x", b"0123456"))), max_size=4)
    )
    pings = st.lists(st.sampled_from((b"", masked(Opcode.PING, b"between"))), min_size=1, max_size=3)
    cuts = st.lists(st.integers(0, 1 << 18), max_size=4)
    stream = b"".join(fragmented(message, draw(cuts), draw(pings)) for message in messages) + masked(Opcode.TEXT, b"last")
    edges = sorted(draw(st.lists(st.integers(0, len(stream)), max_size=12)))
    reads = [stream[start:end] for start, end in zip([0, *edges], [*edges, len(stream)], strict=True) if start < end]
    return reads, [*messages, b"last"]


@pytest.mark.filterwarnings("ignore::ResourceWarning")
@settings(max_examples=50)
@given(sent=large_messages())
def test_long_messages_arrive_in_pieces(sent: tuple[list[bytes], list[bytes]]) -> None:
    """Whatever its fragments, a message arrives as it was sent, up to one byte more than the longest, and nothing stays held."""
    reads, messages = sent
    budget = ReadBudget()
    received, _, _ = asyncio.run(played(WebSocketProtocol, reads, long_limits(budget)))
    assert joined(received[:-1]) == [message[: LONGEST + 1] for message in messages]
    assert received[-1]["code"] == 1005
    assert budget.left == MOST_PARTLY_READ


@pytest.mark.parametrize("cuts", [(), (9_000,), (100, 19_999, 21_000)], ids=["one frame", "two", "four"])
@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("語" * 8_000, 1005),
        ("é😀" * 5_000, 1005),
        ("語" * 8_000 + "\udc80", 1007),
        ("語" * 7_000 + "\udce8", 1007),
        ("\udcff" + "x" * 30_000, 1007),
    ],
    ids=["three bytes", "two and four", "no UTF-8 at the end", "half a letter", "no UTF-8 at the beginning"],
)
@pytest.mark.filterwarnings("ignore::ResourceWarning")
async def test_a_long_text_must_be_utf8(text: str, code: int, cuts: tuple[int, ...]) -> None:
    """Letters may be cut by frames and pieces, and what is not UTF-8 ends the connection with 1007 as in a short text."""
    message = text.encode("utf-8", "surrogateescape")
    stream = fragmented(message, cuts, (masked(Opcode.PING, b""),))
    reads = [stream[start : start + 777] for start in range(0, len(stream), 777)]
    received, _, _ = await played(WebSocketProtocol, reads, long_limits())
    assert received[-1]["code"] == code
    if code == 1005:
        assert joined(received[:-1]) == [message]


@pytest.mark.parametrize("size", [12_000, READ, READ + 1])
@pytest.mark.filterwarnings("ignore::ResourceWarning")
async def test_what_finds_no_room_is_lost_alone(size: int) -> None:
    """A message for which all connections together have no room is skipped; the connection goes on with the next one."""
    budget = ReadBudget(10_000)
    stream = b"".join(fragmented(b"x" * size, cuts, (b"",)) for cuts in ((), (4_000, 8_000))) + masked(Opcode.TEXT, b"after")
    reads = [stream[start : start + 3_000] for start in range(0, len(stream), 3_000)]
    received, _, _ = await played(WebSocketProtocol, reads, long_limits(budget))
    lost = None if size <= READ else b"x" * size
    assert joined(received[:-1]) == [lost, lost, b"after"]
    assert budget.left == 10_000


@pytest.mark.filterwarnings("ignore::ResourceWarning")
async def test_a_long_message_out_of_order() -> None:
    """A long frame that continues nothing, or begins within another message, is a violation as a short one is."""
    for reads in (
        [masked(Opcode.CONT, b"x" * 30_000)],
        [masked(Opcode.TEXT, b"x", fin=False) + masked(Opcode.TEXT, b"x" * 30_000)],
        [masked(Opcode.TEXT, b"x" * 30_000, fin=False) + masked(Opcode.BINARY, b"x")],
    ):
        received, _, closed = await played(WebSocketProtocol, reads, long_limits())
        assert received[-1]["code"] == 1002
        assert closed


HALF = b"x" * (1 << 19)


@pytest.mark.parametrize(
    ("reads", "texts", "code"),
    [
        ([masked(Opcode.TEXT, HALF, fin=False), masked(Opcode.CONT, HALF), masked(Opcode.TEXT, b"after")], [LONGEST + 1, 5], 1005),
        ([masked(Opcode.TEXT, HALF, fin=False), masked(Opcode.CONT, HALF + b"x"), masked(Opcode.TEXT, b"after")], [LONGEST + 1], 1009),
        ([masked(Opcode.TEXT, HALF + HALF), masked(Opcode.TEXT, b"after")], [LONGEST + 1, 5], 1005),
        ([masked(Opcode.TEXT, HALF + HALF + b"x"), masked(Opcode.TEXT, b"after")], [], 1009),
    ],
    ids=["fragments of the cap", "fragments above it", "the cap", "above it"],
)
@pytest.mark.filterwarnings("ignore::ResourceWarning")
async def test_the_transport_cap(reads: list[bytes], texts: list[int], code: int) -> None:
    """A message of the cap is skipped and the connection goes on; one byte more closes it with 1009, and both are told once."""
    messages, _, _ = await played(WebSocketProtocol, reads, long_limits())
    assert [len(message or b"") for message in joined(messages[:-1])] == texts
    assert messages[-1]["code"] == code
    assert (LONGEST + 1 in texts) + (messages[-1].get(PROTOCOL_ERROR) is True) == 1


@pytest.mark.parametrize("flood", [b"\x89\x80abcd", b"\x00\x81abcdx"], ids=["pings", "fragments"])
@pytest.mark.filterwarnings("ignore::ResourceWarning")
async def test_control_frames_and_fragments_take_turns(flood: bytes) -> None:
    """Other tasks run at least once for each 64 frames that the library parses, also after the connection is lost."""
    async with turns_of_others() as turns:
        await played(WebSocketProtocol, [masked(Opcode.TEXT, b"x", fin=False) + flood * 6_400 + masked(Opcode.CONT, b"x")])
    assert turns.taken >= 100


@pytest.mark.filterwarnings("ignore::ResourceWarning")
async def test_messages_read_directly_take_turns() -> None:
    """Other tasks run at least once for each 32 messages that are read directly."""
    async with turns_of_others() as turns:
        messages, _, _ = await played(WebSocketProtocol, [masked(Opcode.TEXT, b"x") * 3_200], most_directly=64)
    assert len(messages) == 3_201
    assert turns.taken >= 100
