"""A collector that is away, busy or odd while calls go on: nothing is lost that fits, and what does not fit is counted."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import grpc
import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from exporter.exporters.otlp.target import Protocol
from tests.support.daemon import call, send_all
from tests.support.otlp_daemon import Exporting, address_of, by_session, environment, exporting, ids, spans_of
from tests.support.otlp_receiver import GrpcAnswer, HttpAnswer, Site, otlp_receiver
from tests.support.simulation import simulate, subdirectory
from tests.support.waiting import eventually

ATTEMPTS = 3
Break = Callable[[Site], Any]
PROTOCOLS: tuple[Protocol, ...] = ("grpc", "http/protobuf")


async def _refuse(site: Site) -> None:
    await site.listener.shut()


async def _busy(site: Site) -> None:
    unavailable = grpc.StatusCode.UNAVAILABLE
    site.receiver.answer = GrpcAnswer(unavailable) if site.protocol == "grpc" else HttpAnswer(503)


async def _throttle(site: Site) -> None:
    exhausted = grpc.StatusCode.RESOURCE_EXHAUSTED
    site.receiver.answer = GrpcAnswer(exhausted, 0.01) if site.protocol == "grpc" else HttpAnswer(429, {"retry-after": "1"})


async def _swallow(site: Site) -> None:
    site.listener.spoil("black_hole")


async def _reset(site: Site) -> None:
    site.listener.spoil("reset")


async def _drip(site: Site) -> None:
    site.listener.spoil("drip")


async def mend(site: Site) -> None:
    """Let everything work again."""
    site.receiver.answer = None
    if site.listener.fault != "none":  # it ends connections, and a request whose answer is lost is rightly sent again
        site.listener.spoil("none")
    if site.listener._server is None:
        await site.listener.open()


def settled(running: Exporting, made: list[bytes]) -> None:
    """Every span that was made is delivered, dropped or queued."""
    ends = [running.items("otlp_items_total", outcome) for outcome in ("delivered", "dropped", "rejected")]
    assert sum(ends) + running.queued() == len(made)


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("break_it", [_refuse, _busy, _throttle, _swallow, _reset, _drip])
async def test_no_span_is_lost(tmp_path: Path, protocol: Protocol, break_it: Break) -> None:
    """Calls go on through an outage and all their spans arrive after it, once and in the order in which they were made."""
    made: list[bytes] = []
    async with otlp_receiver(protocol) as site:
        timeout = "100" if break_it in (_drip, _swallow) else "10000"  # where answers come, none is too late on a busy machine
        variables = environment(address_of(site), protocol, OTEL_EXPORTER_OTLP_TIMEOUT=timeout, OTEL_METRICS_EXPORTER="none")
        async with exporting(variables, watched=made) as running:
            await simulate(subdirectory(tmp_path, "before"), running.endpoints, calls=2, profiles=["fast"], seed=1)
            # A request whose answer the outage takes away is rightly sent again, so none is under way when it begins.
            await eventually(lambda: spans_of(site.receiver) and not running.queued())
            await break_it(site)
            await simulate(subdirectory(tmp_path, "during"), running.endpoints, calls=5, profiles=["mixed"], seed=2)

            def attempted() -> bool:
                attempts = running.items("otlp_attempts_total", "failed")
                return attempts >= ATTEMPTS or (break_it is _drip and running.queued() > 0)

            await eventually(attempted, within=15)
            settled(running, made)
            assert running.queued() > 0
            await mend(site)
            await simulate(subdirectory(tmp_path, "after"), running.endpoints, calls=2, profiles=["fast"], seed=3)
            await eventually(lambda: not running.queued(), within=15)
            settled(running, made)
    found = spans_of(site.receiver)
    assert running.items("otlp_items_total", "dropped") == 0
    assert running.items("otlp_items_total", "delivered") == len(made)
    first: dict[bytes, Any] = {}
    for span in found:
        first.setdefault(span.SerializeToString(), span)
    assert [span.SerializeToString() for span in first.values()] == [canonical(raw) for raw in made]
    # Only where answers are lost can a request have been taken twice.
    assert len(first) == len(found) or break_it in (_drip, _swallow)
    assert len(by_session(found)) == len(by_session(first.values()))


def canonical(raw: bytes) -> bytes:
    """The span as protobuf itself writes it."""
    return Span.FromString(raw).SerializeToString()


async def test_what_does_not_fit_is_counted(tmp_path: Path) -> None:
    """Beyond OTEL_BSP_MAX_QUEUE_SIZE new spans are dropped and counted one by one; those that were first are delivered."""
    made: list[bytes] = []
    room = 100
    async with otlp_receiver("http/protobuf") as site:
        await _busy(site)
        variables = environment(address_of(site), "http/protobuf", OTEL_BSP_MAX_QUEUE_SIZE=str(room), OTEL_METRICS_EXPORTER="none")
        async with exporting(variables, watched=made) as running:
            await simulate(subdirectory(tmp_path, "calls"), running.endpoints, calls=10, profiles=["mixed"], seed=4)
            assert len(made) > 2 * room
            settled(running, made)
            assert running.queued() == room
            assert running.items("otlp_dropped_total", "queue_full") == running.items("otlp_items_total", "dropped") == len(made) - room
            await mend(site)
            await eventually(lambda: not running.queued())
        assert running.items("otlp_items_total", "delivered") == len(spans_of(site.receiver))
        assert [span.SerializeToString() for span in spans_of(site.receiver)][:room] == [canonical(raw) for raw in made[:room]]
        settled(running, made)


def _all_settled(running: Exporting, made: list[bytes], number: int) -> bool:
    return len(made) == number and not running.queued()


async def test_a_refusal_costs_one_request(tmp_path: Path) -> None:
    """What a collector refuses for good is counted under its status, and the next spans go out."""
    made: list[bytes] = []
    async with otlp_receiver("http/protobuf") as site:
        site.receiver.answers.append(HttpAnswer(400))
        async with exporting(environment(address_of(site), "http/protobuf", OTEL_METRICS_EXPORTER="none"), watched=made) as running:
            for number, session in enumerate(("one", "two"), 1):
                async with call(running.endpoints.ws) as socket:
                    started = {"type": "session.started", "agent_session_id": session}
                    await send_all(socket, [started, {"type": "turn.metrics", "turn_number": 1}, {"type": "session.ended"}])
                    await eventually(partial(_all_settled, running, made, 2 * number))
            lost = running.items("otlp_dropped_total", "http_400")
            settled(running, made)
    assert 0 < lost <= 2
    assert len(ids(spans_of(site.receiver))) == 4 - lost
