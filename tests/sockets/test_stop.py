"""Start and stop of the real process: received frames count, peers and probes are informed, and the exit code is right."""

import asyncio
import contextlib
import json
import signal
import socket
from pathlib import Path
from typing import Any

import pytest

from exporter import __version__
from exporter.config import Address
from tests.support.daemon import (
    Endpoints,
    ServingProgram,
    call,
    daemon_process,
    http_client,
    program,
    running_daemon,
    send_all,
    total,
)
from tests.support.raw_websocket import PING, RawWebSocket, frame, raw_connection, raw_websocket, request
from tests.support.simulation import subdirectory
from tests.support.waiting import eventually, patience, seconds
from tests.unit.test_cli import FAULTS, write_faulty_files

RECEIVED = "agentstack_exporter_frames_received_total"
PROCESSED = "agentstack_exporter_frames_total"
STARTED: dict[str, Any] = {"type": "session.started", "agent_session_id": "as-1", "agent_id": "agent-1"}
PLAYED = frame(b'{"type":"play.completed"}')
DRAIN = 2.0
IN_TIME = DRAIN + 2.0


async def stopped(daemon: ServingProgram, within: float = IN_TIME) -> None:
    """Wait for an orderly end: exit code 0 in time, and no error in the log."""
    assert await daemon.ended(within) == 0
    assert "Traceback" not in daemon.log
    assert "exporter.daemon.serve: stopped" in daemon.log


async def not_ready(endpoints: Endpoints) -> None:
    """Wait until the daemon says that it is stopping."""

    async def gone() -> bool:
        return (await endpoints.get("/-/ready")).status_code == 503

    await eventually(gone, because="readiness to go")


def names_in(directory: Path) -> set[str]:
    return {path.name for path in directory.iterdir()}


async def lingering(daemon: ServingProgram) -> None:
    """Wait until everything is counted and only the last scrape is missing."""
    await eventually(lambda: "waiting for one more scrape" in daemon.log, because="the linger")


class TestDrain:
    async def test_what_had_been_sent_counts(self, tmp_path: Path) -> None:
        """SIGTERM arrives right after fifty sockets have sent many frames: every frame counts, and each socket is closed with 1001."""
        each, sockets = 1000, 50
        async with daemon_process(tmp_path, "--linger", "--drain-timeout", "30") as daemon, contextlib.AsyncExitStack() as stack:
            peers = [await stack.enter_async_context(raw_websocket(daemon.endpoints.listen)) for _ in range(sockets)]
            for peer in peers:
                peer.writer.write(PLAYED * each)
            await asyncio.gather(*(peer.writer.drain() for peer in peers))
            in_kernel = [peer.writer.transport.get_write_buffer_size() == 0 for peer in peers]
            daemon.signal(signal.SIGTERM)
            codes = await asyncio.gather(*(asyncio.wait_for(peer.close_code(), patience(20)) for peer in peers))
            assert codes == [1001] * sockets
            await lingering(daemon)
            found = await daemon.endpoints.scrape()
            await stopped(daemon, 20)
        assert all(in_kernel)
        assert total(found, RECEIVED) == total(found, PROCESSED, outcome="processed") == each * sockets
        assert total(found, "agentstack_sessions_ended_total", reason="shutdown") == sockets
        assert total(found, "agentstack_sessions_active") == 0

    @pytest.mark.alone
    async def test_a_peer_that_goes_on_for_a_while(self, tmp_path: Path) -> None:
        """A peer that pauses for less than a quarter of a second is still read, and closed once it is quiet."""
        async with (
            daemon_process(tmp_path, "--linger", "--drain-timeout", "20") as daemon,
            raw_websocket(daemon.endpoints.listen) as peer,
        ):
            daemon.signal(signal.SIGTERM)
            await not_ready(daemon.endpoints)
            for number in range(1, 6):
                await peer.send(b'{"type":"play.completed"}')
                await daemon.endpoints.reaches(RECEIVED, number)
            assert await asyncio.wait_for(peer.close_code(), patience(5)) == 1001

    async def test_a_peer_that_never_answers_the_close(self, tmp_path: Path) -> None:
        """A peer that neither answers the close nor disconnects does not delay the stop."""
        async with daemon_process(tmp_path) as daemon, raw_websocket(daemon.endpoints.listen) as peer:
            await peer.send(b'{"type":"play.completed"}')
            await daemon.endpoints.reaches(RECEIVED, 1)
            daemon.signal(signal.SIGTERM)
            await stopped(daemon)
            assert await peer.close_code() == 1001

    @pytest.mark.alone
    @pytest.mark.parametrize(
        "flood", [PLAYED, frame(b"", PING), frame(b'{"type":"session.started"}')], ids=["events", "pings", "starts"]
    )
    async def test_a_peer_that_never_stops_sending(self, tmp_path: Path, flood: bytes) -> None:
        """A peer that keeps sending and never reads is disconnected after the drain timeout."""
        async with daemon_process(tmp_path, "--drain-timeout", "0.5") as daemon, raw_websocket(daemon.endpoints.listen) as peer:
            sending = asyncio.create_task(_send_for_ever(peer, flood * 1000))
            await daemon.endpoints.reaches("agentstack_exporter_connections_active", 1)
            daemon.signal(signal.SIGTERM)
            await stopped(daemon, 0.5 + 2)
            sending.cancel()
            await asyncio.gather(sending, return_exceptions=True)

    async def test_a_peer_that_never_finishes_its_handshake(self, tmp_path: Path) -> None:
        """A connection without a request does not delay the stop."""
        async with daemon_process(tmp_path) as daemon, raw_connection(daemon.endpoints.listen) as peer:
            peer.writer.write(request()[:30])
            await peer.writer.drain()
            daemon.signal(signal.SIGTERM)
            await stopped(daemon)

    async def test_new_connections_are_refused(self, tmp_path: Path) -> None:
        """While calls drain, new ones are refused, the port is closed, and /metrics still answers."""
        async with daemon_process(tmp_path, "--linger", "--drain-timeout", "20") as daemon:
            endpoints = daemon.endpoints
            async with raw_websocket(endpoints.listen) as peer, raw_connection(endpoints.listen) as half_open:
                half_open.writer.write(request()[:-2])
                sending = asyncio.create_task(_send_slowly(peer, endpoints))
                daemon.signal(signal.SIGTERM)
                await not_ready(endpoints)
                half_open.writer.write(b"\r\n")
                assert await half_open.answer() == 503
                with pytest.raises(OSError, match=r"."):
                    await asyncio.open_connection(*endpoints.listen.split(":"))
                assert await endpoints.total("agentstack_exporter_connections_refused_total", reason="stopping") == 1
                sending.cancel()
                await asyncio.gather(sending, return_exceptions=True)


