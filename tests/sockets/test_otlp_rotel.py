"""The daemon sends to a real collector, rotel, and what that passes on is what was made."""

from pathlib import Path

import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from exporter.exporters.otlp.target import Protocol
from tests.support.otlp_daemon import environment, exporting, spans_of
from tests.support.otlp_receiver import otlp_receiver
from tests.support.rotel import rotel
from tests.support.simulation import simulate, subdirectory
from tests.support.waiting import eventually


@pytest.mark.parametrize("protocol", ["grpc", "http/protobuf"])
async def test_a_real_collector(tmp_path: Path, protocol: Protocol) -> None:
    """Every span goes through a collector as it was made, and so do the metrics."""
    made: list[bytes] = []
    async with otlp_receiver("grpc") as behind, rotel(behind, tmp_path) as addresses:
        async with exporting(environment(addresses[protocol], protocol), watched=made) as running:
            await simulate(subdirectory(tmp_path, "calls"), running.endpoints, calls=10, profiles=["mixed", "s2s"], seed=9)
        await eventually(lambda: len(spans_of(behind.receiver)) == len(made), within=10)
        await eventually(lambda: any(request.signal == "metrics" for request in behind.receiver.requests))
    assert len(made) > 100
    assert sorted(map(str, spans_of(behind.receiver))) == sorted(str(Span.FromString(raw)) for raw in made)
