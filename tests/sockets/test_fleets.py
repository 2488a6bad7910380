"""Boards and rules on fleets in trouble: a real Prometheus with the shipped rules scrapes an exporter for each kind of trouble."""

import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.sockets.test_boards import BOARDS, windows
from tests.support.alerting import OF_THIS_MACHINE
from tests.support.board_rules import interpolated, queries_of
from tests.support.daemon import daemon_process
from tests.support.house_rules import ROOT
from tests.support.peers import releases
from tests.support.prometheus_server import Prometheus, prometheus
from tests.support.simulation import simulate, subdirectory
from tests.support.waiting import eventually

RULES = ROOT / "deploy" / "prometheus"
FLEETS = ("healthy", "slow-llm", "outage", "silent")
PRICED = ("--prices", str(ROOT / "deploy" / "prices" / "prices.toml"), "--slow-turn", "1.2")
ALERTED: dict[str, set[str]] = {
    "healthy": set(),
    "slow-llm": {"AgentStackLatencyHigh", "AgentStackLlmSlow", "AgentStackObjectiveBurnsFast"},
    "outage": {"AgentStackTurnsUnanswered", "AgentStackTurnErrors", "AgentStackSessionErrors", "AgentStackProviderFallback"},
    "silent": {"AgentStackTurnsUnanswered", "AgentStackObjectiveBurnsFast"},
}
"""Alerts that each trouble has to raise, if it lasts."""
SILENT_HERE = {
    "agentstack:realtime_time_to_first_token_seconds:p95_10m": "no fleet here is speech to speech",
}
"""Recording rules that rightly find nothing."""

pytestmark = pytest.mark.timeout(180)


@asynccontextmanager
async def fleets(directory: Path) -> AsyncIterator[list[Prometheus]]:
    """A Prometheus of each release that has scraped each fleet, as the job of its name, while it played and once it was over."""
    rules = f"rule_files: ['{RULES}/*.rules.yml']\n"
    async with AsyncExitStack() as stack:
        daemons = {name: await stack.enter_async_context(daemon_process(subdirectory(directory, name), *PRICED)) for name in FLEETS}
        targets = {name: daemon.endpoints.telemetry for name, daemon in daemons.items()}
        servers = [
            await stack.enter_async_context(
                prometheus(subdirectory(directory, release), targets, interval="2s", more=rules, release=release)
            )
            for release in releases("prometheus")
        ]
        for server in servers:
            await server.up()
        for seed in (1, 2):
            for name, daemon in daemons.items():  # a few calls at once: where events of a call come late, the healthy are silent too
                calls = subdirectory(directory, f"{name}-{seed}")
                await simulate(calls, daemon.endpoints, calls=80, profiles=[name], seed=seed, at_once=10)
            for name, daemon in daemons.items():
                frames = await daemon.endpoints.total("agentstack_exporter_frames_received_total")
                for server in servers:
                    await server.reaches(f'agentstack_exporter_frames_received_total{{job="{name}"}}', frames)
        yield servers


async def panel(server: Prometheus, board: str, title: str, job: str) -> dict[tuple[tuple[str, str], ...], float]:
    """What the first query of a panel last said of a fleet, by labels."""
    [expr] = [
        target["expr"]
        for each in BOARDS
        if each["uid"] == f"agentstack-{board}"
        for name, target in queries_of(each)
        if name == title and target["refId"] == "A"
    ]
    found: dict[tuple[tuple[str, str], ...], float] = {}
    now = time.time()
    expr = interpolated(expr, **windows(), job=job)
    for series in (await server.api("query_range", query=expr, start=f"{now - 10}", end=f"{now}", step="1"))["result"]:
        found[tuple(sorted(series["metric"].items()))] = float(series["values"][-1][1])
    return found


async def rules_of(server: Prometheus) -> list[dict[str, Any]]:
    """Every rule as Prometheus sees it: its health, and the last error."""
    return [rule for group in (await server.api("rules"))["groups"] for rule in group["rules"]]


def alerts_of(rules: list[dict[str, Any]], job: str) -> set[str]:
    """The alerts that are raised of a fleet, whether they have been for long enough or not yet."""
    return {
        rule["name"] for rule in rules if rule["type"] == "alerting" for alert in rule["alerts"] if alert["labels"].get("job") == job
    }


async def rules_once_raised(server: Prometheus) -> list[dict[str, Any]]:
    """The rules, as soon as each trouble has raised its alerts: they are evaluated once a second."""
    found: list[dict[str, Any]] = []

    async def raised() -> bool:
        found[:] = await rules_of(server)
        missing = {job: ALERTED[job] - alerts_of(found, job) for job in FLEETS}
        assert not any(missing.values()), missing
        return True

    await eventually(raised, within=20, because="each trouble to raise its alerts")
    return found


async def test_boards_and_rules_on_fleets_in_trouble(tmp_path: Path) -> None:
    """Each trouble shows where the boards say to look and raises its alerts, the healthy fleet none; every rule can be evaluated."""
    async with fleets(tmp_path) as servers:
        for server in servers:
            await _shows_the_troubles(server)


async def _shows_the_troubles(server: Prometheus) -> None:
    bottlenecks = {job: await panel(server, "turns", "Slow turns by bottleneck, time shown", job) for job in FLEETS}
    unanswered = {job: await _ratio(server, job, 'outcome="unanswered"') for job in FLEETS}
    changes = {job: await _total(server, f'agentstack_model_changes_total{{job="{job}"}}') for job in FLEETS}
    silences = {job: await _total(server, f'agentstack_dead_air_total{{job="{job}"}}') for job in FLEETS}
    rules = await rules_once_raised(server)
    recorded = {
        rule["name"]: await server.query(rule["name"]) for rule in rules if rule["type"] == "recording" and rule["health"] == "ok"
    }
    assert [(rule["name"], rule["lastError"]) for rule in rules if rule["health"] != "ok"] == []
    assert {name for name, found in recorded.items() if not found} <= set(SILENT_HERE)
    assert alerts_of(rules, "healthy") <= OF_THIS_MACHINE
    slow = bottlenecks["slow-llm"]
    assert max(slow, key=slow.__getitem__) == (("component", "llm"),)
    assert sum(bottlenecks["healthy"].values()) < 0.1 * sum(slow.values())
    assert unanswered["healthy"] < 0.02
    assert min(unanswered["outage"], unanswered["silent"]) > 0.2
    assert changes["healthy"] == 0 < changes["outage"]
    assert silences["healthy"] == 0 < silences["silent"]


async def _total(server: Prometheus, selector: str) -> float:
    # A scrape that takes too long leaves nothing behind: what the one before it had still holds.
    return sum((await server.query(f"sum(last_over_time({selector}[1m]))")).values())


async def _ratio(server: Prometheus, job: str, matcher: str) -> float:
    turns = "agentstack_caller_turns_total"
    return await _total(server, f'{turns}{{job="{job}", {matcher}}}') / await _total(server, f'{turns}{{job="{job}"}}')
