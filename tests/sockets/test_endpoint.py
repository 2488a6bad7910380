"""The ingest listener with polite, careless and hostile peers."""

import asyncio
import contextlib
import itertools
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families
from websockets.exceptions import InvalidStatus

from exporter.pipeline.pipeline import SUBSCRIPTION
from exporter.server.listener_config import TRANSPORT_CAP
from tests.support.daemon import Endpoints, call, daemon_process, http_client, running_daemon, send_all, total
from tests.support.memory import bytes_in_use
from tests.support.raw_websocket import (
    BINARY,
    CLOSE,
    CONTINUATION,
    PING,
    PONG,
    TEXT,
    RawWebSocket,
    frame,
    raw_connection,
    raw_websocket,
    request,
)
from tests.support.waiting import eventually, patience, seconds

FRAMES = "agentstack_exporter_frames_total"
RECEIVED = "agentstack_exporter_frames_received_total"
REJECTED = "agentstack_exporter_frames_rejected_total"
EVENTS = "agentstack_exporter_events_total"
ACTIVE = "agentstack_exporter_connections_active"
STARTED: dict[str, Any] = {"type": "session.started", "agent_session_id": "as-1", "agent_id": "agent-1"}
PLAYED = b'{"type":"play.completed"}'


def encoded(event: object) -> bytes:
    return json.dumps(event).encode()


async def open_sockets(endpoints: Endpoints, number: int) -> None:
    """Wait until this number of connections is open."""

    async def there() -> bool:
        return await endpoints.total(ACTIVE) == number

    await eventually(there, within=20, because=f"{number} open connections")


class TestSubscription:
    async def test_the_switches_are_sent_once_the_call_began(self) -> None:
        """After session.started, and not before, the exporter requests all three kinds of events."""
        async with running_daemon() as endpoints, call(endpoints.ws) as socket:
            await send_all(socket, [{"type": "user.dtmf", "digit": "1"}])
            await endpoints.reaches(EVENTS, 1, event="user.dtmf")
            await send_all(socket, [STARTED, STARTED])
            await endpoints.reaches(EVENTS, 2, event="session.started")
            await socket.close()
            said = [json.loads(message) async for message in socket]
        switches = {"metrics_events": True, "vad_events": True, "turn_events": True}
        assert said == [{"type": "agent_session.update", "events": switches}]

    async def test_no_subscribe(self) -> None:
        """With --no-subscribe the exporter sends nothing at all."""
        async with running_daemon(subscribe=False) as endpoints, call(endpoints.ws) as socket:
            await send_all(socket, [STARTED])
            await endpoints.reaches(EVENTS, 1, event="session.started")
            await socket.close()
            assert [message async for message in socket] == []

    async def test_a_peer_that_has_left_already(self) -> None:
        """A call that was sent completely and closed before an answer was possible counts completely."""
        call_of_its_life = [frame(encoded(STARTED)), *[frame(PLAYED)] * 300, frame((1000).to_bytes(2, "big"), CLOSE)]
        async with running_daemon() as endpoints, raw_websocket(endpoints.listen) as socket:
            socket.writer.write(b"".join(call_of_its_life))
            await socket.close_code()
            assert await endpoints.reaches(RECEIVED, 301) == 301
            assert await endpoints.total(FRAMES, outcome="processed") == 301

    async def test_a_peer_that_cut_the_line_already(self) -> None:
        """A call whose connection was shut down right after its last frame counts completely."""
        async with running_daemon() as endpoints, raw_websocket(endpoints.listen) as socket:
            socket.writer.write(b"".join([frame(encoded(STARTED)), *[frame(PLAYED)] * 300]))
            socket.writer.write_eof()
            assert await endpoints.reaches(RECEIVED, 301) == 301


