"""The demo as a visitor runs it: one command, addresses that work, Ctrl-C."""

import asyncio
import re
import signal
import socket
from pathlib import Path

import pytest

from tests.support.daemon import Endpoints, Program, call, program, send_all
from tests.support.waiting import eventually

ANY = ("--listen", "127.0.0.1:0", "--telemetry-listen", "127.0.0.1:0")


async def addresses(demo: Program) -> Endpoints:
    """Where the demo says that it can be looked at and talked to."""

    def said() -> list[str]:
        assert demo.running, demo.log
        return re.findall(r"(?:http|ws)://(\S+?)/(?:metrics|ws)\b", demo.output)

    telemetry, listen = await eventually(lambda: found if len(found := said()) == 2 else None, within=20, because="the addresses") or []
    return Endpoints(listen, telemetry)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_demo(tmp_path: Path, number: signal.Signals) -> None:
    """Its addresses answer, calls appear on /metrics, own events can be sent, and a signal ends it at once without a trace."""
    async with program(tmp_path, "demo", *ANY, "--speed", "20", "--seed", "4") as demo:
        endpoints = await addresses(demo)
        status = re.compile(r"^active calls \d+, events [\d,]+, caller turns \d+, p50 perceived .+, p95", re.MULTILINE)
        await eventually(lambda: status.search(demo.output), because="the line that tells how the calls go")
        assert "agentstack-exporter" in (await endpoints.get("/")).text
        assert (await endpoints.get("/-/ready")).status_code == 200
        await endpoints.reaches("agentstack_user_perceived_latency_seconds_count", 5, within=20)
        async with call(endpoints.ws) as own:
            await send_all(own, [{"type": "session.started", "agent_session_id": "mine", "agent_id": "my-agent"}])
            await endpoints.reaches("agentstack_sessions_total", 1, agent="my-agent")
            demo.signal(number)
            assert await demo.ended(5) == 0
    assert demo.log == ""
    assert demo.output.endswith("stopping\n")


async def test_a_demo_of_some_calls(tmp_path: Path) -> None:
    """With --calls it ends by itself when they are over."""
    async with program(tmp_path, "demo", *ANY, "--speed", "0", "--calls", "5", "--seed", "4") as demo:
        assert await demo.ended() == 0
    assert demo.log == ""


async def test_a_demo_whose_port_is_taken(tmp_path: Path) -> None:
    """It names the address, says what to do, and ends with 1."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        where = f"127.0.0.1:{taken.getsockname()[1]}"
        async with program(tmp_path, "demo", "--listen", "127.0.0.1:0", "--telemetry-listen", where) as demo:
            assert await demo.ended() == 1
    assert f"cannot listen on {where}" in demo.log
    assert "--telemetry-listen" in demo.log
    assert "Traceback" not in demo.log


async def test_demos_side_by_side(tmp_path: Path) -> None:
    """Two demos on free ports do not get in each other's way."""
    (tmp_path / "other").mkdir()
    async with (
        program(tmp_path, "demo", *ANY, "--speed", "20") as one,
        program(tmp_path / "other", "demo", *ANY, "--speed", "20") as other,
    ):
        both = await asyncio.gather(addresses(one), addresses(other))
        for endpoints in both:
            await endpoints.reaches("agentstack_sessions_total", 1)
        assert len({endpoints.telemetry for endpoints in both}) == 2
