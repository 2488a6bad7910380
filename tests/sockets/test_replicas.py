"""Several exporters behind one Prometheus: their counts add up, also when one leaves and another comes."""

import signal
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from exporter.simulate.truth import perceived_of, read_truth
from tests.support.daemon import daemon_process
from tests.support.peers import require
from tests.support.prometheus_server import prometheus
from tests.support.simulation import simulate, subdirectory

REPLICAS = 4
CALLS = 30
WAITS = ("--linger", "--turn-wait", "600", "--session-linger", "600")
TURNS = "agentstack_user_perceived_latency_seconds_count"
EVERY = f"sum(last_over_time({TURNS}[10m]))"
"""Each replica's last count, of those that have left too."""

pytestmark = pytest.mark.timeout(240)


async def test_counts_add_up_while_replicas_come_and_go(tmp_path: Path) -> None:
    """Four replicas take calls, one is stopped and waits for its last scrape, a fifth comes: nothing is missing or twice."""
    require("prometheus")
    async with AsyncExitStack() as stack:
        folders = [subdirectory(tmp_path, f"replica-{number}") for number in range(REPLICAS + 1)]
        replicas = [await stack.enter_async_context(daemon_process(folder, *WAITS)) for folder in folders]
        targets = {f"replica-{number}": replica.endpoints.telemetry for number, replica in enumerate(replicas)}
        server = await stack.enter_async_context(prometheus(subdirectory(tmp_path, "prometheus"), targets))
        await server.up()
        sent = 0

        async def play(number: int) -> int:
            folder = subdirectory(tmp_path, f"calls-{number}")
            truth, _ = await simulate(folder, replicas[number].endpoints, calls=CALLS, profiles=["mixed"], seed=number)
            return len(perceived_of(read_truth(truth)))

        for number in range(REPLICAS):
            sent += await play(number)
        await server.reaches(EVERY, sent)
        replicas[0].signal(signal.SIGTERM)
        assert await replicas[0].ended() == 0
        sent += await play(REPLICAS)
        await server.reaches(EVERY, sent)
        assert await server.single(f"count(sum by (job) (last_over_time({TURNS}[10m])))") == REPLICAS + 1
        await server.reaches(f"count(sum by (job) ({TURNS}))", REPLICAS)