class TestRefusals:
    @pytest.mark.parametrize("path", ["/", "/ws/", "/ws2", "/WS", "/metrics", "/%77s/x"])
    async def test_another_path(self, path: str) -> None:
        """A WebSocket on another path is refused with 404, and counted."""
        async with running_daemon() as endpoints:
            with pytest.raises(InvalidStatus) as refusal:
                async with call(f"ws://{endpoints.listen}{path}"):
                    pass
            assert refusal.value.response.status_code == 404
            assert await endpoints.total("agentstack_exporter_connections_refused_total", reason="wrong_path") == 1

    async def test_a_path_of_ones_own(self) -> None:
        """With --path the WebSocket endpoint is on that path only, whatever the query string is."""
        async with running_daemon(path="/calls/s3cret") as endpoints:
            async with call(endpoints.ws + "?token=x") as socket:
                await send_all(socket, [STARTED])
            with pytest.raises(InvalidStatus):
                async with call(f"ws://{endpoints.listen}/ws"):
                    pass

    @pytest.mark.parametrize(("path", "status"), [("/ws", 426), ("/ws?x=1", 426), ("/metrics", 404), ("/", 404)])
    @pytest.mark.parametrize("method", ["GET", "HEAD", "POST"])
    async def test_plain_http(self, method: str, path: str, status: int) -> None:
        """A plain HTTP request gets 426 on the WebSocket path and 404 elsewhere; metrics are not served here."""
        async with running_daemon() as endpoints, http_client() as http:
            answer = await http.request(method, f"http://{endpoints.listen}{path}")
        assert answer.status_code == status
        assert answer.headers.get("upgrade") == ("websocket" if status == 426 else None)

    async def test_too_many_connections(self) -> None:
        """A connection above --max-connections gets 503 and is counted, /metrics answers, and a freed place can be used again."""
        async with running_daemon(max_connections=2) as endpoints, call(endpoints.ws) as first, call(endpoints.ws):
            with pytest.raises(InvalidStatus) as refusal:
                async with call(endpoints.ws):
                    pass
            assert refusal.value.response.status_code == 503
            assert await endpoints.total("agentstack_exporter_connections_refused_total", reason="too_many") == 1
            assert await endpoints.total(ACTIVE) == 2
            await first.close()
            await open_sockets(endpoints, 1)
            async with call(endpoints.ws):
                assert await endpoints.total(ACTIVE) == 2

    async def test_garbage_instead_of_a_request(self) -> None:
        """Bytes that are not HTTP get 400, and other connections are not affected."""
        async with running_daemon() as endpoints, raw_connection(endpoints.listen) as socket, call(endpoints.ws) as other:
            socket.writer.write(b"\x16\x03\x01\x02\x00\x01\r\n\r\n")
            assert await socket.answer() == 400
            await send_all(other, [STARTED])
            await endpoints.reaches(EVENTS, 1)

    async def test_a_slow_handshake(self) -> None:
        """A handshake that arrives byte by byte works, and another connection is served meanwhile."""
        async with running_daemon() as endpoints, raw_connection(endpoints.listen) as socket, call(endpoints.ws) as other:
            for number, byte in enumerate(request()):
                socket.writer.write(bytes([byte]))
                await socket.writer.drain()
                if number % 20 == 0:
                    await send_all(other, [{"type": "play.completed"}])
                    await endpoints.reaches(EVENTS, number // 20 + 1)
            assert await socket.answer() == 101
            await socket.send(PLAYED)
            await endpoints.reaches(RECEIVED, len(range(0, len(request()), 20)) + 1)

    async def test_a_handshake_that_never_ends(self) -> None:
        """A connection without a request within the handshake timeout is closed and counted; an accepted call has no such limit."""
        async with (
            running_daemon(handshake_timeout=0.2) as endpoints,
            call(endpoints.ws) as other,
            raw_connection(endpoints.listen) as socket,
        ):
            socket.writer.write(request()[:-2])
            assert await asyncio.wait_for(socket.reader.read(), patience(5)) == b""
            await send_all(other, [STARTED])
            await endpoints.reaches(EVENTS, 1)
            assert await endpoints.total("agentstack_exporter_connections_refused_total", reason="slow_handshake") == 1

    @pytest.mark.parametrize(
        ("headers", "status"),
        [
            (b"X-Many: y\r\n" * 101, 431),
            (b"X-Long: " + b"y" * 40_000 + b"\r\n", 431),
            (b"X-Line: " + b"y" * 20_000 + b"\r\n", 400),
        ],
    )
    async def test_an_absurd_handshake(self, headers: bytes, status: int, caplog: pytest.LogCaptureFixture) -> None:
        """A handshake with absurd headers is refused and counted, without an internal error in the log."""
        async with running_daemon() as endpoints, raw_connection(endpoints.listen) as socket:
            socket.writer.write(request()[:-2] + headers + b"\r\n")
            assert await socket.answer() == status
            assert await endpoints.total("agentstack_exporter_connections_refused_total", reason="bad_request") == 1
        assert [record for record in caplog.records if record.exc_info] == []


class TestFrames:
    async def test_binary_frames(self) -> None:
        """Events in binary frames count like those in text frames."""
        async with running_daemon() as endpoints, call(endpoints.ws) as socket:
            await socket.send(encoded(STARTED))
            assert await socket.recv() == SUBSCRIPTION
            assert await endpoints.total(EVENTS, event="session.started") == 1

    async def test_fragments(self) -> None:
        """A message in many fragments, with a ping between them, counts as one frame."""
        async with running_daemon() as endpoints, raw_websocket(endpoints.listen) as socket:
            message = encoded({**STARTED, "caller": "é" * 200})
            pieces = [message[at : at + 7] for at in range(0, len(message), 7)]
            for number, piece in enumerate(pieces):
                await socket.send(piece, CONTINUATION if number else TEXT, fin=number == len(pieces) - 1)
                if number == 3:
                    await socket.send(b"still there?", PING)
            assert await socket.read_frame() == (PONG, b"still there?")
            assert await socket.read_frame() == (TEXT, SUBSCRIPTION.encode())
            assert await endpoints.total(RECEIVED) == await endpoints.total(FRAMES, outcome="processed") == 1

    async def test_a_long_event_counts(self) -> None:
        """A session that ends with 300 kB of transcript ends for its own reason, and one with more than 512 KiB is too large."""
        ended = {"type": "session.ended", "duration_seconds": 9, "reason": "user_hangup"}
        async with running_daemon() as endpoints, call(endpoints.ws) as socket:
            await send_all(socket, [STARTED, ended | {"transcript": "x" * 600_000}, ended | {"transcript": "x" * 300_000}])
            await endpoints.reaches("agentstack_sessions_ended_total", 1, reason="user_hangup")
            assert await endpoints.total("agentstack_exporter_frames_truncated_total") == 1
            assert await endpoints.total(REJECTED, reason="too_large") == 1

    @pytest.mark.parametrize("opcode", [TEXT, BINARY])
    @pytest.mark.parametrize("char", ["x", "é", "語"])
    async def test_the_frame_limit(self, opcode: int, char: str) -> None:
        """An event of 64 KiB, in bytes, is read in full; with one byte more it counts too, and as truncated."""
        frame_without_text = encoded({"type": "user.transcription", "text": ""})
        text = char * ((65_536 - len(frame_without_text)) // len(char.encode()))
        event = json.dumps({"type": "user.transcription", "text": text}, ensure_ascii=False).encode()
        event += b" " * (65_536 - len(event))
        async with running_daemon() as endpoints, raw_websocket(endpoints.listen) as socket:
            for message in (event, event + b" ", PLAYED):
                await socket.send(message, opcode)
            await endpoints.reaches(RECEIVED, 3)
            assert await endpoints.total(EVENTS, event="user.transcription") == 2
            assert await endpoints.total("agentstack_exporter_frames_truncated_total") == 1
            assert await endpoints.total(EVENTS, event="play.completed") == 1

    async def test_above_the_transport_cap(self) -> None:
        """A message over 16 MiB closes the connection with 1009 before it is read, and is counted as too large."""
        async with running_daemon() as endpoints, raw_websocket(endpoints.listen) as socket:
            await socket.send(PLAYED)
            socket.writer.write(bytes([0x82, 0xFF]) + (TRANSPORT_CAP + 1).to_bytes(8, "big") + b"\0\0\0\0" + b"x" * 1000)
            assert await socket.close_code() == 1009
            await open_sockets(endpoints, 0)
            assert await endpoints.total(EVENTS) == 1
            assert await endpoints.total(REJECTED, reason="too_large") == 1
            assert await endpoints.total(RECEIVED) == 2

    async def test_invalid_utf8(self) -> None:
        """A text frame that is not UTF-8 closes with 1007 and is counted; a binary one is counted and the connection stays open."""
        async with running_daemon() as endpoints, raw_websocket(endpoints.listen) as socket:
            await socket.send(b'{"type":"\xff"}', BINARY)
            await socket.send(PLAYED)
            await endpoints.reaches(EVENTS, 1)
            await socket.send(b'{"type":"\xff"}', TEXT)
            assert await socket.close_code() == 1007
            await open_sockets(endpoints, 0)
            assert await endpoints.total(REJECTED, reason="not_utf8") == 2
            assert await endpoints.total(RECEIVED) == 3

    @pytest.mark.parametrize("violation", [frame(b"", 0x3), frame(b"x" * 200, PING), b"\x81\x05hello", frame(b"x", CONTINUATION)])
    async def test_events_before_a_violation(self, violation: bytes) -> None:
        """Events that arrive together with a violation of the protocol count, and the violation closes with 1002."""
        async with running_daemon() as endpoints, raw_websocket(endpoints.listen) as socket:
            socket.writer.write(frame(PLAYED) * 40 + violation)
            assert await socket.close_code() == 1002
            assert await endpoints.reaches(RECEIVED, 40) == 40


HOSTILE = (
    b"",
    b" ",
    b"null",
    b"42",
    b'"text"',
    b"[]",
    b"[" * 20_000,
    b'{"type":' * 5_000,
    b"{}",
    b'{"type":null}',
    b'{"type":7}',
    b'{"type":""}',
    b'{"type":"turn.metrics","user_perceived_ms":1e999}',
    b'{"type":"turn.metrics","user_perceived_ms":NaN}',
    b'{"type":"turn.metrics","user_perceived_ms":-Infinity}',
    b'{"type":"turn.metrics","llm_prompt_tokens":' + b"9" * 400 + b"}",
    b'{"type":"turn.metrics","turn_number":1e300}',
    b'{"type":"turn.metrics","turn_number":-0.5}',
    b'{"type":"turn.metrics","llm_model":"\\ud800"}',
    b'{"type":"turn.metrics","llm_model":"a\\u0000\\n\\"b\\\\","user_perceived_ms":400}',
    b'{"type":"turn.metrics","pipeline":{"a":[1]},"turn_number":[2]}',
    b'{"type":"turn.metrics","llm_availability":{"' + b"m" * 5000 + b'":true,"x":"y"}}',
    b'{"type":"turn.metrics","type":"turn.metrics","user_perceived_ms":1,"user_perceived_ms":2}',
    b'{"type":"session.usage","models":[null,1,{"type":"llm_usage","input_tokens":-5}]}',
    b'{"type":"session.usage","models":{"type":"x"}}',
    b'{"type":"tool.executed","calls":[{"name":7},[],null]}',
    b'{"type":"session.ended","duration_seconds":-1,"reason":"' + b"r" * 3000 + b'"}',
    b'{"type":"user.state_changed","new_state":"\xe2\x80\xae","timestamp":"2026-13-45T99:99:99Z"}',
    b'{"type":"user.state_changed","timestamp":"0001-01-01T00:00:00+14:00"}',
    b'{"type":"agent.mood","x":1}',
    b'{"event":"media","media":{"payload":"' + b"=" * 1000 + b'"}}',
    b'{"event":"start","start":[]}',
    b'{"event":"start","start":{"mediaFormat":"x"}}',
    b'{"event":"unheard"}',
    b'{"type":"turn.completed","turn_number":null,"turn_id":null}',
    b'\xef\xbb\xbf{"type":"play.completed"}',
)


class TestHostilePeers:
    async def test_every_hostile_frame_is_counted_and_none_ends_the_call(self) -> None:
        """After each hostile frame the connection is open and the page valid, and each frame has exactly one outcome."""
        async with running_daemon() as endpoints, raw_websocket(endpoints.listen) as socket:
            for number, payload in enumerate(HOSTILE, 1):
                await socket.send(payload)
                await endpoints.reaches(RECEIVED, number)
                list(text_string_to_metric_families(await endpoints.text()))
            await socket.send(PLAYED)
            await endpoints.reaches(EVENTS, 1, event="play.completed")
            assert await endpoints.total(FRAMES) == await endpoints.total(RECEIVED) == len(HOSTILE) + 1
            assert await endpoints.total(REJECTED, reason="internal_error") == 0
            assert await endpoints.total(REJECTED) == await endpoints.total(FRAMES, outcome="rejected")

    async def test_a_message_of_endless_fragments(self) -> None:
        """Fragments without content, which no size limit stops, do not make the process grow."""
        async with running_daemon() as endpoints, raw_websocket(endpoints.listen) as socket:

            async def send_fragments(number: int) -> None:
                for _ in range(number // 1000):
                    socket.writer.write(frame(b"", CONTINUATION, fin=False) * 1000)
                    await socket.writer.drain()
                await socket.send(b"all read?", PING)
                assert await socket.read_frame() == (PONG, b"all read?")

            await socket.send(PLAYED[:5], TEXT, fin=False)
            await send_fragments(5_000)
            before = bytes_in_use()
            await send_fragments(50_000)
            assert bytes_in_use() - before < 50_000, "a pointer for each fragment would be 400 kB"
            await socket.send(PLAYED[5:], CONTINUATION)
            await endpoints.reaches(EVENTS, 1)

    async def test_what_cannot_be_read_is_not_kept(self) -> None:
        """Messages far above the frame limit, none of them complete, do not make the process grow."""
        async with contextlib.AsyncExitStack() as stack:
            endpoints = await stack.enter_async_context(running_daemon())
            before = bytes_in_use()
            for _ in range(10):
                socket = await stack.enter_async_context(raw_websocket(endpoints.listen))
                socket.writer.write(b"\x82\xff" + TRANSPORT_CAP.to_bytes(8, "big") + b"\0\0\0\0")
                for _ in range(64):
                    socket.writer.write(b"x" * 65_536)
                    await socket.writer.drain()
            await endpoints.reaches(REJECTED, 10, reason="too_large")
            assert bytes_in_use() - before < 10_000_000

    async def test_what_callers_say_is_not_logged(self, tmp_path: Path) -> None:
        """Even the debug log does not contain the content of an event."""
        async with daemon_process(tmp_path, "--log-level", "debug") as daemon, call(daemon.endpoints.ws + "?token=s3cret") as socket:
            await send_all(socket, [{**STARTED, "caller": "+14155550123"}, {"type": "user.transcription", "text": "my PIN is 4711"}])
            await daemon.endpoints.reaches(EVENTS, 2)
            log = daemon.log
        assert "debug" in log
        assert not [secret for secret in ("+14155550123", "4711", "s3cret") if secret in log]

    async def test_a_reset_in_mid_frame(self) -> None:
        """A reset in the middle of a frame ends the connection; earlier frames count and other connections go on."""
        async with running_daemon() as endpoints, call(endpoints.ws) as other:
            async with raw_websocket(endpoints.listen) as socket:
                await socket.send(PLAYED)
                await endpoints.reaches(RECEIVED, 1)
                socket.writer.write(frame(b"x" * 5000)[:100])
                await socket.writer.drain()
            await open_sockets(endpoints, 1)
            await send_all(other, [STARTED])
            await endpoints.reaches(RECEIVED, 2)

    async def test_pings_of_a_peer_that_reads_nothing(self) -> None:
        """A peer that sends pings and never reads does not make the process grow, and does not delay others."""
        async with running_daemon() as endpoints, raw_websocket(endpoints.listen) as socket, call(endpoints.ws) as other:
            socket.reader._transport.pause_reading()  # type: ignore[attr-defined]
            await endpoints.text()
            before = bytes_in_use()
            pings = frame(b"p" * 125, PING) * 1000
            with contextlib.suppress(TimeoutError, ConnectionError):
                async with asyncio.timeout(seconds(3)):
                    for _ in range(80):
                        socket.writer.write(pings)
                        await socket.writer.drain()
            await send_all(other, [STARTED])
            await endpoints.reaches(EVENTS, 1)
            assert bytes_in_use() - before < 3_000_000, "the pings are 10 MB"


class TestEndOfACall:
    async def test_late_metrics_count_and_the_server_closes_after_the_linger(self) -> None:
        """After session.ended late metrics count, and if the platform does not close, the exporter does, with 1000."""
        async with running_daemon(session_linger=0.3) as endpoints, call(endpoints.ws) as socket:
            await send_all(socket, [STARTED, {"type": "session.ended", "duration_seconds": 9, "reason": "user_hangup"}])
            await send_all(socket, [{"type": "turn.metrics", "turn_number": 1, "user_perceived_ms": 800}])
            await asyncio.wait_for(socket.wait_closed(), patience(5))
            assert socket.close_code == 1000
            await open_sockets(endpoints, 0)
            assert await endpoints.total("agentstack_user_perceived_latency_seconds_count") == 1
            assert await endpoints.total("agentstack_sessions_active") == 0

    async def test_a_call_that_is_not_over_is_not_closed(self) -> None:
        """Only session.ended starts the linger; a silent call keeps its connection."""
        async with running_daemon(session_linger=0.0) as endpoints, call(endpoints.ws) as silent, call(endpoints.ws) as ended:
            await send_all(silent, [STARTED])
            await send_all(ended, [{**STARTED, "agent_session_id": "as-2"}, {"type": "session.ended"}])
            await open_sockets(endpoints, 1)
            await send_all(silent, [{"type": "play.completed"}])
            await endpoints.reaches(EVENTS, 1, event="play.completed")


TURN = encoded({"type": "turn.metrics", "user_perceived_ms": 800, "llm_ttft_ms": 300, "llm_model": "gpt-4o", "llm_provider": "openai"})
FLOODS = {
    "empty frames": frame(b""),
    "pings": frame(b"", PING),
    "small frames": frame(PLAYED),
    "turns": frame(TURN),
    "large frames": frame(b'{"type":"user.transcription","text":"' + b"x" * 60_000 + b'"}'),
    "fragments": frame(b"{", TEXT, fin=False) + frame(b"", CONTINUATION, fin=False) * 50 + frame(b"}", CONTINUATION),
    "unknown fields": frame(encoded({"type": "turn.metrics", **{f"x{number}": 1 for number in range(500)}})),
}


@asynccontextmanager
async def flooded(endpoints: Endpoints, flood: bytes, connections: int) -> AsyncIterator[None]:
    """Send as fast as the exporter reads, on this number of connections, and read its answers; end them with a reset."""
    chunk = flood * max(1, 65_536 // len(flood))

    async def send(socket: RawWebSocket) -> None:
        while True:
            socket.writer.write(chunk)
            await socket.writer.drain()

    async def read(socket: RawWebSocket) -> None:
        while await socket.reader.read(65_536):
            pass

    async with contextlib.AsyncExitStack() as stack:
        tasks = []
        for _ in range(connections):
            socket = await stack.enter_async_context(raw_websocket(endpoints.listen))
            socket.reset()
            tasks += [asyncio.create_task(work(socket)) for work in (send, read)]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


def digits() -> Iterator[dict[str, str]]:
    return ({"type": "user.dtmf", "digit": str(number % 10)} for number in itertools.count())


@pytest.mark.alone
class TestFairness:
    @pytest.mark.parametrize("flood", FLOODS)
    async def test_a_flood_does_not_hold_up_others(self, flood: str, tmp_path: Path) -> None:
        """While four connections flood, the event of another one is on /metrics within two seconds, and every frame has an outcome."""
        async with daemon_process(tmp_path) as daemon, call(daemon.endpoints.ws) as quiet:
            async with flooded(daemon.endpoints, FLOODS[flood], 4):
                for number, event in zip(range(1, 4), digits(), strict=False):
                    await send_all(quiet, [event])
                    await daemon.endpoints.reaches(EVENTS, number, within=2.0, event="user.dtmf")
            await open_sockets(daemon.endpoints, 1)
            samples = await daemon.endpoints.scrape()
        assert total(samples, EVENTS, event="user.dtmf") == 3
        assert total(samples, FRAMES) == total(samples, RECEIVED)
        assert total(samples, REJECTED, reason="internal_error") == 0
