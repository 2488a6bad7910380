"""The real process with a collector: stopping it in time whatever that does, and killing it without losing what was taken on."""

import asyncio
import signal
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from exporter.exporters.otlp.sender.segment import Record, decode_records
from exporter.exporters.otlp.target import Protocol
from exporter.protocol.ids import root_span_id, trace_id, turn_span_id
from tests.support.daemon import Endpoints, ServingProgram, call, daemon_process, samples_of, send_all, total
from tests.support.otlp_daemon import address_of, attributes_of, environment, ids, kind_of, spans_of
from tests.support.otlp_receiver import otlp_receiver
from tests.support.simulation import subdirectory
from tests.support.waiting import eventually

PROTOCOLS: tuple[Protocol, ...] = ("grpc", "http/protobuf")
FLUSH, DRAIN, A_LITTLE = 12.0, 0.2, 3.0
QUEUED = "agentstack_exporter_otlp_queue_items"


def events(session: str, turns: Iterable[int]) -> list[dict[str, Any]]:
    """A call that goes on."""
    started = {"type": "session.started", "agent_session_id": session, "agent_id": "agent-1"}
    return [started, *({"type": "turn.metrics", "turn_number": turn, "llm_ttft_ms": 300} for turn in turns)]


async def stopped(daemon: ServingProgram, within: float) -> None:
    """Ask it to stop, and wait for an orderly end."""
    daemon.signal(signal.SIGTERM)
    assert await daemon.ended(within) == 0
    assert "Traceback" not in daemon.log


async def queued(endpoints: Endpoints, items: int) -> None:
    """Wait until so many spans wait to be delivered."""

    async def there() -> bool:
        return total(samples_of(await endpoints.text()), QUEUED, signal="traces") == items

    await eventually(there)


@pytest.mark.parametrize("protocol", PROTOCOLS)
async def test_a_stop_delivers_everything(tmp_path: Path, protocol: Protocol) -> None:
    """What waits for a batch when SIGTERM comes is delivered, the roots of open calls and the last totals too."""
    async with otlp_receiver(protocol) as site:
        variables = environment(address_of(site), protocol, OTEL_BSP_SCHEDULE_DELAY="600000")
        async with (
            daemon_process(tmp_path, "--drain-timeout", str(DRAIN), env=variables) as daemon,
            call(daemon.endpoints.ws) as socket,
        ):
            await send_all(socket, events("as-1", range(1, 6)))
            await queued(daemon.endpoints, 10)
            await stopped(daemon, DRAIN + A_LITTLE)
    found = spans_of(site.receiver)
    assert [kind_of(span) for span in found] == ["invoke_agent", "chat"] * 5 + ["session"]
    assert attributes_of(found[-1])["agentstack.session.end_reason"] == "shutdown"
    assert [request.signal for request in site.receiver.requests].count("metrics") == 1


async def test_a_stop_with_a_dead_collector(tmp_path: Path) -> None:
    """Whether connections are refused or nothing ever answers, the exporter ends in time, with 0, and says what is lost."""
    cases = [(protocol, hole) for protocol in PROTOCOLS for hole in (False, True)]
    await asyncio.gather(
        *(_dead(subdirectory(tmp_path, str(number)), protocol, hole=hole) for number, (protocol, hole) in enumerate(cases))
    )


async def _dead(folder: Path, protocol: Protocol, *, hole: bool) -> None:
    async with otlp_receiver(protocol) as site:
        if hole:
            site.listener.spoil("black_hole")
        else:
            await site.listener.shut()
        variables = environment(address_of(site), protocol)
        async with daemon_process(folder, "--drain-timeout", str(DRAIN), env=variables) as daemon, call(daemon.endpoints.ws) as socket:
            await send_all(socket, events("as-1", [1]))
            await queued(daemon.endpoints, 2)
            await stopped(daemon, DRAIN + FLUSH + A_LITTLE)
            assert "3 spans are lost" in daemon.log
            assert "the last totals (" in daemon.log


def on_disk(queue: Path) -> int:
    """How many spans the files of a queue hold."""
    records = (record for file in queue.iterdir() for record in decode_records(file.read_bytes()))
    return sum(record.items for record in records if isinstance(record, Record))


@pytest.mark.parametrize("protocol", PROTOCOLS)
async def test_killed_in_an_outage(tmp_path: Path, protocol: Protocol) -> None:
    """With a queue directory, spans outlive a kill: the next process delivers all of them, with the ids they had."""
    queue, turns = tmp_path / "queue", range(1, 21)
    options = ("--drain-timeout", str(DRAIN), "--otlp-queue-dir", str(queue))
    async with otlp_receiver(protocol) as site:
        variables = environment(address_of(site), protocol)
        await site.listener.shut()
        async with daemon_process(tmp_path, *options, env=variables) as daemon, call(daemon.endpoints.ws) as socket:
            await send_all(socket, events("as-1", turns))
            await queued(daemon.endpoints, 40)
            await eventually(lambda: on_disk(queue) == 40, because="the disk")
            daemon.signal(signal.SIGKILL)
            await daemon.process.wait()
        await site.listener.open()
        async with daemon_process(subdirectory(tmp_path, "again"), *options, env=variables) as daemon:
            await eventually(lambda: len(spans_of(site.receiver)) >= 40, within=10)
            await stopped(daemon, DRAIN + A_LITTLE)
    trace = trace_id("as-1")
    found = spans_of(site.receiver)
    assert [one for one, span in zip(ids(found), found, strict=True) if kind_of(span) == "invoke_agent"] == [
        (trace, turn_span_id(trace, ("", turn))) for turn in turns
    ]
    assert {span.parent_span_id.hex() for span in found if kind_of(span) == "invoke_agent"} == {root_span_id("as-1")}
    assert len(found) == 40
