"""Spans over real sockets to a receiver that fails in every way a collector can."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import pytest
import uvloop
from google.rpc.status_pb2 import Status
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from exporter.exporters.otlp.sender import (
    BackoffConfig,
    BatchConfig,
    DiskQueueConfig,
    QueueLimits,
    SpanEnvelope,
    SpanSender,
    create_transport,
)
from exporter.exporters.otlp.sender.export_result import ExportResult
from exporter.exporters.otlp.sender.requests import join
from exporter.exporters.otlp.sender.retry_sender import MAX_INTERNAL_ERRORS
from exporter.exporters.otlp.sender.sending_queue import ENTRY_OVERHEAD
from exporter.exporters.otlp.target import Protocol, Target
from tests.support.otlp_receiver import Fault, GrpcAnswer, HttpAnswer, Receiver, Site, otlp_receiver
from tests.support.recording_observer import RecordingObserver
from tests.support.waiting import eventually, seconds

PROTOCOLS: tuple[Protocol, ...] = ("grpc", "http/protobuf")
QUICK = BackoffConfig(time_scale=0.01)
SOON = BatchConfig(delay=0.01)
UNAVAILABLE = GrpcAnswer(grpc.StatusCode.UNAVAILABLE)
BUSY: dict[Protocol, HttpAnswer | GrpcAnswer] = {"grpc": UNAVAILABLE, "http/protobuf": HttpAnswer(503)}
INVALID: dict[Protocol, HttpAnswer | GrpcAnswer] = {
    "grpc": GrpcAnswer(grpc.StatusCode.INVALID_ARGUMENT),
    "http/protobuf": HttpAnswer(400),
}
both_protocols = pytest.mark.parametrize("protocol", PROTOCOLS)


def span(number: int, size: int = 0) -> bytes:
    """A serialised span whose name is its number."""
    return Span(name=str(number), trace_state="x" * size).SerializeToString()


def segments(directory: Path) -> list[Path]:
    return sorted(directory.glob("*.otlp"))


def names(*numbers: int) -> list[str]:
    return [str(number) for number in range(*numbers)]


@dataclass
class Sending:
    """A sender, the receiver it sends to, and its observer."""

    sender: SpanSender
    observer: RecordingObserver
    site: Site

    @property
    def receiver(self) -> Receiver:
        return self.site.receiver

    def offer(self, *numbers: int, size: int = 0) -> None:
        """Offer the spans of ``range(*numbers)``."""
        assert all(self.sender.offer([span(number, size)]) for number in range(*numbers))

    async def arrived(self, *numbers: int) -> None:
        """Wait until exactly these spans have arrived, in order, and their room in the queue is free again."""
        await eventually(lambda: self.observer.items["delivered"] >= len(range(*numbers)), within=20)
        await eventually(lambda: self.observer.queue == (0, 0))  # a batch leaves the queue after its delivery is counted
        assert self.receiver.spans() == names(*numbers)

    async def failed(self, attempts: int = 1) -> None:
        """Wait until this number of attempts has failed."""
        await eventually(lambda: self.observer.attempts["failed"] >= attempts, within=20)


def sender_to(target: Target, observer: RecordingObserver, **options: Any) -> SpanSender:
    return SpanSender(create_transport(target), SpanEnvelope(), observer, **{"batch": SOON, "backoff": QUICK, **options})


@asynccontextmanager
async def sending(protocol: Protocol, *, attempt: float = 10.0, tls: Any = None, **options: Any) -> AsyncIterator[Sending]:
    """Run a sender to a receiver, with the target's and the sender's options."""
    of_target = {name: options.pop(name) for name in ("headers", "compression", "tls_files") if name in options}
    async with otlp_receiver(protocol, tls=tls) as site:
        observer = RecordingObserver()
        endpoint = site.endpoint.replace("http:", "https:") if tls else site.endpoint
        target = Target("traces", protocol, endpoint, tls=bool(tls), timeout=seconds(attempt), **of_target)
        sender = sender_to(target, observer, **options)
        sender.start()
        try:
            yield Sending(sender, observer, site)
        finally:
            await sender.stop(within=0.2)


@both_protocols
class TestDelivery:
    async def test_in_order(self, protocol: Protocol) -> None:
        """Spans arrive once each, in the order in which they were offered, and leave the queue empty."""
        async with sending(protocol) as run:
            run.offer(2000)
            await run.arrived(2000)
        assert run.observer.items == {"delivered": 2000}
        assert run.observer.attempts == {"delivered": len(run.receiver.requests)}

    async def test_batches_by_number(self, protocol: Protocol) -> None:
        """No request holds more spans than the batch size, and a full batch does not wait for the delay."""
        async with sending(protocol, batch=BatchConfig(delay=60.0, max_items=10)) as run:
            run.offer(30)
            await run.arrived(30)
        assert [len(request.names()) for request in run.receiver.requests] == [10, 10, 10]

    async def test_batches_by_size(self, protocol: Protocol) -> None:
        """No request is larger than the size limit, except for a single span that is larger itself."""
        async with sending(protocol, batch=BatchConfig(delay=0.01, max_items=20, max_size=5_000)) as run:
            for number in range(40):
                assert run.sender.offer([span(number, size=6_000 if number == 20 else 500)])
            await run.arrived(40)
        sizes = [(request.size, len(request.names())) for request in run.receiver.requests]
        assert all(size <= 5_000 or spans == 1 for size, spans in sizes)
        assert max(spans for _, spans in sizes) > 5

    async def test_a_few_wait(self, protocol: Protocol) -> None:
        """Fewer spans than a batch are sent together when the delay is over."""
        async with sending(protocol, batch=BatchConfig(delay=0.1)) as run:
            run.offer(3)
            await run.arrived(3)
        assert len(run.receiver.requests) == 1

    async def test_headers(self, protocol: Protocol) -> None:
        """Every request has the headers of the settings and a user agent."""
        async with sending(protocol, headers=(("authorization", "Bearer x"), ("team", "a"))) as run:
            run.offer(1)
            await run.arrived(1)
        [request] = run.receiver.requests
        assert (request.headers["authorization"], request.headers["team"]) == ("Bearer x", "a")
        assert request.headers["user-agent"].startswith("agentstack-exporter/")

    async def test_gzip(self, protocol: Protocol) -> None:
        """Compressed requests hold the same spans."""
        async with sending(protocol, compression="gzip") as run:
            run.offer(500)
            await run.arrived(500)
        encoding = run.receiver.requests[0].headers.get("content-encoding")
        assert encoding == ("gzip" if protocol == "http/protobuf" else None)

    async def test_one_connection(self, protocol: Protocol) -> None:
        """The connection is kept from request to request."""
        async with sending(protocol, batch=BatchConfig(delay=0.01, max_items=5)) as run:
            run.offer(50)
            await run.arrived(50)
        assert run.receiver.connections == 1

    async def test_only_the_target_names_a_proxy(self, protocol: Protocol, monkeypatch: pytest.MonkeyPatch) -> None:
        """The settings have read the environment's proxies; no library reads them again."""
        for name in ("http_proxy", "https_proxy", "grpc_proxy", "all_proxy", "HTTP_PROXY", "ALL_PROXY"):
            monkeypatch.setenv(name, "http://127.0.0.1:9")
        async with sending(protocol) as run:
            run.offer(5)
            await run.arrived(5)