async def _send_for_ever(peer: RawWebSocket, chunk: bytes) -> None:
    while True:
        peer.writer.write(chunk)
        await peer.writer.drain()


async def _send_slowly(peer: RawWebSocket, endpoints: Endpoints) -> None:
    """Send a frame whenever the last one has been counted."""
    sent = 0
    while True:
        await peer.send(b'{"type":"play.completed"}')
        sent += 1
        await endpoints.reaches(RECEIVED, sent)


class TestLinger:
    async def test_one_more_scrape(self, tmp_path: Path) -> None:
        """With --linger /metrics is served, not ready, until it was scraped once; requests for other pages do not count."""
        async with daemon_process(tmp_path, "--linger") as daemon:
            endpoints = daemon.endpoints
            async with call(endpoints.ws) as peer:
                await send_all(peer, [STARTED])
                await endpoints.reaches(RECEIVED, 1)
                daemon.signal(signal.SIGTERM)
                await asyncio.wait_for(peer.wait_closed(), patience(5))
            assert peer.close_code == 1001
            for path, status in {"/-/ready": 503, "/-/healthy": 200, "/": 200}.items():
                assert (await endpoints.get(path)).status_code == status
            async with http_client() as http:
                assert (await http.head(endpoints.url("/metrics"))).status_code == 200
            assert not daemon.ready_file.exists()
            await lingering(daemon)
            assert total(await endpoints.scrape(), "agentstack_sessions_ended_total", reason="shutdown") == 1
            await stopped(daemon)

    async def test_nobody_scrapes(self, tmp_path: Path) -> None:
        """Without a scrape within --linger-timeout the exporter logs that and stops."""
        async with daemon_process(tmp_path, "--linger", "--linger-timeout", "0.2") as daemon:
            daemon.signal(signal.SIGTERM)
            await stopped(daemon)
            assert "the last measurements are lost" in daemon.log

    async def test_ctrl_c_skips_the_linger(self, tmp_path: Path) -> None:
        """Ctrl-C skips the wait for a scrape; a second SIGTERM, which some supervisors send, does not."""
        async with daemon_process(tmp_path, "--linger", "--linger-timeout", "60") as daemon:
            daemon.signal(signal.SIGTERM)
            await lingering(daemon)
            daemon.signal(signal.SIGTERM)
            assert (await daemon.endpoints.get("/-/healthy")).status_code == 200
            daemon.signal(signal.SIGINT)
            await stopped(daemon, 3)


