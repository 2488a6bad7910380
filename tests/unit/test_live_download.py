"""A call as a file: replay reads its JSON lines and sees the same turns, and a long one keeps nobody waiting."""

import asyncio

import msgspec
import pytest
from starlette.requests import Request

from exporter.exporters.live.hub import Hub
from exporter.exporters.live.pages import LivePages
from exporter.tools.recorded_line import read_line
from exporter.tools.replay import Replay
from tests.support.core import BEGINNING
from tests.support.live import LiveCore
from tests.support.samples import CALL


def replayed(core: LiveCore, session: str) -> dict[str, float]:
    """What the replay of the call's lines counts."""
    replay = Replay(BEGINNING)
    for line in core.lines(session):
        read = read_line(msgspec.json.encode(line))
        assert read is not None
        replay.take(read)
    replay.settle()
    found: dict[str, float] = {}
    for change in replay.changes():
        value = change.after
        if isinstance(value, float):
            found[change.spec.name] = found.get(change.spec.name, 0.0) + value
    return found


def test_replay_of_a_call_counts_its_turns() -> None:
    """Turns, interruptions, errors and the end of the sample call are counted again, and nothing is rejected or unknown."""
    core = LiveCore()
    call = core.connect()
    for event in CALL:
        core.now += 0.4
        call.feed.consume(msgspec.json.encode(event), core.now)
    found = replayed(core, "as-7f3c")
    for name in (
        "agentstack_turns_total",
        "agentstack_interruptions_total",
        "agentstack_errors_total",
        "agentstack_tool_executions_total",
    ):
        assert found[name] == core.value(name), name
    assert found["agentstack_sessions_ended_total"] == 1
    assert "agentstack_exporter_unknown_fields_total" not in found
    assert not found.get("agentstack_exporter_frames_rejected_total")


@pytest.mark.parametrize("truncated", [True, False])
def test_lines_begin_with_a_start(*, truncated: bool) -> None:
    """A call that has lost its beginning begins with a start all the same, so that replay knows whose call it is."""
    core = LiveCore(memory=128 * 1024)
    call = core.call("as-1", agent="support", call_id="call-1")
    for number in range(60 if truncated else 2):
        call.turn(number, user_perceived_ms=800)
    assert core.row().truncated == truncated
    first, *others = core.lines()
    assert first["event"]["type"] == "session.started"
    assert (first["event"]["agent_session_id"], first["event"]["agent_id"]) == ("as-1", "support")
    assert all(line["event"]["type"] == "turn.metrics" for line in others)


@pytest.mark.parametrize("form", ["_call", "_lines", "_page"])
async def test_a_long_call_keeps_nobody_waiting(form: str) -> None:
    """A call of many turns is written in small steps, between which the loop serves others; of two such requests one waits."""
    core = LiveCore()
    call = core.call("as-1", agent="support")
    for number in range(1, 401):
        call.turn(number, user_perceived_ms=800, llm_ttft_ms=300)
    pages = LivePages(core.state, Hub(core.state, lambda: core.now))
    answer = getattr(pages, form)
    request = Request({"type": "http", "path_params": {"call_id": core.journal("as-1").id}})
    steps = 0

    async def others() -> None:
        nonlocal steps
        while True:
            steps += 1
            await asyncio.sleep(0)

    counting = asyncio.create_task(others())
    first, second = asyncio.create_task(answer(request)), asyncio.create_task(answer(request))
    assert (await first).status_code == 200
    assert not second.done()
    assert steps >= (400 if form == "_page" else 5)
    await second
    counting.cancel()