@both_protocols
class TestOutages:
    async def test_refused(self, protocol: Protocol) -> None:
        """Nothing is lost while connections are refused, and all spans arrive in order afterwards."""
        async with sending(protocol) as run:
            run.offer(100)
            await run.arrived(100)
            await run.site.listener.shut()
            run.offer(100, 2000)
            await run.failed(3)
            run.offer(2000, 3000)
            await run.site.listener.open()
            await run.arrived(3000)
        assert run.observer.items == {"delivered": 3000}

    @pytest.mark.parametrize("fault", ["black_hole", "reset", "drip"])
    async def test_spoiled(self, protocol: Protocol, fault: Fault) -> None:
        """Nothing is lost while connections are silent, reset or very slow."""
        async with sending(protocol, attempt=0.2) as run:
            run.site.listener.spoil(fault)
            run.offer(1000)
            await run.failed(2)
            taken_before = len(run.receiver.spans())
            run.site.listener.spoil("none")
            run.offer(1000, 1500)
            await eventually(lambda: run.observer.items["delivered"] == 1500, within=20)
        # A request that was accepted while the response was too slow is sent again.
        assert taken_before == 0 or fault == "drip"
        assert run.receiver.spans()[-1] == "1499"
        assert list(dict.fromkeys(run.receiver.spans())) == names(1500)
        assert run.observer.items == {"delivered": 1500}

    async def test_busy(self, protocol: Protocol) -> None:
        """Nothing is lost and nothing is sent twice while the receiver is unavailable."""
        async with sending(protocol) as run:
            run.receiver.answer = BUSY[protocol]
            run.offer(1000)
            await run.failed(5)
            run.receiver.answer = None
            await run.arrived(1000)
        assert run.observer.items == {"delivered": 1000}
        assert sum(run.observer.reasons.values()) == run.observer.attempts["failed"]

    async def test_bounded(self, protocol: Protocol) -> None:
        """Spans that do not fit in the queue are dropped and counted exactly, and accepted spans arrive."""
        size = len(join([span(1000)])) + ENTRY_OVERHEAD
        async with sending(protocol, limits=QueueLimits(max_size=50 * size)) as run:
            run.receiver.answer = BUSY[protocol]
            accepted = [run.sender.offer([span(number)]) for number in range(1000, 1200)]
            await run.failed(2)
            run.receiver.answer = None
            await run.arrived(1000, 1050)
            run.offer(1050, 1060)
            await run.arrived(1000, 1060)
        assert accepted == [True] * 50 + [False] * 150
        assert run.observer.drops == {"queue_full": 150}
        assert run.observer.largest_queue == 50 * size

    async def test_bounded_in_spans(self, protocol: Protocol) -> None:
        """A limit in spans replaces the limit in bytes."""
        async with sending(protocol, limits=QueueLimits(max_size=1, max_items=30)) as run:
            accepted = [run.sender.offer([span(number)]) for number in range(40)]
            await run.arrived(30)
        assert sum(accepted) == 30
        assert run.observer.items == {"delivered": 30, "dropped": 10}

    async def test_pause_grows(self, protocol: Protocol) -> None:
        """The pauses between attempts follow the back-off."""
        async with sending(protocol) as run:
            run.receiver.answer = BUSY[protocol]
            started = asyncio.get_running_loop().time()
            run.offer(1)
            await run.failed(6)
            took = asyncio.get_running_loop().time() - started
            run.receiver.answer = None
            await run.arrived(1)
        # 0.5 + 1 + 2 + 4 + 5 seconds of a hundredth each, a fifth less at least.
        assert took >= 0.8 * 0.125


