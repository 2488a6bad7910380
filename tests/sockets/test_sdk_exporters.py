"""Exporters of other packages: fed as OpenTelemetry's SDK feeds them, in a thread, with our queue, retries and counts."""

import asyncio
import gzip
import json
import threading
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.sdk.metrics import Counter
from opentelemetry.sdk.metrics.export import AggregationTemporality, MetricExporter, MetricExportResult, MetricsData
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from exporter.daemon.export_context import ExportContext
from exporter.daemon.sdk_exporter import NOT_CREATED, SdkExporter
from exporter.exporters.sdk import transport
from exporter.exporters.sdk.transport import MAX_FAILURES
from exporter.metrics.self_metrics import SelfMetrics
from exporter.metrics.snapshot import HistogramPoint
from exporter.metrics.store import Store
from tests.support.daemon import ServingProgram, call, daemon_process, send_all
from tests.support.http_proxy import copy_stream
from tests.support.otlp_daemon import QUICK, otel, spans_of
from tests.support.otlp_receiver import Site, otlp_receiver
from tests.support.small_snapshot import SMALL
from tests.support.waiting import eventually

FRAMES = [
    {"type": "session.started", "agent_session_id": "as-1", "agent_id": "agent-1"},
    {"type": "turn.metrics", "turn_number": 1, "user_perceived_ms": 500, "llm_ttft_ms": 300, "llm_model": "gpt-4.1"},
    {"type": "session.ended", "reason": "hangup"},
]
SPANS = ["agent_speech", "chat gpt-4.1", "invoke_agent agent-1", "session"]
NOW = {"OTEL_BSP_SCHEDULE_DELAY": "20", "OTEL_METRIC_EXPORT_INTERVAL": "200"}


class Sink(SpanExporter):
    """An exporter that does what it is told, and keeps the rest."""

    def __init__(self) -> None:
        self.results: list[SpanExportResult | Exception | None] = []
        self.names: list[str] = []
        self.threads: set[str] = set()
        self.free = threading.Event()
        self.free.set()
        self.ended: list[str] = []

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        self.threads.add(threading.current_thread().name)
        self.free.wait(30)
        result = self.results.pop(0) if self.results else SpanExportResult.SUCCESS
        if isinstance(result, Exception):
            raise result
        if result is not SpanExportResult.FAILURE:
            self.names += [span.name for span in spans]
        return result  # type: ignore[return-value]  # some exporters return nothing

    def force_flush(self, timeout_millis: int = 30000) -> bool:
        self.ended.append("flush")
        return True

    def shutdown(self) -> None:
        self.ended.append("shutdown")


class DeltaSink(MetricExporter):
    """A metric exporter that wants deltas."""

    def __init__(self) -> None:
        super().__init__(preferred_temporality={Counter: AggregationTemporality.DELTA})
        self.data: list[MetricsData] = []

    def export(self, metrics_data: MetricsData, timeout_millis: float = 10_000, **kwargs: Any) -> MetricExportResult:
        self.data.append(metrics_data)
        return MetricExportResult.SUCCESS

    def force_flush(self, timeout_millis: float = 10_000) -> bool:
        return True

    def shutdown(self, timeout_millis: float = 30_000, **kwargs: Any) -> None:
        pass


class Counted:
    """An exporter of ours around ``create``, and what it has counted."""

    def __init__(self, signal: Any, create: Any, **variables: str) -> None:
        store = Store(1000)
        metrics = SelfMetrics(store, 0.0)
        context = ExportContext(otel(NOW | variables), {"service.name": "desk"}, metrics, lambda: SMALL, QUICK)
        self.exporter = SdkExporter("mine", signal, create, context)
        self._store = store

    def count(self, name: str, *labels: str) -> float:
        """One of the exporter's own metrics about the exporter."""
        for family in self._store.snapshot(0.0).families:
            if family.spec.otel_name == f"agentstack.exporter.{name}":
                values = [series.value for series in family.series if set(labels) <= set(series.labels)]
                return sum(value for value in values if not isinstance(value, HistogramPoint))
        raise KeyError(name)

    def offer(self, *names: str) -> None:
        """Offer spans by name."""
        for name in names:
            self.exporter.offer([b"\x2a" + bytes([len(name)]) + name.encode()])


@asynccontextmanager
async def running(sink: Any, signal: Any = "traces", **variables: str) -> AsyncIterator[Counted]:
    counted = Counted(signal, lambda: sink, **variables)
    counted.exporter.start()
    try:
        yield counted
    finally:
        await counted.exporter.stop()


