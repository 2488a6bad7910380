"""Grafana's provisioning files fit the boards, the exemplars and each other, and the compose file mounts what they name."""

import json
import re
from pathlib import Path, PurePosixPath
from typing import Any

import promql_parser
import pytest
import yaml

from exporter.catalogue import genai
from exporter.metrics import inventory
from grafana.boards import BOARDS
from tests.support.house_rules import ROOT

PROVISIONING = ROOT / "grafana" / "provisioning"
COMPOSE = ROOT / "deploy" / "compose" / "compose.yaml"
BOARD_FILES = sorted((ROOT / "grafana" / "dashboards").rglob("*.json"))


def read(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    return found


def grafana() -> dict[str, Any]:
    """The service of the compose file."""
    found: dict[str, Any] = read(COMPOSE)["services"]["grafana"]
    return found


def mounted(place: str) -> Path:
    """What the container has at an absolute path, on this side; the test fails where nothing is mounted there."""
    volumes: list[str] = grafana()["volumes"]
    for volume in volumes:
        outside, inside, *_ = volume.split(":")
        if PurePosixPath(place).is_relative_to(inside) and outside.startswith("."):
            return (COMPOSE.parent / outside / PurePosixPath(place).relative_to(inside)).resolve()
    pytest.fail(f"nothing is mounted at {place}")


def provider() -> dict[str, Any]:
    [found] = read(PROVISIONING / "dashboards" / "agentstack.yaml")["providers"]
    return dict(found)


def source(kind: str) -> dict[str, Any]:
    """The data source of a type."""
    [found] = [each for each in read(PROVISIONING / "datasources" / "agentstack.yaml")["datasources"] if each["type"] == kind]
    return dict(found)


def test_grafana_finds_the_boards_and_nothing_twice() -> None:
    """Where the provider looks the compose file mounts the boards; all that lies below is provisioned, so each uid is there once."""
    folder = mounted(provider()["options"]["path"])
    found = [json.loads(file.read_text(encoding="utf-8"))["uid"] for file in sorted(folder.rglob("*.json"))]
    assert sorted(found) == sorted(board.uid for board in BOARDS)


def test_grafana_finds_its_provisioning() -> None:
    """The files are where Grafana looks for them, and the first page is a board that exists."""
    assert mounted("/etc/grafana/provisioning") == PROVISIONING
    assert mounted(grafana()["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]) in BOARD_FILES


def test_exemplars_lead_to_traces_and_back() -> None:
    """The exemplars' label leads to the source of traces, from whose spans a query leads back."""
    metrics, traces = source("prometheus"), source("tempo")
    [link] = metrics["jsonData"]["exemplarTraceIdDestinations"]
    assert (link["name"], link["datasourceUid"]) == ("trace_id", traces["uid"])
    assert traces["jsonData"]["tracesToMetrics"]["datasourceUid"] == metrics["uid"]
    assert any(target.get("exemplar") for file in BOARD_FILES for target in _targets(file))


def test_from_a_span_a_query_leads_back() -> None:
    """It is PromQL of a metric that the exporter has, by a label of it that stands for an attribute of spans, and of callers only."""
    asked = source("tempo")["jsonData"]["tracesToMetrics"]
    [query], [tag] = asked["queries"], asked["tags"]
    # Grafana's provisioning takes $$ for a $; the tags become matchers of the span's own values.
    text = query["query"].replace("$$__tags", f'{tag["value"]}="x"').replace("$$__rate_interval", "5m")
    assert "$" not in text
    promql_parser.parse(text)
    [(name, matchers)] = re.findall(r"(agentstack_\w+)_bucket\{([^}]*)\}", text)
    assert tag["value"] in inventory.metrics()[name].labels
    assert 'answered_by!="machine"' in matchers
    assert tag["key"] == genai.AGENT


def test_pages_say_where_to_mount() -> None:
    """Who provisions by hand reads the folders that the provider and the compose file name."""
    page = (ROOT / "docs" / "dashboards.md").read_text(encoding="utf-8")
    for place in ("/etc/grafana/provisioning", provider()["options"]["path"]):
        assert f"`{place}`" in page
        assert mounted(place).is_dir()


def test_boards_for_kubernetes_are_the_boards() -> None:
    """The kustomization hands out every board, each in a ConfigMap of its own."""
    maps = read(ROOT / "grafana" / "kustomization.yaml")["configMapGenerator"]
    assert sorted(file for each in maps for file in each["files"]) == [f"dashboards/{file.name}" for file in BOARD_FILES]
    assert all(len(each["files"]) == 1 for each in maps)


def test_sources_are_services_of_the_compose_file() -> None:
    """Each address is that of a service, and Prometheus keeps exemplars there."""
    services = read(COMPOSE)["services"]
    for kind in ("prometheus", "tempo"):
        assert source(kind)["url"].removeprefix("http://").partition(":")[0] in services
    assert "--enable-feature=exemplar-storage" in services["prometheus"]["command"]


def _targets(file: Path) -> list[dict[str, Any]]:
    panels = json.loads(file.read_text(encoding="utf-8"))["panels"]
    return [target for panel in panels for target in panel.get("targets", [])]
