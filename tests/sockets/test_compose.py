"""The whole of compose.yaml on this machine: every program with the files, arguments and variables that are shipped.

Grafana is no part of it, Jaeger stands where Tempo does, and a minute of the rules is a second.
"""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import pytest

from tests.support.alerting import HOOK, Alerting, alertmanager, hurried, webhook
from tests.support.collector import Jaeger, collector, jaeger
from tests.support.compose import Network
from tests.support.daemon import program
from tests.support.ports import free_port
from tests.support.prometheus_server import Prometheus, prometheus_process
from tests.support.simulation import subdirectory
from tests.support.waiting import eventually

pytestmark = pytest.mark.timeout(300)


@dataclass
class Stack:
    """What runs, with metrics scraped and pushed."""

    store: Jaeger
    watch: Alerting
    network: Network = field(default_factory=lambda: Network(given={"OTEL_METRICS_EXPORTER": "otlp"}))


@asynccontextmanager
async def composed(directory: Path) -> AsyncIterator[Stack]:
    """The services, each started after what it depends on, without calls."""
    async with AsyncExitStack() as stack:
        enter = stack.enter_async_context
        store = await enter(jaeger(directory))
        found = Stack(store, Alerting(Prometheus("", 1), ""))
        places, network = found.network.addresses, found.network
        places["collector:4317"] = (await enter(collector(directory, store.otlp)))["grpc"]

        ready = directory / "ready"
        arguments = [*network.command("exporter", directory), f"--ready-file={ready}"]
        places["prometheus:9090"] = f"127.0.0.1:{free_port()}"
        environment = network.environment("exporter") | {"OTEL_METRIC_EXPORT_INTERVAL": "1000"}
        exporter = await enter(program(subdirectory(directory, "exporter"), *arguments, env=environment))
        await eventually(lambda: ready.exists() or not exporter.running, within=20, because="the exporter")
        listening = msgspec.json.decode(ready.read_bytes(), type=dict[str, str])
        places["exporter:8790"], places["exporter:8791"] = listening["listen"], listening["telemetry_listen"]

        hook = await enter(webhook(found.watch.messages))
        routing = network.command("alertmanager", directory, lambda text: hurried(text).replace(HOOK, hook))
        places["alertmanager:9093"] = await enter(alertmanager(directory, routing, release="newest"))
        # A scrape may take as long as until the next one: not a sixtieth, on a busy machine it takes longer.
        arguments = network.command("prometheus", directory, lambda text: hurried(text).replace("_interval: 15s", "_interval: 1s"))
        server = prometheus_process(directory, arguments, targets=1, release="newest", address=places["prometheus:9090"])
        found.watch.server = await enter(server)
        yield found


# A counter, a histogram's buckets and sum, and an info metric.
AGREED = (
    "agentstack_turns_total",
    "agentstack_user_perceived_latency_seconds_bucket",
    "agentstack_llm_time_to_first_token_seconds_sum",
    "agentstack_exporter_build_info",
)


async def pushed_as_scraped(stack: Stack) -> bool:
    """Whether each series of these metrics has the same value as it was scraped and as it came by OTLP."""
    here = stack.network.addresses["exporter:8791"]
    for name in AGREED:
        scraped, pushed = [await values(stack.watch.server, f"{name}{{instance{operator}'{here}'}}") for operator in ("=", "!=")]
        assert scraped, name
        assert scraped == pushed, name
    return True


async def values(server: Prometheus, selector: str) -> dict[frozenset[tuple[str, str | float]], float]:
    """The value of each series by its labels but the instance. A bound is 2 if it was pushed, and 2.0 if it was scraped."""
    found = await server.query(f"sum without (instance) ({selector})")
    return {frozenset((name, float(value) if name == "le" else value) for name, value in key): number for key, number in found.items()}


async def test_calls_reach_whoever_looks(tmp_path: Path) -> None:
    """Slow calls raise an alert, an exemplar leads to its turn's span, rules work, and what is pushed equals what is scraped."""
    async with composed(tmp_path) as stack:
        server = stack.watch.server
        await server.up()
        # As the demo's calls, only slow, and faster, as everything is here.
        calls = [*stack.network.command("calls", tmp_path), "--profile=slow", "--speed=20", "--rate=10", "--concurrency=20", "--seed=3"]
        async with program(subdirectory(tmp_path, "calls"), *calls):
            await stack.watch.hears("pager", "firing", "AgentStackObjectiveBurnsFast")

            async def led_to_its_turn() -> bool:
                now = {"start": "0", "end": "9999999999"}
                found = await server.api("query_exemplars", query="agentstack_user_perceived_latency_seconds_bucket", **now)
                labels = [exemplar["labels"] for series in found for exemplar in series["exemplars"]]
                assert labels
                return labels[0]["span_id"] in await stack.store.spans(labels[0]["trace_id"])

            await eventually(led_to_its_turn, within=30, because="the span of an exemplar")
        await eventually(lambda: pushed_as_scraped(stack), within=30, because="the same by both ways")
        assert await stack.store.services() == ["agentstack-exporter"]
        rules = [rule for group in (await server.api("rules"))["groups"] for rule in group["rules"]]
    assert rules
    assert [(rule["name"], rule["lastError"]) for rule in rules if rule["health"] != "ok"] == []
    log = (tmp_path / "exporter" / "stderr").read_text(encoding="utf-8")
    assert "ERROR" not in log, log