@both_protocols
class TestFailures:
    async def test_not_retryable(self, protocol: Protocol) -> None:
        """A batch that failed permanently is dropped, counted under its reason and not sent again, and the next batch is sent."""
        async with sending(protocol, batch=BatchConfig(delay=0.01, max_items=10)) as run:
            run.receiver.answers.append(INVALID[protocol])
            run.offer(20)
            await eventually(lambda: run.observer.items["delivered"] == 10)
        assert run.receiver.spans() == names(10, 20)
        assert run.observer.drops == {"http_400" if protocol == "http/protobuf" else "grpc_invalid_argument": 10}
        assert run.observer.attempts == {"refused": 1, "delivered": 1}

    async def test_a_receiver_of_short_requests(self, protocol: Protocol, caplog: pytest.LogCaptureFixture) -> None:
        """Of spans that are too long for the receiver, only one that is so by itself is lost, and the length is learned."""
        async with sending(protocol, batch=BatchConfig(delay=0.01, max_items=200)) as run:
            run.receiver.longest = 100_000
            run.offer(100, size=4000)
            assert run.sender.offer([span(100, size=150_000)])
            run.offer(101, 200, size=4000)
            await eventually(lambda: run.observer.items["delivered"] == 199)
            refused = run.observer.attempts["refused"]
            run.offer(200, 400, size=4000)
            await eventually(lambda: run.observer.items["delivered"] == 399)
        assert run.receiver.spans() == [*names(100), *names(101, 400)]
        assert run.observer.drops == {"http_413" if protocol == "http/protobuf" else "grpc_resource_exhausted": 1}
        assert run.observer.attempts["refused"] == refused <= 8
        assert "spans are sent again in smaller requests" in caplog.text

    async def test_partial_success(self, protocol: Protocol, caplog: pytest.LogCaptureFixture) -> None:
        """Rejected spans are counted, logged and not sent again."""
        async with sending(protocol) as run:
            run.receiver.rejected, run.receiver.message = 3, "too old"
            run.offer(10)
            await eventually(lambda: run.observer.items["delivered"])
        assert len(run.receiver.requests) == 1
        assert run.observer.items == {"delivered": 7, "rejected": 3}
        assert "rejected 3 of 10 spans: too old" in caplog.text

    async def test_warning(self, protocol: Protocol, caplog: pytest.LogCaptureFixture) -> None:
        """The warning of a receiver that accepts all spans is logged."""
        async with sending(protocol) as run:
            run.receiver.message = "use the other port"
            run.offer(10)
            await run.arrived(10)
        assert run.observer.items == {"delivered": 10}
        assert "use the other port" in caplog.text

    async def test_spans_of_a_turn(self, protocol: Protocol) -> None:
        """Spans that are offered together are delivered in order, in one request if its size allows."""
        async with sending(protocol, batch=BatchConfig(delay=0.01, max_items=10)) as run:
            for start in range(0, 32, 4):
                assert run.sender.offer([span(number) for number in range(start, start + 4)])
            await run.arrived(32)
        assert [len(request.names()) for request in run.receiver.requests] == [8, 8, 8, 8]
        assert run.observer.items == {"delivered": 32}

    async def test_more_spans_than_a_batch(self, protocol: Protocol) -> None:
        """The batch size also limits spans that are offered together."""
        async with sending(protocol, batch=BatchConfig(delay=60.0, max_items=3)) as run:
            assert run.sender.offer([span(number) for number in range(9)])
            await run.arrived(9)
        assert [len(request.names()) for request in run.receiver.requests] == [3, 3, 3]

    async def test_room_for_some(self, protocol: Protocol, caplog: pytest.LogCaptureFixture) -> None:
        """Spans that fit are queued, each span that does not fit is counted, and one line of the log tells of all."""
        async with sending(protocol, limits=QueueLimits(max_items=10), batch=BatchConfig(delay=60.0)) as run:
            assert run.sender.offer([span(number) for number in range(8)])
            assert not run.sender.offer([span(number) for number in range(8, 16)])
            assert run.observer.queue[0] == 10
            assert run.observer.drops == {"queue_full": 6}
            assert [line for line in caplog.messages if line.endswith(": 6 spans dropped: queue_full")]
            assert len(caplog.messages) == 1

    async def test_one_of_several_is_too_large(self, protocol: Protocol) -> None:
        """Of spans that are offered together only the one that is too large is lost."""
        async with sending(protocol) as run:
            assert not run.sender.offer([span(0), bytes(5_000_000), span(1)])
            await run.arrived(2)
        assert run.observer.drops == {"too_large": 1}

    async def test_too_large(self, protocol: Protocol) -> None:
        """A span that is too large for any receiver is not queued."""
        async with sending(protocol) as run:
            assert not run.sender.offer([bytes(5_000_000)])
        assert run.observer.drops == {"too_large": 1}

    async def test_internal_error(self, protocol: Protocol) -> None:
        """A batch that causes an internal error is dropped and counted, and the next batch is sent."""

        class Broken:
            tries = 0

            def wrap(self, spans: object) -> bytes:
                Broken.tries += 1
                if Broken.tries == 1:
                    raise ZeroDivisionError
                return SpanEnvelope().wrap(spans)  # type: ignore[arg-type]  # what the sender gives it

            size = 0

        async with sending(protocol, batch=BatchConfig(delay=0.01, max_items=10)) as run:
            run.sender._envelope = Broken()  # type: ignore[assignment]  # as above
            run.offer(20)
            await eventually(lambda: run.observer.items["delivered"] == 10)
        assert run.observer.drops == {"internal_error": 10}


