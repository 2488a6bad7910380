"""What a tap keeps until it is acknowledged."""

import json
from typing import Any

import pytest

from agentstack_tap.buffer import Buffer
from agentstack_tap.voice_app import untyped
from agentstack_tap.writing import Writer, characters_of, unchanging
from exporter.simulate.call import plan_call
from exporter.simulate.profiles import FLEETS
from tests.support.voice_app import parse_event


def all_of(buffer: Buffer) -> list[dict[str, Any]]:
    """Everything that is to be sent now."""
    found = []
    while (text := buffer.next()) is not None:
        found.append(json.loads(text))
    return found


def test_what_is_not_acknowledged_is_sent_again_in_order() -> None:
    """After a broken connection the rest comes once more, with the numbers it had, before what is new."""
    buffer = Buffer(10, 10_000)
    for number in range(3):
        buffer.event("s", str(number), starts=False, size=10)
    assert [message["seq"] for message in all_of(buffer)] == [1, 2, 3]
    buffer.acked(1)
    buffer.event("s", "3", starts=False, size=10)
    buffer.rewind()
    assert [(message["seq"], message["event"]) for message in all_of(buffer)] == [(2, 1), (3, 2), (4, 3)]


def test_it_is_bounded() -> None:
    """Events and characters are limited, what finds no room is counted and reported once, and room that is made is used."""
    for buffer in (Buffer(2, 10_000), Buffer(100, 100)):
        for _ in range(5):
            buffer.event("s", '"1234"', starts=False, size=10)
        assert len(buffer) == 2
        assert buffer.dropped == {"overflow": 3}
        assert all_of(buffer)[-1] == {"seq": 3, "dropped": {"overflow": 3}}
        buffer.acked(3)
        assert buffer.wait_until_empty(0)
        buffer.event("s", "5", starts=False, size=10)
        assert [message["seq"] for message in all_of(buffer)] == [4]


def test_only_calls_that_were_counted_are_resumed() -> None:
    """A call is told of as begun elsewhere from the acknowledgement of its start to that of its end."""
    buffer = Buffer(10, 10_000)
    buffer.event("s", '{"type":"session.started"}', starts=True, size=10)
    all_of(buffer)
    assert list(buffer.resumptions()) == []
    buffer.acked(1)
    assert [json.loads(text) for text in buffer.resumptions()] == [{"session": "s", "resume": {"start": {"type": "session.started"}}}]
    buffer.end("s")
    all_of(buffer)
    assert len(list(buffer.resumptions())) == 1
    buffer.acked(2)
    assert list(buffer.resumptions()) == []


@pytest.mark.parametrize("as_text", [True, False])
def test_the_start_of_a_call_that_is_long(*, as_text: bool) -> None:
    """Of a long first event only numbers and short texts are remembered for a restart, and all of it is sent."""
    start = {"type": "session.started", "agent_id": "a-1", "sample_rate": 8000, "prompt": "語" * 20_000, "tools": [1] * 9}
    buffer = Buffer(10, 1 << 20)
    text = json.dumps(start)
    buffer.event("s", json.dumps(text) if as_text else text, starts=True, size=len(text))
    (sent,) = all_of(buffer)
    assert (json.loads(sent["event"]) if as_text else sent["event"]) == start
    buffer.acked(1)
    (resumed,) = buffer.resumptions()
    assert json.loads(resumed)["resume"]["start"] == {"type": "session.started", "agent_id": "a-1", "sample_rate": 8000}


@pytest.mark.parametrize(("size", "kept"), [(524_288, 1), (524_289, 0)])
def test_the_largest_event(size: int, kept: int) -> None:
    """An event is as large as the platform sent it, whatever it takes in the message."""
    buffer = Buffer(10, 1 << 22)
    buffer.event("s", json.dumps("\\u8a9e" * 200_000), starts=False, size=size)
    assert len([message for message in all_of(buffer) if "event" in message]) == kept
    assert buffer.dropped == ({} if kept else {"too_large": 1})


def test_a_state_is_given_on_once() -> None:
    """What an exporter said of a call is told to the next one, and forgotten when that has answered."""
    buffer = Buffer(10, 10_000)
    buffer.keep("s", "abc")
    assert [json.loads(text) for text in buffer.resumptions()] == [{"session": "s", "resume": {"state": "abc"}}]
    buffer.resumed()
    assert list(buffer.resumptions()) == []


def test_typed_events_of_streams_are_nested_again() -> None:
    """What the SDK took apart has the wire's form again, so far as the SDK kept it."""
    for event in (
        {
            "event": "start",
            "streamId": "st",
            "start": {"callId": "c", "streamId": "st", "mediaFormat": {"type": "audio/x-l16", "rate": 8000}},
        },
        {"event": "media", "media": {"payload": "AAAA", "contentType": "audio/x-l16", "sampleRate": 8000}},
        {"event": "dtmf", "dtmf": {"digit": "1"}},
        {"type": "something.new", "field": 1},
    ):
        assert untyped(parse_event(event)) == event


def test_an_event_that_changes_later() -> None:
    """A mapping is sent as it was when it was passed, whether it is copied or written at once; a text is not looked at before."""
    event = {"type": "x", "flat": {"a": 1}, "list": [1, "b"]}
    deep = {"type": "x", "deep": {"a": [1]}}
    copy = unchanging(event)
    event["flat"]["a"] = event["list"][0] = 2  # type: ignore[index]
    assert copy == {"type": "x", "flat": {"a": 1}, "list": [1, "b"]}
    assert unchanging(deep) is unchanging({"type": object()}) is None


@pytest.mark.parametrize("kind", ["turn.metrics", "user.state_changed"])
def test_what_events_count_for_before_they_are_written(kind: str) -> None:
    """Before an event is JSON it counts for about as many characters as after, so that no room is wasted and none made up."""
    event = next(event for _, event in plan_call(5, 1, FLEETS["mixed"], turns=3).steps(0.0) if event.get("type") == kind)
    event = {**event, "parts": ["a text" * 20, 1], "more": {"text": "b" * 50}}
    assert characters_of(event) == pytest.approx(len(json.dumps(event)), rel=0.4)


def test_what_is_made_later_is_bounded_and_in_order() -> None:
    """What waits to be written counts for both bounds, comes in its order, and a failure costs the event that failed."""
    writer = Writer({})
    buffer = Buffer(5, 10_000)

    def fail() -> list[dict[str, Any]]:
        raise RuntimeError

    for content in (lambda: [{"n": 1}, {"n": 2}], fail, lambda: [{"n": 3}]):
        buffer.put("s", writer.made, content, 1_000)
    buffer.put("s", None, None, 0)
    buffer.put("s", writer.frame, "x" * 9_000, 9_000)
    assert (len(buffer), buffer.waiting, buffer.sent_all) == (4, True, False)
    assert buffer.dropped == {"overflow": 1}
    assert buffer.next() is not None  # the report of what was dropped
    assert buffer.take_in()
    assert not buffer.waiting
    sent = all_of(buffer)
    assert [message.get("event", {}).get("n") for message in sent[:3]] == [1, 2, 3]
    assert sent[3]["end"] is True
    assert sent[4]["dropped"] == {"unreadable": 1}
    assert not buffer.take_in()
    buffer.acked(sent[4]["seq"])
    buffer.put("s", writer.frame, "x" * 9_000, 9_000)
    assert buffer.dropped["overflow"] == 1
