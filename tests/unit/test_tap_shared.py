"""One tap for the sessions of a process."""

import pytest

from agentstack_tap import Tap, shared


def test_sessions_share_a_tap(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sessions that report to the same exporter have one tap, which rests after the last of them and is ready for the next one."""
    heard: list[str] = []
    monkeypatch.setattr(Tap, "rest", lambda _: heard.append("rest"))
    monkeypatch.setattr(Tap, "stay", lambda _: heard.append("stay"))
    first, second, other = (shared.borrow(f"ws://127.0.0.1:{port}/ws", framework="x") for port in (1, 1, 2))
    assert first is second
    assert first is not other
    shared.give_back(first)
    assert heard == []
    shared.give_back(second)
    assert heard == ["rest"]
    assert shared.borrow("ws://127.0.0.1:1/ws", framework="x") is first
    assert heard == ["rest", "stay"]
    first.close(0.0)
    third = shared.borrow("ws://127.0.0.1:1/ws", framework="x")
    assert third is not first
    for tap in (third, other):
        shared.give_back(tap)
