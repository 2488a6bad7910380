"""The disk queue: spans survive the process, and a failing disk loses no others."""

import asyncio
import os
import resource
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from exporter.exporters.otlp.sender import BackoffConfig, BatchConfig, DiskQueueConfig, SpanEnvelope, SpanSender, create_transport
from exporter.exporters.otlp.target import Target
from tests.support.house_rules import ROOT
from tests.support.otlp_receiver import HttpAnswer, Site, otlp_receiver
from tests.support.recording_observer import RecordingObserver
from tests.support.span_process import BATCH
from tests.support.waiting import eventually, patience, seconds

SPANS = 3000


def names(*numbers: int) -> list[str]:
    return [str(number) for number in range(*numbers)]


def offer(sender: SpanSender, *numbers: int) -> None:
    assert all(sender.offer([Span(name=name).SerializeToString()]) for name in names(*numbers))


def on_disk(sender: SpanSender) -> bool:
    return sender._queue.durable


@asynccontextmanager
async def sending(site: Site, disk: DiskQueueConfig) -> AsyncIterator[tuple[SpanSender, RecordingObserver]]:
    observer = RecordingObserver()
    transport = create_transport(Target("traces", "http/protobuf", site.endpoint))
    sender = SpanSender(
        transport, SpanEnvelope(), observer, batch=BatchConfig(delay=0.01), disk=disk, backoff=BackoffConfig(time_scale=0.01)
    )
    sender.start()
    try:
        yield sender, observer
    finally:
        await sender.stop(within=patience(2))


@asynccontextmanager
async def process(site: Site, directory: Path) -> AsyncIterator[asyncio.subprocess.Process]:
    """A separate process that sends ``SPANS`` spans; killed at the end."""
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
    """The next process sends all spans that a killed process had on disk, once and in order, before its own."""
    async with otlp_receiver("http/protobuf") as site:
        site.receiver.answer = HttpAnswer(503)
        async with process(site, tmp_path) as killed:
            await stored(killed)
            killed.kill()
            assert await killed.wait() == -signal.SIGKILL
        await site.listener.shut()  # a request of the killed process that is still on its way must not find another answer
        await site.listener.open()
        site.receiver.answer = None
        async with sending(site, DiskQueueConfig(tmp_path)) as (sender, observer):
            offer(sender, SPANS, SPANS + 10)
            await eventually(lambda: observer.items["delivered"] == SPANS + 10)
    assert site.receiver.spans() == names(SPANS + 10)
    assert observer.damaged == 0


async def test_killed_while_sending(tmp_path: Path) -> None:
    """After a kill during sending, only the batch in flight can arrive twice."""
    async with otlp_receiver("http/protobuf") as site:
        async with process(site, tmp_path) as killed:
            await stored(killed)
            await eventually(lambda: len(site.receiver.requests) >= 10)
            killed.kill()
            await killed.wait()
        before = len(site.receiver.spans())
        async with sending(site, DiskQueueConfig(tmp_path)) as (_, observer):
            await eventually(lambda: set(site.receiver.spans()) == set(names(SPANS)))
            await eventually(lambda: observer.queue == (0, 0))
    twice = [name for name, times in Counter(site.receiver.spans()).items() if times > 1]
    assert len(twice) <= BATCH
    assert site.receiver.spans()[:before] == names(before)
    assert site.receiver.spans()[before:] == names(before - len(twice), SPANS)


async def test_power_fails_in_mid_write(tmp_path: Path) -> None:
    """A truncated record is counted and skipped, and all records before it arrive."""
    async with otlp_receiver("http/protobuf") as site:
        await site.listener.shut()
        async with sending(site, DiskQueueConfig(tmp_path)) as (sender, _):
            offer(sender, 100)
        shorten(tmp_path)
        await site.listener.open()
        async with sending(site, DiskQueueConfig(tmp_path)) as (sender, observer):
            await eventually(lambda: observer.items["delivered"] == 99)
    assert site.receiver.spans() == names(99)
    assert observer.damaged == 1


def shorten(directory: Path) -> None:
    [path] = directory.glob("*.otlp")
    path.write_bytes(path.read_bytes()[:-3])


