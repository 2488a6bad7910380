"""Incidents of three agents at once, and what reaches whoever is on call: how many notifications, how soon, and what they say."""

import itertools
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.support.alerting import Alerting, Message, alerting
from tests.support.alongside import alongside
from tests.support.daemon import Endpoints, call, running_daemon, send_all
from tests.support.prometheus_server import Prometheus
from tests.support.simulation import subdirectory
from tests.support.waiting import eventually

AGENTS = ("billing", "sales", "support")
TURNS = 6
"""Turns of each call. With a call a scrape, that is three times the traffic that alerts want."""
BEFORE = 500
"""Good turns of each agent before an incident, so many that the budget of hours is not burnt by a few minutes."""
Event = dict[str, Any]
LLM = {"llm_provider": "acme", "llm_model": "m1", "llm_cancelled": False}

pytestmark = pytest.mark.timeout(180)


def answered(number: int, *, waits: float = 500, llm: float = 300) -> Event:
    """A turn that the agent answered after so many milliseconds, of which so many are the LLM's."""
    return {"type": "turn.metrics", "turn_number": number, "pipeline": "cascade", "user_perceived_ms": waits, "llm_ttft_ms": llm, **LLM}


def failed(number: int) -> Event:
    """A turn that got no answer, since its LLM failed."""
    return {"type": "turn.metrics", "turn_number": number, "pipeline": "cascade", "error_source": "llm", **LLM}


def fallen_back(number: int) -> Event:
    """A turn whose LLM failed, and another provider's answered."""
    return answered(number) | {"error_source": "llm", "llm_provider": "other" if number % 2 else "acme"}


def slow_llm() -> list[Event]:
    """A call in which the LLM takes seconds."""
    return [answered(number, waits=5500, llm=4500) for number in range(TURNS)]


def somewhat_slow_llm() -> list[Event]:
    """A call with one turn of six in which the LLM is slower than it should be."""
    return [answered(0, waits=2600, llm=2200), *(answered(number) for number in range(1, TURNS))]


def outage() -> list[Event]:
    """A call whose LLM provider fails: the platform takes others, in vain."""
    gone = {"type": "llm.availability_changed", "llm": "acme/m1", "available": False}
    error = {"type": "session.error", "code": "llm_error"}
    return [gone, *(failed(number) | {"llm_provider": "other" if number % 2 else "acme"} for number in range(TURNS)), error]


def outage_with_fallback() -> list[Event]:
    """A call whose LLM provider fails, and another answers in its place."""
    gone = {"type": "llm.availability_changed", "llm": "acme/m1", "available": False}
    return [gone, *(fallen_back(number) for number in range(TURNS)), {"type": "session.error", "code": "llm_error"}]


def silence() -> list[Event]:
    """A call in which the agent answers nothing, and nothing says why."""
    return [{"type": "turn.metrics", "turn_number": number, "pipeline": "cascade"} for number in range(TURNS)]


def health() -> list[Event]:
    """A call in which all is well, with many turns: the minutes before it soon weigh little."""
    back = {"type": "llm.availability_changed", "llm": "acme/m1", "available": True}
    return [back, *(answered(number) for number in range(40 * TURNS))]


def calls(endpoints: Endpoints, watch: Alerting, events: list[Event]) -> AbstractAsyncContextManager[None]:
    """A call of each agent after every scrape, for the length of a block: so each scrape sees the same of all agents."""
    return alongside(_talk(endpoints.ws, watch.server, events))


async def _talk(url: str, server: Prometheus, events: list[Event]) -> None:
    for number in itertools.count():
        scraped = await server.single("timestamp(up)")
        async with AsyncExitStack() as stack:
            sockets = [await stack.enter_async_context(call(url)) for _ in AGENTS]
            # To connect takes longest, so the calls are sent at once, and soon after a scrape.
            await eventually(partial(_scraped_after, server, scraped), within=30, because="the next scrape")
            for agent, socket in zip(AGENTS, sockets, strict=True):
                begun = {"type": "session.started", "agent_session_id": f"{agent}-{id(events)}-{number}", "agent_id": agent}
                await send_all(socket, [begun, *events, {"type": "session.ended", "reason": "hangup"}])


async def _scraped_after(server: Prometheus, moment: float) -> bool:
    return await server.single("timestamp(up)") > moment


