"""/live over real connections: the page's routes, the API and its streams, and who may read them."""

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import bcrypt
import httpx
import msgspec
import pytest

from exporter.exporters.live.hub import FRAME, MOST_VIEWERS
from exporter.exporters.live.messages import CallDetail, CallList, Change, FieldList, State, SummaryAnswer
from tests.support.daemon import Endpoints, call, http_client, running_daemon, send_all
from tests.support.waiting import eventually, patience, seconds

STARTED = {"type": "session.started", "agent_session_id": "as-1", "agent_id": "support"}
TURN = {"type": "turn.metrics", "turn_number": 1, "user_perceived_ms": 2300, "llm_ttft_ms": 1600}
PATHS = (
    "/live",
    "/live/",
    "/api/v1/calls",
    "/api/v1/calls/x",
    "/api/v1/summary",
    "/api/v1/fields",
    "/api/v1/stream",
    "/api/v1/calls/x/stream",
)


@dataclass
class Event:
    """An event of a stream."""

    kind: str = ""
    id: str = ""
    data: Any = field(default=None)


@asynccontextmanager
async def stream(endpoints: Endpoints, path: str, **headers: str) -> AsyncIterator[AsyncIterator[Event]]:
    """The events of a stream."""
    async with http_client() as http, http.stream("GET", endpoints.url(path), headers=headers) as answer:
        assert answer.status_code == 200
        assert answer.headers["content-type"] == "text/event-stream; charset=utf-8"
        yield events(answer)


async def events(answer: httpx.Response) -> AsyncIterator[Event]:
    """Parse server-sent events."""
    event = Event()
    async for line in answer.aiter_lines():
        name, _, value = line.partition(": ")
        if name == "event":
            event.kind = value
        elif name == "id":
            event.id = value
        elif name == "data":
            event.data = json.loads(value)
        elif not line and event.kind:
            yield event
            event = Event()


async def until(stream: AsyncIterator[Event], wanted: Any) -> Event:
    """The first event for which ``wanted`` holds."""
    async with asyncio.timeout(patience(10)):
        async for event in stream:
            if wanted(event):
                return event
    raise AssertionError("the stream ended")


@pytest.mark.alone(waits=True)
async def test_a_call_is_seen_while_it_goes_on() -> None:
    """The list shows it within a second; detail, summary, fields, files and streams agree; an unknown call is 404."""
    async with running_daemon() as endpoints, call(endpoints.ws) as socket, stream(endpoints, "/api/v1/stream") as listed:
        first = await until(listed, lambda event: event.kind == "state")
        state = msgspec.convert(first.data, State)
        assert state.calls == []
        started = asyncio.get_running_loop().time()
        await send_all(socket, [STARTED])
        seen = await until(listed, lambda event: event.data.get("calls"))
        assert asyncio.get_running_loop().time() - started < seconds(1)
        [row] = msgspec.convert(seen.data, Change).calls
        assert (row.session, row.agent, row.connected) == ("as-1", "support", True)

        async with stream(endpoints, f"/api/v1/calls/{row.id}/stream") as opened:
            detail = msgspec.convert((await until(opened, lambda event: event.kind == "state")).data, CallDetail)
            assert detail.turns == []
            await send_all(socket, [TURN])
            change = await until(opened, lambda event: event.data.get("turns"))
            assert [(turn["number"], turn["wait"], turn["bottleneck"]) for turn in change.data["turns"]] == [(1, 2.3, "llm")]

        calls = msgspec.json.decode((await endpoints.get("/api/v1/calls")).content, type=CallList)
        assert [(found.id, found.last_wait) for found in calls.calls] == [(row.id, 2.3)]
        answer = await endpoints.get(f"/api/v1/calls/{row.id}")
        assert msgspec.json.decode(answer.content, type=CallDetail).turns[0].fields["llm_ttft_ms"] == 1600
        assert answer.headers["cache-control"] == "no-store"
        summary = msgspec.json.decode((await endpoints.get("/api/v1/summary")).content, type=SummaryAnswer)
        assert (summary.summary.calls, summary.summary.viewers, summary.slow_turns[0].call) == (1, 1, row.id)
        assert msgspec.json.decode((await endpoints.get("/api/v1/fields")).content, type=FieldList).groups
        lines = await endpoints.get(f"/api/v1/calls/{row.id}/call.jsonl")
        assert [json.loads(line)["event"]["type"] for line in lines.text.splitlines()] == ["session.started", "turn.metrics"]
        assert lines.headers["content-disposition"] == f'attachment; filename="call-{row.id}.jsonl"'
        page = await endpoints.get(f"/api/v1/calls/{row.id}/call.html")
        assert "the caller waited 2.30 s" in page.text
        assert "script-src" not in page.headers["content-security-policy"]
        for path in (
            "/api/v1/calls/none",
            "/api/v1/calls/none/stream",
            "/api/v1/calls/none/call.jsonl",
            "/api/v1/calls/none/call.html",
        ):
            unknown = await endpoints.get(path)
            assert (unknown.status_code, unknown.json()) == (404, {"error": "no such call"})
        assert "live" in (await endpoints.get("/")).text


