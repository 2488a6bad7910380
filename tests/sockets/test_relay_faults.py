"""Edge cases of the relay: ends at any moment, internal errors, and floods of empty messages."""

import asyncio
import json
import signal
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.server import ServerConnection
from websockets.frames import Frame, Opcode

from exporter.pipeline.call_feed import CallFeed
from exporter.receivers.proxy.frames import Message, Scanner
from exporter.receivers.proxy.http1 import MAX_HEAD
from exporter.receivers.proxy.inspector import MAX_QUEUED_BYTES, MESSAGE_OVERHEAD, MessageInspector
from tests.sockets.test_relay import DROPPED, REFUSED, STARTED, joined, refused, relayed
from tests.support.app import app, raw_app
from tests.support.core import Core
from tests.support.daemon import call, daemon_process, send_all
from tests.support.raw_websocket import raw_connection, request
from tests.support.waiting import patience


async def test_a_half_closed_call_at_the_deadline(tmp_path: Path) -> None:
    """A call whose platform sends no more, but still reads, does not prevent exit code 0."""
    async with raw_app() as upstream, daemon_process(tmp_path, "--upstream", upstream.url, "--drain-timeout", "0.3") as running:
        async with joined(running.endpoints) as platform:
            side = await upstream.side()
            platform.writer.write_eof()
            assert await asyncio.wait_for(side.reader.read(), patience(5)) == b""
            running.signal(signal.SIGTERM)
            assert await running.ended() == 0
        assert "Traceback" not in running.log