HTTP: Protocol = "http/protobuf"


@pytest.mark.parametrize("status", [429, 502, 503, 504])
async def test_http_retryable(status: int) -> None:
    """The statuses that the protocol calls retryable are retried."""
    async with sending(HTTP) as run:
        run.receiver.answers.append(HttpAnswer(status))
        run.offer(1)
        await run.arrived(1)
    assert run.observer.reasons == {f"http_{status}": 1}


@pytest.mark.parametrize(
    ("status", "reason"),
    [
        (304, "http_3xx"),
        (400, "http_400"),
        (404, "http_404"),
        (413, "http_413"),
        (418, "http_4xx"),
        (500, "http_500"),
        (501, "http_5xx"),
    ],
)
async def test_http_not_retryable(status: int, reason: str) -> None:
    """All other statuses are permanent failures, under one of a few reasons."""
    async with sending(HTTP) as run:
        run.receiver.answers.append(HttpAnswer(status, {"location": "/elsewhere"}))
        run.offer(1)
        await eventually(lambda: run.observer.drops == {reason: 1})
    assert len(run.receiver.attempts) == 1


@pytest.mark.parametrize("status", [307, 308])
@pytest.mark.parametrize("location", ["/other/traces?a=b", "http://127.0.0.1:{port}/other/traces?a=b"])
async def test_a_redirect_of_the_same_server(status: int, location: str) -> None:
    """A redirect to the same server is followed with method, headers and body."""
    async with sending(HTTP, headers=(("api-key", "secret"),)) as run:
        run.receiver.answers.append(HttpAnswer(status, {"location": location.format(port=run.site.listener.port)}))
        run.offer(3)
        await run.arrived(3)
        (request,) = run.receiver.requests
        assert (request.headers[":path"], request.headers["api-key"]) == ("/other/traces?a=b", "secret")
        assert run.observer.attempts == {"delivered": 1}
        run.offer(3, 4)
        await run.arrived(4)
        assert run.receiver.requests[-1].headers[":path"] == "/v1/traces"


