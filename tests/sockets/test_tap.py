"""Taps and the exporter: many calls on one connection, each event counted once whatever happens to either side."""

import asyncio
import json
import os
import ssl
import sys
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection
from websockets.asyncio.server import ServerConnection, serve

from agentstack_tap import Tap, attach
from exporter.protocol.long_event import LONGEST_EVENT
from exporter.receivers.tap.client_sequences import MAX_CALLS
from tests.support.daemon import Endpoints, call, daemon_process, running_daemon
from tests.support.house_rules import ROOT
from tests.support.pki import make_pki
from tests.support.voice_app import Session, TurnMetrics, VoiceApp
from tests.support.waiting import eventually, patience

STARTED = {"type": "session.started", "agent_id": "agent-1"}
EVENTS = "agentstack_exporter_events_total"
RECEIVED = "agentstack_exporter_frames_received_total"
REJECTED = "agentstack_exporter_frames_rejected_total"
SESSIONS = "agentstack_sessions_total"
ACTIVE = "agentstack_sessions_active"
ENDED = "agentstack_sessions_ended_total"
REPEATED = "agentstack_exporter_tap_repeated_total"
DROPPED = "agentstack_exporter_tap_dropped_total"
TAPS = "agentstack_exporter_taps_active"


def message(seq: int, event: Any, session: str = "s1") -> str:
    return json.dumps({"session": session, "seq": seq, "event": event})


async def hear(socket: ClientConnection) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(await asyncio.wait_for(socket.recv(), patience(5)))
    return found


async def acknowledged(socket: ClientConnection, seq: int) -> None:
    """Wait until everything up to that number is."""
    while (await hear(socket))["ack"] < seq:
        pass


@asynccontextmanager
async def greeted(endpoints: Endpoints, client: str = "client-1", acked: int = 0) -> AsyncIterator[ClientConnection]:
    """A tap's connection that has said hello."""
    async with call(endpoints.ws) as socket:
        await socket.send(json.dumps({"hello": {"client": client, "version": 1}}))
        assert await hear(socket) == {"hello": {"version": 1, "acked": acked, "max_event_bytes": 524288}}
        yield socket


