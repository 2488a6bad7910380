"""Every query of every dashboard on real Prometheus servers that scrape a real exporter: with calls, and without any."""

import asyncio
import json
import math
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from agentstack_tap import Tap
from tests.support.app import app
from tests.support.board_rules import interpolated, queries_of
from tests.support.daemon import Endpoints, daemon_process
from tests.support.house_rules import ROOT
from tests.support.peers import releases
from tests.support.prometheus_server import Prometheus, prometheus
from tests.support.simulation import simulate, subdirectory
from tests.support.waiting import seconds

BOARDS, NATIVE_BOARDS = (
    [json.loads(file.read_text(encoding="utf-8")) for file in sorted((ROOT / "grafana" / form).glob("*.json"))]
    for form in ("dashboards", "dashboards-native")
)
NOWHERE = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9"}
"""A collector that is not there: the boards show what waits for it and what fails."""
WINDOW = 20.0
"""Seconds that rates look back."""
# Queries that rightly find nothing among simulated calls, by panel and, where it has several, by query.
EMPTY = {
    ("OTLP items", "A"): "nothing is delivered",
    **{("Dropped for OTLP", query): "nothing is delivered or given up yet" for query in "AB"},
    ("Connections", "B"): "nobody is refused",
    ("Frames rejected, by reason", "A"): "every frame is an event",
    ("OTLP failures and drops", "B"): "everything still waits for the collector",
    ("annotation Firing alerts", "A"): "these servers have no rules",
    ("annotation New exporter versions", "A"): "a first start is no news",
    ("annotation New models of agents", "A"): "a first start is no news",
    **{(cost, "A"): "some usage has no price, which the second query says" for cost in ("Cost", "Cost an hour, now", "Cost a call")},
}
SOMETIMES = {("Clock skew", "A")}
"""Calls that are played faster than time have no clock to compare with; on a slow machine they are not."""

FLEETS = {"plain": ["mixed", "messy", "outbound", "s2s"], "relay": ["typical"]}
"""What is played to each exporter: one that takes events, and one in front of an app."""

pytestmark = pytest.mark.timeout(240)


@asynccontextmanager
async def watched(directory: Path) -> AsyncIterator[tuple[dict[str, Endpoints], list[Prometheus]]]:
    """An exporter for each fleet, and a Prometheus of each release that scrapes them."""
    found = releases("prometheus")
    prices = ("--prices", str(ROOT / "deploy" / "prices" / "prices.toml"))
    async with AsyncExitStack() as stack:
        behind = await stack.enter_async_context(app())
        ways_in = {"plain": (), "relay": ("--upstream", behind.url)}
        endpoints = {}
        for name, options in ways_in.items():
            daemon = daemon_process(subdirectory(directory, name), *prices, *options, env=NOWHERE)
            endpoints[name] = (await stack.enter_async_context(daemon)).endpoints
        targets = {name: each.telemetry for name, each in endpoints.items()}
        servers = [
            await stack.enter_async_context(
                prometheus(subdirectory(directory, release), targets, interval="2s", release=release, native=release == "newest")
            )
            for release in found
        ]
        for server in servers:
            await server.up()
        yield endpoints, servers


async def play(directory: Path, endpoints: dict[str, Endpoints], servers: list[Prometheus]) -> float:
    """Calls of each fleet, twice, with a scrape after each time: rates need two. Returns how long the second time took, in seconds."""
    started = 0.0
    for seed in (1, 2):
        started = time.time()
        for name, profiles in FLEETS.items():
            calls = subdirectory(directory, f"calls-{name}-{seed}")
            await simulate(calls, endpoints[name], calls=100 if name == "plain" else 40, profiles=profiles, seed=seed)
        await asyncio.to_thread(tapped, endpoints["plain"].ws, f"tapped-{seed}")
        for name in FLEETS:
            frames = await endpoints[name].total("agentstack_exporter_frames_received_total")
            for server in servers:
                await server.reaches(f'agentstack_exporter_frames_received_total{{job="{name}"}}', frames)
    return time.time() - started


