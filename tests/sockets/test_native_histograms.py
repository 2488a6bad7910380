"""Native histograms and start timestamps in a real Prometheus: the newest, and the oldest with its feature switched on."""

import asyncio
import json
import random
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from exporter.exporters.landing_page import Product
from exporter.exporters.prometheus.negotiation import Format
from exporter.exporters.prometheus.protobuf_exposition import Histograms
from exporter.exporters.telemetry_app import Readiness, telemetry_app
from exporter.metrics import inventory
from exporter.metrics.instrument import Instrument
from exporter.metrics.snapshot import Snapshot
from exporter.metrics.store import Store
from exporter.simulate.truth import nearest_rank
from tests.support.daemon import http_client, running_daemon
from tests.support.house_rules import ROOT
from tests.support.http_server import http_server
from tests.support.peers import RELEASES, Release
from tests.support.prometheus_messages import decoded
from tests.support.prometheus_server import Prometheus, prometheus, prometheus_process
from tests.support.waiting import eventually

PERCEIVED = inventory.metrics()["agentstack_user_perceived_latency_seconds"]
TURNS = inventory.metrics()["agentstack_caller_turns_total"]
NATIVE = PERCEIVED.name
P95 = "agentstack:user_perceived_latency_seconds:p95_10m"
LABELS = {"agent": "a", "pipeline": "cascade", "interrupted": "false", "answered_by": "human"}
SHIPPED = ROOT / "deploy" / "prometheus"


class Exporter:
    """A store behind ``/metrics`` in which answered turns are observed; with ``each_scrape`` as many before every scrape."""

    def __init__(self, each_scrape: int = 0) -> None:
        self._random = random.Random(1)
        self._each_scrape = each_scrape
        self.restart()

    def restart(self) -> None:
        """Begin with an empty store, as a new process does."""
        self._store = Store(10_000, born=time.time(), exponential=True)
        self._store.add_layout([PERCEIVED], [1000.0])
        self._store.add_layout([TURNS])

    def observe(self, number: int) -> list[float]:
        """Observe quick turns, and slow ones in every fifth turn; returns their waits in seconds."""
        waits = [
            round(min(100.0, self._random.lognormvariate(0.9 if self._random.random() < 0.2 else -0.4, 0.25)), 3) for _ in range(number)
        ]
        latency, turns = Instrument(self._store, PERCEIVED), Instrument(self._store, TURNS)
        for wait in waits:
            latency.observe(wait, **LABELS, now=time.time())
            turns.add(1, agent="a", pipeline="cascade", outcome="answered", answered_by="human", now=time.time())
        return waits

    def snapshot(self) -> Snapshot:
        """What a scrape shows."""
        self.observe(self._each_scrape)
        return self._store.snapshot(time.time())


@asynccontextmanager
async def served(exporter: Exporter) -> AsyncIterator[str]:
    """The exporter's ``host:port``."""
    app = telemetry_app(exporter.snapshot, lambda: Readiness(ready=True), Product("exporter", "1", "", ""))
    async with http_server(app) as url:
        yield url.removeprefix("http://")


async def at_last_sample(server: Prometheus, expression: str, name: str) -> float:
    """The value of an expression when the newest sample of a series was taken: there Prometheus extrapolates nothing."""
    [newest] = (await server.query(f"max(timestamp({name}))")).values()
    found = await server.api("query", query=expression, time=f"{newest}")
    [series] = found["result"]
    return float(series["value"][1])


@pytest.mark.parametrize("release", RELEASES)
async def test_native_histograms_of_a_restarted_exporter(tmp_path: Path, release: Release) -> None:
    """Count, sum and percentiles are those of the turns, also after a restart, which is neither a dip nor a spike."""
    exporter = Exporter()
    async with (
        served(exporter) as target,
        prometheus(tmp_path, {"exporter": target}, interval="500ms", release=release, native=True) as server,
    ):
        await server.up()
        waits = exporter.observe(5000)
        await server.reaches(f"histogram_count({NATIVE})", 5000)
        total = await server.single(f"histogram_sum({NATIVE})")
        found = {q: await server.single(f"histogram_quantile({q}, {NATIVE})") for q in (0.5, 0.95, 0.99)}
        within = await server.single(f"histogram_fraction(-Inf, 2, {NATIVE})")
        if release == "newest":
            assert await server.single(f"sum({NATIVE}_count)") == 5000
            assert await at_last_sample(server, f"increase({TURNS.name}[5m])", TURNS.name) == pytest.approx(5000)
            assert await at_last_sample(server, f"histogram_count(increase({NATIVE}[5m]))", NATIVE) == pytest.approx(5000)
        exporter.restart()
        exporter.observe(500)
        await server.reaches(f"histogram_count({NATIVE})", 500)
        rates = await server.api(
            "query_range", query=f"histogram_count(rate({NATIVE}[5s]))", start=f"{time.time() - 10}", end=f"{time.time()}", step="0.5"
        )
        if release == "newest":
            assert await at_last_sample(server, f"increase({TURNS.name}[5m])", TURNS.name) == pytest.approx(5500)
            assert await at_last_sample(server, f"histogram_count(increase({NATIVE}[5m]))", NATIVE) == pytest.approx(5500)
        else:  # what came before the first scrape is lost, and nothing else
            assert 500 <= await at_last_sample(server, f"histogram_count(increase({NATIVE}[5m]))", NATIVE) < 1000
    assert total == pytest.approx(sum(waits))
    assert within == pytest.approx(sum(wait <= 2 for wait in waits) / 5000)
    assert found == {q: pytest.approx(nearest_rank(sorted(waits), q), rel=0.01) for q in found}
    assert min(float(value) for series in rates["result"] for _, value in series["values"]) >= 0