async def test_failures_are_retried() -> None:
    """FAILURE and an exception are counted and retried, in order, and nothing is lost; what returns nothing counts as delivered."""
    sink = Sink()
    sink.results = [SpanExportResult.FAILURE, OSError("no route"), SpanExportResult.SUCCESS, None]
    async with running(sink) as counted:
        counted.offer("a", "b")
        await eventually(lambda: sink.names == ["a", "b"])
        counted.offer("c")
        await eventually(lambda: counted.count("sdk_items", "delivered") == 3)
        assert counted.count("sdk_attempts", "failed") == 2
        assert (counted.count("sdk_failures", "failure"), counted.count("sdk_failures", "exception")) == (1, 1)
        await eventually(lambda: counted.count("sdk_queue_items") == 0)
    assert sink.names == ["a", "b", "c"]
    assert sink.threads == {"otel-mine-traces"}
    assert sink.ended == ["flush", "shutdown"]


async def test_an_exporter_that_blocks() -> None:
    """While an exporter blocks, the event loop goes on, spans wait in the queue, and what does not fit is counted as dropped."""
    sink = Sink()
    sink.free.clear()
    async with running(sink, OTEL_BSP_MAX_QUEUE_SIZE="4") as counted:
        counted.offer("a")
        await eventually(lambda: sink.threads)
        turns = 0
        for _ in range(100):
            await asyncio.sleep(0)
            turns += 1
        counted.offer("b", "c", "d", "e", "f")
        assert (turns, counted.count("sdk_queue_items")) == (100, 4)
        assert counted.count("sdk_dropped", "queue_full") == 2
        sink.free.set()
        await eventually(lambda: sink.names == ["a", "b", "c", "d"])