@pytest.mark.parametrize(
    ("statuses", "location", "named", "failures"),
    [
        ([307], "https://user:secret@other.example/v1/traces?token=secret", "https://other.example/v1/traces", 2),
        ([302], "/login", "elsewhere", 2),
        ([307, 307], "/again", "elsewhere", 2),
        ([308], "http://[", "elsewhere", 2),
        ([307], "", "elsewhere", 1),
    ],
)
async def test_other_redirects(statuses: list[int], location: str, named: str, failures: int, caplog: pytest.LogCaptureFixture) -> None:
    """A redirect to another server or to another redirect is not followed, costs no span, and the log names where it leads."""
    async with sending(HTTP) as run:
        run.receiver.answers += [HttpAnswer(status, {"location": location}) for status in [*statuses, *statuses]]
        run.offer(1)
        await run.arrived(1)
        assert run.observer.reasons == {"redirect": failures}
    assert run.observer.drops == {}
    assert f"the receiver redirects to {named}; set the endpoint" in caplog.text
    assert "secret" not in caplog.text
    assert "internal error" not in caplog.text


async def test_http_retry_after() -> None:
    """The next attempt waits as long as the receiver asks for."""
    async with sending(HTTP) as run:
        run.receiver.answers.append(HttpAnswer(429, {"retry-after": "30"}))
        run.offer(1)
        await run.arrived(1)
    first, second = run.receiver.attempts
    assert second - first >= 0.29


