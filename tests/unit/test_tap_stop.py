"""A tap's connection while the exporter stops."""

import asyncio
import json
from typing import Any

import pytest

from exporter.daemon.receiver_metrics import ReceiverMetrics
from exporter.pipeline.tap_feed import TapFeed
from exporter.receivers.read_budget import ReadBudget
from exporter.receivers.tap.client_sequences import TapClients, TapLimits
from exporter.receivers.tap.envelope import Hello
from exporter.receivers.tap.link import TapLink
from tests.support.core import Core
from tests.support.waiting import eventually

CALLS = 3


def message(seq: int, call: int, **event: Any) -> dict[str, Any]:
    """An event of a call, as the tap sends it."""
    return {"type": "websocket.receive", "text": json.dumps({"session": f"as-{call}", "seq": seq, "event": event})}


@pytest.mark.timeout(30)
async def test_states_are_sent_while_the_tap_goes_on_sending() -> None:
    """A message after the stop ends nothing: all states follow, however slowly the tap reads, and the message stays unacknowledged."""
    core = Core()
    observer = ReceiverMetrics(core.pipeline.metrics, core.now)
    clients = TapClients(TapLimits(65_536, 30, 60), lambda name: TapFeed(core.pipeline, name), observer)
    sent: list[dict[str, Any]] = []
    arrived: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
    may_send = asyncio.Event()
    may_send.set()

    async def send(answer: Any) -> None:
        await may_send.wait()
        sent.append(json.loads(answer["text"]))

    link = TapLink(clients, Hello("some-tap"), send, ReadBudget())
    reading = asyncio.create_task(link.read(arrived.get, lambda: None))
    for call in range(CALLS):
        arrived.put_nowait(message(call + 1, call, type="session.started", agent_session_id=f"as-{call}"))
    await eventually(lambda: core.pipeline.sessions.active == CALLS)
    may_send.clear()
    stopping = asyncio.create_task(link.stop())
    arrived.put_nowait(message(CALLS + 1, 0, type="session.ended", reason="user_hangup"))
    await eventually(arrived.empty)
    may_send.set()
    await stopping
    assert not reading.done()
    assert [answer["session"] for answer in sent if "state" in answer] == [f"as-{call}" for call in range(CALLS)]
    assert {answer["ack"] for answer in sent if "ack" in answer} == {CALLS}
    arrived.put_nowait({"type": "websocket.disconnect"})
    await reading
    link.close()