class TestSignals:
    @pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
    async def test_either_signal_ends_it(self, tmp_path: Path, number: signal.Signals) -> None:
        """SIGTERM and SIGINT stop an idle exporter at once, with exit code 0 and nothing on stdout."""
        async with daemon_process(tmp_path) as daemon:
            assert daemon.ready_file.exists()
            daemon.signal(number)
            await stopped(daemon, 2)
            assert not daemon.ready_file.exists()
            assert daemon.output == ""

    async def test_a_second_signal_changes_nothing(self, tmp_path: Path) -> None:
        """Signals during the stop neither kill the process nor lose frames."""
        async with daemon_process(tmp_path, "--linger") as daemon, raw_websocket(daemon.endpoints.listen) as peer:
            peer.writer.write(PLAYED * 1000)
            await peer.writer.drain()
            for number in (signal.SIGTERM, signal.SIGTERM, signal.SIGINT):
                daemon.signal(number)
            assert await asyncio.wait_for(peer.close_code(), patience(5)) == 1001
            daemon.signal(signal.SIGTERM)
            await lingering(daemon)
            assert total(await daemon.endpoints.scrape(), RECEIVED) == 1000
            await stopped(daemon)


class TestReadyFile:
    async def test_content(self, tmp_path: Path) -> None:
        """The ready file has both addresses, exists when they answer, and no unfinished file is left."""
        async with daemon_process(tmp_path) as daemon:
            found = json.loads(daemon.ready_file.read_text())
            assert found == {"listen": daemon.endpoints.listen, "telemetry_listen": daemon.endpoints.telemetry}
            assert (await daemon.endpoints.get("/-/ready")).status_code == 200
        assert names_in(tmp_path) == {"ready", "stdout", "stderr"}

    async def test_it_is_removed_when_the_drain_begins(self, tmp_path: Path) -> None:
        """The file is removed when readiness ends, not when the process ends."""
        async with daemon_process(tmp_path, "--linger") as daemon:
            daemon.signal(signal.SIGTERM)
            await not_ready(daemon.endpoints)
            await eventually(lambda: not daemon.ready_file.exists(), because="a thread to remove the file")
            assert (await daemon.endpoints.get("/-/healthy")).status_code == 200

    async def test_one_that_a_crash_left_behind(self, tmp_path: Path) -> None:
        """The file of an earlier process is removed, even if the start fails."""
        stale = tmp_path / "ready"
        stale.write_text("{}")
        with socket.create_server(("127.0.0.1", 0)) as taken:
            where = f"127.0.0.1:{taken.getsockname()[1]}"
            async with program(
                tmp_path, "serve", "--listen", where, "--telemetry-listen", "127.0.0.1:0", "--ready-file", "ready"
            ) as run:
                assert await run.ended() == 1
        assert not stale.exists()

    @pytest.mark.parametrize(
        ("name", "said"), [("nowhere/ready", "nowhere: no such directory"), ("", " is a directory; expected a file")]
    )
    async def test_a_place_that_cannot_be_written(self, tmp_path: Path, name: str, said: str) -> None:
        """If the file cannot be written, the exporter does not start, and the error names the file."""
        file = str(tmp_path / name)
        async with program(
            tmp_path, "serve", "--listen", "127.0.0.1:0", "--telemetry-listen", "127.0.0.1:0", "--ready-file", file
        ) as run:
            assert await run.ended() == 2
            assert f"--ready-file: {tmp_path}" in run.log
            assert said in run.log
            assert "Traceback" not in run.log


