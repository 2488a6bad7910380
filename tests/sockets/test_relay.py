"""The relay in front of an app: bytes and ends of both sides are forwarded unchanged, and messages are measured."""

import asyncio
import contextlib
import json
import signal
import socket as sockets
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as given_settings
from hypothesis import strategies as st
from websockets.asyncio.server import ServerConnection
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.frames import Frame, Opcode

from exporter.auth import AccessRules, AuthPolicy
from exporter.auth.peer import peer_name
from exporter.config.setting_types import Secret
from exporter.daemon.receiver_metrics import ReceiverMetrics
from exporter.metrics.label_limits import LabelLimits
from exporter.pipeline.call_feed import CallFeed
from exporter.pipeline.diagnostics import NoDiagnostics
from exporter.pipeline.pipeline import SUBSCRIPTION, Pipeline
from exporter.receivers.proxy import inspector
from exporter.receivers.proxy.receiver import ProxyConfig, ProxyReceiver
from exporter.receivers.proxy.upstream import parse_upstream
from exporter.server.listeners import RawListener
from exporter.sessions.registry import SessionTimeouts
from tests.support.app import RawSide, app, heard, raw_app
from tests.support.daemon import Endpoints, call, daemon_process, running_daemon, send_all
from tests.support.memory import bytes_in_use
from tests.support.raw_websocket import PONG, RawWebSocket, raw_connection, request
from tests.support.waiting import eventually, patience, seconds

STARTED: dict[str, Any] = {"type": "session.started", "agent_session_id": "as-1", "agent_id": "agent-1"}
PLAYED = {"type": "play.completed"}
EVENTS = "agentstack_exporter_events_total"
COMMANDS = "agentstack_app_commands_total"
FAILURES = "agentstack_exporter_upstream_failures_total"
REFUSED = "agentstack_exporter_connections_refused_total"
DROPPED = "agentstack_exporter_relay_dropped_total"
ACTIVE = "agentstack_exporter_connections_active"
TOKEN = "t0ken-t0ken-t0ken"
SECRET = "path-secret-path-secret"
DEAD = "ws://127.0.0.1:1"


@asynccontextmanager
async def relayed(url: str, **changes: Any) -> AsyncIterator[Endpoints]:
    """An exporter in front of the app at ``url``. By default it inserts no messages."""
    async with running_daemon(upstream=url, **{"subscribe": False, **changes}) as endpoints:
        yield endpoints


@asynccontextmanager
async def joined(endpoints: Endpoints, path: str = "/ws") -> AsyncIterator[RawWebSocket]:
    """The platform's connection after the handshake."""
    async with raw_connection(endpoints.listen) as platform:
        platform.writer.write(request(path))
        assert await platform.answer() == 101
        yield platform


frames = st.builds(
    lambda opcode, data, fin: (opcode, data, fin),
    st.sampled_from([Opcode.TEXT, Opcode.BINARY, Opcode.CONT, Opcode.PING, Opcode.PONG]),
    st.binary(max_size=60) | st.integers(120, 130).map(lambda size: b"z" * size) | st.just(b"q" * 70_000),
    st.booleans(),
)
says = st.tuples(st.sampled_from(["platform", "app"]), frames | st.binary(min_size=1, max_size=50))


def encoded(said: Any, *, masked: bool) -> bytes:
    if isinstance(said, bytes):
        return said
    opcode, data, fin = said
    control = opcode in (Opcode.PING, Opcode.PONG)
    return Frame(opcode, data[:125] if control else data, fin=fin or control).serialize(mask=masked)


