"""The log's reader hangs, goes away, or was never there: calls, scrapes and the stop go on."""

import asyncio
import contextlib
import fcntl
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from exporter import __version__
from tests.support.daemon import call, daemon_process, send_all
from tests.support.house_rules import ROOT
from tests.support.raw_websocket import raw_connection
from tests.support.waiting import eventually, patience

EVENTS = "agentstack_exporter_frames_total"
DROPPED = "agentstack_exporter_log_lines_dropped_total"


@contextlib.contextmanager
def pipe() -> Iterator[tuple[int, int]]:
    """A small pipe: its end to read, and its end to write."""
    reader, writer = os.pipe()
    fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, 4096)
    try:
        yield reader, writer
    finally:
        for descriptor in (reader, writer):
            with contextlib.suppress(OSError):
                os.close(descriptor)


def fill(writer: int) -> None:
    """Fill a pipe until it takes nothing more."""
    own = os.open(f"/proc/self/fd/{writer}", os.O_WRONLY | os.O_NONBLOCK)
    with contextlib.suppress(BlockingIOError):
        while True:
            os.write(own, b".")
    os.close(own)


def read(reader: int) -> str:
    """What is in a pipe now."""
    os.set_blocking(reader, False)
    try:
        return os.read(reader, 1 << 20).decode()
    except BlockingIOError:
        return ""


def standard_descriptors(pid: int) -> list[str]:
    """What the descriptors 0 to 2 of a process are."""
    return [str(Path(f"/proc/{pid}/fd/{number}").readlink()) for number in range(3)]


async def refused(listen: str, status: int = 404) -> None:
    """A handshake that is refused, which is a line of the log."""
    async with raw_connection(listen) as peer:
        peer.writer.write(b"GET /elsewhere HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n")
        peer.writer.write(b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n")
        assert await peer.answer() == status


async def test_a_reader_that_hangs(tmp_path: Path) -> None:
    """With a log that nobody reads, a refused handshake delays no call, and SIGTERM ends the process with 0."""
    with pipe() as (_, writer):
        async with daemon_process(tmp_path, log_to=writer) as daemon:
            fill(writer)
            await refused(daemon.endpoints.listen)
            async with call(daemon.endpoints.ws) as socket:
                await send_all(socket, [{"type": "play.completed"}])
                await daemon.endpoints.reaches(EVENTS, 1)
            daemon.signal(signal.SIGTERM)
            assert await daemon.ended(8) == 0


async def test_a_reader_that_is_gone(tmp_path: Path) -> None:
    """A log whose reader has closed the pipe delays no call, its lines are counted as dropped, and SIGTERM ends the process with 0."""
    with pipe() as (reader, writer):
        async with daemon_process(tmp_path, log_to=writer) as daemon:
            os.close(reader)
            os.close(writer)
            before = await daemon.endpoints.total(DROPPED)
            await refused(daemon.endpoints.listen)
            await daemon.endpoints.reaches(DROPPED, before + 1)
            daemon.signal(signal.SIGTERM)
            assert await daemon.ended(8) == 0


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
async def test_closed_descriptors(tmp_path: Path, closed: str) -> None:
    """A process that starts with closed descriptors 0 to 2 serves calls, and ends with 0 on SIGTERM."""
    listen = "--listen 127.0.0.1:0 --telemetry-listen 127.0.0.1:0 --ready-file ready"
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("AGENTSTACK_", "OTEL_"))}
    process = await asyncio.create_subprocess_exec(
        *("/bin/sh", "-c", f'exec "$0" -m exporter.cli serve {listen} {closed}', sys.executable),
        cwd=tmp_path,
        env=kept | {"PYTHONPATH": str(ROOT)},
    )
    try:
        await eventually((tmp_path / "ready").exists, within=20, because="the ready file")
        assert not [target for target in standard_descriptors(process.pid) if target.startswith("socket:")]
        process.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(process.wait(), patience(8)) == 0
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
            await process.wait()


@pytest.mark.parametrize(("flags", "peer"), [((), "peer=127.0.0.1:"), (("--no-log-peers",), "peer=***")])
@pytest.mark.parametrize("upstream", [(), ("--upstream", "ws://127.0.0.1:9")], ids=["endpoint", "relay"])
async def test_what_the_log_says_of_a_start_and_of_a_refusal(
    tmp_path: Path, flags: tuple[str, ...], peer: str, upstream: tuple[str, ...]
) -> None:
    """A start names version, build, receivers, authentication and OTLP targets; a refusal names the peer, unless it is masked."""
    env = {"AGENTSTACK_EXPORTER_AUTH_TOKENS": "t0ken-t0ken-t0ken", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://127.0.0.1:9/v1/traces"}
    async with daemon_process(tmp_path, *flags, *upstream, env=env) as daemon:
        await refused(daemon.endpoints.listen, 401 if upstream else 404)
        await eventually(lambda: "connection refused" in daemon.log, because="the line about the refusal")
        [start] = [line for line in daemon.log.splitlines() if " starting version=" in line]
        [line] = [line for line in daemon.log.splitlines() if "connection refused" in line]
    assert f" starting version={__version__} build=" in start
    receivers = "relay" if upstream else '"websocket, tap"'
    assert f'receivers={receivers} authentication=token otlp_traces="http/protobuf http://127.0.0.1:9" otlp_metrics=none' in start
    assert peer in line
