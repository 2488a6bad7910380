"""A real Prometheus, the oldest supported or the newest, takes everything; its quantiles are those of what was sent."""

import asyncio
import re
import signal
import subprocess
from collections.abc import Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from prometheus_client.metrics_core import Metric
from prometheus_client.openmetrics import parser

from exporter.protocol.ids import trace_id, turn_span_id
from exporter.simulate.truth import nearest_rank, perceived_of, read_truth
from tests.support.daemon import call, daemon_process, samples_of, send_all
from tests.support.peers import RELEASES, Release, releases, require
from tests.support.prometheus_server import Prometheus, prometheus
from tests.support.simulation import simulate, subdirectory

OPENMETRICS = "application/openmetrics-text;version=1.0.0"
PERCEIVED = "agentstack_user_perceived_latency_seconds"
CLASSIC = f"histogram_quantile(%s, sum by (le) ({PERCEIVED}_bucket%s))"
NATIVE = f"histogram_quantile(%s, sum({PERCEIVED}%s))"
FLEETS = ("fast", "typical", "slow", "s2s")
CALLS = 300
"""Calls of a fleet: enough that the exact percentile is one of many neighbours."""

pytestmark = pytest.mark.timeout(240)


async def test_quantiles_are_those_of_the_calls(tmp_path: Path) -> None:
    """Prometheus finds each fleet's p95 and p99 within one per cent from native histograms, its p95 within two from classic ones."""
    servers: dict[str, Prometheus] = {}
    async with AsyncExitStack() as stack:
        daemons = {name: await stack.enter_async_context(daemon_process(subdirectory(tmp_path, name))) for name in FLEETS}
        targets = {name: daemon.endpoints.telemetry for name, daemon in daemons.items()}
        for release in releases("prometheus"):
            for native in (True, False) if release == "oldest" else (True,):  # the oldest takes either, the newest both
                place = subdirectory(tmp_path, f"{release}-{native}")
                running = prometheus(place, targets, interval="2s", release=release, native=native)
                servers[f"{release}-{'native' if native else 'classic'}"] = await stack.enter_async_context(running)
        played = (
            simulate(subdirectory(tmp_path, f"calls-{name}"), daemon.endpoints, calls=CALLS, profiles=[name], seed=11, at_once=50)
            for name, daemon in daemons.items()
        )
        waits = {name: perceived_of(read_truth(truth)) for name, (truth, _) in zip(daemons, await asyncio.gather(*played), strict=True)}
        errors = {
            (kind, name, form, q): error
            for kind, server in servers.items()
            for name in FLEETS
            for (form, q), error in (await errors_of(server, kind, name, waits[name])).items()
        }
    allowed = {"native": 0.01, "classic": 0.02}
    assert errors
    assert {key: error for key, error in errors.items() if abs(error) >= allowed[key[2]]} == {}


async def errors_of(server: Prometheus, kind: str, fleet: str, waits: list[float]) -> dict[tuple[str, float], float]:
    """How far each percentile is off, by form of the histogram; fails if count, sum or exemplars are wrong."""
    await server.up()
    of_fleet, found = f'{{job="{fleet}"}}', {}
    forms = {"newest-native": ("native", "classic"), "oldest-native": ("native",), "oldest-classic": ("classic",)}[kind]
    if "native" in forms:
        await server.reaches(f"histogram_count(sum({PERCEIVED}{of_fleet}))", len(waits))
        assert await server.single(f"histogram_sum(sum({PERCEIVED}{of_fleet}))") == pytest.approx(sum(waits))
        assert await server.api("query_exemplars", query=f"{PERCEIVED}{of_fleet}", start="0", end="9999999999")
        for q in (0.95, 0.99):
            found["native", q] = await server.single(NATIVE % (q, of_fleet)) / nearest_rank(waits, q) - 1
    if "classic" in forms:
        await server.reaches(f"sum({PERCEIVED}_count{of_fleet})", len(waits))
        found["classic", 0.95] = await server.single(CLASSIC % (0.95, of_fleet)) / nearest_rank(waits, 0.95) - 1
    return found


