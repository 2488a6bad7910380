"""Taps and the exporter: many calls on one connection, each event counted once whatever happens to either side."""

import asyncio
import json
import re
import shutil
import signal
from pathlib import Path
from typing import Any

import pytest

from exporter.simulate.call import plan_call
from exporter.simulate.profiles import FLEETS
from exporter.tap import Tap, attach
from tests.support.daemon import Samples, call, daemon_process, running_daemon, total
from tests.support.house_rules import ROOT
from tests.support.voice_app import SdkEvent, SdkSession, VoiceApp
from tests.support.waiting import eventually

STARTED = {"type": "session.started", "agent_id": "agent-1"}
EVENTS = "agentstack_exporter_events_total"
RECEIVED = "agentstack_exporter_frames_received_total"
SESSIONS = "agentstack_sessions_total"
ACTIVE = "agentstack_sessions_active"
ENDED = "agentstack_sessions_ended_total"
REPEATED = "agentstack_exporter_tap_repeated_total"
HELLO = {"hello": {"client": "c1", "version": 1}}


def envelope(seq: int, event: dict[str, Any], session: str = "s1") -> str:
    return json.dumps({"session": session, "seq": seq, "event": event})


class TestProtocol:
    async def test_events_are_acknowledged(self) -> None:
        """Hello is answered with the last number, and events with the number up to which they are taken in."""
        async with running_daemon() as doors, call(doors.ws) as tap:
            await tap.send(json.dumps(HELLO))
            assert json.loads(await tap.recv()) == {"hello": {"seq": 0}}
            for seq in range(1, 51):
                await tap.send(envelope(seq, STARTED if seq < 3 else {"type": "user.dtmf", "digit": "1"}, f"s{seq % 2}"))
            ack = 0
            while ack < 50:
                ack = json.loads(await tap.recv())["ack"]
            assert await doors.total(EVENTS) == await doors.total(RECEIVED) == 50
            assert await doors.total(SESSIONS, agent="agent-1") == await doors.total(ACTIVE) == 2

    async def test_what_comes_again_counts_once(self) -> None:
        """After a broken connection a client hears how far it had come, and what it sends again is acknowledged and not counted."""
        async with running_daemon() as doors:
            for known, repeated in ((0, 0), (2, 2)):
                async with call(doors.ws) as tap:
                    await tap.send(json.dumps(HELLO))
                    assert json.loads(await tap.recv()) == {"hello": {"seq": known}}
                    for seq in (1, 2):
                        await tap.send(envelope(seq, STARTED if seq == 1 else {"type": "play.completed"}))
                    assert json.loads(await tap.recv()) == {"ack": 2}
                    assert await doors.total(EVENTS) == 2
                    assert await doors.total(REPEATED) == repeated

    async def test_the_end_of_a_tap_ends_no_call(self) -> None:
        """When the tap leaves its calls go on, and another connection of it tells their end."""
        async with running_daemon(session_resume=0.0) as doors:
            async with call(doors.ws) as tap:
                await tap.send(json.dumps(HELLO))
                await tap.send(envelope(1, STARTED))
                await doors.reaches(EVENTS, 1)
            async with call(doors.ws) as tap:
                await tap.send(json.dumps(HELLO))
                await tap.send(envelope(2, {"type": "play.completed"}))
                await doors.reaches(EVENTS, 2)
                assert await doors.total(ACTIVE, agent="agent-1") == await doors.total(SESSIONS) == 1
                await tap.send(envelope(3, {"type": "session.ended", "reason": "completed"}))
                assert await doors.reaches(ENDED, 1, reason="completed") == 1
            assert await doors.total(ACTIVE) == 0
            assert await doors.total("agentstack_session_resumptions_total") == 0

    @pytest.mark.parametrize(
        ("message", "error"),
        [
            ("{", "this is no envelope"),
            ('{"session": "s1", "seq": "x", "event": {}}', "this is no envelope"),
            ('{"session": "s1", "event": {}}', "seq or event is missing"),
            ('{"seq": 1, "event": {}}', "session is missing"),
            ('{"session": "", "seq": 1, "event": {}}', "session is no name"),
            ('{"hello": {"client": ""}}', "client is no name"),
        ],
    )
    async def test_what_is_no_envelope(self, message: str, error: str) -> None:
        """It is answered with what was expected and counted; the connection stays, and bad events in envelopes count as ever."""
        async with running_daemon() as doors, call(doors.ws) as tap:
            await tap.send(json.dumps(HELLO))
            await tap.recv()
            await tap.send(message)
            assert json.loads(await tap.recv())["error"].startswith(f"{error}; expected hello, or session with seq and event")
            await tap.send(envelope(1, {"no": "type"}))
            await tap.send(envelope(2, STARTED))
            assert json.loads(await tap.recv()) == {"ack": 2}
            rejected = "agentstack_exporter_frames_rejected_total"
            assert await doors.total(rejected, reason="bad_envelope") == await doors.total(rejected, reason="no_type") == 1
            assert await doors.total(EVENTS) == 1

    async def test_context_counts_for_nothing(self) -> None:
        """A call that began elsewhere is known by its context: its agent, and what it had used."""
        usage = {"type": "session.usage", "models": [{"type": "llm_usage", "provider": "p", "model": "m", "input_tokens": 100}]}
        more = {"type": "session.usage", "models": [{"type": "llm_usage", "provider": "p", "model": "m", "input_tokens": 130}]}
        async with running_daemon() as doors, call(doors.ws) as tap:
            await tap.send(json.dumps(HELLO))
            for context in (STARTED, usage):
                await tap.send(json.dumps({"session": "s1", "context": context}))
            await tap.send(envelope(1, more))
            await doors.reaches(EVENTS, 1)
            assert await doors.total(SESSIONS) == 0
            assert await doors.total(ACTIVE, agent="agent-1") == 1
            assert await doors.total("agentstack_usage_input_tokens_total") == 30