class TestProtocol:
    async def test_events_are_acknowledged(self) -> None:
        """Events of several calls on one connection are counted for their calls, and acknowledged by their last number."""
        async with running_daemon() as endpoints, greeted(endpoints) as tap:
            for seq in range(1, 51):
                await tap.send(message(seq, STARTED if seq < 3 else {"type": "user.dtmf", "digit": "1"}, f"s{seq % 2}"))
            await acknowledged(tap, 50)
            assert await endpoints.total(EVENTS) == 50
            assert await endpoints.total(RECEIVED) == 51
            assert await endpoints.total(SESSIONS, agent="agent-1") == await endpoints.total(ACTIVE) == 2
            assert await endpoints.total(TAPS) == 1

    @pytest.mark.parametrize(
        "bad", ["NaN", "1e999", r'"half \ud83d"', "[" * 5_000 + "]" * 5_000], ids=["NaN", "1e999", "emoji", "depth"]
    )
    async def test_a_bad_part_of_an_event(self, bad: str) -> None:
        """An event in an envelope counts although a part of it cannot be read."""
        async with running_daemon() as endpoints, greeted(endpoints) as tap:
            await tap.send(message(1, STARTED))
            event = f'{{"type":"turn.metrics","turn_number":1,"user_perceived_ms":900,"llm_ttft_ms":{bad}}}'
            await tap.send(f'{{"session":"s1","event":{event},"seq":2}}')
            await acknowledged(tap, 2)
            assert await endpoints.total("agentstack_user_perceived_latency_seconds_count", agent="agent-1") == 1
            assert await endpoints.total("agentstack_exporter_values_refused_total", field="llm_ttft_ms") == 1

    async def test_what_comes_again_counts_once(self) -> None:
        """After a broken connection a client hears how far it had come, and what it sends again is not counted."""
        async with running_daemon() as endpoints:
            for known, repeated in ((0, 0), (2, 2)):
                async with greeted(endpoints, acked=known) as tap:
                    for seq in (1, 2):
                        await tap.send(message(seq, STARTED if seq == 1 else {"type": "play.completed"}))
                    await acknowledged(tap, 2)
                    assert await endpoints.total(EVENTS) == 2
                    assert await endpoints.total(REPEATED) == repeated

    async def test_long_events(self) -> None:
        """A long event counts, and once if it comes again; one beyond the longest is refused, and the connection goes on."""
        ended = {"type": "session.ended", "reason": "user_hangup"}
        async with running_daemon() as endpoints, greeted(endpoints) as tap:
            await tap.send(message(1, STARTED))
            await tap.send(message(2, {"type": "play.completed", "x": "語" * LONGEST_EVENT}))
            while "ack" in (
                heard := await hear(tap)
            ):  # on a slow machine the first event is acknowledged before the second has arrived
                assert heard == {"ack": 1}
            assert heard == {"error": f"the message is too long: an event may have at most {LONGEST_EVENT} bytes"}
            for _ in range(2):
                await tap.send(message(3, json.dumps(ended | {"transcript": "語" * 50_000})))
            await acknowledged(tap, 3)
            assert await endpoints.total(ENDED, reason="user_hangup") == 1
            assert await endpoints.total(REJECTED, reason="too_large") == await endpoints.total(REPEATED) == 1

    async def test_a_connection_that_is_not_quite_dead(self) -> None:
        """Of two connections of a client only the newer is listened to, so that nothing counts by both."""
        async with running_daemon() as endpoints, greeted(endpoints) as old, greeted(endpoints) as new:
            await new.send(message(1, STARTED))
            await acknowledged(new, 1)
            await old.send(message(1, STARTED))
            await old.send(message(2, {"type": "play.completed"}))
            await asyncio.wait_for(old.wait_closed(), patience(5))
            assert old.close_code == 1008
            assert await endpoints.total(EVENTS) == 1
            await new.send(message(2, {"type": "play.completed"}))
            await endpoints.reaches(EVENTS, 2)

    async def test_the_end_of_a_tap_ends_no_call(self) -> None:
        """When the tap leaves its calls go on, and another connection of it tells their end."""
        async with running_daemon(session_resume=0.0) as endpoints:
            async with greeted(endpoints) as tap:
                await tap.send(message(1, STARTED))
                await acknowledged(tap, 1)
            await eventually(lambda: endpoints.total(ACTIVE), because="the call to go on")
            async with greeted(endpoints, acked=1) as tap:
                await tap.send(message(2, {"type": "session.ended", "reason": "completed"}))
                assert await endpoints.reaches(ENDED, 1, reason="completed") == 1
            assert await endpoints.total(ACTIVE) == 0
            assert await endpoints.total(SESSIONS) == 1
            assert await endpoints.total("agentstack_session_resumptions_total") == 0

    async def test_a_call_that_was_cut_off(self) -> None:
        """A call whose own connection is gone ends as disconnected, as it does at the endpoint."""
        async with running_daemon(session_resume=0.0) as endpoints, greeted(endpoints) as tap:
            await tap.send(message(1, STARTED))
            await tap.send('{"session": "s1", "seq": 2, "end": true}')
            assert await endpoints.reaches(ENDED, 1, reason="disconnected") == 1

    async def test_a_call_that_is_over_is_let_go(self) -> None:
        """A tap that never says that a connection is gone may carry further calls all the same."""
        async with running_daemon(session_linger=0.0) as endpoints, greeted(endpoints) as tap:
            for seq, event in enumerate((STARTED, {"type": "session.ended"}), 1):
                await tap.send(message(seq, event))
            await endpoints.reaches(ENDED, 1)
            await eventually(lambda: _sessions_of_next(endpoints, tap), within=10, because="a new call of that name")

    @pytest.mark.parametrize(
        ("sent", "error"),
        [
            ("{", "cannot be read"),
            ('{"session": "s1", "seq": "x", "event": {}}', "cannot be read: Expected `int | null`, got `str` - at `$.seq`"),
            ('{"session": "s1", "event": {}}', "expected seq"),
            ('{"seq": 1, "event": {}}', "expected session"),
            ('{"session": "", "seq": 1, "event": {}}', "cannot be read: Expected `str` of length >= 1 - at `$.session`"),
            ('{"session": "s1", "seq": 1}', "expected exactly one of event, end, resume and dropped"),
            ('{"session": "s1", "seq": 1, "event": {}, "end": true}', "expected exactly one of event, end, resume and dropped"),
        ],
    )
    async def test_what_is_no_envelope(self, sent: str, error: str) -> None:
        """It is answered with what was expected and counted, the connection stays, and bad events in envelopes count as ever."""
        async with running_daemon() as endpoints, greeted(endpoints) as tap:
            await tap.send(sent)
            assert (await hear(tap))["error"].startswith(f"the message {error}")
            for seq, event in enumerate(({"no": "type"}, "no JSON", json.dumps(STARTED)), 1):
                await tap.send(message(seq, event))
            await acknowledged(tap, 3)
            for reason in ("bad_envelope", "no_type", "not_json"):
                assert await endpoints.total(REJECTED, reason=reason) == 1
            assert await endpoints.total(EVENTS) == 1

    async def test_too_many_calls(self) -> None:
        """Calls beyond those that one tap may carry are refused and counted, those that are going on are not harmed."""
        async with running_daemon() as endpoints, greeted(endpoints) as tap:
            for seq in range(1, MAX_CALLS + 1):
                await tap.send(message(seq, STARTED, f"s{seq}"))
            await tap.send(message(MAX_CALLS + 1, STARTED, "one more"))
            await tap.send(message(MAX_CALLS + 2, {"type": "play.completed"}, "s1"))
            await endpoints.reaches(EVENTS, MAX_CALLS + 1)
            assert await endpoints.total(REJECTED, reason="too_many_calls") == 1
            assert await endpoints.total(ACTIVE) == MAX_CALLS

    async def test_a_call_that_was_counted_elsewhere(self) -> None:
        """A call that began in another process has its labels and is going on, but is not counted as begun."""
        async with running_daemon() as endpoints, greeted(endpoints) as tap:
            await tap.send(json.dumps({"session": "s1", "resume": {"start": STARTED}}))
            await tap.send(json.dumps({"session": "s2", "resume": {"start": json.dumps(STARTED), "state": "not ours"}}))
            await tap.send(message(1, {"type": "turn.metrics", "turn_number": 1, "user_perceived_ms": 900}))
            await acknowledged(tap, 1)
            assert await endpoints.total(SESSIONS) == 0
            assert await endpoints.total(ACTIVE, agent="agent-1") == 2
            assert await endpoints.total("agentstack_user_perceived_latency_seconds_count", agent="agent-1") == 1