@contextmanager
def full_disk() -> Iterator[None]:
    """Make every write fail, as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


async def test_full_disk(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """When the disk is full, spans queue in memory in order, and the disk is used again when it has room."""
    caplog.set_level("INFO")
    disk = DiskQueueConfig(tmp_path, flush_interval=0.001, retry_delay=0.02)
    async with otlp_receiver("http/protobuf") as site:
        site.receiver.answer = HttpAnswer(503)
        async with sending(site, disk) as (sender, observer):
            offer(sender, 1000)
            await eventually(lambda: sender._queue._memory_items == 0)
            with full_disk():
                offer(sender, 1000, 2000)
                await eventually(lambda: observer.disk_failures)
                assert sender._queue._memory_items == 1000
                site.receiver.answer = None
                await eventually(lambda: observer.items["delivered"] == 2000)
                site.receiver.answer = HttpAnswer(503)
                offer(sender, 2000, 3000)
                await eventually(lambda: observer.disk_failures >= 4)
            await eventually(lambda: sender._queue._memory_items == 0)
            offer(sender, 3000, 4000)
            site.receiver.answer = None
            await eventually(lambda: observer.items["delivered"] == 4000)
    assert site.receiver.spans() == names(4000)
    assert observer.items == {"delivered": 4000}
    assert f"queue directory {tmp_path} failed: File too large; spans are queued in memory until it works" in caplog.text
    assert f"queue directory {tmp_path} works again" in caplog.text


async def test_unusable_directory(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A directory that cannot be created is logged and counted, and spans are sent from memory until it can be."""
    (tmp_path / "file").touch()
    disk = DiskQueueConfig(tmp_path / "file" / "queue", flush_interval=0.001, retry_delay=0.02)
    async with otlp_receiver("http/protobuf") as site, sending(site, disk) as (sender, observer):
        offer(sender, 100)
        await eventually(lambda: observer.items["delivered"] == 100)
        assert observer.disk_failures
        assert not on_disk(sender)
        (tmp_path / "file").unlink()
        for number in count(100):
            offer(sender, number, number + 1)
            await eventually(lambda: observer.queue == (0, 0))
            if on_disk(sender):
                break
    assert site.receiver.spans() == names(observer.items["delivered"])
    assert "Not a directory" in caplog.text


async def test_full_directory(tmp_path: Path) -> None:
    """When the directory's limit is reached, spans queue in memory, in order."""
    disk = DiskQueueConfig(tmp_path, max_size=20_000, flush_interval=0.001)
    async with otlp_receiver("http/protobuf") as site:
        site.receiver.answer = HttpAnswer(503)
        async with sending(site, disk) as (sender, observer):
            offer(sender, 2000)
            await eventually(lambda: 0 < sender._queue._memory_items < 2000)
            assert not sender._queue.durable
            assert held(tmp_path) <= 20_000
            site.receiver.answer = None
            await eventually(lambda: observer.items["delivered"] == 2000)
            assert site.receiver.spans() == names(2000)
    assert observer.disk_failures == 0


def held(directory: Path) -> int:
    return sum(path.stat().st_size for path in directory.glob("*.otlp"))


async def test_lost_files_are_counted(tmp_path: Path) -> None:
    """Spans in files that another program removes are counted as dropped, and later spans arrive."""
    disk = DiskQueueConfig(tmp_path, flush_interval=0.001)
    async with otlp_receiver("http/protobuf") as site:
        site.receiver.answer = HttpAnswer(503)
        async with sending(site, disk) as (sender, observer):
            offer(sender, 5)
            await eventually(lambda: observer.attempts["failed"])
            offer(sender, 5, 1000)
            await eventually(lambda: sender._queue._memory_items == 0)
            remove(tmp_path)
            site.receiver.answer = None
            await eventually(lambda: observer.queue == (0, 0))
    assert observer.items["delivered"] + observer.items["dropped"] == 1000
    assert observer.drops == {"disk_damaged": observer.items["dropped"]}
    assert observer.items["dropped"]


def remove(directory: Path) -> None:
    for path in directory.glob("*.otlp"):
        path.unlink()