class TestClient:
    async def test_a_voice_app(self) -> None:
        """Attached to the SDK's app it tells of its calls, and of what it had to drop."""
        async with running_daemon() as doors:
            app = VoiceApp()
            tap = attach(app, doors.ws, most_events=3)
            tap.send("s1", json.dumps({**STARTED, "padding": "x" * 10}))
            for _ in range(20):
                await app.receive(SdkSession("s1"), SdkEvent("user.dtmf", digit="1"))
            await eventually(lambda: tap.stats.waiting == 0)
            dropped = tap.stats.dropped
            assert await doors.total(EVENTS) == 21 - dropped
            tap.send("s1", {"type": "play.completed"})
            if dropped:
                await doors.reaches("agentstack_exporter_tap_dropped_total", dropped)
            assert await asyncio.to_thread(tap.close)
            assert not tap.stats.connected

    async def test_an_exporter_that_is_not_there_yet(self, tmp_path: Path) -> None:
        """Events wait for it; a tap that is closed before says that not everything arrived."""
        lost = Tap("ws://127.0.0.1:1/ws")
        lost.send("s1", STARTED)
        assert not await asyncio.to_thread(lost.close, 0.2)
        async with daemon_process(tmp_path) as running:
            tap = Tap(running.doors.ws)
            tap.send("s1", STARTED)
            await running.doors.reaches(EVENTS, 1)
            assert await asyncio.to_thread(tap.close)

    async def test_a_token(self, tmp_path: Path) -> None:
        """It shows its token, and one with a wrong token keeps trying and harms nobody."""
        env = {"AGENTSTACK_EXPORTER_AUTH_TOKENS": "t0ken-t0ken-t0ken"}
        async with daemon_process(tmp_path, env=env) as running:
            right, wrong = Tap(running.doors.ws, token="t0ken-t0ken-t0ken"), Tap(running.doors.ws, token="wrong")
            for tap in (right, wrong):
                tap.send("s1", STARTED)
            await running.doors.reaches(EVENTS, 1)
            await running.doors.reaches("agentstack_exporter_connections_refused_total", 1, reason="wrong_token")
            assert await asyncio.to_thread(right.close)
            assert not await asyncio.to_thread(wrong.close, 0.1)


