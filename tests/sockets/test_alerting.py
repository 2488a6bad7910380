"""From a slow call to whoever is paged: the shipped rules and routing with a real Prometheus and a real Alertmanager."""

import asyncio
import itertools
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.support.alerting import alerting
from tests.support.alongside import alongside
from tests.support.daemon import Endpoints, call, daemon_process, program, send_all
from tests.support.peers import RELEASES, Release, releases
from tests.support.simulation import subdirectory
from tests.support.waiting import eventually

pytestmark = pytest.mark.timeout(300)


@asynccontextmanager
async def simulated(directory: Path, endpoints: Endpoints, profile: str) -> AsyncIterator[None]:
    """Calls of a profile for the length of a block, a call's minute in three seconds."""
    options = [
        "--calls",
        "100000",
        "--concurrency",
        "12",
        "--rate",
        "4",
        "--speed",
        "20",
        "--seed",
        "3",
        "--quiet",
        "--profile",
        profile,
    ]
    async with program(directory, "simulate", "--url", endpoints.ws, *options) as platform:
        yield
        platform.signal(signal.SIGTERM)
        await platform.ended()


async def turns_of_mute(endpoints: Endpoints, **fields: Any) -> None:
    """A call of agent `mute` with fifty turns a second, without end."""
    async with call(endpoints.ws) as socket:
        await send_all(socket, [{"type": "session.started", "agent_session_id": "as-mute", "agent_id": "mute"}])
        for number in itertools.count(1):
            await send_all(socket, [{"type": "turn.metrics", "turn_number": number, "pipeline": "cascade", **fields}])
            await asyncio.sleep(0.02)


@pytest.mark.parametrize("release", RELEASES)
async def test_slow_calls_reach_the_channel_and_resolve(tmp_path: Path, release: Release) -> None:
    """Simulated calls with slow models raise the latency alert, normal ones resolve it; while the exporter is down it is kept back."""
    async with (
        daemon_process(subdirectory(tmp_path, "exporter")) as exporter,
        alerting(subdirectory(tmp_path, "alerting"), exporter.endpoints.telemetry, release=release) as watch,
    ):
        await watch.server.up()
        async with simulated(subdirectory(tmp_path, "slow"), exporter.endpoints, "slow"):
            await watch.hears("channel", "firing", "AgentStackLatencyHigh")
        async with simulated(subdirectory(tmp_path, "fast"), exporter.endpoints, "fast"):
            await watch.hears("channel", "resolved", "AgentStackLatencyHigh")
        watch.messages.clear()
        async with simulated(subdirectory(tmp_path, "slow again"), exporter.endpoints, "slow"):
            await watch.hears("channel", "firing", "AgentStackLatencyHigh")
            exporter.signal(signal.SIGKILL)
            await watch.hears("pager", "firing", "AgentStackAllExportersDown")

            async def kept_back() -> bool:
                return bool(await watch.suppressed() & {"AgentStackLatencyHigh", "AgentStackLatencyCritical"})

            await eventually(kept_back, within=15, because="the latency alert to be inhibited")
            assert "AgentStackExporterDown" not in {alert for _, _, alert, _ in watch.notifications}


async def test_an_agent_that_stops_answering_pages(tmp_path: Path) -> None:
    """Turns without an answer burn the objective's budget and reach the pager, although no percentile moves."""
    release = releases("prometheus")[-1]
    async with (
        daemon_process(subdirectory(tmp_path, "exporter")) as exporter,
        alerting(subdirectory(tmp_path, "alerting"), exporter.endpoints.telemetry, release=release) as watch,
    ):
        await watch.server.up()
        async with alongside(turns_of_mute(exporter.endpoints)):
            await watch.hears("pager", "firing", "AgentStackTurnsUnanswered", agent="mute")
            await watch.server.reaches('count(ALERTS{alertname="AgentStackObjectiveBurnsFast", alertstate="firing", agent="mute"})', 1)
        assert not [notifications for notifications in watch.notifications if "Latency" in notifications[2]]
        async with alongside(turns_of_mute(exporter.endpoints, user_perceived_ms=400)):
            await watch.hears("pager", "resolved", "AgentStackTurnsUnanswered", agent="mute")
