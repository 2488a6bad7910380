"""The receiver that the page on alerts shows, with a real Alertmanager: what arrives is what somebody on call has to know."""

import json
import re
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from tests.support.alerting import alertmanager
from tests.support.daemon import http_client
from tests.support.house_rules import ROOT
from tests.support.http_server import http_server
from tests.support.peers import RELEASES, Release
from tests.support.shipped_rules import ALERTS
from tests.support.waiting import eventually

pytestmark = pytest.mark.timeout(60)

AGENTS = ("billing", "sales")
PAGE = "AgentStackLatencyCritical"
CAUSE = "llm acme m1 is slow. "


def configuration(directory: Path, hook: str) -> Path:
    """The shipped routing with the receiver of the page, which posts to ``hook``."""
    [shown] = re.findall(r"```yaml\n(receivers:\n.*?)```", (ROOT / "docs" / "alerts.md").read_text(encoding="utf-8"), re.DOTALL)
    document = yaml.safe_load((ROOT / "deploy" / "alertmanager" / "alertmanager.yml").read_text(encoding="utf-8"))
    [pager] = yaml.safe_load(shown)["receivers"]
    [slack] = pager["slack_configs"]
    url = directory / "slack-url"
    url.write_text(f"{hook}/pager", encoding="utf-8")
    slack["api_url_file"] = str(url)
    document["receivers"] = [pager, {"name": "channel"}]
    document["route"]["group_wait"] = "100ms"
    written = directory / "alertmanager.yml"
    written.write_text(yaml.safe_dump(document), encoding="utf-8")
    return written


def firing(agent: str) -> dict[str, Any]:
    """The alert as Prometheus sends it for an agent."""
    rule = ALERTS[PAGE]
    written = {"summary": f"Callers of {agent} wait too long", "description": "They wait 6.9s.", "cause": CAUSE}
    return {
        "labels": {"alertname": PAGE, "job": "fleet", "agent": agent, **rule["labels"]},
        "annotations": rule["annotations"] | written,
    }


@pytest.mark.parametrize("release", RELEASES)
async def test_the_receiver_of_the_page_says_what_matters(tmp_path: Path, release: Release) -> None:
    """One message names severity, area, each agent, what is wrong, its cause and the runbook."""
    posted: list[dict[str, Any]] = []

    async def take(request: Request) -> Response:
        posted.append(json.loads(await request.body()))
        return PlainTextResponse("ok")

    async with http_server(Starlette(routes=[Route("/pager", take, methods=["POST"])])) as hook:
        arguments = [f"--config.file={configuration(tmp_path, hook)}", f"--storage.path={tmp_path}", "--cluster.listen-address="]
        async with alertmanager(tmp_path, arguments, release=release) as address, http_client() as http:

            async def taken() -> bool:
                try:
                    return (await http.post(f"http://{address}/api/v2/alerts", json=[firing(agent) for agent in AGENTS])).is_success
                except httpx.TransportError:
                    return False  # it does not listen yet

            await eventually(taken, within=20, because="Alertmanager to take alerts")
            await eventually(lambda: posted, within=20, because="the message")
    [message] = [attachment for each in posted for attachment in each["attachments"]]
    assert message["title"] == "critical: 2 alerts of callers"
    assert message["text"].splitlines() == [
        line
        for agent in AGENTS
        for line in (
            f"Callers of {agent} wait too long. They wait 6.9s. Cause: {CAUSE}",
            ALERTS[PAGE]["annotations"]["runbook_url"],
        )
    ]