COUNTED = (
    EVENTS,
    SESSIONS,
    ENDED,
    "agentstack_turns_total",
    "agentstack_user_perceived_latency_seconds_count",
    "agentstack_llm_completion_tokens_total",
    "agentstack_usage_input_tokens_total",
    "agentstack_usage_characters_total",
)


async def acknowledged(tap: Tap) -> None:
    """Wait until everything it was given is taken in."""
    await eventually(lambda: tap.stats.waiting == 0, within=30)


async def test_a_restart_amid_a_hundred_calls(tmp_path: Path) -> None:
    """What the old process showed last and what the new one shows add up to what one process that was never stopped shows."""
    calls = [[event for _, event in plan_call(5, number, FLEETS["typical"], turns=3).steps(1_777_885_200.0)] for number in range(100)]
    order = [
        (number, event)
        for step in range(max(map(len, calls)))
        for number, events in enumerate(calls)
        for event in events[step : step + 1]
    ]
    cut = len(order) // 2
    waits = ("--linger", "--turn-wait", "600", "--session-linger", "600")

    async def last_scrape(running: Any) -> Samples:
        running.signal(signal.SIGTERM)
        await eventually(lambda: "waiting for one more scrape" in running.log, within=10)
        samples: Samples = await running.doors.scrape()
        assert await running.ended() == 0
        return samples

    shown: list[Samples] = []
    for name, parts in (("whole", [order]), ("halves", [order[:cut], order[cut:]])):
        taps: list[Tap] = []
        port = 0
        for half, part in enumerate(parts):
            folder = tmp_path / f"{name}{half}"
            folder.mkdir()
            async with daemon_process(folder, *waits, *(("--listen", f"127.0.0.1:{port}") if port else ())) as running:
                port = int(running.doors.listen.rpartition(":")[2])
                if not taps:
                    taps.append(Tap(running.doors.ws))
                for number, event in part:
                    taps[0].send(f"s{number}", event)
                if half + 1 < len(parts):
                    await running.doors.reaches(EVENTS, len(part) // 2)
                else:
                    await acknowledged(taps[0])
                shown.append(await last_scrape(running))
        await asyncio.to_thread(taps[0].close, 0.1)
    whole, first, second = shown
    assert total(whole, RECEIVED) == total(first, RECEIVED) + total(second, RECEIVED) == len(order)
    for metric in COUNTED:
        assert total(first, metric) + total(second, metric) == total(whole, metric), metric
        assert total(whole, metric) > 0, metric
    assert 0 < total(first, EVENTS) < len(order)


NODE = shutil.which("node")


@pytest.mark.skipif(NODE is None, reason="the example for JavaScript is run where there is Node.js")
async def test_the_example_for_javascript(tmp_path: Path) -> None:
    """The example of the documentation speaks the protocol, over a restart of the exporter too."""
    page = (ROOT / "docs" / "tap.md").read_text(encoding="utf-8")
    [example] = re.findall(r"```javascript\n(.*?)```", page, re.DOTALL)
    async with running_daemon() as doors:
        main = f"""
const tap = new Tap("{doors.ws}");
tap.send("s1", {{ type: "session.started", agent_id: "js" }});
for (let n = 0; n < 100; n++) tap.send("s1", {{ type: "user.dtmf", digit: "1" }});
const watch = setInterval(() => {{ if (!tap.waiting.length) {{ console.log(tap.context.size); process.exit(0); }} }}, 5);
"""
        (tmp_path / "tap.mjs").write_text(example + main, encoding="utf-8")
        assert NODE is not None
        running = await asyncio.create_subprocess_exec(
            *(NODE, "--experimental-websocket", str(tmp_path / "tap.mjs")),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        said, complained = await asyncio.wait_for(running.communicate(), 30)
        assert (running.returncode, said.strip()) == (0, b"1"), complained
        assert await doors.total(EVENTS) == 101
        assert await doors.total(SESSIONS, agent="js") == 1
