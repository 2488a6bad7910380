"""The import contracts of pyproject.toml, on small packages that break them."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.house_rules import ROOT


def lint(folder: Path, modules: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """Run our contracts over a package ``exporter`` of these modules."""
    for name, source in ({"__init__": "__version__ = '0'\n"} | modules).items():
        file = folder / "exporter" / f"{name}.py"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(source, encoding="utf-8")
        for parent in file.relative_to(folder).parents[:-1]:
            (folder / parent / "__init__.py").touch()
    (folder / "pyproject.toml").write_text((ROOT / "pyproject.toml").read_text(encoding="utf-8"), encoding="utf-8")
    command = [str(Path(sys.executable).parent / "lint-imports"), "--no-cache"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


def test_the_whole_tree_may_exist(tmp_path: Path) -> None:
    """Every module of the plan has a place, and the flow from end to end is allowed."""
    tree = {
        "__main__": "import exporter.cli",
        "cli": "import exporter.app, exporter.replay, exporter.simulate.demo",
        "replay": "import exporter.app, exporter.pipeline",
        "app": "import asyncio, exporter.config, exporter.ingest.endpoint, exporter.expose.routes, exporter.pipeline",
        "config": "import exporter.logs, exporter.identity",
        "logs": "import logging",
        "ingest/endpoint": "import websockets, time, exporter.records, exporter.selfmetrics",
        "expose/negotiation": "",
        "expose/prometheus": "import prometheus_client, exporter.records",
        "expose/metrics_endpoint": "import starlette, exporter.expose.prometheus",
        "expose/routes": "import exporter.expose.metrics_endpoint",
        "feed": "import exporter.pipeline",
        "pipeline": "import exporter.wire, exporter.session, exporter.measure, exporter.spans, exporter.store",
        "session": "import exporter.events.turns, exporter.identity",
        "measure": "import exporter.store, exporter.labels",
        "spans": "import exporter.records",
        "store": "import exporter.records",
        "wire": "import msgspec, exporter.events.turns",
        "selfmetrics": "import exporter.store",
        "identity": "",
        "labels": "",
        "records": "import exporter.catalogue.model",
        "events/turns": "import exporter.catalogue.quantities",
        "catalogue/quantities": "import exporter.catalogue.model",
        "catalogue/model": "import exporter.catalogue.names",
        "catalogue/names": "",
        "simulate/platform": "import asyncio, websockets\nfrom exporter import __version__",
        "simulate/demo": "import exporter.app, exporter.config, exporter.simulate.platform",
    }
    result = lint(tmp_path, tree)
    assert result.returncode == 0, result.stdout


@pytest.mark.parametrize(
    ("contract", "modules"),
    [
        ("Events flow one way", {"records": "import exporter.store", "store": ""}),
        ("Events flow one way", {"ingest/endpoint": "import exporter.expose.routes", "expose/routes": ""}),
        ("Events flow one way", {"expose/routes": "import exporter.feed", "feed": ""}),
        ("Events flow one way", {"events/turns": "import exporter.records", "records": ""}),
        ("Events flow one way", {"catalogue/model": "import exporter.events.turns", "events/turns": ""}),
        ("Events flow one way", {"newcomer": ""}),
        ("No module imports itself", {"store": "import exporter.measure", "measure": "import exporter.store"}),
        ("The core is pure", {"store": "import time"}),
        ("The core is pure", {"events/turns": "from asyncio import sleep"}),
        ("The core is pure", {"pipeline": "import exporter.wire", "wire": "import logging"}),
        ("The core is pure", {"spans": "from opentelemetry.sdk.trace import id_generator"}),
        ("The core is pure", {"selfmetrics": "import exporter.config", "config": ""}),
        ("Ways in and ways out", {"expose/prometheus": "import exporter.store", "store": ""}),
        ("Ways in and ways out", {"ingest/endpoint": "import exporter.session", "session": ""}),
        ("The simulated platform", {"simulate/platform": "import exporter.events.turns", "events/turns": ""}),
        ("The simulated platform", {"simulate/platform": "import exporter.app", "app": ""}),
        ("The tap", {"tap/client": "import exporter.wire", "wire": ""}),
    ],
)
def test_a_forbidden_import_is_found(tmp_path: Path, contract: str, modules: dict[str, str]) -> None:
    """Each contract is broken by the import it is there to forbid."""
    result = lint(tmp_path, modules)
    broken = [line for line in result.stdout.splitlines() if line.endswith(" BROKEN")]
    assert result.returncode == 1
    assert any(line.startswith(contract) for line in broken), result.stdout + result.stderr


def test_the_tap_stands_alone() -> None:
    """Importing the tap loads, besides the standard library and itself, websockets only."""
    code = "import sys; before = set(sys.modules); import exporter.tap; print(*set(sys.modules) - before)"
    loaded = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    assert "exporter.tap.client" in loaded
    assert {name for name in loaded if name.startswith("exporter") and not name.startswith("exporter.tap")} == {"exporter"}
    assert {name.partition(".")[0] for name in loaded} - sys.stdlib_module_names == {"exporter", "websockets"}
