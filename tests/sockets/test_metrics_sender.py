"""Metrics over real sockets: only the newest totals matter, and they arrive."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import grpc
import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.metrics.v1.metrics_pb2 import NumberDataPoint

from exporter.exporters.otlp.metrics import MetricsEncoder
from exporter.exporters.otlp.metrics_source import SnapshotSource
from exporter.exporters.otlp.sender import BackoffConfig, ExportRequest, MetricsSender, create_transport
from exporter.exporters.otlp.target import Protocol, Target
from exporter.metrics.snapshot import Family, Series, Snapshot
from tests.support.otlp_receiver import GrpcAnswer, HttpAnswer, Receiver, Site, otlp_receiver
from tests.support.recording_observer import RecordingObserver
from tests.support.small_snapshot import TURNS
from tests.support.waiting import eventually, seconds

POINTS = 3
BUSY: dict[Protocol, HttpAnswer | GrpcAnswer] = {
    "grpc": GrpcAnswer(grpc.StatusCode.UNAVAILABLE),
    "http/protobuf": HttpAnswer(503),
}
INVALID: dict[Protocol, HttpAnswer | GrpcAnswer] = {
    "grpc": GrpcAnswer(grpc.StatusCode.INVALID_ARGUMENT),
    "http/protobuf": HttpAnswer(400),
}
both_protocols = pytest.mark.parametrize("protocol", ["grpc", "http/protobuf"])


class Source:
    """Totals that grow with every collection; each is ``parts`` requests."""

    def __init__(self, parts: int = 1) -> None:
        self.collections = 0
        self.parts = parts

    async def collect(self) -> Sequence[ExportRequest]:
        self.collections += 1
        return [ExportRequest(self._body(), POINTS)] * self.parts

    def delivered(self) -> None:
        pass

    repeatable = True

    def refused(self, size: int) -> bool:
        return False

    def _body(self) -> bytes:
        message = ExportMetricsServiceRequest()
        message.resource_metrics.add().scope_metrics.add().metrics.add(name=str(self.collections))
        return message.SerializeToString()


def totals(receiver: Receiver) -> list[int]:
    """The totals in the requests that arrived, in order."""
    return [int(request.message.resource_metrics[0].scope_metrics[0].metrics[0].name) for request in receiver.requests]


@dataclass
class Sending:
    sender: MetricsSender
    source: Source
    observer: RecordingObserver
    site: Site


@asynccontextmanager
async def sending(protocol: Protocol, *, parts: int = 1, source: Any = None, **options: Any) -> AsyncIterator[Sending]:
    async with otlp_receiver(protocol) as site:
        target = Target("metrics", protocol, site.endpoint.replace("traces", "metrics"))
        source, observer = source or Source(parts), RecordingObserver()
        sender = MetricsSender(
            create_transport(target), source, observer, **{"interval": 0.02, "backoff": BackoffConfig(time_scale=0.005), **options}
        )
        sender.start()
        try:
            yield Sending(sender, source, observer, site)
        finally:
            await sender.stop(within=0.2)


@both_protocols
async def test_every_interval(protocol: Protocol) -> None:
    """Totals are collected and delivered interval after interval."""
    async with sending(protocol) as run:
        await eventually(lambda: len(run.site.receiver.requests) >= 3)
        await run.sender.stop()
        assert totals(run.site.receiver) == list(range(1, run.source.collections + 1))
        assert run.observer.items == {"delivered": POINTS * run.source.collections}
    assert run.site.receiver.requests[0].signal == "metrics"


@both_protocols
async def test_newest_after_an_outage(protocol: Protocol) -> None:
    """After an outage the newest totals arrive, and older ones are counted as replaced."""
    async with sending(protocol) as run:
        run.site.receiver.answer = BUSY[protocol]
        await eventually(lambda: run.observer.attempts["failed"] >= 10)
        assert run.observer.items["replaced"]
        run.site.receiver.answer = None
        before = run.source.collections
        await eventually(lambda: len(run.site.receiver.requests) >= 2)
        await run.sender.stop()
        assert totals(run.site.receiver)[0] >= before
        assert sorted(totals(run.site.receiver)) == totals(run.site.receiver)
    assert run.observer.items["delivered"] + run.observer.items["replaced"] == POINTS * run.source.collections


@both_protocols
async def test_last_totals(protocol: Protocol) -> None:
    """The totals at the stop are sent, however long the interval."""
    async with sending(protocol, interval=1000.0) as run:
        await run.sender.stop()
        assert totals(run.site.receiver) == [1]


@both_protocols
async def test_dead_receiver(protocol: Protocol) -> None:
    """A stop ends in time with a dead receiver and counts the last totals as lost."""
    async with sending(protocol, interval=1000.0) as run:
        run.site.listener.spoil("black_hole")
        started = asyncio.get_running_loop().time()
        await run.sender.stop(within=0.3)
        assert asyncio.get_running_loop().time() - started < seconds(2.0)
    assert run.observer.drops == {"stopped": POINTS}


@both_protocols
async def test_in_parts(protocol: Protocol) -> None:
    """A collection of several requests is delivered or replaced as a whole."""
    async with sending(protocol, parts=3, interval=1000.0) as run:
        run.site.receiver.answers.append(BUSY[protocol])
        await run.sender.stop()
        assert totals(run.site.receiver) == [1, 1, 1]
    assert run.observer.items == {"delivered": 3 * POINTS}


@both_protocols
async def test_partial_success(protocol: Protocol) -> None:
    """Rejected data points are counted."""
    async with sending(protocol, interval=1000.0) as run:
        run.site.receiver.rejected = 2
        await run.sender.stop()
    assert run.observer.items == {"delivered": POINTS - 2, "rejected": 2}


async def test_a_failed_collection_is_not_the_last() -> None:
    """After a collection that raises, the next one is made."""

    class Failing(Source):
        async def collect(self) -> Sequence[ExportRequest]:
            requests = await super().collect()
            if self.collections == 1:
                raise ZeroDivisionError
            return requests

    async with otlp_receiver("http/protobuf") as site:
        target = Target("metrics", "http/protobuf", site.endpoint.replace("traces", "metrics"))
        sender = MetricsSender(create_transport(target), Failing(), RecordingObserver(), interval=0.01)
        sender.start()
        await eventually(lambda: site.receiver.requests)
        await sender.stop()
    assert totals(site.receiver)[0] == 2


async def test_a_slow_collection_is_sent_after_a_failure() -> None:
    """After a failure totals are sent although collecting them takes longer than they may grow old."""

    class Slow(Source):
        async def collect(self) -> Sequence[ExportRequest]:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(0.01):
                    await asyncio.Event().wait()
            return await super().collect()

    async with sending("http/protobuf", source=Slow(), interval=0.005) as run:
        run.site.receiver.answers.extend([HttpAnswer(503)] * 3)
        await eventually(lambda: run.site.receiver.requests)
    assert run.observer.attempts["failed"] == 3


async def test_an_impossible_pause_loses_nothing() -> None:
    """A Retry-After far beyond the calendar delays nothing and loses no totals."""
    async with sending("http/protobuf") as run:
        run.site.receiver.answers.append(HttpAnswer(503, {"retry-after": "Fri, 01 Jan 99999999999 00:00:00 GMT"}))
        await eventually(lambda: run.site.receiver.requests)
    assert not run.observer.drops
    assert run.observer.reasons == {"http_503": 1}


def many_turns() -> SnapshotSource:
    """Differences of so many series that they are several requests for some receivers."""
    turns = Family(TURNS, tuple(Series((f"agent {number}",), 2.0, 1.0) for number in range(2000)))
    return SnapshotSource(lambda: Snapshot(2.0, (turns,)), MetricsEncoder({}, "delta"))


def counted(receiver: Receiver) -> list[float]:
    """The value of each data point that arrived."""
    return [point.as_double for each in receiver.requests for point in points_of(each.message)]


@both_protocols
async def test_a_receiver_of_short_requests(protocol: Protocol) -> None:
    """Metrics that are too long for the receiver are sent in shorter requests at once, and nothing of them is lost or sent twice."""
    async with sending(protocol, source=many_turns()) as run:
        run.site.receiver.longest = 30_000
        await eventually(lambda: run.observer.items["delivered"] >= 2000)
        assert run.observer.attempts["refused"] in {2, 3}
    assert run.observer.drops == {}
    assert counted(run.site.receiver) == [2.0] * 2000


@both_protocols
async def test_differences_in_parts(protocol: Protocol) -> None:
    """What is delivered of a collection does not count again, whether the rest of it is late or refused."""
    source = many_turns()
    source.refused(60_000)
    async with sending(protocol, source=source) as run:
        run.site.receiver.answers += [None, *[BUSY[protocol]] * 20, None, INVALID[protocol]]
        await eventually(lambda: run.observer.attempts["refused"])
        await eventually(lambda: run.observer.items["delivered"] + run.observer.items["dropped"] == 2000)
    assert run.observer.attempts["failed"] == 20
    assert run.observer.items["replaced"] == 0
    assert counted(run.site.receiver) == [2.0] * run.observer.items["delivered"]


def points_of(request: ExportMetricsServiceRequest) -> list[NumberDataPoint]:
    """The data points of the turns counter."""
    return [
        point
        for resource in request.resource_metrics
        for scope in resource.scope_metrics
        for metric in scope.metrics
        for point in metric.sum.data_points
    ]
