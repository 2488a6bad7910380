"""Events longer than the frame limit: what they count survives, however long their texts and lists are."""

import json
from typing import Any

import pytest

from tests.support.core import Connection, Core

TRUNCATED = "agentstack_exporter_frames_truncated_total"
TRANSCRIPT = [{"role": "user", "content": "I have lost my parcel. 荷物をなくしました。"}] * 3_000
ENDED = {"type": "session.ended", "duration_seconds": 1800, "turn_count": 112, "reason": "hangup", "transcript": TRANSCRIPT}


def sent(core: Core, event: dict[str, Any], style: str) -> Connection:
    """A call that received ``event``: as text with escapes, as text without, or as bytes."""
    call = core.call()
    text = json.dumps(event, ensure_ascii=style == "escaped")
    call.feed.consume(text.encode() if style == "bytes" else text, core.now)
    assert core.value("agentstack_exporter_frames_total", outcome="rejected") == 0
    assert core.value(TRUNCATED) == 1
    return call


@pytest.fixture
def core() -> Core:
    """A core with default limits and waits."""
    return Core()


@pytest.mark.parametrize("style", ["escaped", "text", "bytes"])
@pytest.mark.parametrize("transcript", [TRANSCRIPT, "語" * 60_000, {"turns": TRANSCRIPT}], ids=["list", "text", "object"])
def test_the_end_of_a_long_call(core: Core, style: str, transcript: Any) -> None:
    """A call with a long transcript ends with its reason, length and number of turns."""
    sent(core, {**ENDED, "transcript": transcript}, style)
    assert core.value("agentstack_sessions_ended_total", reason="hangup") == 1
    assert core.value("agentstack_session_duration_seconds") == 1800
    assert core.value("agentstack_session_turns") == 112
    assert core.value("agentstack_exporter_values_refused_total") == 0


@pytest.mark.parametrize("style", ["escaped", "text", "bytes"])
def test_a_tool_with_a_long_output(core: Core, style: str) -> None:
    """A tool counts by name and outcome although its output is long, and so do the tools beside it."""
    calls = [
        {"name": "search", "call_id": "c-1", "output": "結果 " * 20_000, "is_error": True},
        {"name": "lookup", "output": [1] * 30_000},
    ]
    sent(core, {"type": "tool.executed", "calls": calls}, style)
    assert core.value("agentstack_tool_executions_total", tool="search", outcome="error") == 1
    assert core.value("agentstack_tool_executions_total", tool="lookup", outcome="ok") == 1


def test_a_backchannel_with_its_audio(core: Core) -> None:
    """A judged backchannel counts although the event carries two seconds of audio."""
    event = {"type": "user.backchannel", "num_requests": 3, "speech_input_b64": "QUJD" * 21_334, "total_duration_ms": 600}
    sent(core, event, "text")
    assert core.value("agentstack_backchannel_requests_total") == 3
    assert core.value("agentstack_backchannel_duration_seconds") == 0.6


def test_an_event_within_the_limit_is_read_in_full(core: Core) -> None:
    """An event of the largest size is not shortened."""
    core.call().send("session.ended", reason="hangup", transcript="x" * 65_000)
    assert core.value(TRUNCATED) == 0


def test_a_long_frame_that_is_no_event(core: Core) -> None:
    """A long frame that is rejected is not counted as shortened."""
    core.call().feed.consume("x" * 70_000, core.now)
    assert core.value("agentstack_exporter_frames_rejected_total", reason="not_json") == 1
    assert core.value(TRUNCATED) == 0
