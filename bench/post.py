"""Processor time of a request to a collector: the exporter's transport, against a bare connection and another client library."""

import os
import time
from collections.abc import Awaitable, Callable
from statistics import median

import httpx
import uvloop

from bench.bare_connection import BareTransport
from bench.delivered import receiver
from bench.report import table
from exporter.exporters.otlp.sender import create_transport
from exporter.exporters.otlp.target import Target

SIZES = (1_000, 230_000, 4_000_000)
"""Sizes of a request in bytes. 512 spans take about the second one, and no request is longer than the last."""
_BYTES = 100_000_000
"""The most that is sent in a round."""
Post = Callable[[bytes], Awaitable[object]]


async def _cost(post: Post, body: bytes, requests: int) -> float:
    """Processor time of a request in this process, in microseconds. The receiver runs in its own process."""
    await post(body)
    begun = time.process_time()
    for _ in range(requests):
        await post(body)
    return (time.process_time() - begun) / requests * 1e6


async def _compare(url: str, rounds: int, requests: int) -> list[tuple[str, ...]]:
    target = Target("traces", "http/protobuf", url)
    ours, bare = create_transport(target), BareTransport(target)
    lines: list[tuple[str, ...]] = []
    async with httpx.AsyncClient() as client:
        rivals: dict[str, Post] = {"ours": ours.send, "bare": bare.send, "httpx": lambda body: client.post(url, content=body)}
        for size in SIZES:
            body = os.urandom(size)
            costs: dict[str, list[float]] = {name: [] for name in rivals}
            for _ in range(rounds):
                for name, post in rivals.items():
                    costs[name].append(await _cost(post, body, max(10, min(requests, _BYTES // size))))
            lines.append((f"{size:,} B", *_row(costs)))
    await bare.close()
    await ours.close()
    return lines


def _row(costs: dict[str, list[float]]) -> tuple[str, ...]:
    def against(name: str) -> str:
        ratio = median(other / own for own, other in zip(costs["ours"], costs[name], strict=True))
        return f"{median(costs[name]):.0f} µs = {ratio:.2f} × ours"

    return f"**{median(costs['ours']):.0f} µs**", against("bare"), against("httpx")


def run(*, quick: bool) -> None:
    """Measure and print."""
    rounds, requests = (1, 50) if quick else (7, 300)
    with receiver() as url:
        lines = uvloop.run(_compare(f"{url}/v1/traces", rounds, requests))
    table(("a request of", "exporter", "a bare connection", "httpx"), lines)
