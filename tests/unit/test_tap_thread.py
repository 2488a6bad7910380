"""The thread of a tap: when it starts and ends, and what happens if the system gives none."""

import logging
import threading
from typing import Any
from uuid import uuid4

import pytest

from agentstack_tap import Tap
from agentstack_tap.livekit import attach
from tests.support.livekit_session import AgentSession
from tests.support.waiting import eventually

NOWHERE = "ws://127.0.0.1:1/ws"
START: dict[str, Any] = {"type": "session.started", "agent_session_id": "s"}


def tap_threads() -> set[threading.Thread]:
    """The threads of taps that run."""
    return {thread for thread in threading.enumerate() if thread.name == "agentstack-tap"}


async def test_attached_sessions_have_a_thread() -> None:
    """It runs from the moment a session is attached, so that the session's first event does not have to start it, to its end."""
    before, session, other = tap_threads(), AgentSession(), AgentSession()
    url = f"{NOWHERE}/{uuid4()}"  # no other test shares the tap
    tap = attach(session, url)
    (thread,) = tap_threads() - before
    assert attach(other, url) is tap
    for each in (session, other):
        assert tap_threads() - before == {thread}
        each.emit("close", reason="user_initiated", error=None, created_at=1.0)
    assert not tap.close(0.0)  # nobody has acknowledged the ends
    await eventually(lambda: not thread.is_alive())


def test_a_tap_without_a_thread(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """Where the system gives no thread, nothing is raised, events wait within the bound, and a later one finds a thread again."""
    before, tap = tap_threads(), Tap(NOWHERE, max_events=3)

    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as full, caplog.at_level(logging.WARNING, "agentstack_tap"):
        full.setattr(threading.Thread, "start", refuse)
        tap.open()
        tap.send("s", START)
        tap.send_made("s", lambda: [START])
        tap.end("s")
        tap.send("s", START)
        tap.rest()
        assert not tap.flush(0.0)
    assert (tap.stats.buffered, tap.stats.dropped) == (3, {"overflow": 1})
    assert caplog.messages[0] == "cannot connect to the exporter: can't start new thread"
    tap.send("s", START)
    assert len(tap_threads() - before) == 1
    assert not tap.close(0.0)


def test_a_tap_that_never_had_a_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """It can be closed, with events that nobody will send."""

    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't create new thread at interpreter shutdown")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    tap = Tap(NOWHERE)
    tap.send("s", START)
    assert not tap.close(0.0)
    tap.open()
    assert tap.stats.buffered == 1