async def test_http_error_text(caplog: pytest.LogCaptureFixture) -> None:
    """The receiver's reason for a permanent failure is in the log."""
    body = Status(code=3, message="spans without service").SerializeToString()
    async with sending(HTTP) as run:
        run.receiver.answers.append(HttpAnswer(400, {"content-type": "application/x-protobuf"}, body))
        run.offer(1)
        await eventually(lambda: run.observer.items["dropped"])
    assert "spans without service" in caplog.text


@pytest.mark.parametrize("code", ["CANCELLED", "DEADLINE_EXCEEDED", "ABORTED", "OUT_OF_RANGE", "UNAVAILABLE", "DATA_LOSS"])
async def test_grpc_retryable(code: str) -> None:
    """The codes that the protocol calls retryable are retried."""
    async with sending("grpc") as run:
        run.receiver.answers.append(GrpcAnswer(grpc.StatusCode[code]))
        run.offer(1)
        await run.arrived(1)
    assert run.observer.reasons == {f"grpc_{code.lower()}": 1}


@pytest.mark.parametrize("code", ["UNKNOWN", "INVALID_ARGUMENT", "UNAUTHENTICATED", "UNIMPLEMENTED", "INTERNAL", "RESOURCE_EXHAUSTED"])
async def test_grpc_not_retryable(code: str) -> None:
    """All other codes are permanent failures, including RESOURCE_EXHAUSTED without RetryInfo."""
    async with sending("grpc") as run:
        run.receiver.answers.append(GrpcAnswer(grpc.StatusCode[code]))
        run.offer(1)
        await eventually(lambda: run.observer.drops == {f"grpc_{code.lower()}": 1})
    assert len(run.receiver.attempts) == 1


async def test_grpc_exhausted_for_now() -> None:
    """RESOURCE_EXHAUSTED with RetryInfo is retried after its delay."""
    async with sending("grpc", backoff=BackoffConfig(time_scale=1.0, initial=0.001)) as run:
        run.receiver.answers.append(GrpcAnswer(grpc.StatusCode.RESOURCE_EXHAUSTED, retry_after=0.3))
        run.offer(1)
        await run.arrived(1)
    first, second = run.receiver.attempts
    assert second - first >= 0.29


@both_protocols
class TestStop:
    async def test_flushes(self, protocol: Protocol) -> None:
        """Spans that wait for their batch are sent at once when the sender stops."""
        async with sending(protocol, batch=BatchConfig(delay=60.0)) as run:
            run.offer(1000)
            await run.sender.stop()
            assert run.receiver.spans() == names(1000)
        assert run.observer.items == {"delivered": 1000}

    @pytest.mark.alone(waits=True)
    @pytest.mark.parametrize("fault", ["refused", "black_hole", "busy"])
    async def test_dead_receiver(self, protocol: Protocol, fault: str) -> None:
        """A stop ends within its time whatever the receiver does, and counts what is lost."""
        async with sending(protocol) as run:
            await _break(run, fault)
            run.offer(1000)
            await eventually(lambda: run.receiver.attempts or run.observer.attempts["failed"])
            started = time.monotonic()
            await run.sender.stop(within=0.4)
            took = time.monotonic() - started
        assert took < seconds(1.4)
        assert run.observer.drops == {"stopped": 1000}
        assert not run.receiver.requests

    async def test_last_chance(self, protocol: Protocol) -> None:
        """The stop ends a pause, and a receiver that works again gets everything."""
        async with sending(protocol, backoff=BackoffConfig(initial=1000.0, maximum=1000.0)) as run:
            run.receiver.answer = BUSY[protocol]
            run.offer(100)
            await run.failed()
            run.receiver.answer = None
            await run.sender.stop(within=seconds(5.0))
            assert run.receiver.spans() == names(100)

    async def test_offers_after(self, protocol: Protocol) -> None:
        """Spans that are offered after the stop are counted as lost."""
        async with sending(protocol) as run:
            await run.sender.stop()
            assert not run.sender.offer([span(1)])
        assert run.observer.drops == {"stopped": 1}

    async def test_never_started(self, protocol: Protocol) -> None:
        """A sender that was never started can be stopped."""
        observer = RecordingObserver()
        sender = sender_to(Target("traces", protocol, "127.0.0.1:9"), observer)
        assert sender.offer([span(1)])
        await sender.stop(within=0.1)
        assert observer.drops == {"stopped": 1}