class HungDisk:
    """Makes every sync of a file hang until it ends, as on a network disk whose server is away."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.hangs = False
        self.reached = threading.Event()
        self._ended = threading.Event()
        for name in ("fsync", "pwrite", "pread"):
            monkeypatch.setattr(os, name, self._hanging(getattr(os, name)))

    def begin(self) -> None:
        self.hangs = True

    def end(self) -> None:
        self.hangs = False
        self._ended.set()

    def _hanging(self, call: Callable[..., Any]) -> Callable[..., Any]:
        def wait(*arguments: Any) -> Any:
            if self.hangs:
                self.reached.set()
                self._ended.wait()
            return call(*arguments)

        return wait


@pytest.fixture
def hung_disk(monkeypatch: pytest.MonkeyPatch) -> Iterator[HungDisk]:
    disk = HungDisk(monkeypatch)
    yield disk
    disk.end()


async def test_a_disk_that_hangs(tmp_path: Path, caplog: pytest.LogCaptureFixture, hung_disk: HungDisk) -> None:
    """While the disk hangs, spans are sent from memory; when it answers again it is used, and each span arrives once, in order."""
    caplog.set_level("INFO")
    disk = DiskQueueConfig(tmp_path, flush_interval=0.001, retry_delay=0.02, max_wait=seconds(0.1))
    async with otlp_receiver("http/protobuf") as site, sending(site, disk) as (sender, observer):
        offer(sender, 100)
        await eventually(lambda: observer.queue == (0, 0))
        hung_disk.begin()
        offer(sender, 100, 200)
        await eventually(lambda: observer.items["delivered"] == 200)
        offer(sender, 200, 300)
        await eventually(lambda: observer.items["delivered"] == 300)
        assert not on_disk(sender)
        hung_disk.end()
        await eventually(lambda: on_disk(sender))
        offer(sender, 300, 400)
        await eventually(lambda: observer.queue == (0, 0))
    assert site.receiver.spans() == names(400)
    assert observer.disk_failures
    assert f"queue directory {tmp_path} failed: no answer within" in caplog.text


async def test_older_spans_on_a_disk_that_hangs(tmp_path: Path, hung_disk: HungDisk) -> None:
    """Spans in memory wait for older ones on a disk that hangs, and all arrive in order when it answers."""
    disk = DiskQueueConfig(tmp_path, flush_interval=0.001, retry_delay=0.02, max_wait=seconds(0.1))
    async with otlp_receiver("http/protobuf") as site:
        site.receiver.answer = HttpAnswer(503)
        async with sending(site, disk) as (sender, observer):
            offer(sender, 2000)
            await eventually(lambda: sender._queue._memory_items == 0)
            hung_disk.begin()
            site.receiver.answer = None
            offer(sender, 2000, 2100)
            await eventually(lambda: observer.disk_failures)
            hung_disk.end()
            await eventually(lambda: observer.items["delivered"] == 2100)
    assert site.receiver.spans() == names(2100)
    assert observer.items == {"delivered": 2100}


@pytest.mark.alone(waits=True)
@pytest.mark.parametrize("when", ["at the start", "later"])
async def test_a_stop_while_the_disk_hangs(tmp_path: Path, when: str, hung_disk: HungDisk) -> None:
    """A stop does not wait for a disk that hangs: it takes the time it has, and what is not on disk is counted as lost."""
    async with otlp_receiver("http/protobuf") as site:
        site.receiver.answer = HttpAnswer(503)
        observer = RecordingObserver()
        transport = create_transport(Target("traces", "http/protobuf", site.endpoint))
        sender = SpanSender(transport, SpanEnvelope(), observer, batch=BatchConfig(delay=0.01), disk=DiskQueueConfig(tmp_path))
        if when == "at the start":
            hung_disk.begin()
        sender.start()
        await eventually(lambda: on_disk(sender) or hung_disk.reached.is_set())
        hung_disk.begin()
        offer(sender, 100)
        await eventually(hung_disk.reached.is_set)
        started = time.monotonic()
        await sender.stop(within=seconds(0.4))
        assert time.monotonic() - started < seconds(0.6)
    assert observer.drops == {"stopped": 100}


def test_a_process_ends_although_the_disk_hangs() -> None:
    """A process whose file thread hangs ends by itself."""
    code = (
        "import asyncio, threading\n"
        "from exporter.exporters.otlp.sender.file_thread import FileThread\n"
        "async def main():\n"
        "    FileThread('hangs').submit(threading.Event().wait)\n"
        "asyncio.run(main())\n"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, timeout=patience(20), check=False).returncode == 0
