"""What the disk queue promises: spans outlive the process, and a disk that fails only costs that."""

import asyncio
import resource
import signal
import sys
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from itertools import count
from pathlib import Path

import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from exporter.exporters.otlp.sender import BackoffConfig, Batching, DiskQueue, SpanEnvelope, SpanSender, open_transport
from exporter.exporters.otlp.target import Target
from tests.support.house_rules import ROOT
from tests.support.otlp_receiver import HttpAnswer, Site, otlp_receiver
from tests.support.sender_counts import Tally
from tests.support.span_process import BATCH
from tests.support.waiting import eventually

SPANS = 3000


def names(*numbers: int) -> list[str]:
    return [str(number) for number in range(*numbers)]


def offer(sender: SpanSender, *numbers: int) -> None:
    assert all(sender.offer([Span(name=name).SerializeToString()]) for name in names(*numbers))


def on_disk(sender: SpanSender) -> bool:
    return sender._queue.durable


@asynccontextmanager
async def sending(site: Site, disk: DiskQueue) -> AsyncIterator[tuple[SpanSender, Tally]]:
    counts = Tally()
    transport = open_transport(Target("traces", "http/protobuf", site.endpoint))
    sender = SpanSender(transport, SpanEnvelope(), counts, batching=Batching(delay=0.01), disk=disk, backoff=BackoffConfig(unit=0.01))
    sender.start()
    try:
        yield sender, counts
    finally:
        await sender.stop(within=0.4)


@asynccontextmanager
async def process(site: Site, directory: Path) -> AsyncIterator[asyncio.subprocess.Process]:
    """A process of its own that sends ``SPANS`` spans; killed at the end."""
    command = [sys.executable, "-m", "tests.support.span_process", site.endpoint, str(directory), str(SPANS)]
    started = await asyncio.create_subprocess_exec(*command, cwd=ROOT, stdout=asyncio.subprocess.PIPE)
    try:
        yield started
    finally:
        if started.returncode is None:
            started.kill()
        await started.communicate()


async def stored(sender: asyncio.subprocess.Process) -> None:
    assert sender.stdout is not None
    assert await asyncio.wait_for(sender.stdout.readline(), 30) == b"stored\n"


async def test_killed_in_an_outage(tmp_path: Path) -> None:
    """All spans that a killed process had on disk arrive from the next, once and in order, before its own."""
    async with otlp_receiver("http/protobuf") as site:
        site.receiver.answer = HttpAnswer(503)
        async with process(site, tmp_path) as killed:
            await stored(killed)
            killed.kill()
            assert await killed.wait() == -signal.SIGKILL
        site.receiver.answer = None
        async with sending(site, DiskQueue(tmp_path)) as (sender, counts):
            offer(sender, SPANS, SPANS + 10)
            await eventually(lambda: counts.items["delivered"] == SPANS + 10)
    assert site.receiver.spans() == names(SPANS + 10)
    assert counts.damaged == 0


async def test_killed_while_sending(tmp_path: Path) -> None:
    """Of a process killed while it sends, only the batch that was on its way can arrive twice."""
    async with otlp_receiver("http/protobuf") as site:
        async with process(site, tmp_path) as killed:
            await stored(killed)
            await eventually(lambda: len(site.receiver.requests) >= 10)
            killed.kill()
            await killed.wait()
        before = len(site.receiver.spans())
        async with sending(site, DiskQueue(tmp_path)) as (_, counts):
            await eventually(lambda: set(site.receiver.spans()) == set(names(SPANS)))
            await eventually(lambda: counts.queue == (0, 0))
    twice = [name for name, times in Counter(site.receiver.spans()).items() if times > 1]
    assert len(twice) <= BATCH
    assert site.receiver.spans()[:before] == names(before)
    assert site.receiver.spans()[before:] == names(before - len(twice), SPANS)


async def test_power_fails_in_mid_write(tmp_path: Path) -> None:
    """A record cut short is counted and skipped, and all before it arrive."""
    async with otlp_receiver("http/protobuf") as site:
        await site.door.shut()
        async with sending(site, DiskQueue(tmp_path)) as (sender, _):
            offer(sender, 100)
        shorten(tmp_path)
        await site.door.open()
        async with sending(site, DiskQueue(tmp_path)) as (sender, counts):
            await eventually(lambda: counts.items["delivered"] == 99)
    assert site.receiver.spans() == names(99)
    assert counts.damaged == 1