class TestBytes:
    @given(script=st.lists(says, max_size=12), subscribe=st.booleans())
    @given_settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    def test_whatever_is_said_arrives_as_it_was_said(self, script: list[tuple[str, Any]], subscribe: bool) -> None:
        """Fragments, pings, broken frames and garbage arrive in both directions byte for byte."""

        async def scenario() -> None:
            async with raw_app() as upstream, relayed(upstream.url, subscribe=subscribe) as endpoints, joined(endpoints) as platform:
                side = await upstream.side()
                sent = {"platform": b"", "app": b""}
                for who, said in script:
                    data = encoded(said, masked=who == "platform")
                    sent[who] += data
                    (platform.writer if who == "platform" else side.writer).write(data)
                platform.writer.write_eof()
                arrived = await asyncio.wait_for(side.reader.read(), patience(10))
                side.writer.write_eof()
                assert arrived == sent["platform"]
                assert await asyncio.wait_for(platform.reader.read(), patience(10)) == sent["app"]

        asyncio.run(scenario())

    async def test_the_handshake_is_the_apps(self) -> None:
        """The answer is the app's own with unchanged headers; the request is the platform's, without extensions."""
        async with raw_app() as upstream, relayed(upstream.url) as endpoints, raw_connection(endpoints.listen) as platform:
            asked = request("/agents/7?caller=%2B1555&x=")[:-2]
            asked += (
                b"X-Plivo-Signature-V3: abc=\r\nSec-WebSocket-Extensions: permessage-deflate\r\nauthorization:   Basic Zm9v\r\n\r\n"
            )
            platform.writer.write(asked)
            answer = await platform.reader.readuntil(b"\r\n\r\n")
            await upstream.side()
        assert answer.startswith(b"HTTP/1.1 101 Switching Protocols\r\nupgrade: WebSocket\r\nConnection: Upgrade\r\nX-Mine: yes\r\n")
        lines = upstream.heads[0].split(b"\r\n")
        assert lines[0] == b"GET /agents/7?caller=%2B1555&x= HTTP/1.1"
        assert b"X-Plivo-Signature-V3: abc=" in lines
        assert b"authorization: Basic Zm9v" in lines
        assert b"Host: localhost" in lines
        assert not [line for line in lines if b"extensions" in line.lower()]

    async def test_what_is_sent_before_the_answer(self) -> None:
        """Frames that the platform sends together with its request reach the app after the request."""
        async with raw_app() as upstream, relayed(upstream.url) as endpoints, raw_connection(endpoints.listen) as platform:
            hello = Frame(Opcode.TEXT, b"hello").serialize(mask=True)
            platform.writer.write(request() + hello)
            assert await platform.answer() == 101
            side = await upstream.side()
            assert await asyncio.wait_for(side.reader.readexactly(len(hello)), patience(5)) == hello

    @pytest.mark.parametrize("code", [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 3000, 4999])
    @pytest.mark.parametrize("who", ["platform", "app"])
    async def test_close_codes(self, code: int, who: str) -> None:
        """Each close code arrives with its reason, whichever side closes."""
        closed: list[tuple[int | None, str | None]] = []

        async def talk(socket: ServerConnection) -> None:
            if who == "app":
                await socket.close(code, "so it is")

        async def note(socket: ServerConnection) -> None:
            await talk(socket)
            await socket.wait_closed()
            closed.append((socket.close_code, socket.close_reason))

        async with app(note) as upstream, relayed(upstream.url) as endpoints:
            async with call(endpoints.ws) as platform:
                if who == "platform":
                    await platform.close(code, "so it is")
                await platform.wait_closed()
                assert (platform.close_code, platform.close_reason) == (code, "so it is")
            await eventually(lambda: closed == [(code, "so it is")])

    @pytest.mark.parametrize("who", ["platform", "app"])
    @pytest.mark.parametrize("how", ["reset", "end"])
    async def test_an_abrupt_end(self, who: str, how: str) -> None:
        """If one side vanishes, the other side gets what was sent before and the end, but no close frame."""
        last_words = b"\x81\x05hello" if who == "app" else Frame(Opcode.TEXT, b"hello").serialize(mask=True)
        async with raw_app() as upstream, relayed(upstream.url) as endpoints, joined(endpoints) as platform:
            side = await upstream.side()
            dying: RawSide | RawWebSocket = platform if who == "platform" else side
            left: RawSide | RawWebSocket = side if who == "platform" else platform
            dying.writer.write(last_words)
            await dying.writer.drain()
            assert await asyncio.wait_for(left.reader.readexactly(len(last_words)), patience(5)) == last_words
            if how == "reset":
                dying.writer.get_extra_info("socket").setsockopt(sockets.SOL_SOCKET, sockets.SO_LINGER, struct.pack("ii", 1, 0))
            dying.writer.transport.abort()
            assert await asyncio.wait_for(left.reader.read(), patience(5)) == b""

            async def over() -> bool:
                left.writer.close()
                return await endpoints.total(ACTIVE) == 0

            await eventually(over)

    @pytest.mark.parametrize("stalled", ["platform", "app"])
    async def test_a_side_that_does_not_read(self, stalled: str) -> None:
        """A side that does not read stops the other one from sending, at a bounded amount; other calls are not affected."""
        flood = Frame(Opcode.BINARY, b"f" * 60_000).serialize(mask=stalled == "app")
        async with (
            raw_app() as upstream,
            relayed(upstream.url) as endpoints,
            joined(endpoints) as platform,
            joined(endpoints) as beside,
        ):
            sides = [await upstream.side(), await upstream.side()]
            deaf: RawSide | RawWebSocket = platform if stalled == "platform" else sides[0]
            loud: RawSide | RawWebSocket = sides[0] if stalled == "platform" else platform
            deaf.reader._transport.pause_reading()  # type: ignore[attr-defined]
            sent = await until_held_up(loud.writer, flood)
            assert sent < 30_000_000
            hello = Frame(Opcode.TEXT, b"hello").serialize(mask=True)
            beside.writer.write(hello)
            assert await asyncio.wait_for(sides[1].reader.readexactly(len(hello)), patience(5)) == hello
            deaf.reader._transport.resume_reading()  # type: ignore[attr-defined]
            assert await asyncio.wait_for(deaf.reader.readexactly(sent), patience(20)) == flood * (sent // len(flood))


async def until_held_up(writer: asyncio.StreamWriter, piece: bytes) -> int:
    """Write pieces until nobody reads more. Returns the number of bytes that were read or are buffered."""
    sent = 0
    while sent < 100_000_000:
        writer.write(piece)
        sent += len(piece)
        try:
            await asyncio.wait_for(writer.drain(), seconds(1))
        except TimeoutError:
            break
    return sent


class TestObserver:
    async def test_events_and_commands(self) -> None:
        """What the platform sends is measured as events, what the app sends as commands, and a tool's answer with its time."""

        async def talk(socket: ServerConnection) -> None:
            await socket.send(json.dumps({"type": "agent_session.speak", "text": "hi"}))
            await eventually(lambda: len(upstream.visits[0].heard) >= 2)
            await socket.send(json.dumps({"type": "tool.result", "id": "t1", "result": 1}))

        async with app(talk) as upstream, relayed(upstream.url) as endpoints, call(endpoints.ws) as platform:
            await send_all(platform, [STARTED])
            await endpoints.reaches(EVENTS, 1)
            await send_all(platform, [{"type": "tool.called", "id": "t1", "name": "lookup"}])
            await endpoints.reaches("agentstack_tool_duration_seconds_count", 1, tool="lookup", outcome="result", agent="agent-1")
            assert await endpoints.total("agentstack_exporter_frames_received_total") == 2
            assert await endpoints.total(COMMANDS, kind="tool.result") == 1
            assert await endpoints.total("agentstack_exporter_upstream_connect_seconds_count") == 1
            assert await endpoints.total("agentstack_exporter_relay_delay_seconds_count") >= 4

    @pytest.mark.parametrize("fault", ["crash", "hang"])
    async def test_a_broken_inspector_harms_no_call(self, fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
        """If measuring fails or never happens, bytes are forwarded all the same; unmeasured messages are counted."""
        if fault == "crash":

            def consume(*_: object) -> bool:
                raise RuntimeError("out of order")

            monkeypatch.setattr(CallFeed, "consume", consume)
        else:
            monkeypatch.setattr(inspector.MessageInspector, "_measure_some", lambda _: None)
            monkeypatch.setattr(inspector, "MAX_QUEUED_BYTES", 1000)
        async with app() as upstream, relayed(upstream.url) as endpoints, call(endpoints.ws) as platform:
            await send_all(platform, [STARTED, *[PLAYED] * 200])
            assert len(await heard(upstream, 201)) == 201
            await endpoints.reaches(DROPPED, 100, reason="error" if fault == "crash" else "overflow")

    async def test_what_is_no_websocket_passes_unseen(self) -> None:
        """After the handshake a connection may use any protocol; bytes that are not WebSocket frames are counted once."""
        async with raw_app() as upstream, relayed(upstream.url) as endpoints, joined(endpoints) as platform:
            side = await upstream.side()
            for _ in range(3):
                platform.writer.write(b"\xff" * 100)
                assert await asyncio.wait_for(side.reader.readexactly(100), patience(5)) == b"\xff" * 100
            assert await endpoints.reaches(DROPPED, 1, reason="protocol") == 1

    async def test_large_messages_pass_and_count(self) -> None:
        """A message over --max-frame-bytes is forwarded completely and counts; one beyond the longest event is too large."""
        async with (
            app(max_size=None) as upstream,
            relayed(upstream.url, max_frame_bytes=2000) as endpoints,
            call(endpoints.ws) as platform,
        ):
            long, longer = (json.dumps({**STARTED, "caller": "x" * size}) for size in (200_000, 600_000))
            await platform.send(longer)
            await platform.send(long)
            assert await heard(upstream, 2) == [longer, long]
            await endpoints.reaches("agentstack_sessions_total", 1)
            assert await endpoints.total("agentstack_exporter_frames_rejected_total", reason="too_large") == 1
            assert await endpoints.total("agentstack_exporter_frames_truncated_total") == 1

    async def test_long_commands_of_the_app(self) -> None:
        """The result of a tool counts however long it is, and so does long audio."""

        async def talk(socket: ServerConnection) -> None:
            await eventually(lambda: len(upstream.visits[0].heard) >= 1)
            await socket.send(json.dumps({"type": "tool.result", "id": "t-1", "result": "結果" * 40_000}))
            await socket.send(json.dumps({"event": "playAudio", "media": {"payload": "A" * 100_000}}))

        async with app(talk) as upstream, relayed(upstream.url) as endpoints, call(endpoints.ws) as platform:
            await platform.send(json.dumps(STARTED))
            await endpoints.reaches(COMMANDS, 1, kind="tool.result")
            await endpoints.reaches(COMMANDS, 1, kind="playAudio")
            assert await endpoints.total(COMMANDS) == 2

    async def test_audio(self) -> None:
        """Audio of both directions is counted; the app's audio also counts as a command."""

        async def talk(socket: ServerConnection) -> None:
            await eventually(lambda: len(upstream.visits[0].heard) >= 2)
            for _ in range(3):
                await socket.send(json.dumps({"event": "playAudio", "media": {"payload": "AAAA"}}))

        start = {"event": "start", "streamId": "s1", "start": {"callId": "c1"}}
        media = {"event": "media", "media": {"payload": "AAAA"}}
        async with app(talk) as upstream, relayed(upstream.url) as endpoints, call(endpoints.ws) as platform:
            await send_all(platform, [start, media, media])
            await endpoints.reaches("agentstack_audio_frames_total", 2, direction="caller")
            await endpoints.reaches("agentstack_audio_frames_total", 3, direction="agent")
            assert await endpoints.total(COMMANDS, kind="playAudio") == 3
            assert await endpoints.total("agentstack_audio_stream_frames_total") == 2


class TestSubscription:
    async def test_it_is_asked_for_beside_the_app(self) -> None:
        """After session.started, and after each update of the app that names events, the exporter requests the union."""
        mine = {"type": "agent_session.update", "events": {"metrics_events": False, "mine": True}}

        async def talk(socket: ServerConnection) -> None:
            await eventually(lambda: len(upstream.visits[0].heard) >= 2)
            await socket.send(json.dumps({"type": "agent_session.update", "instructions": "be kind"}))
            await socket.send(json.dumps(mine))

        async with app(talk) as upstream, relayed(upstream.url, subscribe=True) as endpoints, call(endpoints.ws) as platform:
            await send_all(platform, [STARTED])
            assert await platform.recv() == SUBSCRIPTION
            await send_all(platform, [PLAYED])
            assert json.loads(await platform.recv()) == {"type": "agent_session.update", "instructions": "be kind"}
            assert json.loads(await platform.recv()) == mine
            union = {"metrics_events": True, "vad_events": True, "turn_events": True, "mine": True}
            assert json.loads(await platform.recv()) == {"type": "agent_session.update", "events": union}
            assert await endpoints.total(COMMANDS) == 2

    async def test_it_waits_for_the_end_of_a_message(self) -> None:
        """While a fragmented message of the app is under way, the exporter's message waits for its end."""
        async with raw_app() as upstream, relayed(upstream.url, subscribe=True) as endpoints, joined(endpoints) as platform:
            side = await upstream.side()
            first, second = (
                Frame(Opcode.TEXT, b"once ", fin=False).serialize(mask=False),
                Frame(Opcode.CONT, b"upon").serialize(mask=False),
            )
            side.writer.write(first + second[:1])
            assert await platform.reader.readexactly(len(first) + 1) == first + second[:1]
            await platform.send(json.dumps(STARTED).encode())
            await endpoints.reaches(EVENTS, 1)
            last = Frame(Opcode.TEXT, b"a time").serialize(mask=False)
            side.writer.write(second[1:] + last)
            assert await platform.reader.readexactly(len(second) - 1) == second[1:]
            assert await platform.read_frame() == (1, SUBSCRIPTION.encode())
            assert await platform.read_frame() == (1, b"a time")

    async def test_no_subscribe(self) -> None:
        """With --no-subscribe the platform receives the messages of the app only."""
        async with app() as upstream, relayed(upstream.url) as endpoints:
            async with call(endpoints.ws) as platform:
                await send_all(platform, [STARTED])
                await endpoints.reaches(EVENTS, 1)
            assert [message async for message in platform] == []


class TestPaths:
    @pytest.mark.parametrize(
        ("suffix", "asked", "reaches"),
        [
            ("", "/", "/"),
            ("", "/a/b?x=1", "/a/b?x=1"),
            ("/", "/a%20b", "/a%20b"),
            ("/ws", "/a/b?x=1", "/ws?x=1"),
            ("/ws/", "/", "/ws/"),
        ],
    )
    async def test_paths(self, suffix: str, asked: str, reaches: str) -> None:
        """An --upstream without a path keeps the path of the request, one with a path replaces it; the query is always kept."""
        async with app() as upstream, relayed(upstream.url + suffix) as endpoints, call(f"ws://{endpoints.listen}{asked}"):
            await eventually(lambda: [visit.path for visit in upstream.visits] == [reaches])

    async def test_our_credentials_go_no_further(self) -> None:
        """The secret in the path and the exporter's own token are removed; the app's own Authorization is kept."""
        locks = {"auth_tokens": (Secret(TOKEN),), "path_secrets": (Secret(SECRET),)}
        async with app() as upstream, relayed(upstream.url, **locks) as endpoints:
            for path, header in ((f"/a/{SECRET}?x=1", "Basic Zm9v"), ("/a?x=1", f"Bearer {TOKEN}")):
                async with call(f"ws://{endpoints.listen}{path}", additional_headers={"Authorization": header}):
                    pass
            with pytest.raises(InvalidStatus) as refusal:
                async with call(f"ws://{endpoints.listen}/a"):
                    pass
            assert refusal.value.response.status_code == 401
            assert await endpoints.total(REFUSED, reason="no_credentials") == 1
        assert [visit.path for visit in upstream.visits] == ["/a?x=1", "/a?x=1"]
        assert [visit.headers.get("Authorization") for visit in upstream.visits] == ["Basic Zm9v", None]


async def refused(url: str, **options: Any) -> tuple[int, bytes]:
    """Status and body of a refusal."""
    with pytest.raises(InvalidStatus) as refusal:
        async with call(url, **options):
            pass
    return refusal.value.response.status_code, bytes(refusal.value.response.body or b"")


class TestFailures:
    async def test_an_app_that_is_not_there(self) -> None:
        """The platform gets 502 at once, and a metric has the reason."""
        async with relayed(DEAD) as endpoints:
            status, body = await asyncio.wait_for(refused(endpoints.ws), seconds(2))
            assert (status, body) == (502, b"the app behind the exporter cannot be reached\n")
            assert await endpoints.total(FAILURES, reason="unreachable") == await endpoints.total(REFUSED, reason="upstream") == 1

    async def test_an_app_that_does_not_answer(self) -> None:
        """The platform gets 504 after the timeout, and 502 if the answer is not HTTP."""
        answers = [b"", b"SSH-2.0-OpenSSH\r\n\r\n"]

        async def visited(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(answers.pop(0))
            await reader.read()
            writer.close()

        server = await asyncio.start_server(visited, "127.0.0.1", 0)
        async with server, relayed(f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}", upstream_timeout=0.3) as endpoints:
            assert (await refused(endpoints.ws))[0] == 504
            assert (await refused(endpoints.ws))[0] == 502
            assert await endpoints.total(FAILURES, reason="timeout") == await endpoints.total(FAILURES, reason="no_answer") == 1

    async def test_an_app_that_refuses(self) -> None:
        """The platform gets the app's own status, headers and body."""

        def refuse(socket: ServerConnection, _: object) -> Any:
            answer = socket.respond(418, "I am a teapot\n" * 1000)
            answer.headers["X-Why"] = "tea"
            return answer

        async with app(process_request=refuse) as upstream, relayed(upstream.url) as endpoints:
            with pytest.raises(InvalidStatus) as refusal:
                async with call(endpoints.ws):
                    pass
            response = refusal.value.response
            assert (response.status_code, response.headers["X-Why"], response.body) == (418, "tea", b"I am a teapot\n" * 1000)
            assert await endpoints.total(FAILURES, reason="refused") == 1

    async def test_observing_without_the_app(self) -> None:
        """With --observe-without-upstream a call is accepted although its app is gone: it is measured and pings are answered."""
        async with relayed(DEAD, observe_without_upstream=True, subscribe=True) as endpoints, call(endpoints.ws) as platform:
            await send_all(platform, [STARTED])
            assert await platform.recv() == SUBSCRIPTION
            await (await platform.ping())
            await platform.send([b'{"type":', b'"play.completed"}'])
            await platform.send(json.dumps({"type": "tool.executed", "calls": [{"name": "find", "output": "x" * 300_000}]}))
            await endpoints.reaches(EVENTS, 3)
            await platform.close(1000, "bye")
            assert platform.close_code == 1000
            await endpoints.reaches("agentstack_sessions_total", 1)
            assert await endpoints.total(FAILURES, reason="unreachable") == 1

    async def test_observing_what_is_no_websocket(self) -> None:
        """Without the app, bytes that are no frames close the connection with 1002, and pings before them are answered."""
        async with relayed(DEAD, observe_without_upstream=True) as endpoints, joined(endpoints) as platform:
            platform.writer.write(Frame(Opcode.PING, b"there?").serialize(mask=True) + b"\xff" * 20)
            assert await platform.read_frame() == (PONG, b"there?")
            assert await platform.close_code() == 1002
            await endpoints.reaches(DROPPED, 1, reason="protocol")

    async def test_observing_an_endless_message(self) -> None:
        """Without the app, a message that is larger than anything that is read does not make the process grow."""
        async with relayed(DEAD, observe_without_upstream=True) as endpoints, joined(endpoints) as platform:
            await endpoints.text()
            before = bytes_in_use()
            platform.writer.write(b"\x81\xff" + (1 << 30).to_bytes(8, "big") + b"\0\0\0\0")
            for _ in range(100):
                platform.writer.write(b"x" * 65_536)
                await platform.writer.drain()
            assert bytes_in_use() - before < 1_000_000, "6 MB were sent"

    @pytest.mark.parametrize(
        ("head", "status"),
        [
            (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", 426),
            (b"POST / HTTP/1.1\r\nHost: x\r\n\r\n", 400),
            (b"GET http://x/ HTTP/1.1\r\n\r\n", 400),
            (b"GET / HTTP/1.1\r\nno colon\r\n\r\n", 400),
            (b"GET / HTTP/1.1\r\nHost : x\r\n\r\n", 400),
            (b"\x16\x03\x01\r\n\r\n", 400),
            (b"GET / HTTP/1.1\r\nX: " + b"y" * 40_000, 431),
            (b"GET / HTTP/1.1\r\nX: " + b"y" * 40_000 + b"\r\n\r\n", 431),
            (b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 101 + b"\r\n", 431),
        ],
    )
    async def test_what_is_no_opening_request(self, head: bytes, status: int) -> None:
        """A request that is no WebSocket handshake is refused by the exporter and does not reach the app."""
        async with raw_app() as upstream, relayed(upstream.url) as endpoints, raw_connection(endpoints.listen) as platform:
            platform.writer.write(head)
            assert await platform.answer() == status
            assert upstream.heads == []

    async def test_a_request_that_never_ends(self) -> None:
        """A connection without a request within the handshake timeout is closed and counted."""
        async with relayed(DEAD, handshake_timeout=0.2) as endpoints, raw_connection(endpoints.listen) as platform:
            platform.writer.write(request()[:-2])
            assert await asyncio.wait_for(platform.reader.read(), patience(5)) == b""
            assert await endpoints.total(REFUSED, reason="slow_handshake") == 1

    async def test_a_slow_platform_is_named(self, caplog: pytest.LogCaptureFixture) -> None:
        """The line about a connection without a request has its address."""
        caplog.set_level("INFO")
        async with relayed(DEAD, handshake_timeout=0.1) as endpoints, raw_connection(endpoints.listen) as platform:
            assert await asyncio.wait_for(platform.reader.read(), patience(5)) == b""
            peer = peer_name(platform.writer.get_extra_info("sockname"))
        (line,) = [vars(record) for record in caplog.records if record.getMessage() == "connection refused"]
        assert (line["reason"], line["peer"]) == ("slow_handshake", peer)

    async def test_silent_connections_are_no_calls(self) -> None:
        """Connections that have sent no request take no place of a call."""
        async with (
            app() as upstream,
            relayed(upstream.url, max_connections=1) as endpoints,
            raw_connection(endpoints.listen),
            raw_connection(endpoints.listen),
            call(endpoints.ws),
        ):
            assert await endpoints.total(ACTIVE) == 1

    async def test_requests_for_which_the_app_is_asked_are_calls(self) -> None:
        """While the app has not answered, a request takes the place of a call, so --max-connections bounds these too."""
        with sockets.create_server(("127.0.0.1", 0)) as hung:
            url = f"ws://127.0.0.1:{hung.getsockname()[1]}"
            async with relayed(url, max_connections=2) as endpoints, raw_connection(endpoints.listen) as one:
                one.writer.write(request())
                async with raw_connection(endpoints.listen) as other:
                    other.writer.write(request())
                    asked = [await asyncio.to_thread(hung.accept) for _ in range(2)]
                    assert (await refused(endpoints.ws))[0] == 503
            for connection, _ in asked:
                connection.close()

    async def test_more_silent_connections_than_the_limit(self) -> None:
        """One connection too many without a request ends the oldest of them."""
        pipeline = Pipeline(LabelLimits(), SessionTimeouts(), NoDiagnostics(), now=0.0)
        config = ProxyConfig(parse_upstream(DEAD, None), 5.0, 5.0, None, 65_536, max_waiting=2)
        policy = AuthPolicy(AccessRules(None, 10))
        relay = ProxyReceiver(policy, config, lambda: CallFeed(pipeline, relayed=True), ReceiverMetrics(pipeline.metrics, 0.0))
        listener = RawListener(relay, "127.0.0.1", 0, None)
        await listener.start()
        where = "{}:{}".format(*listener.bound)
        async with raw_connection(where) as oldest, raw_connection(where), raw_connection(where) as newest:
            with contextlib.suppress(ConnectionError):
                assert await asyncio.wait_for(oldest.reader.read(), patience(5)) == b""
            newest.writer.write(b"GET / HTTP/1.1\r\n\r\n")
            assert await newest.answer() == 426
        await listener.stop()

    async def test_the_cap(self) -> None:
        """A connection above --max-connections gets 503, and a freed place can be used again."""
        async with app() as upstream, relayed(upstream.url, max_connections=1) as endpoints:
            async with call(endpoints.ws):
                assert (await refused(endpoints.ws))[0] == 503

            async def free() -> bool:
                return await endpoints.total(ACTIVE) == 0

            await eventually(free)
            async with call(endpoints.ws):
                assert await endpoints.total(ACTIVE) == 1


class TestStopping:
    async def test_calls_go_on_until_they_end(self, tmp_path: Path) -> None:
        """After SIGTERM with 100 live calls no message is lost, and when the calls are over the process exits with 0."""
        async with app() as upstream, daemon_process(tmp_path, "--upstream", upstream.url, "--linger") as running:
            endpoints, said = running.endpoints, 0
            platforms = [await call(f"ws://{endpoints.listen}/{number}") for number in range(100)]
            for number, platform in enumerate(platforms):
                await send_all(platform, [{**STARTED, "agent_session_id": f"as-{number}"}])
            running.signal(signal.SIGTERM)
            await eventually(lambda: "stopping" in running.log)
            for _ in range(20):
                for platform in platforms:
                    await send_all(platform, [PLAYED])
                said += 1
                await asyncio.sleep(0)
            with pytest.raises((ConnectionError, InvalidStatus)):
                await call(f"ws://{endpoints.listen}/late")
            for platform in platforms:
                await platform.close()
            await eventually(lambda: "waiting for one more scrape" in running.log, within=10)
            assert await endpoints.total(EVENTS, event="play.completed") == 100 * said
            assert sum(len(visit.heard) for visit in upstream.visits) == 100 * (said + 1)
            assert await running.ended() == 0

    async def test_after_the_deadline_they_are_told(self, tmp_path: Path) -> None:
        """Calls that outlast the drain timeout are closed with 1001 on both sides, and the process exits with 0."""
        codes: list[int | None] = []

        async def note(socket: ServerConnection) -> None:
            await socket.wait_closed()
            codes.append(socket.close_code)

        async with app(note) as upstream, daemon_process(tmp_path, "--upstream", upstream.url, "--drain-timeout", "0.3") as running:
            async with call(f"ws://{running.endpoints.listen}/") as platform:
                running.signal(signal.SIGTERM)
                with pytest.raises(ConnectionClosed):
                    await asyncio.wait_for(platform.recv(), patience(10))
                assert platform.close_code == 1001
            await eventually(lambda: codes == [1001])
            assert await running.ended() == 0