async def _break(run: Sending, fault: str) -> None:
    if fault == "refused":
        await run.site.listener.shut()
    elif fault == "black_hole":
        run.site.listener.spoil("black_hole")
    else:
        run.receiver.answer = BUSY[run.site.protocol]


@both_protocols
class TestDisk:
    async def test_next_process(self, protocol: Protocol, tmp_path: Path) -> None:
        """Undelivered spans are on disk after the stop, and the next sender sends them first, once."""
        async with sending(protocol, disk=DiskQueueConfig(tmp_path)) as run:
            await _break(run, "refused")
            run.offer(1000)
            started = time.monotonic()
            await run.sender.stop(within=seconds(10.0))
            assert time.monotonic() - started < seconds(5.0)
        assert run.observer.items == {}
        async with sending(protocol, disk=DiskQueueConfig(tmp_path)) as run:
            run.offer(1000, 1100)
            await run.arrived(1100)
            await run.sender.stop()  # with time enough to remove what is delivered from a disk that is busy
        assert run.observer.items == {"delivered": 1100}
        assert segments(tmp_path) == []

    async def test_more_than_memory(self, protocol: Protocol, tmp_path: Path) -> None:
        """The disk holds more spans than memory, in order."""
        disk = DiskQueueConfig(tmp_path, flush_interval=0.001)
        async with sending(protocol, disk=disk, limits=QueueLimits(max_size=100 * (ENTRY_OVERHEAD + 10))) as run:
            run.receiver.answer = BUSY[protocol]
            for start in range(0, 1000, 50):
                run.offer(start, start + 50)
                await eventually(lambda: run.sender._queue._memory_items == 0)
            run.receiver.answer = None
            await run.arrived(1000)
        assert run.observer.items == {"delivered": 1000}

    async def test_another_process(self, protocol: Protocol, tmp_path: Path) -> None:
        """A directory in use by another process is not touched; spans queue in memory until it is free."""
        disk = DiskQueueConfig(tmp_path, retry_delay=0.01)
        async with sending(protocol, disk=disk) as first:
            first.offer(10)
            await first.arrived(10)
            async with sending(protocol, disk=disk) as second:
                second.offer(10)
                await second.arrived(10)
                assert second.observer.disk_failures
                await first.sender.stop()
                second.offer(10, 20)
                await second.arrived(20)
                await eventually(lambda: second.sender._queue.durable)


FAR = {"retry-after": "Fri, 01 Jan 99999999999 00:00:00 GMT"}
LOGIN = HttpAnswer(200, {"content-type": "text/html"}, b"<html>sign in</html>")


async def test_an_impossible_pause_loses_nothing() -> None:
    """A Retry-After far beyond the calendar delays nothing and loses no span."""
    async with sending(HTTP) as run:
        run.receiver.answers.append(HttpAnswer(503, FAR))
        run.offer(15)
        await run.arrived(15)
    assert run.observer.items == {"delivered": 15}
    assert run.observer.reasons == {"http_503": 1}


async def test_an_error_of_ours_is_retried(caplog: pytest.LogCaptureFixture) -> None:
    """An internal error while a request is sent loses no span: the request is sent again, and the log names the error as ours."""
    async with sending(HTTP) as run:
        send, failures = run.sender._retry_sender._transport.send, iter(range(3))

        async def fail_first(body: bytes) -> ExportResult:
            result = await send(body)
            return result if next(failures, None) is None else 1 // 0  # type: ignore[return-value]  # it raises

        run.sender._retry_sender._transport.send = fail_first  # type: ignore[method-assign]  # an error of ours has no other cause
        run.receiver.answers += [HttpAnswer(503)] * 3
        run.offer(15)
        await run.arrived(15)
    assert run.observer.items == {"delivered": 15}
    assert run.observer.attempts == {"failed": 3, "delivered": 1}
    assert "internal error; request with 15 spans" in caplog.text


