"""The exporter restarted under tapped calls: what the old process last showed and what the new one shows add up to the truth."""

import asyncio
import itertools
import json
import math
import signal
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from agentstack_tap import Tap
from agentstack_tap.voice_app import name_of
from exporter.simulate.call import SESSION_STARTS, event_name, plan_call
from exporter.simulate.profiles import FLEETS
from tests.support.daemon import Samples, ServingProgram, call, daemon_process, send_all, total
from tests.support.simulation import subdirectory
from tests.support.waiting import eventually, patience, seconds

CALLS = 100
STARTED_AT = 1_777_885_200.0
WAITS = ("--turn-wait", "600", "--session-resume", "3600", "--session-linger", "600")
BY_RECEIPT = (
    "agentstack_agent_tool_duration_seconds",
    "agentstack_session_duration_seconds",
    "agentstack_state_duration_seconds",
    "gen_ai_execute_tool_duration_seconds",
)
"""Measured between receipts where the platform gives no times: what was counted is the same, how long it took is not."""
FROM_SILENCES = ("agentstack_dead_air", "agentstack_premature_end_of_turns", "agentstack_sessions_ended_after_turn")
"""Here silences between receipts decide what is counted at all, and the restart is one."""
Connection = tuple[str, list[dict[str, Any]]]


def recorded(kind: str) -> list[Connection]:
    """A hundred calls by their names, each on one connection: one that is between two at the restart counts as two calls."""
    found: list[Connection] = []
    for number in itertools.count():
        events = [event for _, event in plan_call(5, number, FLEETS[kind], turns=3).steps(STARTED_AT)]
        if sum(event_name(event) in SESSION_STARTS for event in events) == 1:
            found.append((name_of(events[0]) or f"call-{number}", events))
        if len(found) == CALLS:
            break
    return found


def interleaved(connections: list[Connection]) -> Iterator[tuple[str, dict[str, Any] | None]]:
    """What the connections carry as if all calls went on at once, one event of each after the other; ``None`` where one ends."""
    waiting: dict[str, list[dict[str, Any] | None]] = {}
    for name, events in connections:
        waiting.setdefault(name, []).extend([*events, None])
    for step in range(max(map(len, waiting.values()))):
        yield from ((name, events[step]) for name, events in waiting.items() if step < len(events))


def counted(samples: Samples) -> dict[Any, float]:
    """Everything that is counted of calls: counters, and the buckets, counts and sums of histograms."""
    return {
        (name, labels): value
        for (name, labels), value in samples.items()
        if name.endswith(("_total", "_count", "_bucket", "_sum"))
        and (name == "agentstack_exporter_events_total" or not name.startswith(("agentstack_exporter_", "process_")))
        and not name.startswith(FROM_SILENCES)
        and not (name.startswith(BY_RECEIPT) and not name.endswith("_count"))
        and value
    }


async def final_scrape(program: ServingProgram) -> Samples:
    """What a process shows that was told to stop, when it has counted everything."""
    program.signal(signal.SIGTERM)
    await eventually(lambda: "waiting for one more scrape" in program.log, because="its last word")
    samples = await program.endpoints.scrape()
    assert await program.ended() == 0
    return samples


async def expected(directory: Path, connections: list[Connection]) -> dict[Any, float]:
    """What one process counts to which each call comes on a connection of its own."""
    async with daemon_process(directory, "--linger", "--no-subscribe", *WAITS) as alone:
        for _, events in connections:
            async with call(alone.endpoints.ws) as socket:
                await send_all(socket, events)
        await alone.endpoints.reaches("agentstack_exporter_frames_received_total", sum(len(events) for _, events in connections))
        return counted(await final_scrape(alone))


@pytest.mark.parametrize("kind", ["mixed", "messy"])
async def test_the_two_processes_add_up(tmp_path: Path, kind: str) -> None:
    """A hundred tapped calls with a restart in their middle are counted as if there had been none, each event exactly once."""
    connections = recorded(kind)
    messages = list(interleaved(connections))
    half = len(messages) // 2
    async with daemon_process(subdirectory(tmp_path, "old"), "--linger", *WAITS) as old:
        tap = Tap(old.endpoints.ws, max_events=len(messages))
        try:
            for name, event in messages[:half]:
                tap.send(name, event) if event is not None else tap.end(name)
            await old.endpoints.reaches("agentstack_exporter_frames_received_total", half // 4)
            stopping = asyncio.create_task(final_scrape(old))
            for place, (name, event) in enumerate(messages[half:]):
                tap.send(name, event) if event is not None else tap.end(name)
                if place % 10 == 0 and tap.stats.connected:  # so that many calls are still going on when the old process goes
                    await asyncio.to_thread(tap.flush, seconds(0.1))
            last = await stopping
            async with daemon_process(subdirectory(tmp_path, "new"), "--linger", *WAITS, "--listen", old.endpoints.listen) as new:
                assert await asyncio.to_thread(tap.flush, patience(30)), tap.stats
                now = await final_scrape(new)
        finally:
            await asyncio.to_thread(tap.close)
    both: Counter[Any] = Counter(counted(last))
    both.update(counted(now))
    truth = await expected(subdirectory(tmp_path, "alone"), connections)
    wrong = {
        key: (both[key], truth.get(key)) for key in {*both, *truth} if not math.isclose(both[key], truth.get(key, 0.0), rel_tol=1e-9)
    }
    assert wrong == {}
    for samples in (last, now):
        assert total(samples, "agentstack_exporter_frames_total", outcome="processed") > half // 8
        assert total(samples, "agentstack_exporter_tap_dropped_total") == 0
    assert total(last, "agentstack_sessions_active") == 0
    assert sum(value for (name, _), value in truth.items() if name == "agentstack_sessions_total") >= CALLS


async def test_a_tap_that_reads_late_gets_all_states(tmp_path: Path) -> None:
    """The states of calls reach a tap that goes on sending, and reads nothing for a second, while the exporter stops."""
    names = [f"as-{number}" for number in range(20)]
    async with daemon_process(tmp_path, *WAITS) as old, call(old.endpoints.ws, max_queue=1) as socket:
        await send_all(socket, [{"hello": {"client": "some-tap", "version": 1}}])
        await send_all(
            socket, ({"session": name, "seq": seq, "event": {"type": "session.started"}} for seq, name in enumerate(names, 1))
        )
        await old.endpoints.reaches("agentstack_exporter_frames_received_total", len(names))
        old.signal(signal.SIGTERM)
        begun, seq = time.monotonic(), len(names)
        while time.monotonic() - begun < 1.0:  # the exporter's own waits do not stretch on a busy machine, so this does not
            seq += 1
            await send_all(socket, [{"session": names[0], "seq": seq, "event": {"type": "user.speech_started"}}])
            await asyncio.sleep(0)
        answers = [json.loads(text) async for text in socket]
        assert await old.ended() == 0
    assert [answer["session"] for answer in answers if "state" in answer] == names