async def _sessions_of_next(endpoints: Endpoints, tap: ClientConnection) -> bool:
    await tap.send(json.dumps({"session": "s1", "resume": {}}))
    await hear(tap)
    return await endpoints.total(ACTIVE) == 1


@asynccontextmanager
async def platform_calls(app: VoiceApp) -> AsyncIterator[str]:
    """The app served; gives the URL at which the platform calls it."""
    async with serve(app._handle_connection, "127.0.0.1", 0, ping_interval=None) as server:
        yield f"ws://127.0.0.1:{next(iter(server.sockets)).getsockname()[1]}"


def tap_threads() -> set[threading.Thread]:
    return {thread for thread in threading.enumerate() if thread.name == "agentstack-tap"}


FULL = {"type": "turn.metrics", "turn_number": 1, "user_perceived_ms": 900, "llm_ttft_ms": 300, "tts_ttfb_ms": 120}


class TestVoiceApp:
    @pytest.mark.parametrize("frames", [True, False])
    async def test_its_calls_are_seen(self, *, frames: bool) -> None:
        """The app's handlers get what they got before, and the exporter all frames as they were, or the SDK's part of them."""
        seen: list[Any] = []
        app = VoiceApp()
        app.on_event(lambda _, event: seen.append(event))
        async with running_daemon(session_resume=0.0) as endpoints:
            tap = attach(app, endpoints.ws, frames=frames)

            @app.on("turn.metrics")
            async def measured(session: Session, event: Any) -> None:
                seen.append((session.agent_session_id, event))
                raise RuntimeError("the customer's own")

            @app.on_disconnect
            def gone(session: Session) -> None:
                seen.append(session.agent_session_id)

            async with platform_calls(app) as url, call(url) as platform:
                for event in ({**STARTED, "agent_session_id": "as-1"}, FULL):
                    await platform.send(json.dumps(event))
                await endpoints.reaches(EVENTS, 2)
            await endpoints.reaches(ENDED, 1, reason="disconnected")
            typed = TurnMetrics(turn_number=1, user_perceived_ms=900, llm_ttft_ms=300)
            await eventually(lambda: len(seen) == 4)
            assert seen[1:] == [typed, ("as-1", typed), "as-1"]
            assert [str(error) for error in app.raised] == ["the customer's own"]
            assert await endpoints.total("agentstack_user_perceived_latency_seconds_count", agent="agent-1") == 1
            assert await endpoints.total("agentstack_tts_time_to_first_byte_seconds_count", agent="agent-1") == int(frames)
            assert await asyncio.to_thread(tap.close)

    async def test_handlers_registered_later(self) -> None:
        """Where events are seen in the handlers' slots, handlers that come later take none of ours away."""
        app, seen = VoiceApp(), []
        async with running_daemon() as endpoints, platform_calls(app) as url:
            tap = attach(app, endpoints.ws, frames=False)

            @app.on_event
            async def heard(_: Session, event: Any) -> None:
                seen.append(event)

            async with call(url) as platform:
                await platform.send(json.dumps({**STARTED, "agent_session_id": "as-1"}))
                await endpoints.reaches(EVENTS, 1)
            assert len(seen) == 1
            assert await asyncio.to_thread(tap.close)

    async def test_an_exporter_that_is_away(self) -> None:
        """Without an exporter the app works as ever, and its calls end as they did."""
        app, seen = VoiceApp(), []
        app.on_event(lambda _, event: seen.append(event))
        tap = attach(app, "ws://127.0.0.1:1/ws")
        async with platform_calls(app) as url, call(url) as platform:
            for event in ({**STARTED, "agent_session_id": "as-1"}, {"type": "session.ended"}):
                await platform.send(json.dumps(event))
            await asyncio.wait_for(platform.wait_closed(), patience(5))
            assert platform.close_code == 1000
        assert len(seen) == 2
        assert not await asyncio.to_thread(tap.close, 0.0)