class TestStart:
    @pytest.mark.parametrize("option", ["--listen", "--telemetry-listen"])
    async def test_a_port_in_use(self, tmp_path: Path, option: str) -> None:
        """An address in use is named on stderr, with the settings that choose another, and the exit code is 1."""
        other = "--telemetry-listen" if option == "--listen" else "--listen"
        with socket.create_server(("127.0.0.1", 0)) as taken:
            where = f"127.0.0.1:{taken.getsockname()[1]}"
            async with program(tmp_path, "serve", option, where, other, "127.0.0.1:0") as run:
                assert await run.ended() == 1
                assert f"cannot listen on {where}" in run.log
                assert "; choose another address with --listen or --telemetry-listen" in run.log
                assert "Traceback" not in run.log
                assert run.output == ""

    @pytest.mark.parametrize(
        ("args", "env", "content", "named", "meant"),
        [
            (["--drain-timout", "2"], {}, "", "--drain-timout", "--drain-timeout"),
            (
                [],
                {"AGENTSTACK_EXPORTER_DRAIN_TIMOUT": "2"},
                "",
                "AGENTSTACK_EXPORTER_DRAIN_TIMOUT",
                "AGENTSTACK_EXPORTER_DRAIN_TIMEOUT",
            ),
            (["--config", "exporter.toml"], {}, "drain_timout = 2\n", "drain_timout", "drain-timeout"),
        ],
        ids=["flag", "environment", "file"],
    )
    async def test_a_typing_error(
        self, tmp_path: Path, args: list[str], env: dict[str, str], content: str, named: str, meant: str
    ) -> None:
        """An unknown setting is named, the right one is suggested, and the exit code is 2."""
        (tmp_path / "exporter.toml").write_text(content)
        async with program(tmp_path, "serve", *args, env=env) as run:
            assert await run.ended() == 2
            assert named in run.log
            assert meant in run.log.replace(named, "")

    async def test_version(self, tmp_path: Path) -> None:
        """--version prints one line with the version and ends with 0."""
        async with program(tmp_path, "--version") as run:
            assert await run.ended() == 0
            assert run.output.startswith(f"agentstack-exporter {__version__} (")
            assert run.output.count("\n") == 1

    async def test_healthcheck(self, tmp_path: Path) -> None:
        """healthcheck reports a running exporter as healthy and ready, a stopping one as not ready, and a stopped one as unhealthy."""
        checks = tmp_path / "checks"
        checks.mkdir()

        async def check(*args: str) -> int:
            async with program(checks, "healthcheck", "--telemetry-listen", daemon.endpoints.telemetry, *args) as run:
                return await run.ended()

        async with daemon_process(tmp_path, "--linger") as daemon:
            assert [await check(), await check("--ready")] == [0, 0]
            daemon.signal(signal.SIGTERM)
            await not_ready(daemon.endpoints)
            assert [await check(), await check("--ready")] == [0, 1]
            assert "stopping" in (checks / "stderr").read_text()
            await lingering(daemon)
            await daemon.endpoints.scrape()
            await stopped(daemon)
            assert await check() == 1

    async def test_memory_at_rest(self, tmp_path: Path) -> None:
        """An idle exporter without OTLP uses less than 50 MiB, and reports its version."""
        async with daemon_process(tmp_path) as daemon:
            found = await daemon.endpoints.scrape()
        assert 10e6 < total(found, "process_resident_memory_bytes") < 50 * 2**20
        assert total(found, "agentstack_exporter_build_info", version=__version__) == 1

    async def test_processor_time_of_a_start(self, tmp_path: Path) -> None:
        """A start without OTLP takes less than a second of processor time, once Python has compiled the modules."""
        taken = []
        for folder in ("first", "second"):
            async with daemon_process(subdirectory(tmp_path, folder), env={"PYTHONDONTWRITEBYTECODE": ""}) as daemon:
                taken.append(total(await daemon.endpoints.scrape(), "process_cpu_seconds_total"))
        assert min(taken) < seconds(1)


class TestInProcess:
    async def test_start_and_stop_again_and_again(self) -> None:
        """A stopped daemon leaves nothing open: its ports can be used again and no file descriptors leak."""
        addresses: dict[str, Address] = {}
        open_files = []
        for _ in range(3):
            async with running_daemon(**addresses) as endpoints, call(endpoints.ws) as peer:
                await send_all(peer, [STARTED])
                assert await endpoints.reaches(RECEIVED, 1) == 1
            ports = [int(address.rpartition(":")[2]) for address in (endpoints.listen, endpoints.telemetry)]
            addresses = dict(zip(("listen", "telemetry_listen"), (Address("127.0.0.1", port) for port in ports), strict=True))
            open_files.append(len(names_in(Path("/proc/self/fd"))))
        assert open_files[1] == open_files[2]


@pytest.mark.parametrize(("args", "message"), FAULTS)
async def test_a_setting_that_cannot_be_used(tmp_path: Path, args: tuple[str, ...], message: str) -> None:
    """With the faults that check-config finds, serve ends with 2, and the log says the same."""
    write_faulty_files(tmp_path)
    async with program(tmp_path, "serve", *args) as refused:
        assert await refused.ended() == 2
        assert message in refused.log