async def test_what_is_never_taken(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """A request that an exporter refuses again and again is dropped and counted in the end, and later ones are delivered."""
    monkeypatch.setattr(transport, "MAX_FAILURES", 3)
    sink = Sink()
    sink.results = [SpanExportResult.FAILURE] * 3
    async with running(sink) as counted:
        counted.offer("poison")
        await eventually(lambda: counted.count("sdk_dropped", "failure") == 1)
        counted.offer("b")
        await eventually(lambda: sink.names == ["b"])
    assert "it returned FAILURE, for the 3th time; 1 spans dropped" in caplog.text
    assert MAX_FAILURES == 60


async def test_one_that_cannot_be_created(caplog: pytest.LogCaptureFixture) -> None:
    """The spans for an exporter that cannot be created are counted as dropped, and the log says why."""

    def create() -> None:
        raise ValueError("no connection string")

    counted = Counted("traces", create)
    counted.exporter.start()
    counted.offer("a", "b")
    await counted.exporter.stop()
    assert counted.count("sdk_dropped", NOT_CREATED) == 2
    assert "the exporter mine cannot be created, nothing is sent there: ValueError: no connection string" in caplog.text


async def test_temporality() -> None:
    """A metric exporter that prefers deltas gets them; the first is the whole."""
    sink = DeltaSink()
    async with running(sink, "metrics") as counted:
        await eventually(lambda: counted.count("sdk_items", "metrics", "delivered") >= 4)
    metrics = {metric.name: metric.data for metric in sink.data[0].resource_metrics[0].scope_metrics[0].metrics}
    assert metrics["agentstack.turns"].aggregation_temporality is AggregationTemporality.DELTA  # type: ignore[union-attr]
    later = [metric.name for data in sink.data[1:] for metric in data.resource_metrics[0].scope_metrics[0].metrics]
    assert set(later) <= {"agentstack.sessions.active"}


async def _serve_azure(requests: list[Any], reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Azure Monitor's ingestion, as far as its exporter needs it."""
    try:
        while True:
            head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
            length = int(head.split("content-length: ")[1].split("\r\n")[0])
            body = await reader.readexactly(length)
            body = gzip.decompress(body) if "content-encoding: gzip" in head else body
            items = json.loads(body)
            requests.extend(items)
            answer = json.dumps({"itemsReceived": len(items), "itemsAccepted": len(items), "errors": []}).encode()
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b" % (len(answer), answer))
    except asyncio.IncompleteReadError:
        pass
    finally:
        writer.close()


async def _by_first_bytes(http: Site, grpc: Site, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Pass a connection on to a receiver of its protocol: gRPC begins with ``PRI``."""
    first = await reader.readexactly(3)
    site = grpc if first == b"PRI" else http
    far_reader, far_writer = await asyncio.open_connection("127.0.0.1", site.listener.port)
    far_writer.write(first)
    ways = [asyncio.ensure_future(copy_stream(reader, far_writer)), asyncio.ensure_future(copy_stream(far_reader, writer))]
    await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
    for way in ways:
        way.cancel()
    far_writer.close()
    writer.close()


@asynccontextmanager
async def listening(serve: Any) -> AsyncIterator[int]:
    server = await asyncio.start_server(serve, "127.0.0.1", 0, limit=1 << 22)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


def printed(daemon: ServingProgram) -> list[Any]:
    """What the console exporters have printed: JSON objects, one after the other."""
    decoder, text, found = json.JSONDecoder(), daemon.output.strip(), []
    while text:
        item, end = decoder.raw_decode(text)
        found.append(item)
        text = text[end:].strip()
    return found


async def test_real_exporters(tmp_path: Path) -> None:
    """Console, both of OpenTelemetry's OTLP exporters and Azure Monitor's get the spans and metrics that our own sender gets."""
    azure: list[Any] = []
    names = "otlp,console,otlp_proto_http,otlp_proto_grpc,azure_monitor_opentelemetry_exporter"
    async with AsyncExitStack() as stack:
        http = await stack.enter_async_context(otlp_receiver("http/protobuf"))
        grpc = await stack.enter_async_context(otlp_receiver("grpc"))
        port = await stack.enter_async_context(listening(lambda *ends: _by_first_bytes(http, grpc, *ends)))
        ingestion = await stack.enter_async_context(listening(lambda *ends: _serve_azure(azure, *ends)))
        variables = {
            "OTEL_TRACES_EXPORTER": names,
            "OTEL_METRICS_EXPORTER": names,
            "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{port}",
            "OTEL_RESOURCE_ATTRIBUTES": "team=voice",
            "APPLICATIONINSIGHTS_CONNECTION_STRING": (
                f"InstrumentationKey=00000000-0000-0000-0000-000000000000;IngestionEndpoint=http://127.0.0.1:{ingestion}/"
            ),
            "APPLICATIONINSIGHTS_STATSBEAT_DISABLED_ALL": "true",
            "APPLICATIONINSIGHTS_CONTROLPLANE_DISABLED": "true",
            "TMPDIR": str(tmp_path),
            **NOW,
        }
        async with daemon_process(tmp_path, env=variables) as daemon, call(daemon.endpoints.ws) as socket:
            await send_all(socket, FRAMES)
            await eventually(lambda: [len(spans_of(site.receiver)) for site in (http, grpc)] == [8, 4], within=20)
            await eventually(lambda: [span["name"] for span in printed(daemon) if "name" in span][3:], within=20)
            await eventually(lambda: {item["data"]["baseType"] for item in azure} > {"RemoteDependencyData", "MetricData"}, within=20)
            await daemon.endpoints.reaches("agentstack_exporter_sdk_items_total", 16, signal="traces", outcome="delivered")
            samples = await daemon.endpoints.scrape()
            log, shown = daemon.log, printed(daemon)
    assert sorted(span.name for span in spans_of(grpc.receiver)) == SPANS
    assert sorted(span.name for span in spans_of(http.receiver)) == sorted([*SPANS, *SPANS])
    assert sorted(item["name"] for item in shown if "name" in item) == SPANS
    assert [item["resource"]["attributes"]["team"] for item in shown if "name" in item] == ["voice"] * 4
    assert any(
        metric["name"] == "agentstack.turns"
        for item in shown
        for resource in item.get("resource_metrics", ())
        for scope in resource["scope_metrics"]
        for metric in scope["metrics"]
    )
    assert {request.signal for request in grpc.receiver.requests} == {"traces", "metrics"}
    assert "chat gpt-4.1" in {item["data"]["baseData"].get("name") for item in azure}
    assert sum(value for (name, _), value in samples.items() if name == "agentstack_exporter_sdk_failures_total") == 0, log
    errors = [line for line in log.splitlines() if " error " in line and "Failed to derive Resource from Tracer Provider" not in line]
    assert errors == []


async def test_what_is_missing_is_said(tmp_path: Path) -> None:
    """A name that no package has is warned of at the start, and the other exporters work."""
    async with (
        daemon_process(tmp_path, env={"OTEL_TRACES_EXPORTER": "zipkin,console", **NOW}) as daemon,
        call(daemon.endpoints.ws) as socket,
    ):
        await send_all(socket, FRAMES)
        await eventually(lambda: len(printed(daemon)) == len(SPANS), within=20)
        assert "OTEL_TRACES_EXPORTER: no installed package has the exporter 'zipkin'" in daemon.log
