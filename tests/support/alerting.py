"""The shipped rules with a real Prometheus and Alertmanager at sixty times the speed: a minute of the rules is a second here."""

import re
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from tests.support.daemon import http_client
from tests.support.house_rules import ROOT
from tests.support.http_server import http_server
from tests.support.peers import Release, require
from tests.support.ports import free_port
from tests.support.prometheus_server import Prometheus, prometheus
from tests.support.server_process import server_process
from tests.support.waiting import eventually

FASTER = 60
JOB = "agentstack-exporter"
HOOK = "http://127.0.0.1:9099"
"""Where the shipped routing tells its alerts."""
OF_THIS_MACHINE = {"AgentStackExporterLate"}
"""What the exporter of a healthy fleet may raise where others keep the processor busy."""
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


def hurried(text: str) -> str:
    """A rule or configuration in which every duration is a sixtieth, and thresholds of counts stay what they are."""

    def shorter(found: re.Match[str]) -> str:
        seconds = int(found[2]) * _SECONDS[found[3]] / FASTER
        return f"{found[1]}{max(1, round(seconds * 1000))}ms"

    text = re.sub(r"(\[)(\d+)([smhd])(?=\])", shorter, text)
    return re.sub(
        r"((?:for|keep_firing_for|group_wait|group_interval|repeat_interval): )(\d+)([smhd])\b",
        shorter,
        text,
    )


@dataclass(frozen=True)
class Message:
    """One notification as a receiver gets it, and when it came."""

    receiver: str
    status: str
    alerts: list[dict[str, Any]]
    at: float = field(default_factory=time.monotonic)

    @property
    def text(self) -> str:
        """Everything that its alerts say."""
        return "\n".join(f"{name}: {value}" for alert in self.alerts for name, value in alert["annotations"].items())


@dataclass
class Alerting:
    """Both programs running, and what was told to whom."""

    server: Prometheus
    manager: str
    messages: list[Message] = field(default_factory=list)
    """In the order in which they were told."""

    @property
    def notifications(self) -> list[tuple[str, str, str, str]]:
        """Receiver, status, alert and agent of each alert of each message."""
        return [
            (message.receiver, alert["status"], alert["labels"]["alertname"], alert["labels"].get("agent", ""))
            for message in self.messages
            for alert in message.alerts
        ]

    async def hears(self, receiver: str, status: str, alert: str, *, agent: str | None = None, within: float = 60) -> None:
        """Wait until the receiver was told that an alert is firing, or resolved."""

        def heard() -> bool:
            return any(
                notifications[:3] == (receiver, status, alert) and agent in (None, notifications[3])
                for notifications in self.notifications
            )

        await eventually(heard, within=within, because=f"{receiver} to hear that {alert} is {status}; heard {set(self.notifications)}")

    async def suppressed(self) -> set[str]:
        """Alerts that Alertmanager keeps to itself because of others."""
        return {alert["labels"]["alertname"] for alert in await self._alerts() if alert["status"]["inhibitedBy"]}

    async def idle(self) -> None:
        """Wait until nothing of a fleet fires, and forget what was told: before the first scrape the exporter is missing."""

        async def quiet() -> bool:
            assert not (alerts := {_who(alert)[0] for alert in await self._alerts()} - OF_THIS_MACHINE), alerts
            told = {status: {alert for _, each, alert, _ in self.notifications if each == status} for status in ("firing", "resolved")}
            assert told["firing"] - OF_THIS_MACHINE <= told["resolved"], told
            return True

        await eventually(quiet, within=30, because="no alert to be left")
        self.messages.clear()

    async def settles(self, firing: set[tuple[str, str]], *, within: float = 45) -> None:
        """Wait until these alerts (name, agent) fire, and each alert that does was told or is kept back: no more is to come."""

        async def settled() -> bool:
            alerts = await self._alerts()
            told = {(alert, agent) for _, status, alert, agent in self.notifications if status == "firing"}
            assert firing <= (known := {_who(alert) for alert in alerts}), firing - known
            open_ = {_who(alert) for alert in alerts if not alert["status"]["inhibitedBy"]} - told
            assert not open_, open_
            return True

        await eventually(settled, within=within, because="every alert to be told or kept back")

    async def _alerts(self) -> list[dict[str, Any]]:
        async with http_client() as http:
            alerts: list[dict[str, Any]] = (await http.get(f"{self.manager}/api/v2/alerts")).json()
        return alerts


def _who(alert: dict[str, Any]) -> tuple[str, str]:
    return alert["labels"]["alertname"], alert["labels"].get("agent", "")


@asynccontextmanager
async def alerting(directory: Path, target: str, *, release: Release = "oldest") -> AsyncIterator[Alerting]:
    """Prometheus with the hurried rules scraping ``target``, Alertmanager with the hurried routing, and a receiver for its webhooks."""
    found = Alerting(Prometheus("", 1), "")
    async with AsyncExitStack() as stack:
        hook = await stack.enter_async_context(webhook(found.messages))
        _write(directory, hook)
        arguments = [f"--config.file={directory / 'alertmanager.yml'}", f"--storage.path={directory / 'alertmanager'}"]
        arguments.append("--cluster.listen-address=")
        address = await stack.enter_async_context(alertmanager(directory, arguments, release=release))
        found.manager = f"http://{address}"
        notifications = f"alerting:\n  alertmanagers:\n    - static_configs: [{{targets: ['{address}']}}]\n"
        more = f"\nrule_files: ['{directory}/*.rules.yml']\n{notifications}"
        found.server = await stack.enter_async_context(prometheus(directory, {JOB: target}, interval="1s", more=more, release=release))
        yield found


@asynccontextmanager
async def webhook(messages: list[Message]) -> AsyncIterator[str]:
    """A receiver for Alertmanager that writes down what it is told; gives its address."""

    async def take(request: Request) -> Response:
        message = await request.json()
        for alert in message["alerts"]:
            assert alert["annotations"]["runbook_url"].endswith(f"{alert['labels']['alertname']}.md")
        messages.append(Message(request.path_params["receiver"], message["status"], message["alerts"]))
        return PlainTextResponse("ok")

    async with http_server(Starlette(routes=[Route("/{receiver}", take, methods=["POST"])])) as address:
        yield address


def _write(directory: Path, hook: str) -> None:
    for file in (ROOT / "deploy" / "prometheus").glob("*.rules.yml"):
        (directory / file.name).write_text(hurried(file.read_text(encoding="utf-8")), encoding="utf-8")
    config = (ROOT / "deploy" / "alertmanager" / "alertmanager.yml").read_text(encoding="utf-8")
    document = yaml.safe_load(hurried(config).replace(HOOK, hook))
    document["global"] = {"resolve_timeout": "5s"}
    # As in earnest: two evaluations, so that alerts of one moment are told together wherever the evaluation fell.
    document["route"]["group_wait"] = "2s"
    (directory / "alertmanager.yml").write_text(yaml.safe_dump(document), encoding="utf-8")


@asynccontextmanager
async def alertmanager(directory: Path, arguments: list[str], *, release: Release) -> AsyncIterator[str]:
    """An Alertmanager with these arguments, on a free port; gives its address."""
    address = f"127.0.0.1:{free_port()}"
    command = [require("prometheus-alertmanager", release), *arguments, f"--web.listen-address={address}"]
    async with server_process("alertmanager", command, directory):
        yield address