def tapped(url: str, session: str) -> None:
    """A call of another framework, which takes the caller's wait apart."""
    tap = Tap(url, framework="pipecat", framework_version="1.14.0")
    part = {"contribution": "llm_inference", "owner": "OpenAILLMService#0", "owner_kind": "service", "duration_ms": 900}
    for event in (
        {"type": "session.started", "agent_session_id": session, "agent_id": "agent-tapped"},
        {"type": "turn.contribution", **part},
        {"type": "turn.metrics", "turn_number": 1, "user_perceived_ms": 900},
        {"type": "session.ended", "reason": "completed"},
    ):
        tap.send(session, event)
    assert tap.close(seconds(10))


def forms_of(server: Prometheus) -> list[list[dict[str, Any]]]:
    """The boards that a server can answer: in both forms if it has native histograms too."""
    return [BOARDS, NATIVE_BOARDS] if server.native else [BOARDS]


def windows(window: float = WINDOW) -> dict[str, str]:
    """What Grafana would put in place of its variables for times."""
    return {"__rate_interval": f"{window:.0f}s", "__interval": f"{window:.0f}s", "__range": f"{6 * window:.0f}s"}


Answers = dict[tuple[str, str, str], list[float]]
"""Values by board, panel and query."""


async def answers(server: Prometheus, boards: list[dict[str, Any]], now: float, window: float = WINDOW, **chosen: str) -> Answers:
    """All values of each query at a moment; of a native histogram, how much it has counted."""
    found = {}
    for board in boards:
        for title, target in queries_of(board):
            expr = interpolated(target["expr"], **windows(window), **chosen)
            if target.get("instant"):
                result = (await server.api("query", query=expr, time=f"{now}"))["result"]
                values = [float(series["value"][1]) for series in result]
            else:
                result = (await server.api("query_range", query=expr, start=f"{now - 10}", end=f"{now}", step="5"))["result"]
                values = [float(value) for series in result for _, value in series.get("values", ())]
                values += [float(value["count"]) for series in result for _, value in series.get("histograms", ())]
            found[board["uid"], title, target["refId"]] = values
    return found


async def test_every_query_finds_what_calls_leave(tmp_path: Path) -> None:
    """After calls of all kinds every query answers with numbers, and one chosen agent has some of its own."""
    async with watched(tmp_path) as (endpoints, servers):
        window = max(WINDOW, await play(tmp_path, endpoints, servers))
        now = time.time()
        for server in servers:
            await _finds_what_calls_leave(server, now, window)


async def _finds_what_calls_leave(server: Prometheus, now: float, window: float) -> None:
    choices = await values_of_variables(server)
    for boards in forms_of(server):
        everything = await answers(server, boards, now, window)
        one = await answers(server, boards, now, window, agent="agent-support")
        empty = {(title, ref) for (_, title, ref), values in everything.items() if not values}
        assert empty - SOMETIMES == set(EMPTY)
        assert not_numbers(everything) == []
        assert one["agentstack-overview", "What callers wait", "A"]
    assert all(choices.values()), choices


async def test_no_query_makes_up_a_number(tmp_path: Path) -> None:
    """Before the first call no query gives NaN or infinity, and none of how callers fare gives anything."""
    async with watched(tmp_path) as (_, servers):
        for server in servers:
            await server.reaches("count(agentstack_exporter_build_info)", len(FLEETS))
            for boards in forms_of(server):
                quiet = await answers(server, boards, time.time())
                assert not_numbers(quiet) == []
                shown = [title for (board, title, _), values in quiet.items() if board == "agentstack-overview" and any(values)]
                assert set(shown) <= {"Age of the data"}


def not_numbers(found: dict[tuple[str, str, str], list[float]]) -> list[tuple[str, str, str]]:
    return [query for query, values in found.items() if not all(map(math.isfinite, values))]


async def values_of_variables(server: Prometheus) -> dict[str, list[Any]]:
    """What each filter offers, as Grafana asks for it."""
    found = {}
    for variable in BOARDS[0]["templating"]["list"]:
        if variable["type"] == "query":
            selector, _, label = variable["query"]["query"].removeprefix("label_values(").removesuffix(")").rpartition(", ")
            found[label] = await server.api(f"label/{label}/values", **{"match[]": interpolated(selector)})
    return found
