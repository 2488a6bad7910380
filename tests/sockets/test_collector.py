"""The exporter, the OpenTelemetry Collector as compose configures it, and Jaeger: spans arrive and can be asked for."""

import subprocess
from pathlib import Path

import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from exporter.exporters.otlp.target import Protocol
from tests.support.collector import collector, jaeger
from tests.support.compose import COMPOSE
from tests.support.otlp_daemon import environment, exporting, spans_of
from tests.support.otlp_receiver import otlp_receiver
from tests.support.peers import require
from tests.support.simulation import simulate, subdirectory
from tests.support.waiting import eventually


def test_the_collector_takes_its_configuration() -> None:
    """The collector finds no fault in the shipped file, and warns of nothing in it."""
    done = subprocess.run(
        [require("otelcol"), "validate", "--config", str(COMPOSE / "collector.yaml")], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


def text_of(span: Span) -> str:
    """A span to compare: a status of which nothing is said is the same as none, and the collector writes it."""
    if span.status == Status():
        span.ClearField("status")
    return str(span)


@pytest.mark.parametrize("protocol", ["grpc", "http/protobuf", "http/json"])
async def test_the_collector_takes_spans(tmp_path: Path, protocol: Protocol) -> None:
    """Every span goes through the shipped collector as it was made, over all protocols."""
    made: list[bytes] = []
    async with otlp_receiver("grpc") as behind, collector(tmp_path, behind.endpoint) as addresses:
        address = addresses["grpc" if protocol == "grpc" else "http/protobuf"]
        variables = environment(address, protocol, OTEL_METRICS_EXPORTER="none")
        async with exporting(variables, watched=made) as running:
            await simulate(subdirectory(tmp_path, "calls"), running.endpoints, calls=10, profiles=["mixed", "s2s"], seed=9)
        await eventually(lambda: len(spans_of(behind.receiver)) == len(made), within=10)
    assert len(made) > 100
    assert sorted(map(text_of, spans_of(behind.receiver))) == sorted(text_of(Span.FromString(raw)) for raw in made)


@pytest.mark.parametrize(
    ("protocol", "other", "advice"),
    [
        (
            "http/protobuf",
            "grpc",
            "and not HTTP/1.1: set OTEL_EXPORTER_OTLP_PROTOCOL=grpc",
        ),
        ("grpc", "http/protobuf", "and not gRPC: set OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf"),
    ],
)
async def test_the_wrong_port_is_told(
    tmp_path: Path, protocol: Protocol, other: Protocol, advice: str, caplog: pytest.LogCaptureFixture
) -> None:
    """With the port of the other protocol the first failure says which protocol the receiver speaks, and what to set."""
    async with otlp_receiver("grpc") as behind, collector(tmp_path, behind.endpoint) as addresses:
        variables = environment(addresses[other], protocol, OTEL_METRICS_EXPORTER="none")
        async with exporting(variables) as running:
            await simulate(subdirectory(tmp_path, "calls"), running.endpoints, calls=1, profiles=["fast"], seed=9)
            await eventually(lambda: running.items("otlp_attempts_total", "failed"), within=10)
    first = next(record for record in caplog.messages if "failed: " in record)
    assert first.startswith(f"export of traces to {'http://' if protocol != 'grpc' else ''}{addresses[other]} failed: ")
    assert advice in first


async def test_spans_can_be_asked_for(tmp_path: Path) -> None:
    """Jaeger, behind the shipped collector, answers with every span of a call by the call's trace id."""
    made: list[bytes] = []
    async with jaeger(tmp_path) as store, collector(tmp_path, store.otlp) as addresses:
        variables = environment(addresses["grpc"], "grpc", OTEL_METRICS_EXPORTER="none", OTEL_SERVICE_NAME="desk")
        async with exporting(variables, watched=made) as running:
            await simulate(subdirectory(tmp_path, "calls"), running.endpoints, calls=3, profiles=["mixed"], seed=9)
        traces: dict[str, dict[str, str]] = {}
        for span in map(Span.FromString, made):
            traces.setdefault(span.trace_id.hex(), {})[span.span_id.hex()] = span.name

        async def kept() -> bool:
            found = {trace: {key: span["operationName"] for key, span in (await store.spans(trace)).items()} for trace in traces}
            assert found == traces
            return True

        await eventually(kept, within=20, because="every span")
        assert await store.services() == ["desk"]
    assert len(traces) == 3


@pytest.mark.parametrize(("program", "arguments"), [("helm", ["version"]), ("sloth", ["version"])])
def test_it_runs(program: str, arguments: list[str]) -> None:
    """The program starts and says which version it is."""
    done = subprocess.run([require(program), *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
