"""The same calls through every receiver: metrics and spans do not depend on how the events arrived."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import msgspec
import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from agentstack_tap import Tap
from agentstack_tap.voice_app import name_of
from exporter.catalogue.app_metrics import APP_METRICS
from exporter.config.otel import OtelSettings
from exporter.daemon.app import Daemon
from exporter.metrics.snapshot import HistogramPoint, Snapshot
from exporter.simulate.call import SESSION_STARTS, event_name, plan_call
from exporter.simulate.profiles import FLEETS
from tests.support.app import app
from tests.support.daemon import call, send_all, settings
from tests.support.otlp_daemon import UNTIL_THE_END
from tests.support.traced import values
from tests.support.waiting import eventually, patience

STARTED_AT = 1_777_885_200.0
KINDS = ("typical", "slow", "s2s", "outbound", "messy", "streaming")
BY_RECEIPT = {
    "agentstack_agent_tool_duration_seconds",
    "agentstack_session_duration_seconds",
    "gen_ai_execute_tool_duration_seconds",
    "gen_ai_invoke_agent_duration_seconds",  # a turn without times begins with its first tool, which has the time of receipt
}
"""Measured between receipts, because the platform sends no times: the counts are equal, the durations are not."""
TIMES_ALONE = {"agentstack_state_duration_seconds_total"}
"""Contains only such durations, and has no series for those that are 0."""
FROM_THE_RELAY = {spec.name for spec in APP_METRICS}
Play = Callable[[Daemon, list[list[dict[str, Any]]]], AbstractAsyncContextManager[None]]


def recorded() -> list[list[dict[str, Any]]]:
    """Calls of every kind, split where a session starts: one list per connection."""
    found: list[list[dict[str, Any]]] = []
    for number, kind in enumerate(KINDS):
        for _, event in plan_call(11, number, FLEETS[kind], turns=4).steps(STARTED_AT):
            if event_name(event) in SESSION_STARTS:
                found.append([])
            found[-1].append(event)
    return found


async def one_by_one(daemon: Daemon, calls: list[list[dict[str, Any]]], url: str) -> None:
    """Send each call on its own connection, the next one when this one was measured."""
    expected = 0.0
    for events in calls:
        async with call(url) as socket:
            await send_all(socket, events)
            expected += len(events)
            await eventually(lambda wanted=expected: daemon.pipeline.metrics.frames_received[0] == wanted)  # type: ignore[misc]


@asynccontextmanager
async def by_endpoint(daemon: Daemon, calls: list[list[dict[str, Any]]]) -> AsyncIterator[None]:
    await one_by_one(daemon, calls, f"ws://{daemon.listen}/ws")
    yield


@asynccontextmanager
async def by_relay(daemon: Daemon, calls: list[list[dict[str, Any]]]) -> AsyncIterator[None]:
    await one_by_one(daemon, calls, f"ws://{daemon.listen}/any")
    yield


@asynccontextmanager
async def by_tap(daemon: Daemon, calls: list[list[dict[str, Any]]]) -> AsyncIterator[None]:
    """Send all calls through one tap, with events as mappings, texts or bytes, the next call when this one was measured."""
    tap = Tap(f"ws://{daemon.listen}/ws")
    forms: tuple[Callable[[dict[str, Any]], Any], ...] = (dict, json.dumps, msgspec.json.encode)
    try:
        for number, events in enumerate(calls):
            name = name_of(events[0]) or f"call-{number}"
            for event in events:
                tap.send(name, forms[number % 3](event))
            tap.end(name)
            assert await asyncio.to_thread(tap.flush, patience(10))
        yield
    finally:
        await asyncio.to_thread(tap.close)


async def measured(play: Play, **changes: Any) -> tuple[Snapshot, list[Span]]:
    """Metrics and spans of the recorded calls through this receiver."""
    spans: list[bytes] = []
    chosen = settings(drain_timeout=0.0, subscribe=False, **UNTIL_THE_END, **changes)
    daemon = Daemon(chosen, OtelSettings(), on_spans=spans.extend)
    await daemon.start()
    try:
        async with play(daemon, recorded()):
            pass
    finally:
        await daemon.stop()
    return daemon.snapshot(), [Span.FromString(span) for span in spans]


def essence(snapshot: Snapshot) -> Iterator[tuple[str, tuple[str, ...], object]]:
    """All metrics of calls, without the exporter's own."""
    for family in snapshot.families:
        name = family.spec.name
        if name.startswith(("agentstack_exporter_", "process_")) or name in FROM_THE_RELAY | TIMES_ALONE:
            continue
        for series in family.series:
            value: object = series.value
            if isinstance(series.value, HistogramPoint):
                value = sum(series.value.counts) if name in BY_RECEIPT else (series.value.counts, series.value.sum)
            yield name, series.labels, value


def outline(spans: list[Span]) -> list[tuple[str, ...]]:
    """The spans with their parents and attributes. Tool spans have no attributes here, because a relay waits for the app's answers."""
    found: list[tuple[str, ...]] = []
    for span in spans:
        attributes, trace = values(span.attributes), span.trace_id.hex()
        if span.name.startswith("execute_tool"):
            found.append((trace, span.name, str(attributes.get("gen_ai.tool.call.id"))))
        else:
            found.append((trace, span.name, json.dumps(attributes, sort_keys=True), span.span_id.hex(), span.parent_span_id.hex()))
    return sorted(found)


@pytest.fixture(scope="module")
def results() -> dict[str, Any]:
    """The results of the calls for each receiver, kept for the module."""
    return {}


async def reference(results: dict[str, Any]) -> tuple[Snapshot, list[Span]]:
    """The results through the endpoint."""
    if "endpoint" not in results:
        results["endpoint"] = await measured(by_endpoint)
    found: tuple[Snapshot, list[Span]] = results["endpoint"]
    return found


def same(found: tuple[Snapshot, list[Span]], expected: tuple[Snapshot, list[Span]]) -> None:
    """Both have the same metrics and spans."""
    assert list(essence(found[0])) == list(essence(expected[0]))
    assert outline(found[1]) == outline(expected[1])
    assert len(list(essence(found[0]))) > 300
    assert len(found[1]) > 100


async def test_through_the_relay(results: dict[str, Any]) -> None:
    """Calls through a relay have the same metrics and spans as calls to the endpoint."""
    async with app() as upstream:
        found = await measured(by_relay, upstream=upstream.url)
    same(found, await reference(results))


async def test_through_the_tap(results: dict[str, Any]) -> None:
    """Calls that a tap carries on one connection have the same metrics and spans as calls to the endpoint."""
    same(await measured(by_tap), await reference(results))