async def test_a_stream_goes_on_after_its_last_event() -> None:
    """With a known Last-Event-ID a stream begins with what was missed, with an unknown one with everything."""
    async with running_daemon() as endpoints, call(endpoints.ws) as socket:
        async with stream(endpoints, "/api/v1/stream") as listed:
            last = (await until(listed, lambda event: event.kind == "state")).id
        await send_all(socket, [STARTED])
        await endpoints.reaches("agentstack_sessions_active", 1)
        async with stream(endpoints, "/api/v1/stream", **{"Last-Event-ID": last}) as resumed:
            event = await until(resumed, lambda _: True)
            assert (event.kind, [row["session"] for row in event.data["calls"]]) == ("change", ["as-1"])
        for unknown in ("other-1", last + "999", "", "x", last.replace("-", "")):
            async with stream(endpoints, "/api/v1/stream", **{"Last-Event-ID": unknown}) as begun:
                assert (await until(begun, lambda _: True)).kind == "state"


async def test_a_stream_has_at_most_four_events_a_second() -> None:
    """However fast a call goes, the events of a stream are at least a quarter of a second apart."""
    async with running_daemon() as endpoints, call(endpoints.ws) as socket, stream(endpoints, "/api/v1/stream") as listed:
        await until(listed, lambda event: event.kind == "state")
        loop = asyncio.get_running_loop()
        times = []
        for number in range(4):
            await send_all(socket, [STARTED, {**TURN, "turn_number": number}])
            await until(listed, lambda _: True)
            times.append(loop.time())
        assert times[-1] - times[0] >= 3 * FRAME * 0.9


@pytest.mark.alone(waits=True)
async def test_streams_end_when_the_exporter_stops() -> None:
    """Viewers are told, and they do not keep the exporter from stopping."""
    async with running_daemon() as endpoints:
        opened = stream(endpoints, "/api/v1/stream")
        listed = await opened.__aenter__()
        await until(listed, lambda event: event.kind == "state")
        loop = asyncio.get_running_loop()
        stopping = loop.time()
    bye = await until(listed, lambda event: event.kind == "bye")
    assert bye.data == {"reason": "stopping"}
    assert loop.time() - stopping < seconds(1.5)
    await opened.__aexit__(None, None, None)


