"""A long event of every type counts as the same event without its long part, through every receiver and however it is cut."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from itertools import pairwise
from random import Random
from typing import Any

import pytest

from agentstack_tap import Tap
from exporter.catalogue.app_metrics import APP_METRICS
from exporter.config.otel import OtelSettings
from exporter.daemon.app import Daemon
from exporter.metrics.snapshot import HistogramPoint, Snapshot
from tests.sockets.test_every_field import FIELDS, PROTOCOL, STREAM, value_of, wire_form
from tests.support.app import app
from tests.support.daemon import settings
from tests.support.raw_websocket import CONTINUATION, PING, TEXT, RawWebSocket, raw_websocket
from tests.support.waiting import eventually, patience

MEASURED_BY_RECEIPT = ("agentstack_exporter_", "process_", "agentstack_state_duration", "agentstack_agent_tool_duration")
OF_THE_RELAY = {spec.name for spec in APP_METRICS}
LINE = {"role": "user", "content": 'I have lost "my" parcel. \\ 荷物をなくしました。 😀 Где она?'}
LONG_PARTS: dict[str, tuple[Any, bool]] = {
    "escaped transcript": ([LINE] * 450, True),
    "transcript as it is": ([LINE] * 700, False),
    "audio": ("UklGRiQAAABXQVZF" * 5_000, True),
    "letters of two bytes": ("Где моя посылка? " * 2_700, False),
    "nested output": ({"rows": [[1, [2.5, {"a": None}]]] * 3_200}, True),
}
"""Some 80 kB each, and whether letters are escaped: longer than what is read in full, and than what is read at once."""
Events = Sequence[bytes]
Send = Callable[[Daemon, Sequence[Events]], Awaitable[None]]


def event_of(name: str) -> dict[str, Any]:
    """An event of this type with all of its fields."""
    event = wire_form(name)
    for number, entry in enumerate(FIELDS):
        if entry["event"] == name and entry["field"] in PROTOCOL.get(name, {}):
            if entry["wire_unit"] in ("RFC 3339 date-time", "unix seconds"):
                continue  # what was measured from now on depends on when it is sent
            one = wire_form(name, entry["field"], value_of(number, entry))
            for key, value in one.items():
                inner = event.get(key)
                event[key] = {**inner, **value} if isinstance(inner, dict) and isinstance(value, dict) else value
    return event


def connections(long_part: Any, *, escaped: bool) -> Iterator[Events]:
    """One call for each type of event, in which an event of that type is long."""
    random = Random(7)
    for number, name in enumerate(PROTOCOL):
        event = event_of(name)
        if name == "session.started":
            event |= {"agent_session_id": f"as-{number}", "call_id": f"call-{number}"}
        if long_part is not None:
            fields = [*event.items()]
            fields.insert(random.randint(1, len(fields)), ("x_long", long_part))
            event = dict(fields)
        begins = (
            [] if name in STREAM else [{"type": "session.started", "agent_session_id": f"as-{number}", "call_id": f"call-{number}"}]
        )
        yield [json.dumps(each, ensure_ascii=escaped).encode() for each in (*begins, event)]


def cut(message: bytes, random: Random) -> list[bytes]:
    """The message in a few fragments, cut at any bytes."""
    edges = [0, *sorted(random.randint(0, len(message)) for _ in range(random.randint(0, 3))), len(message)]
    return [message[start:end] for start, end in pairwise(edges)]


async def send_cut(socket: RawWebSocket, message: bytes, random: Random) -> None:
    """Send the message in fragments, with pings between them."""
    parts = cut(message, random)
    for number, part in enumerate(parts):
        await socket.send(part, CONTINUATION if number else TEXT, fin=number == len(parts) - 1)
        await socket.send(b"", PING)


async def counted(daemon: Daemon, frames: int) -> None:
    """Wait until this many events have been counted."""
    await eventually(lambda: daemon.pipeline.metrics.frames_received[0] >= frames, because=f"{frames} events to be counted")


async def on_connections(daemon: Daemon, calls: Sequence[Events]) -> None:
    """Each call on its own connection, as the platform sends it."""
    random, frames = Random(3), 0
    for events in calls:
        async with raw_websocket(str(daemon.listen)) as socket:
            for event in events:
                await send_cut(socket, event, random)
            frames += len(events)
            await counted(daemon, frames)


async def by_python_tap(daemon: Daemon, calls: Sequence[Events]) -> None:
    """All calls through the tap, as the frames that the app received."""
    tap = Tap(f"ws://{daemon.listen}/ws")
    try:
        for number, events in enumerate(calls):
            for event in events:
                tap.send(f"as-{number}", event.decode())
            tap.end(f"as-{number}")
            assert await asyncio.to_thread(tap.flush, patience(10))
        assert tap.stats.dropped == {}
    finally:
        await asyncio.to_thread(tap.close)


async def by_raw_tap(daemon: Daemon, calls: Sequence[Events]) -> None:
    """All calls through a tap that sends events as objects, or as strings in which letters are escaped, in fragments."""
    random, seq = Random(5), 0
    async with raw_websocket(str(daemon.listen)) as socket:
        await socket.send(b'{"hello": {"client": "a raw tap", "version": 1}}')
        for number, events in enumerate(calls):
            for event in [*(event.decode() for event in events), None]:
                seq += 1
                part = '"end":true' if event is None else f'"event":{event if number % 2 else json.dumps(event)}'
                await send_cut(socket, f'{{"session":"as-{number}",{part},"seq":{seq}}}'.encode(), random)
            await counted(daemon, seq)


@asynccontextmanager
async def running(**changes: Any) -> AsyncIterator[Daemon]:
    daemon = Daemon(settings(drain_timeout=0.0, subscribe=False, **changes), OtelSettings())
    await daemon.start()
    try:
        yield daemon
    finally:
        await daemon.stop()


async def measured(send: Send, calls: Sequence[Events], **changes: Any) -> Snapshot:
    async with running(**changes) as daemon:
        await send(daemon, calls)
    return daemon.snapshot()


def essence(snapshot: Snapshot) -> list[tuple[str, tuple[str, ...], object]]:
    """All metrics of calls, without those that depend on when the events came."""
    found: list[tuple[str, tuple[str, ...], object]] = []
    for family in snapshot.families:
        name = family.spec.name
        if name.startswith(MEASURED_BY_RECEIPT) or name in OF_THE_RELAY:
            continue
        for series in family.series:
            value: object = series.value
            if isinstance(series.value, HistogramPoint):
                value = sum(series.value.counts) if name == "agentstack_session_duration_seconds" else series.value.counts
            found.append((name, series.labels, value))
    return found


def count(snapshot: Snapshot, name: str) -> dict[tuple[str, ...], Any]:
    """The values of one of the exporter's own metrics, by labels."""
    return {series.labels: series.value for family in snapshot.families if family.spec.name == name for series in family.series}