async def test_a_platform_that_leaves_before_the_answer() -> None:
    """If the platform leaves before the app has answered, the app's connection ends too."""
    asked, left = asyncio.Event(), asyncio.Event()

    async def visited(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        asked.set()
        try:
            await reader.read()
        except ConnectionError:
            pass  # an abort is an end as well
        finally:
            left.set()
            writer.close()

    server = await asyncio.start_server(visited, "127.0.0.1", 0)
    async with server, relayed(f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}") as endpoints:
        async with raw_connection(endpoints.listen) as platform:
            platform.writer.write(request())
            await asyncio.wait_for(asked.wait(), patience(5))
        await asyncio.wait_for(left.wait(), patience(3))


async def test_a_refusal_without_end() -> None:
    """If an app refuses and leaves its connection open, the platform's connection ends after --upstream-timeout."""

    async def visited(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")
        await reader.read()
        writer.close()

    server = await asyncio.start_server(visited, "127.0.0.1", 0)
    url = f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with server, relayed(url, upstream_timeout=0.3) as endpoints, raw_connection(endpoints.listen) as platform:
        platform.writer.write(request())
        assert (await asyncio.wait_for(platform.reader.read(), patience(5))).startswith(b"HTTP/1.1 403 ")


async def test_an_upstream_that_leads_back() -> None:
    """A relay whose upstream is another name of itself refuses its own request with 508, and counts it."""
    targets: list[str] = []
    connections = 0

    async def forwarded(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        host, _, port = targets[0].rpartition(":")
        back, forth = await asyncio.open_connection(host, int(port))
        forth.write(await reader.readuntil(b"\r\n\r\n"))
        writer.write(await back.read())
        for side in (writer, forth):
            side.close()

    server = await asyncio.start_server(forwarded, "127.0.0.1", 0)
    url = f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with server, relayed(url, observe_without_upstream=True) as endpoints:
        targets.append(endpoints.listen)
        status, body = await refused(endpoints.ws)
        assert (status, connections) == (508, 1)
        assert body == b"--upstream leads back to this exporter: it must be the address of the app\n"
        assert await endpoints.total(REFUSED, reason="loop") == 1


async def test_relays_in_a_chain() -> None:
    """A relay behind another one accepts its requests, and the app sees the id of each."""
    async with raw_app() as upstream, relayed(upstream.url) as last, relayed(f"ws://{last.listen}") as first, joined(first) as platform:
        hello = Frame(Opcode.TEXT, b"hello").serialize(mask=True)
        platform.writer.write(hello)
        side = await upstream.side()
        assert await asyncio.wait_for(side.reader.readexactly(len(hello)), patience(5)) == hello
    ids = [line for line in upstream.heads[0].split(b"\r\n") if line.startswith(b"agentstack-exporter-relay: ")]
    assert len(set(ids)) == 2


async def answers(*parts: bytes) -> bytes:
    """What the platform receives from a relay whose app answers with these parts, each after the last has arrived."""

    async def visited(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        for part in parts:
            writer.write(part)
            await writer.drain()
        writer.close()

    server = await asyncio.start_server(visited, "127.0.0.1", 0)
    url = f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with server, relayed(url, upstream_timeout=5.0) as endpoints, raw_connection(endpoints.listen) as platform:
        platform.writer.write(request())
        return await asyncio.wait_for(platform.reader.read(), patience(10))


HINTS = b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"
ACCEPTED = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n"


@pytest.mark.parametrize("parts", [(HINTS, ACCEPTED + b"x"), (HINTS + HINTS[:9], HINTS[9:] + ACCEPTED + b"x")])
async def test_interim_answers(parts: tuple[bytes, ...]) -> None:
    """Interim answers of the app are forwarded, and the call begins with the final one."""
    assert await answers(*parts) == b"".join(parts)


async def test_interim_answers_without_end() -> None:
    """Interim answers are forwarded within the limit of a head, then the app counts as one that gives no answer."""
    received = await answers(*[HINTS] * 2000)
    assert received.startswith(HINTS)
    assert b"HTTP/1.1 502 " in received
    assert len(received) < 2 * MAX_HEAD


async def test_empty_messages_wait_in_bounds() -> None:
    """The queue bounds empty messages too; the others are dropped and counted."""
    dropped: list[str] = []

    class Nowhere:
        def __getattr__(self, _: str) -> Any:
            return lambda *_: False

    inspector = MessageInspector(Nowhere(), None, lambda _: None, dropped.append)
    inspector.offer("caller", [Message(1, b"", b"")] * 100_000, 0.0)
    assert dropped == ["overflow"] * (100_000 - MAX_QUEUED_BYTES // MESSAGE_OVERHEAD)
    inspector.close()


async def test_a_command_without_room() -> None:
    """A message of the app for which there was no room is counted as dropped, and one of the platform as too large."""
    dropped: list[str] = []
    core = Core()
    inspector = MessageInspector(CallFeed(core.pipeline, relayed=True), None, lambda _: None, dropped.append)
    for direction in ("agent", "caller"):
        inspector.offer(direction, [Message(1, None, b"")], 0.0)
    inspector.close()
    assert dropped == ["overflow"]
    assert core.value("agentstack_exporter_frames_rejected_total", reason="too_large") == 1


@pytest.mark.parametrize("broken", [(Scanner, "scan"), (MessageInspector, "offer")], ids=["scanner", "queue"])
async def test_internal_errors_before_the_queue(broken: tuple[type, str], monkeypatch: pytest.MonkeyPatch) -> None:
    """If scanning or queueing messages fails, the call goes on and the failure is counted."""

    def fail(*_: object) -> None:
        raise RuntimeError("out of order")

    monkeypatch.setattr(*broken, fail)
    hello = Frame(Opcode.TEXT, b"hello").serialize(mask=True)
    async with raw_app() as upstream, relayed(upstream.url) as endpoints, joined(endpoints) as platform:
        side = await upstream.side()
        for _ in range(3):
            platform.writer.write(hello)
            assert await asyncio.wait_for(side.reader.readexactly(len(hello)), patience(5)) == hello
        await endpoints.reaches(DROPPED, 1 if broken[0] is Scanner else 3, reason="error")


async def test_an_update_before_the_call_begins() -> None:
    """Events that the app requested before session.started are requested again, together with the exporter's own."""

    async def talk(socket: ServerConnection) -> None:
        await socket.send(json.dumps({"type": "agent_session.update", "events": {"mine": True}}))

    async with app(talk) as upstream, relayed(upstream.url, subscribe=True) as endpoints, call(endpoints.ws) as platform:
        await platform.recv()
        await send_all(platform, [STARTED])
        union = {"metrics_events": True, "vad_events": True, "turn_events": True, "mine": True}
        assert json.loads(await platform.recv()) == {"type": "agent_session.update", "events": union}