async def test_viewers_are_bounded() -> None:
    """One stream more than there may be is refused with 503, and there is room again when one has left."""
    async with running_daemon() as endpoints, http_client() as http:
        async with asyncio.TaskGroup() as tasks:
            enough = asyncio.Event()
            opened = 0

            async def watch() -> None:
                nonlocal opened
                async with stream(endpoints, "/api/v1/stream") as listed:
                    await until(listed, lambda _: True)
                    opened += 1
                    await enough.wait()

            for _ in range(MOST_VIEWERS):
                tasks.create_task(watch())
            await eventually(lambda: opened == MOST_VIEWERS, within=10)
            refused = await http.get(endpoints.url("/api/v1/stream"))
            assert (refused.status_code, list(refused.json())) == (503, ["error"])
            enough.set()

        async def again() -> bool:
            async with stream(endpoints, "/api/v1/stream") as listed:
                return (await until(listed, lambda _: True)).kind == "state"

        assert await eventually(again)


async def test_a_viewer_that_reads_nothing_holds_nobody_up() -> None:
    """While one viewer does not read, another one gets each change, and the exporter stays as it is."""
    async with running_daemon() as endpoints, call(endpoints.ws) as socket:
        host, port = endpoints.telemetry.split(":")
        reader, writer = await asyncio.open_connection(host, int(port), limit=1024)
        writer.write(b"GET /api/v1/stream HTTP/1.1\r\nHost: x\r\n\r\n")
        async with stream(endpoints, "/api/v1/stream") as listed:
            await until(listed, lambda event: event.kind == "state")
            for number in range(5):
                await send_all(socket, [{**STARTED, "agent_session_id": f"as-{number}"}])
                await until(listed, lambda event, name=f"as-{number}": name in json.dumps(event.data))
        writer.close()
        assert not reader.at_eof()


async def test_live_can_be_turned_off() -> None:
    """With --no-live nothing of it is served, and nothing is kept."""
    async with running_daemon(live=False) as endpoints, call(endpoints.ws) as socket:
        await send_all(socket, [STARTED, TURN])
        await endpoints.reaches("agentstack_turns_total", 1)
        for path in PATHS:
            assert (await endpoints.get(path)).status_code == 404, path
        assert "live" not in (await endpoints.get("/")).text


def web_config(folder: Path) -> Path:
    """A web configuration file with one user."""
    hashed = bcrypt.hashpw(b"s3cret", bcrypt.gensalt(4)).decode()
    path = folder / "web.yml"
    path.write_text(f"basic_auth_users:\n  prometheus: {hashed}\n")
    return path


async def test_live_is_as_guarded_as_metrics(tmp_path: Path) -> None:
    """Every path refuses who has no user, as /metrics does, and answers who has one; other methods are refused."""
    async with running_daemon(web_config=web_config(tmp_path)) as endpoints, http_client() as http:
        right = {"Authorization": "Basic " + base64.b64encode(b"prometheus:s3cret").decode()}
        wrong = {"Authorization": "Basic " + base64.b64encode(b"prometheus:wrong").decode()}
        for path in (*PATHS, "/metrics"):
            for headers in ({}, wrong):
                answer = await http.get(endpoints.url(path), headers=headers)
                assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Basic"), path
        calls = await http.get(endpoints.url("/api/v1/calls"), headers=right)
        assert calls.json()["calls"] == []
        async with stream(endpoints, "/api/v1/stream", **right) as listed:
            assert (await until(listed, lambda _: True)).kind == "state"
        for path in ("/api/v1/calls", "/api/v1/stream"):
            posted = await http.post(endpoints.url(path), headers=right)
            assert posted.status_code == 405


async def test_other_origins_cannot_read() -> None:
    """No answer allows another origin to read it, whatever Origin and Host a request has."""
    async with running_daemon() as endpoints:
        for path in ("/api/v1/calls", "/live"):
            answer = await endpoints.get(path, Origin="https://evil.example", Host="evil.example")
            assert not [name for name in answer.headers if name.startswith("access-control")]
            assert "evil" not in str(answer.headers)
        answer = await endpoints.get("/api/v1/calls")
        assert answer.headers["cross-origin-resource-policy"] == "same-origin"
        moved = await endpoints.get("/live/", Host="evil.example")
        assert (moved.status_code, moved.headers["location"]) == (308, "../live")