def same(found: Snapshot, expected: Snapshot) -> None:
    """Both have the same metrics of calls, and every event was processed."""
    assert essence(found) == essence(expected)
    assert len(essence(found)) > 130
    assert count(found, "agentstack_exporter_events_total") == count(expected, "agentstack_exporter_events_total")
    assert not any(count(found, "agentstack_exporter_frames_rejected_total").values())
    assert count(found, "agentstack_exporter_frames_truncated_total") == {(): float(len(PROTOCOL))}
    unknown = count(found, "agentstack_exporter_unknown_fields_total")
    assert sum(value for labels, value in unknown.items() if "x_long" in labels) == len(PROTOCOL), "one long part an event"


@pytest.fixture(scope="module")
def short() -> dict[str, Any]:
    """The metrics of the short events, kept for the module."""
    return {}


@pytest.mark.parametrize("long_part", LONG_PARTS)
@pytest.mark.parametrize("receiver", ["listener", "relay", "tap", "raw tap"])
async def test_long_events_count_as_short_ones(receiver: str, long_part: str, short: dict[str, Any]) -> None:
    """Whatever is long in an event and whatever receives it, everything else of the event counts."""
    if not short:
        short["found"] = await measured(on_connections, list(connections(None, escaped=True)))
    part, escaped = LONG_PARTS[long_part]
    calls = list(connections(part, escaped=escaped))
    if receiver == "relay":
        async with app(max_size=None) as upstream:
            found = await measured(on_connections, calls, upstream=upstream.url)
            assert all(visit.heard[-1].encode() == events[-1] for visit, events in zip(upstream.visits, calls, strict=True))  # type: ignore[union-attr]
    else:
        found = await measured({"listener": on_connections, "tap": by_python_tap, "raw tap": by_raw_tap}[receiver], calls)
    same(found, short["found"])
