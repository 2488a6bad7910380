"""What the relay sees of frames, against the WebSocket library's own reading of them."""

import json
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.frames import Frame, Opcode
from websockets.protocol import OPEN
from websockets.server import ServerProtocol

from exporter.protocol.arriving_event import ArrivingEvent
from exporter.protocol.long_event import shorten
from exporter.receivers.proxy.frames import CLOSE, Message, Scanner, close_frame, text_frame
from exporter.receivers.read_budget import MOST_PARTLY_READ, ReadBudget

LONGEST = 200
MASK = b"\x37\xfa\x21\x3d"

payloads = st.binary(max_size=40) | st.integers(0, 300).map(lambda size: b"x" * size) | st.just(b"y" * 70_000)
controls = st.tuples(st.sampled_from([Opcode.PING, Opcode.PONG]), st.binary(max_size=125))


@st.composite
def conversations(draw: st.DrawFn, *, masked: bool) -> list[bytes]:
    """Frames as a peer sends them: messages whole and in fragments, with pings between, perhaps a close at the end."""
    frames: list[Frame] = []
    for _ in range(draw(st.integers(0, 6))):
        opcode = draw(st.sampled_from([Opcode.TEXT, Opcode.BINARY]))
        parts = draw(st.lists(payloads, min_size=1, max_size=4))
        for number, part in enumerate(parts):
            frames.append(Frame(Opcode.CONT if number else opcode, part, fin=number == len(parts) - 1))
            frames += [Frame(kind, data) for kind, data in draw(st.lists(controls, max_size=1))]
    if draw(st.booleans()):
        frames.append(Frame(Opcode.CLOSE, b"\x03\xe8"))
    return [frame.serialize(mask=masked) for frame in frames]


def chunks(data: bytes, cuts: list[int]) -> list[bytes]:
    """The bytes in pieces."""
    edges = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    return [data[start:end] for start, end in pairwise(edges)]


def library(data: bytes) -> list[tuple[int, bytes]]:
    """The messages that the library reads."""
    protocol = ServerProtocol(state=OPEN, max_size=None)
    protocol.receive_data(data)
    found: list[tuple[int, bytes]] = []
    opcode, joined = 0, bytearray()
    for event in protocol.events_received():
        assert isinstance(event, Frame)
        if event.opcode in (Opcode.TEXT, Opcode.BINARY):
            opcode, joined = event.opcode.value, bytearray()
        elif event.opcode is not Opcode.CONT:
            continue
        joined += event.data
        if event.fin:
            found.append((opcode, bytes(joined)))
    return found


def read(message: Message) -> tuple[int, bytes | int]:
    """The opcode and the payload of a message, or the size of a long one."""
    payload = message.payload
    return message.opcode, payload.size if isinstance(payload, ArrivingEvent) else message.unmasked()


@given(frames=conversations(masked=True), cuts=st.lists(st.integers(0, 1 << 18), max_size=8))
def test_messages_are_those_of_the_library(frames: list[bytes], cuts: list[int]) -> None:
    """However the bytes are cut, the messages are the library's; those that are too long are seen to pass, and none stays."""
    budget = ReadBudget()
    scanner, data = Scanner(LONGEST, budget), b"".join(frames)
    found = [read(message) for chunk in chunks(data, cuts) for message in scanner.scan(chunk)]
    assert found == [(opcode, payload if len(payload) <= LONGEST else len(payload)) for opcode, payload in library(data)]
    assert not scanner.gave_up
    assert budget.left == MOST_PARTLY_READ


long_events = st.builds(
    lambda text, times, ascii_only: json.dumps({"type": "session.ended", "transcript": text * times, "n": 1}, ensure_ascii=ascii_only),
    st.sampled_from(["x", "語", "é😀", 'a "quote"', "\\", "\n"]),
    st.integers(2 * LONGEST, 3_000),
    st.booleans(),
)


@given(
    event=long_events.map(str.encode),
    splits=st.lists(st.integers(0, 1 << 18), max_size=3),
    cuts=st.lists(st.integers(0, 1 << 18), max_size=8),
    masked=st.booleans(),
)
def test_a_long_message_is_shortened_while_it_arrives(event: bytes, splits: list[int], cuts: list[int], masked: bool) -> None:
    """In whatever fragments and pieces a long event arrives, its shortened document is that of the whole event."""
    parts = chunks(event, splits)
    frames = [
        Frame(Opcode.CONT if number else Opcode.TEXT, part, fin=number == len(parts) - 1).serialize(mask=masked)
        + Frame(Opcode.PING, b"between").serialize(mask=masked)
        for number, part in enumerate(parts)
    ]
    scanner = Scanner(LONGEST, ReadBudget())
    (message,) = [message for chunk in chunks(b"".join(frames), cuts) for message in scanner.scan(chunk)]
    assert isinstance(message.payload, ArrivingEvent)
    assert message.payload.size == len(event)
    assert message.unmasked() == shorten(event)


