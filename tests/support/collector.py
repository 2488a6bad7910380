"""The OpenTelemetry Collector with the configuration that compose ships, and Jaeger, which can be asked for the spans it got."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from exporter.exporters.otlp.target import Protocol
from tests.support.compose import Network
from tests.support.daemon import http_client
from tests.support.peers import require
from tests.support.server_process import server_process

# What the programs log once they listen; on port 0 only the log knows where.
_LISTENS: dict[Protocol, str] = {
    "grpc": r'Starting GRPC server.*"endpoint": "([\d.:]+)"',
    "http/protobuf": r'Starting HTTP server.*"endpoint": "([\d.:]+)"',
}
_ANSWERS = r'Query server started.*"http_addr": "([\d.:]+)"'
_ANY_PORT = "127.0.0.1:0"
_JAEGER = {
    "service": {
        "extensions": ["jaeger_storage", "jaeger_query"],
        "pipelines": {"traces": {"receivers": ["otlp"], "exporters": ["jaeger_storage_exporter"]}},
        "telemetry": {"metrics": {"level": "none"}},
    },
    "extensions": {
        "jaeger_storage": {"backends": {"memory": {"memory": {"max_traces": 10_000}}}},
        "jaeger_query": {"storage": {"traces": "memory"}, "http": {"endpoint": _ANY_PORT}, "grpc": {"endpoint": _ANY_PORT}},
    },
    "receivers": {"otlp": {"protocols": {"grpc": {"endpoint": _ANY_PORT}}}},
    "exporters": {"jaeger_storage_exporter": {"trace_storage": "memory"}},
}


@asynccontextmanager
async def collector(directory: Path, behind: str) -> AsyncIterator[dict[Protocol, str]]:
    """The collector that compose runs, on free ports and before another trace store; gives its address for each protocol."""
    command = Network({"tempo:4317": behind}).command("collector", directory)
    async with server_process("collector", [require("otelcol"), *command], directory) as server:
        yield {protocol: await server.logged(listens) for protocol, listens in _LISTENS.items()}


@dataclass(frozen=True)
class Jaeger:
    """A running server."""

    otlp: str
    url: str

    async def spans(self, trace_id: str) -> dict[str, dict[str, Any]]:
        """The spans of a trace, by id."""
        async with http_client() as http:
            answer = await http.get(f"{self.url}/api/traces/{trace_id}")
        return {span["spanID"]: span for trace in answer.json()["data"] or [] for span in trace["spans"]}

    async def services(self) -> list[str]:
        """The services whose spans it has."""
        async with http_client() as http:
            found: list[str] = (await http.get(f"{self.url}/api/services")).json()["data"] or []
        return found


@asynccontextmanager
async def jaeger(directory: Path) -> AsyncIterator[Jaeger]:
    """A Jaeger that keeps spans in memory."""
    file = directory / "jaeger.yaml"
    file.write_text(yaml.safe_dump(_JAEGER), encoding="utf-8")
    async with server_process("jaeger", [require("jaeger"), "--config", str(file)], directory) as server:
        yield Jaeger(await server.logged(_LISTENS["grpc"]), f"http://{await server.logged(_ANSWERS)}")
