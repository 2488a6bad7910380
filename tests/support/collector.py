"""The OpenTelemetry Collector with the configuration that compose ships, and Jaeger, which can be asked for the spans it got."""

import asyncio
import re
from asyncio.subprocess import DEVNULL
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from exporter.exporters.otlp.target import Protocol
from tests.support.daemon import http_client
from tests.support.house_rules import ROOT
from tests.support.peers import require
from tests.support.waiting import eventually

COLLECTOR = ROOT / "deploy" / "compose" / "collector.yaml"
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
    """The shipped collector with its addresses replaced: it takes spans on free ports, whose addresses are given by protocol."""
    config = yaml.safe_load(COLLECTOR.read_text(encoding="utf-8"))
    for settings in config["receivers"]["otlp"]["protocols"].values():
        settings["endpoint"] = _ANY_PORT
    [exporter] = config["exporters"].values()
    exporter["endpoint"] = behind
    async with _running("otelcol", directory, config) as log:
        yield {protocol: await _logged(log, listens) for protocol, listens in _LISTENS.items()}


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
    async with _running("jaeger", directory, _JAEGER) as log:
        yield Jaeger(await _logged(log, _LISTENS["grpc"]), f"http://{await _logged(log, _ANSWERS)}")


@asynccontextmanager
async def _running(name: str, directory: Path, config: Mapping[str, Any]) -> AsyncIterator[Path]:
    file, log = directory / f"{name}.yaml", directory / f"{name}.log"
    file.write_text(yaml.safe_dump(config), encoding="utf-8")
    with log.open("wb") as output:
        process = await asyncio.create_subprocess_exec(
            require(name), "--config", str(file), stdin=DEVNULL, stdout=output, stderr=output, cwd=directory
        )
    try:
        yield log
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def _logged(log: Path, pattern: str) -> str:
    def found() -> str:
        text = log.read_text(encoding="utf-8")
        match = re.search(pattern, text)
        assert match, text[-2000:]
        return match[1]

    return await eventually(found, within=20, because="the program to listen")
