"""A tap's long message is read while it arrives: its envelope and its event are those of the whole message, wherever it is cut."""

import json
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.protocol.arriving_event import ArrivingEvent
from exporter.protocol.long_event import LONGEST_EVENT, shorten
from exporter.protocol.reasons import FrameRejected, RejectionReason
from exporter.receivers.tap.arriving_envelope import MOST_AROUND, ArrivingEnvelope
from exporter.receivers.tap.envelope import MalformedError

LIMIT = 400
texts = st.text(max_size=20) | st.sampled_from(['"', "\\", '\\"', "]}", "[{", "語", "😀", "\x00", "é" * 50])
values = st.recursive(
    texts | st.integers() | st.booleans() | st.none() | st.builds(lambda text, times: text * times, texts, st.integers(0, 200)),
    lambda parts: st.lists(parts, max_size=4) | st.dictionaries(texts, parts, max_size=4),
    max_leaves=8,
)
events = st.dictionaries(texts, values, max_size=5)
styles = st.fixed_dictionaries({}, optional={"ensure_ascii": st.booleans(), "indent": st.just(1)})


def read(message: bytes, cuts: list[int], limit: int = LIMIT) -> ArrivingEnvelope:
    edges = [0, *sorted(cut % (len(message) + 1) for cut in cuts), len(message)]
    envelope = ArrivingEnvelope(limit)
    for start, end in pairwise(edges):
        envelope.feed(message[start:end])
    return envelope


def same_event(envelope: ArrivingEnvelope, content: bytes) -> None:
    """The event is ``content``, shortened if it is long."""
    if len(content) <= LIMIT:
        assert isinstance(envelope.event, bytearray)
        assert bytes(envelope.event) == content
    else:
        assert isinstance(envelope.event, ArrivingEvent)
        assert envelope.event.size == len(content)
        assert envelope.event.document() == shorten(content)


@given(
    event=events,
    style=styles,
    outer=styles,
    as_text=st.booleans(),
    order=st.permutations(["session", "seq", "event"]),
    cuts=st.lists(st.integers(0, 1 << 16), max_size=8),
    every_byte=st.booleans(),
)
def test_any_event_in_an_envelope(
    event: dict[str, Any],
    style: dict[str, Any],
    outer: dict[str, Any],
    as_text: bool,
    order: list[str],
    cuts: list[int],
    every_byte: bool,
) -> None:
    """An event in an object or a string, before or after the other fields, is read as it would be without the envelope."""
    content = json.dumps(event, **style)
    fields = {"session": 'as-"1"', "seq": 17, "event": content if as_text else event}
    message = json.dumps({name: fields[name] for name in order}, **(outer if as_text else style)).encode()
    found = read(message, list(range(len(message))) if every_byte and len(message) < 3_000 else cuts)
    envelope = found.envelope()
    assert (envelope.session, envelope.seq) == ('as-"1"', 17)
    if as_text:
        same_event(found, content.encode())
    else:
        kept = found.event.document() if isinstance(found.event, ArrivingEvent) else bytes(found.event)
        assert json.loads(kept) == json.loads(shorten(content) if isinstance(found.event, ArrivingEvent) else content)


@pytest.mark.parametrize("as_text", [True, False])
@pytest.mark.parametrize("state_first", [True, False])
def test_a_call_that_is_resumed(*, as_text: bool, state_first: bool) -> None:
    """The first event of a resumed call may be long too."""
    start = {"type": "session.started", "caller": "語" * 1_000}
    content = json.dumps(start, ensure_ascii=False, separators=(",", ":"))
    inner = {"start": content if as_text else start, "state": "abc"}
    resume = dict(reversed(inner.items())) if state_first else inner
    message = json.dumps({"session": "s", "resume": resume}, ensure_ascii=False, separators=(",", ":")).encode()
    found = read(message, list(range(0, len(message), 7)))
    envelope = found.envelope()
    assert envelope.session == "s"
    assert envelope.resume is not None
    assert envelope.resume.state == "abc"
    same_event(found, content.encode())


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        (b'{"session":"s","seq":1,"event":{"a":"' + b"x" * (LONGEST_EVENT + 1), RejectionReason.TOO_LARGE),
        (b'{"session":"s","seq":1,"event":{},"x":"' + b"x" * MOST_AROUND + b'"}', RejectionReason.TOO_LARGE),
        (b'{"session":"' + b"s" * 2 * MOST_AROUND + b'","seq":1,"event":{}}', RejectionReason.TOO_LARGE),
        (b'{"session":"s","seq":1,"event":"\\ud83d and more than that"}', RejectionReason.LONE_SURROGATE),
        (b'{"session":"s","seq":1,"event":"\xff and more than that"}', RejectionReason.NOT_JSON),
    ],
    ids=["too long", "too much after it", "too much before it", "half an emoji", "no UTF-8"],
)
def test_what_cannot_be_read(message: bytes, reason: RejectionReason) -> None:
    """A message is rejected with its reason, and nothing of it is held."""
    found = read(message, list(range(0, len(message), 8_192)))
    with pytest.raises(FrameRejected) as rejected:
        found.envelope()
    assert rejected.value.reason is reason
    assert found.held <= MOST_AROUND


@pytest.mark.parametrize("message", [b'{"session":"s","seq":1,"event":{"a":1}', b'{"session":"s","event":"x', b"x" * 100])
def test_what_ends_too_early(message: bytes) -> None:
    """A message that is cut off is no envelope."""
    with pytest.raises(MalformedError):
        read(message, [5]).envelope()


@given(event=events, cuts=st.lists(st.integers(0, 1 << 20), max_size=8), times=st.integers(1, 2_000))
def test_little_is_held(event: dict[str, Any], cuts: list[int], times: int) -> None:
    """However long the event is, at most 128 KiB are held of it."""
    message = json.dumps({"session": "s", "seq": 1, "event": json.dumps([event] * times)}).encode()
    envelope = ArrivingEnvelope(65_536)
    for start in range(0, len(message), 8_192):
        envelope.feed(message[start : start + 8_192])
        assert envelope.held <= 128 * 1024