class TestClient:
    async def test_what_finds_no_room_is_reported(self) -> None:
        """A tap drops what its bounds do not hold or is no JSON, says so in its numbers, and tells the exporter by reason."""
        async with running_daemon() as endpoints:
            tap = Tap(endpoints.ws, max_events=3)
            tap.send("s1", {"type": "user.dtmf", "digit": float("nan")})
            tap.send("s1", {"type": "user.dtmf", "digit": "1" * 600_000})
            tap.send("s1", object())  # type: ignore[arg-type]
            for _ in range(1000):
                tap.send("s1", STARTED)
            assert await asyncio.to_thread(tap.flush)
            dropped = dict(tap.stats.dropped)
            assert dropped == {"unreadable": 2, "too_large": 1, "overflow": dropped["overflow"]}
            for reason, events in dropped.items():
                assert await endpoints.total(DROPPED, reason=reason) == events
            assert await endpoints.total(EVENTS) == 1000 - dropped["overflow"]
            assert await asyncio.to_thread(tap.close)
            tap.send("s1", STARTED)
            assert tap.stats.buffered == 0

    async def test_a_tap_that_rests(self) -> None:
        """It delivers what it has, ends its connection and its thread, and opens them again for what comes later."""
        async with running_daemon() as endpoints:
            tap, others = Tap(endpoints.ws), tap_threads()
            for events in (1, 2):
                tap.send("s1", STARTED if events == 1 else {"type": "play.completed"})
                tap.rest()
                await endpoints.reaches(EVENTS, events)
                await eventually(lambda: tap_threads() <= others, because="the end of the thread")
                assert tap.stats.buffered == 0
            tap.stay()
            tap.send("s1", {"type": "play.completed"})
            tap.rest()
            tap.stay()
            await endpoints.reaches(EVENTS, 3)
            await asyncio.to_thread(tap.flush)
            assert len(tap_threads() - others) == 1
            assert await endpoints.total(SESSIONS) == 1
            assert await asyncio.to_thread(tap.close)

    async def test_a_frame_that_is_no_event(self) -> None:
        """What the platform sent is passed on as it is, counted as the endpoint would, and holds up nothing."""
        async with running_daemon() as endpoints:
            tap = Tap(endpoints.ws)
            for frame in ("{", b"\xff", '{"type": "play.completed"}', '}, "seq": 99, {'):
                tap.send("s1", frame)
            assert await asyncio.to_thread(tap.flush)
            assert await endpoints.total(REJECTED, reason="not_json") == 3
            assert await endpoints.total(EVENTS) == 1
            assert await asyncio.to_thread(tap.close)

    @pytest.mark.parametrize("answer", ["{}", "[]", "what?", '{"hello": {}}', '{"hello": {"acked": "x"}}'])
    async def test_a_server_that_is_no_exporter(self, answer: str) -> None:
        """The tap tries on whatever it is answered, and sends what it has once an exporter is there."""
        asked = 0

        async def odd(socket: ServerConnection) -> None:
            nonlocal asked
            asked += 1
            await socket.recv()
            await socket.send(answer)
            await socket.wait_closed()

        async with serve(odd, "127.0.0.1", 0) as server:
            address = f"127.0.0.1:{next(iter(server.sockets)).getsockname()[1]}"
            tap = Tap(f"ws://{address}/ws")
            tap.send("s1", STARTED)
            await eventually(lambda: asked >= 2, because="another attempt")
        assert not tap.stats.connected
        assert not await asyncio.to_thread(tap.close, 0.0)

    async def test_an_exporter_that_comes_later(self, tmp_path: Path) -> None:
        """What was sent before it was there is counted, and a token is shown in the handshake."""
        env = {"AGENTSTACK_EXPORTER_AUTH_TOKENS": "t0ken-t0ken-t0ken"}
        async with daemon_process(tmp_path, env=env) as running:
            right, wrong = Tap(running.endpoints.ws, token="t0ken-t0ken-t0ken"), Tap(running.endpoints.ws, token="wrong")
            for tap in (right, wrong):
                tap.send("s1", STARTED)
            await running.endpoints.reaches(EVENTS, 1)
            await running.endpoints.reaches("agentstack_exporter_connections_refused_total", 1, reason="wrong_token")
            assert await asyncio.to_thread(right.close)
            assert not await asyncio.to_thread(wrong.close, 0.0)

    async def test_the_last_events_of_a_process(self, tmp_path: Path) -> None:
        """A process that just ends has sent what it had, without being asked to wait."""
        code = "import sys; from agentstack_tap import Tap; Tap(sys.argv[1]).send('s1', {'type': 'play.completed'})"
        async with running_daemon() as endpoints:
            script = tmp_path / "app.py"
            script.write_text(code, encoding="utf-8")
            await _python(script, endpoints.ws)
            assert await endpoints.total(EVENTS) == 1

    async def test_a_forked_process(self, tmp_path: Path) -> None:
        """A process that is forked from one with a tap has a tap of its own, and each event counts once."""
        code = """import os, sys
from agentstack_tap import Tap
tap = Tap(sys.argv[1])
tap.send('s1', {'type': 'play.completed'})
child = os.fork()
tap.send('s2', {'type': 'play.completed'})
assert tap.close()
if child:
    assert os.waitpid(child, 0)[1] == 0
else:
    os._exit(0)
"""
        async with running_daemon() as endpoints:
            script = tmp_path / "app.py"
            script.write_text(code, encoding="utf-8")
            await _python(script, endpoints.ws)
            assert await endpoints.total(EVENTS) == 3

    @pytest.mark.parametrize("given", [True, False], ids=["context", "system"])
    async def test_an_exporter_with_tls(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, given: bool) -> None:
        """A ``wss://`` URL is checked by the context given, or else by the authorities that the system trusts."""
        pki = make_pki(tmp_path)
        monkeypatch.setenv("SSL_CERT_FILE", str(pki.other if given else pki.certificate))
        tls = ssl.create_default_context(cafile=pki.certificate) if given else None
        async with running_daemon(tls_cert=pki.certificate, tls_key=pki.key) as endpoints:
            tap = Tap(endpoints.ws.replace("ws:", "wss:"), tls=tls)
            tap.send("s1", STARTED)
            await endpoints.reaches(EVENTS, 1)
            assert await asyncio.to_thread(tap.close)

    def test_tls_without_a_url_for_it(self) -> None:
        """A context that would not be used is a mistake in the URL, and said when the app starts."""
        with pytest.raises(ValueError, match="begins with wss://"):
            Tap("ws://127.0.0.1:8790/ws", tls=ssl.create_default_context())

    def test_a_url_of_another_kind(self) -> None:
        """A mistake in the URL is said when the app starts, and how it should look."""
        with pytest.raises(ValueError, match="begins with ws:// or wss://"):
            Tap("http://127.0.0.1:8790")


async def _python(script: Path, *arguments: str) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, str(script), *arguments, env={**os.environ, "PYTHONPATH": str(ROOT / "tap")}, stderr=asyncio.subprocess.PIPE
    )
    _, complained = await asyncio.wait_for(process.communicate(), patience(20))
    assert process.returncode == 0, complained.decode()