async def test_a_request_that_always_causes_an_error() -> None:
    """A request that causes an internal error every time is dropped in the end, and the next one is sent."""
    async with sending(HTTP, batch=BatchConfig(delay=0.01, max_items=10)) as run:
        send = run.sender._retry_sender._transport.send

        async def fail_at(body: bytes) -> ExportResult:
            return 1 // 0 if b"bad" in body else await send(body)  # type: ignore[return-value]  # it raises

        run.sender._retry_sender._transport.send = fail_at  # type: ignore[method-assign]  # as above
        assert run.sender.offer([Span(name="bad").SerializeToString()] * 10)
        run.offer(10)
        await run.arrived(10)
    assert run.observer.drops == {"internal_error": 10}
    assert run.observer.reasons == {"internal_error": MAX_INTERNAL_ERRORS}


class TestLongRequests:
    """A backlog of 4,000 spans of 1 kB behind a batch size of 10."""

    grows = BatchConfig(delay=0.01, max_items=10, grows=True)

    @asynccontextmanager
    async def backlog(self, *answers: HttpAnswer) -> AsyncIterator[Sending]:
        async with sending(HTTP, batch=self.grows) as run:
            run.receiver.answer = HttpAnswer(503)
            for number in range(4000):
                assert run.sender.offer([span(number, size=1000)])
            await run.failed()
            run.receiver.answer = None
            run.receiver.answers += answers
            yield run

    async def test_grow_with_the_backlog(self) -> None:
        """Each delivered request allows one twice as long, up to 4 MB, and all spans arrive in order."""
        async with self.backlog() as run:
            await run.arrived(4000)
        sizes = [len(request.names()) for request in run.receiver.requests]
        assert sizes[:6] == [10, 20, 40, 80, 160, 320]
        assert len(sizes) < 12
        assert max(request.size for request in run.receiver.requests) <= 4_000_000

    async def test_a_refusal(self, caplog: pytest.LogCaptureFixture) -> None:
        """A long request that the receiver refuses is sent again in short ones, so that nothing is lost."""
        async with self.backlog() as run:
            await eventually(lambda: len(run.receiver.requests) >= 2)
            run.receiver.answers.append(HttpAnswer(413))
            await run.arrived(4000)
        assert run.observer.drops == {}
        assert run.observer.attempts["refused"] == 1
        assert [len(request.names()) for request in run.receiver.requests].count(10) == 2
        assert "spans are sent again in smaller requests" in caplog.text


async def test_a_login_page(caplog: pytest.LogCaptureFixture) -> None:
    """Accepted requests that no collector answered are counted each, and named once in the log."""
    async with sending(HTTP, batch=BatchConfig(delay=0.01, max_items=5)) as run:
        run.receiver.answer = LOGIN
        run.offer(20)
        await eventually(lambda: run.observer.items["delivered"] == 20)
    assert run.observer.foreign_answers == 4
    assert caplog.text.count("its answer is no OTLP response: 20 bytes with the content type 'text/html'") == 1


async def test_partial_success_in_json() -> None:
    """Rejected spans in a response in JSON are counted."""
    async with sending(HTTP) as run:
        run.receiver.answer = HttpAnswer(
            200, {"content-type": "application/json"}, b'{"partialSuccess": {"rejectedSpans": "2", "errorMessage": "old"}}'
        )
        run.offer(5)
        await eventually(lambda: run.observer.items["delivered"] == 3)
    assert run.observer.items == {"delivered": 3, "rejected": 2}


def test_on_uvloop() -> None:
    """Both transports work on the daemon's event loop."""

    async def deliver(protocol: Protocol) -> None:
        async with sending(protocol) as run:
            run.offer(1000)
            await run.arrived(1000)

    for protocol in PROTOCOLS:
        uvloop.run(deliver(protocol))
