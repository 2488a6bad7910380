"""A real Prometheus that scrapes exporters, on a free loopback port, with its files in a directory of the test's."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx

from tests.support.daemon import http_client
from tests.support.peers import Release, require
from tests.support.ports import free_port
from tests.support.server_process import ServerProcess, server_process
from tests.support.waiting import eventually

_CONFIG = """
global:
  scrape_interval: {interval}
  scrape_timeout: {interval}
  evaluation_interval: {interval}
scrape_configs:
"""
_JOB = """
  - job_name: {name}
    {native}
    static_configs:
      - targets: ["{target}"]
"""
_NATIVE: dict[Release, str] = {
    "oldest": "",
    "newest": "scrape_native_histograms: true\n    always_scrape_classic_histograms: true",
}
_FEATURES: dict[Release, str] = {"oldest": "native-histograms", "newest": "created-timestamp-zero-ingestion"}
"""What switches native histograms on. The oldest then takes no classic ones; the newest takes both, and start timestamps."""


@dataclass(frozen=True)
class Prometheus:
    """A running server."""

    url: str
    targets: int
    native: bool = False
    """Whether it takes native histograms."""

    async def api(self, path: str, **parameters: str) -> Any:
        """The data of an API answer."""
        async with http_client() as http:
            answer = await http.get(f"{self.url}/api/v1/{path}", params=parameters)
        content = answer.json()
        assert content["status"] == "success", content
        return content["data"]

    async def query(self, expression: str) -> dict[tuple[tuple[str, str], ...], float]:
        """The value of each series of an instant query, by labels."""
        found = await self.api("query", query=expression)
        return {tuple(sorted(series["metric"].items())): float(series["value"][1]) for series in found["result"]}

    async def single(self, expression: str) -> float:
        """The value of a query that gives one series."""
        found = await self.query(expression)
        assert len(found) == 1, found
        return next(iter(found.values()))

    async def up(self) -> None:
        """Wait until every target has been scraped, and fail with the reason if one cannot be."""

        async def scraped() -> bool:
            targets = (await self.api("targets"))["activeTargets"]
            return [target["lastError"] or target["health"] for target in targets] == ["up"] * self.targets

        await eventually(scraped, within=20, because="the targets to be up")

    async def reaches(self, expression: str, value: float) -> None:
        """Wait until a query gives ``value``."""

        async def there() -> bool:
            found = await self.query(expression)
            assert list(found.values()) == [value], found
            return True

        await eventually(there, within=20, because=expression)


@asynccontextmanager
async def prometheus(
    directory: Path,
    targets: dict[str, str],
    *,
    interval: str = "1s",
    more: str = "",
    release: Release = "oldest",
    native: bool = False,
) -> AsyncIterator[Prometheus]:
    """A Prometheus that scrapes each ``host:port`` as the job of its name; it does not outlive the block.

    With ``native`` it takes native histograms. ``more`` is added to its configuration. A scrape may take as long as ``interval``: on a
    busy machine one of a large exporter takes longer than the default, and until the next that succeeds its series are not there.

    It takes some seconds to begin with its targets: start it before whatever else takes time.
    """
    of_native = _NATIVE[release] if native else ""
    jobs = "".join(_JOB.format(name=name, target=target, native=of_native) for name, target in targets.items())
    (directory / "prometheus.yml").write_text(_CONFIG.format(interval=interval) + jobs + more, encoding="utf-8")
    arguments = [f"--config.file={directory / 'prometheus.yml'}", f"--storage.tsdb.path={directory / 'tsdb'}"]
    arguments.append("--enable-feature=exemplar-storage" + (f",{_FEATURES[release]}" if native else ""))
    async with prometheus_process(directory, arguments, targets=len(targets), release=release) as server:
        yield replace(server, native=native)


@asynccontextmanager
async def prometheus_process(
    directory: Path, arguments: list[str], *, targets: int, release: Release, address: str = ""
) -> AsyncIterator[Prometheus]:
    """A Prometheus with these arguments, on a free port, or at an address that others were told before."""
    address = address or f"127.0.0.1:{free_port()}"
    command = [require("prometheus", release), *arguments, f"--web.listen-address={address}"]
    async with server_process("prometheus", command, directory) as process:
        await eventually(lambda: _is_ready(f"http://{address}", process), within=30, because="Prometheus to be ready")
        yield Prometheus(f"http://{address}", targets)


async def _is_ready(url: str, server: ServerProcess) -> bool:
    if server.process.returncode is not None:
        raise RuntimeError(server.log.read_text(encoding="utf-8"))
    async with http_client() as http:
        try:
            return (await http.get(f"{url}/-/ready")).status_code == 200
        except httpx.TransportError:
            return False
