"""The tap in a customer's app: what it keeps, what it drops, and that it never gets in the way."""

import json
import subprocess
import sys
from typing import Any

import pytest

from exporter.tap import Tap, attach
from exporter.tap.outbox import MOST_SESSIONS, Outbox
from tests.support.house_rules import ROOT
from tests.support.voice_app import SdkEvent, SdkSession, VoiceApp

STARTED = '{"type":"session.started","agent_session_id":"s1"}'
USAGE = '{"type":"session.usage","models":[]}'
ENDED = '{"type":"session.ended"}'


class Deaf(Tap):
    """A tap that has no thread: what is handed over stays where it can be looked at."""

    def _wake(self) -> None:
        return

    @property
    def kept(self) -> list[dict[str, Any]]:
        return [json.loads(envelope) for envelope in self._outbox.unsent(1000)]


@pytest.fixture
def outbox() -> Outbox:
    return Outbox(100, 10_000)


def test_it_needs_only_websockets() -> None:
    """Importing it brings in nothing of the exporter and no other library."""
    code = "import sys, exporter.tap; print(sorted(sys.modules))"
    loaded = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for library in ("msgspec", "uvicorn", "starlette", "click", "prometheus_client", "uvloop", "exporter.app", "exporter.pipeline"):
        assert f"'{library}'" not in loaded
    assert "'websockets'" in loaded


def test_events_are_numbered_and_kept_until_acknowledged(outbox: Outbox) -> None:
    """What was not acknowledged is given again on the next connection, in order, with the same numbers."""
    for number in range(5):
        assert outbox.put("s1", json.dumps({"type": "user.dtmf", "digit": str(number)}), "user.dtmf")
    assert [json.loads(envelope)["seq"] for envelope in outbox.unsent(3)] == [1, 2, 3]
    outbox.acknowledge(2)
    assert [json.loads(envelope)["seq"] for envelope in outbox.unsent(10)] == [4, 5]
    assert outbox.rewind() == []
    assert [json.loads(envelope)["seq"] for envelope in outbox.unsent(10)] == [3, 4, 5]
    outbox.acknowledge(99)
    assert (len(outbox), outbox.unsent(10)) == (0, [])


def test_what_is_acknowledged_becomes_context(outbox: Outbox) -> None:
    """The start and the last use of a session are told again, once they were counted and until it has ended."""
    outbox.put("s1", STARTED, None)
    assert outbox.rewind() == []
    outbox.acknowledge(1)
    outbox.put("s1", USAGE, None)
    outbox.put("s1", '{"type":"session.usage","models":[1]}', "session.usage")
    assert [json.loads(context) for context in outbox.rewind()] == [{"session": "s1", "context": json.loads(STARTED)}]
    outbox.acknowledge(3)
    assert [json.loads(context)["context"].get("models") for context in outbox.rewind()] == [None, [1]]
    outbox.put("s1", ENDED, None)
    outbox.acknowledge(4)
    assert outbox.rewind() == []


def test_what_finds_no_room_is_dropped_and_counted() -> None:
    """The bounds are in events and in bytes; what waits already stays."""
    few, small = Outbox(2, 10_000), Outbox(100, 50)
    assert [few.put("s", "{}", "") for _ in range(4)] == [True, True, False, False]
    assert [small.put("s", '"' + "x" * 28 + '"', "") for _ in range(3)] == [True, False, False]
    assert (few.dropped, len(few), small.dropped, len(small)) == (2, 2, 2, 1)


def test_sessions_whose_context_is_kept_are_bounded(outbox: Outbox) -> None:
    """The oldest is forgotten first."""
    for number in range(MOST_SESSIONS + 5):
        outbox.put(f"s{number}", STARTED, "session.started")
        outbox.acknowledge(number + 1)
    contexts = outbox.rewind()
    assert len(contexts) == MOST_SESSIONS
    assert json.loads(contexts[0])["session"] == "s5"


@pytest.mark.parametrize("event", [STARTED, STARTED.encode(), json.loads(STARTED)])
def test_events_in_any_form(event: Any) -> None:
    """Text, bytes and decoded events are the same on the wire."""
    tap = Deaf("ws://127.0.0.1:1/ws")
    assert tap.send("s1", event)
    assert tap.kept == [{"session": "s1", "seq": 1, "event": json.loads(STARTED)}]


@pytest.mark.parametrize("event", [b"\xff", 7, None, {"type": {1, 2}, "x": object()}])
def test_no_event_raises(event: Any) -> None:
    """Whatever is handed over, the caller goes on; what cannot be sent is counted."""
    tap = Deaf("ws://127.0.0.1:1/ws")
    tap.send("s1", event)
    assert tap.stats.dropped + tap.stats.waiting == 1


class TestVoiceApp:
    async def test_handlers_are_chained(self) -> None:
        """The customer's handler is called with what the SDK gave, and its result is the SDK's."""
        app, calls = VoiceApp(), []

        async def mine(session: SdkSession, event: SdkEvent) -> str:
            calls.append((session, event))
            return "mine"

        app.on_event = mine
        tap = attach(app, "", tap=Deaf(""))
        event = SdkEvent("session.started", agent_id="a1", agent_session_id="s1")
        assert await app.receive(SdkSession("s1"), event) == "mine"
        assert calls == [(SdkSession("s1"), event)]
        assert isinstance(tap, Deaf)
        assert tap.kept == [
            {"session": "s1", "seq": 1, "event": {"type": "session.started", "agent_id": "a1", "agent_session_id": "s1"}}
        ]

    async def test_a_plain_function_stays_one(self) -> None:
        """A handler that is no coroutine is called at once."""
        app = VoiceApp()
        app.on_event = lambda _session, event: event.type
        attach(app, "", tap=Deaf(""))
        assert app.on_event(SdkSession("s1"), SdkEvent("user.dtmf")) == "user.dtmf"

    async def test_an_app_without_handlers(self) -> None:
        """The tap hears although nobody else does."""
        app = VoiceApp()
        tap = attach(app, "", tap=Deaf(""))
        await app.receive(SdkSession("s1"), {"type": "user.dtmf", "digit": "1"})
        assert isinstance(tap, Deaf)
        assert [kept["event"]["type"] for kept in tap.kept] == ["user.dtmf"]

    async def test_errors_of_the_customer_are_theirs(self) -> None:
        """Their exception leaves as it did, and the event was heard."""
        app = VoiceApp()

        async def broken(*_: object) -> None:
            raise ValueError("theirs")

        app.on_event = broken
        tap = attach(app, "", tap=Deaf(""))
        with pytest.raises(ValueError, match="theirs"):
            await app.receive(SdkSession("s1"), SdkEvent("user.dtmf"))
        assert tap.stats.waiting == 1

    @pytest.mark.parametrize("event", [object(), 7, None, "plain text", SdkSession("x")])
    async def test_what_is_no_event(self, event: object) -> None:
        """Handlers may be called with anything; what is no event is not sent."""
        app = VoiceApp()
        tap = attach(app, "", tap=Deaf(""))
        await app.receive(SdkSession("s1"), event)
        assert tap.stats.waiting == tap.stats.dropped == 0