@pytest.mark.parametrize("release", RELEASES)
async def test_prometheus_takes_everything(tmp_path: Path, release: Release) -> None:
    """What a busy exporter shows passes promtool and the reference parsers; the server takes every sample, and exemplars of turns."""
    promtool = require("promtool", release)
    async with (
        daemon_process(tmp_path) as daemon,
        prometheus(
            subdirectory(tmp_path, "prometheus"), {"agentstack": daemon.endpoints.telemetry}, interval="1s", release=release
        ) as server,
    ):
        calls = subdirectory(tmp_path, "platform")
        truth, summary = await simulate(calls, daemon.endpoints, calls=100, profiles=["mixed", "messy"], seed=5)
        await server.up()
        await server.reaches("agentstack_exporter_frames_received_total", summary["events"])
        text = await daemon.endpoints.text()
        openmetrics = await daemon.endpoints.get("/metrics", accept=OPENMETRICS)
        checked = await asyncio.to_thread(
            subprocess.run, [promtool, "check", "metrics"], input=text, capture_output=True, text=True, check=False
        )
        samples = await server.single("max_over_time(scrape_samples_scraped[1m])")
        metadata = await server.api("metadata")
        exemplars = await server.api("query_exemplars", query=f"{PERCEIVED}_bucket", start="0", end="9999999999")
    assert (checked.returncode, checked.stdout + checked.stderr) == (0, "")
    families = list(parse_openmetrics(openmetrics.text))
    assert openmetrics.headers["content-type"].startswith("application/openmetrics-text; version=1.0.0")
    assert [family.name for family in families if not family.documentation] == []
    for shown in (sum(len(family.samples) for family in families), samples):
        assert shown == pytest.approx(len(samples_of(text)), abs=5)
    assert metadata[PERCEIVED][0]["type"] == "histogram"
    labels = [exemplar["labels"] for series in exemplars for exemplar in series["exemplars"]]
    assert labels
    assert {(label["trace_id"], label["span_id"]) for label in labels} <= spans_of(truth)
    log = (tmp_path / "prometheus" / "prometheus.log").read_text()
    assert not re.search(r"level=\"?(warn|error)", log, re.IGNORECASE), log


def parse_openmetrics(text: str) -> Iterator[Metric]:
    families: Iterator[Metric] = parser.text_string_to_metric_families(text)  # type: ignore[no-untyped-call]
    return families


def spans_of(truth: Path) -> set[tuple[str, str]]:
    """Trace and span of every turn that was reported."""
    return {
        (trace_id(record.session), turn_span_id(trace_id(record.session), (event.get("agent_tool_id") or "", event["turn_number"])))
        for record in read_truth(truth)
        for event in [record.event]
        if event.get("type") == "turn.metrics"
    }


@pytest.mark.parametrize("release", RELEASES)
async def test_the_last_scrape(tmp_path: Path, release: Release) -> None:
    """With --linger Prometheus gets the last state of calls that were cut off by the stop, and then sees that the exporter is gone."""
    async with (
        daemon_process(tmp_path, "--linger") as daemon,
        prometheus(
            subdirectory(tmp_path, "prometheus"), {"agentstack": daemon.endpoints.telemetry}, interval="1s", release=release
        ) as server,
    ):
        await server.up()
        async with call(daemon.endpoints.ws) as socket:
            await send_all(socket, [{"type": "session.started", "agent_session_id": "as-1", "agent_id": "agent-1"}])
            await server.reaches("agentstack_sessions_active", 1)
            daemon.signal(signal.SIGTERM)
            await socket.wait_closed()
        assert await daemon.ended() == 0
        await server.reaches("up", 0)
        last = "sum(last_over_time(%s[5m]))"
        assert await server.single(last % "agentstack_sessions_active") == 0
        assert await server.single(last % "agentstack_sessions_ended_total") == 1