@asynccontextmanager
async def watched(directory: Path) -> AsyncIterator[tuple[Endpoints, Alerting]]:
    """An exporter with three agents that are well, and Prometheus 3 and Alertmanager with the shipped rules and routing."""
    async with (
        running_daemon() as endpoints,
        alerting(subdirectory(directory, "alerting"), endpoints.telemetry, release="newest") as watch,
    ):
        await watch.server.up()
        async with calls(endpoints, watch, health()):
            turns = 'count(min by (agent) (increase(agentstack_caller_turns_total{answered_by!="machine"}[1m])) > %d)'
            await watch.server.reaches(turns % BEFORE, len(AGENTS))
            await watch.idle()
        yield endpoints, watch


def of_each(*alerts: str) -> set[tuple[str, str]]:
    """These alerts of every agent."""
    return set(itertools.product(alerts, AGENTS))


def messages(watch: Alerting) -> list[Message]:
    """What was told of the calls. Where others keep this machine's processors busy, the exporter itself is told of, too."""
    return [message for message in watch.messages if {alert["labels"].get("area") for alert in message.alerts} != {"exporter"}]


def told(watch: Alerting, status: str = "firing") -> list[tuple[str, set[tuple[str, str]]]]:
    """Receiver of each message, and which alerts of which agents it names."""
    return [
        (message.receiver, {(alert["labels"]["alertname"], alert["labels"].get("agent", "")) for alert in message.alerts})
        for message in messages(watch)
        if message.status == status
    ]


@dataclass(frozen=True)
class Incident:
    """What happens, and what has to be told of it."""

    events: Callable[[], list[Event]]
    fire: set[tuple[str, str]]
    """Alerts that fire, with their agents."""
    told: list[tuple[str, set[tuple[str, str]]]]
    """The messages: to whom, and of which alerts of which agents."""
    cause: tuple[str, ...]
    """What the last message says of the cause."""


ERRORS = of_each("AgentStackProviderFallback", "AgentStackTurnErrors", "AgentStackSessionErrors") | {("AgentStackLlmUnavailable", "")}
SLOW = ("llm acme m1 is slow",)
SLOW_LLM = Incident(
    slow_llm,
    of_each("AgentStackLatencyCritical", "AgentStackLatencyHigh") | {("AgentStackLlmSlow", "")},
    [("pager", of_each("AgentStackLatencyCritical"))],
    SLOW,
)
INCIDENTS = {
    "somewhat-slow-llm": Incident(
        somewhat_slow_llm,
        of_each("AgentStackLatencyHigh") | {("AgentStackLlmSlow", "")},
        [("channel", of_each("AgentStackLatencyHigh"))],
        SLOW,
    ),
    "outage": Incident(
        outage,
        of_each("AgentStackTurnsUnanswered") | ERRORS,
        [("channel", of_each("AgentStackProviderFallback")), ("pager", of_each("AgentStackTurnsUnanswered"))],
        ("llm acme/m1 is unavailable", "llm fails"),
    ),
    "outage-with-fallback": Incident(
        outage_with_fallback,
        ERRORS,
        [("channel", of_each("AgentStackProviderFallback"))],
        ("llm acme/m1 is unavailable",),
    ),
    "silence": Incident(
        silence,
        of_each("AgentStackTurnsUnanswered"),
        [("pager", of_each("AgentStackTurnsUnanswered"))],
        ("No component is slow or fails",),
    ),
}


async def is_told(watch: Alerting, incident: Incident) -> None:
    """Wait until all alerts of an incident fire: nothing was told but what has to be, and the last message says all."""
    await watch.settles(incident.fire)
    assert told(watch) == incident.told
    text = messages(watch)[-1].text
    assert [cause for cause in incident.cause if cause not in text] == []
    for alert, agent in incident.told[-1][1]:
        assert agent in text
        assert f"/docs/runbooks/{alert}.md" in text


@pytest.mark.parametrize("name", INCIDENTS)
async def test_an_incident_is_one_notification(tmp_path: Path, name: str) -> None:
    """Three agents in trouble are one page at most, and one message to the channel; it names each agent, the cause and the runbook."""
    incident = INCIDENTS[name]
    async with watched(tmp_path) as (endpoints, watch), calls(endpoints, watch, incident.events()):
        await is_told(watch, incident)


async def test_an_incident_that_is_over_resolves_once(tmp_path: Path) -> None:
    """Three agents with a slow LLM are one page, and one more message when they are well again; the channel is told nothing."""
    async with watched(tmp_path) as (endpoints, watch):
        async with calls(endpoints, watch, slow_llm()):
            await is_told(watch, SLOW_LLM)
        async with calls(endpoints, watch, health()):
            await watch.hears("pager", "resolved", "AgentStackLatencyCritical")
        assert [(message.receiver, message.status) for message in messages(watch)] == [("pager", "firing"), ("pager", "resolved")]
        assert of_each("AgentStackLatencyCritical") <= told(watch, "resolved")[0][1]