def shorten(directory: Path) -> None:
    [path] = directory.glob("*.otlp")
    path.write_bytes(path.read_bytes()[:-3])


@contextmanager
def full_disk() -> Iterator[None]:
    """No file can grow: writing fails as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


async def test_full_disk(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """On a full disk memory takes over, order is kept, and the disk is used again when it has room."""
    caplog.set_level("INFO")
    disk = DiskQueue(tmp_path, flush=0.001, rest=0.02)
    async with otlp_receiver("http/protobuf") as site:
        site.receiver.answer = HttpAnswer(503)
        async with sending(site, disk) as (sender, counts):
            offer(sender, 1000)
            await eventually(lambda: sender._queue._memory_items == 0)
            with full_disk():
                offer(sender, 1000, 2000)
                await eventually(lambda: counts.disk_failures)
                assert sender._queue._memory_items == 1000
                site.receiver.answer = None
                await eventually(lambda: counts.items["delivered"] == 2000)
                site.receiver.answer = HttpAnswer(503)
                offer(sender, 2000, 3000)
                await eventually(lambda: counts.disk_failures >= 4)
            await eventually(lambda: sender._queue._memory_items == 0)
            offer(sender, 3000, 4000)
            site.receiver.answer = None
            await eventually(lambda: counts.items["delivered"] == 4000)
    assert site.receiver.spans() == names(4000)
    assert counts.items == {"delivered": 4000}
    assert "cannot be used, memory is used instead: File too large" in caplog.text
    assert "can be used again" in caplog.text


async def test_unusable_directory(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A directory that cannot be made is told of and counted, and spans are sent from memory until it can."""
    (tmp_path / "file").touch()
    disk = DiskQueue(tmp_path / "file" / "queue", flush=0.001, rest=0.02)
    async with otlp_receiver("http/protobuf") as site, sending(site, disk) as (sender, counts):
        offer(sender, 100)
        await eventually(lambda: counts.items["delivered"] == 100)
        assert counts.disk_failures
        assert not on_disk(sender)
        (tmp_path / "file").unlink()
        for number in count(100):
            offer(sender, number, number + 1)
            await eventually(lambda: counts.queue == (0, 0))
            if on_disk(sender):
                break
    assert site.receiver.spans() == names(counts.items["delivered"])
    assert "Not a directory" in caplog.text


async def test_full_directory(tmp_path: Path) -> None:
    """Beyond the directory's bound memory is used, in order, and then what comes is refused and counted."""
    disk = DiskQueue(tmp_path, size=20_000, flush=0.001)
    async with otlp_receiver("http/protobuf") as site:
        site.receiver.answer = HttpAnswer(503)
        async with sending(site, disk) as (sender, counts):
            offer(sender, 2000)
            await eventually(lambda: 0 < sender._queue._memory_items < 2000)
            assert not sender._queue.durable
            assert held(tmp_path) <= 20_000
            site.receiver.answer = None
            await eventually(lambda: counts.items["delivered"] == 2000)
            assert site.receiver.spans() == names(2000)
    assert counts.disk_failures == 0


def held(directory: Path) -> int:
    return sum(path.stat().st_size for path in directory.glob("*.otlp"))


async def test_lost_files_are_counted(tmp_path: Path) -> None:
    """Spans in files that somebody removes are counted as dropped, and what comes after them arrives."""
    disk = DiskQueue(tmp_path, flush=0.001)
    async with otlp_receiver("http/protobuf") as site:
        site.receiver.answer = HttpAnswer(503)
        async with sending(site, disk) as (sender, counts):
            offer(sender, 5)
            await eventually(lambda: counts.attempts["failed"])
            offer(sender, 5, 1000)
            await eventually(lambda: sender._queue._memory_items == 0)
            remove(tmp_path)
            site.receiver.answer = None
            await eventually(lambda: counts.queue == (0, 0))
    assert counts.items["delivered"] + counts.items["dropped"] == 1000
    assert counts.drops == {"disk_damaged": counts.items["dropped"]}
    assert counts.items["dropped"]


def remove(directory: Path) -> None:
    for path in directory.glob("*.otlp"):
        path.unlink()