@pytest.mark.parametrize(("histograms", "classic", "native"), [("both", True, True), ("classic", True, False), ("native", False, True)])
async def test_the_setting_chooses_the_buckets(histograms: Histograms, classic: bool, native: bool) -> None:
    """A protobuf scrape of the daemon has the buckets that --histograms asks for, and text has classic ones in each case."""
    async with running_daemon(histograms=histograms) as endpoints:
        found: list[Any] = []

        async def observed() -> bool:
            scraped = await endpoints.get("/metrics", accept=Format.PROTOBUF.content_type)
            found[:] = [family for family in decoded(scraped.content) if family.name == "agentstack_exporter_event_loop_lag_seconds"]
            return bool(found)

        await eventually(observed, because="the loop's lag")
        [metric] = found[0].metric
        assert (bool(metric.histogram.bucket), bool(metric.histogram.zero_threshold)) == (classic, native)
        assert metric.histogram.start_timestamp.seconds > 1e9
        assert "agentstack_exporter_event_loop_lag_seconds_bucket" in await endpoints.text()


def configuration(name: str, target: str) -> str:
    """A shipped configuration that scrapes the target, often, with the shipped rules."""
    text = (SHIPPED / name).read_text(encoding="utf-8").replace("15s", "500ms").replace("exporter:8791", target)
    folder = (SHIPPED / name).parent
    rules = {"../": f"{SHIPPED}/", '"*.rules.yml"': f"{folder}/*.rules.yml", "- recording.rules.yml": f"- {folder}/recording.rules.yml"}
    for written, absolute in rules.items():
        text = text.replace(written, absolute)
    return text


async def test_the_change_over(tmp_path: Path) -> None:
    """From the shipped classic configuration to the native one and its rules: classic buckets stay, and percentiles have no gap."""
    config = tmp_path / "prometheus.yml"
    arguments = [f"--config.file={config}", f"--storage.tsdb.path={tmp_path / 'tsdb'}", "--web.enable-lifecycle"]
    async with served(Exporter(each_scrape=1000)) as target:  # so many that each scrape has nearly the same percentile
        config.write_text(configuration("prometheus.yml", target), encoding="utf-8")
        async with prometheus_process(tmp_path, arguments, targets=1, release="newest") as server:
            await recorded(server)
            began = time.time()
            classic, native = configuration("prometheus.yml", target), configuration("native/prometheus.yml", target)
            await reload(server, config, classic.partition("\nalerting:")[0] + "\nalerting:" + native.partition("\nalerting:")[2])
            await eventually(lambda: shown(server, f"count({NATIVE}) > 0"), because="native histograms")
            assert await rules_read(server) == f"{NATIVE}_bucket"
            by_bucket = await recorded(server)
            await reload(server, config, native)
            await eventually(lambda: shown(server, f"{P95} offset 1s"), because="the native rules")
            assert await rules_read(server) == NATIVE
            assert await recorded(server) == pytest.approx(by_bucket, rel=0.1)
            assert await server.single(f'time() - max(timestamp({NATIVE}_bucket{{le="2.0"}}))') < 5
            now = time.time()
            ranges = await server.api("query_range", query=P95, start=f"{began}", end=f"{now}", step="0.5")
            # Without the second setting the classic buckets are gone, which is why it is shipped.
            await reload(server, config, native.replace("always_scrape_classic_histograms: true", ""))
            await eventually(lambda: shown(server, f"absent({NATIVE}_bucket)"), within=20, because="Prometheus to drop classic buckets")
    [series] = ranges["result"]
    assert len(series["values"]) == int((now - began) / 0.5) + 1
    assert all(float(value) > 0 for _, value in series["values"])


async def reload(server: Prometheus, config: Path, text: str) -> None:
    await asyncio.to_thread(config.write_text, text, encoding="utf-8")
    async with http_client() as http:
        answer = await http.post(f"{server.url}/-/reload")
    assert answer.status_code == httpx.codes.OK, answer.text


async def shown(server: Prometheus, expression: str) -> bool:
    return bool(await server.query(expression))


async def recorded(server: Prometheus) -> float:
    """The recorded percentile, as soon as there is a number."""
    await eventually(lambda: shown(server, f"{P95} > 0"), within=20, because=P95)
    return await server.single(P95)


async def rules_read(server: Prometheus) -> str:
    """The series from which the percentile is recorded."""
    groups = (await server.api("rules"))["groups"]
    [query] = [rule["query"] for group in groups for rule in group["rules"] if rule["name"] == P95]
    return f"{NATIVE}_bucket" if f"{NATIVE}_bucket" in json.dumps(query) else NATIVE