@pytest.mark.parametrize("size", [150, 5_000])
def test_what_finds_no_room_is_lost_alone(size: int) -> None:
    """A message for which the budget of all connections has no room is dropped, and the message after it is read."""
    budget = ReadBudget(100)
    scanner = Scanner(LONGEST, budget)
    data = text_frame(b'{"a":[' + b"1," * (size // 2) + b"1]}") + text_frame(b"{}")
    found = [message.payload for chunk in chunks(data, list(range(0, len(data), 40))) for message in scanner.scan(chunk)]
    assert found == [None, b"{}"]
    assert budget.left == 100


@pytest.mark.parametrize("fragment", [700, 60_000, 70_000])
def test_little_is_held_of_a_connection(fragment: int) -> None:
    """Of a long message that has not arrived completely at most 128 KiB are held, whatever its fragments."""
    budget = ReadBudget()
    scanner = Scanner(65_536, budget)
    event = json.dumps({"type": "session.ended"} | {f"f{number}": number for number in range(20_000)}).encode()
    parts = [event[start : start + fragment] for start in range(0, len(event), fragment)]
    for number, part in enumerate(parts):
        frame = Frame(Opcode.CONT if number else Opcode.TEXT, part, fin=False).serialize(mask=True)
        for start in range(0, len(frame), 8_000):
            assert scanner.scan(frame[start : start + 8_000]) == []
            assert MOST_PARTLY_READ - budget.left <= 128 * 1024


def test_a_connection_that_ends_holds_nothing() -> None:
    """What was held of a message that never ends is given back."""
    budget = ReadBudget()
    for size in (150, 5_000):
        scanner = Scanner(LONGEST, budget)
        scanner.scan(text_frame(b'{"a":' + b"1" * size)[:-10])
        assert budget.left < MOST_PARTLY_READ
        scanner.close()
        assert budget.left == MOST_PARTLY_READ


@given(frames=conversations(masked=False), cuts=st.lists(st.integers(0, 1 << 18), max_size=8))
def test_gaps_lie_between_messages(frames: list[bytes], cuts: list[int]) -> None:
    """Wherever a message of one's own is put, it breaks into none of the others, and none follows a close."""
    scanner, ours = Scanner(LONGEST, ReadBudget()), text_frame(b'{"ours": true}')
    plain = b"".join(frames)
    edges = [0]
    for frame in frames:
        edges.append(edges[-1] + len(frame))
    fragmented, allowed = False, {0}
    for frame, end in zip(frames, edges[1:], strict=True):
        opcode = frame[0] & 0x0F
        if opcode < CLOSE:
            fragmented = not frame[0] & 0x80
        if opcode == CLOSE:
            break
        if not fragmented:
            allowed.add(end)
    at = 0
    for chunk in chunks(plain, cuts):
        scanner.scan(chunk)
        closed = scanner.closing
        if scanner.gap >= 0 and not closed:
            assert at + scanner.gap in allowed
        at += len(chunk)
        assert scanner.between == (at in allowed and not closed)
    if scanner.between:
        assert scanner.scan(ours) == [Message(1, b'{"ours": true}', b"")]


@given(data=st.binary(max_size=400), cuts=st.lists(st.integers(0, 400), max_size=4))
def test_garbage_does_no_harm(data: bytes, cuts: list[int]) -> None:
    """Bytes that are no frames are given up on or wait for their end, and hold no more than the longest message."""
    scanner = Scanner(LONGEST, ReadBudget())
    for chunk in chunks(data, cuts):
        scanner.scan(chunk)
    assert len(scanner._body) + len(scanner._fragments) <= 2 * LONGEST + len(data)


@given(code=st.sampled_from([1000, 1001, 1011]), reason=st.text("abc ", max_size=20), masked=st.booleans())
def test_close_frames_are_the_librarys(code: int, reason: str, masked: bool) -> None:
    """A close frame of ours says what it should, to a client and to a server."""
    frame = close_frame(code, reason, mask=MASK if masked else b"")
    body = frame[6:] if masked else frame[2:]
    plain = bytes(byte ^ MASK[at % 4] for at, byte in enumerate(body)) if masked else body
    assert (int.from_bytes(plain[:2], "big"), plain[2:].decode()) == (code, reason)
    assert frame[0] == 0x88
    assert frame[1] == (0x80 if masked else 0) | len(plain)
