"""The promise of CONTRIBUTING.md: a field is one entry in its event's module, an event one more in the list of events."""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.external

ROOT = Path(__file__).parents[2]
FIELD = """
    probe_ms: Annotated[
        LatencyMs | None,
        histogram("probe.wait", "Wait for the probe.", buckets.COMPONENT, BY_PIPELINE),
        SpanAttribute("turn", "agentstack.probe.wait"),
    ] = None
"""
EVENT = """

class Probed(Event, frozen=True, gc=False, forbid_unknown_fields=True, tag="probe.done"):
    \"\"\"A probe was done.\"\"\"

    metrics: ClassVar[tuple[Feeds, ...]] = (counter("probes", "Probes done.", BY_AGENT, unit="{probe}"),)

    depth: Annotated[Count | None, histogram("probe.depth", "Depth of probes.", buckets.COUNT, unit="{level}")] = None
"""
PROGRAM = """
import json, sys
from exporter.catalogue.render import as_markdown
from exporter.exporters.prometheus.exposition import Renderer
from exporter.exporters.prometheus.negotiation import Format
from exporter.metrics import inventory
from exporter.metrics.label_limits import LabelLimits
from exporter.pipeline.call_feed import CallFeed
from exporter.pipeline.diagnostics import NoDiagnostics
from exporter.pipeline.pipeline import Pipeline, Tracing
from exporter.sessions.registry import SessionTimeouts
from exporter.tracing.sampling import SpanOptions

spans = []
pipeline = Pipeline(LabelLimits(), SessionTimeouts(), NoDiagnostics(), 1e9, tracing=Tracing(SpanOptions(), spans.extend))
feed = CallFeed(pipeline)
for frame in json.loads(sys.argv[1]):
    feed.consume(json.dumps(frame), 1e9)
feed.close(1e9)
pipeline.close(1e9)
scrape = b"".join(Renderer().chunks(pipeline.snapshot(1e9), Format.TEXT_0_0_4)).decode()
page = as_markdown(inventory.events(), inventory.other_metrics())
print(json.dumps({"scrape": scrape.splitlines(), "page": page.splitlines(), "spans": b"".join(spans).decode("latin-1")}))
"""


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A copy of the package that may be changed."""
    copy = tmp_path / "exporter"
    shutil.copytree(ROOT / "exporter", copy, ignore=shutil.ignore_patterns("__pycache__", "*.so"))
    return copy


def outcome(package: Path, frames: list[dict[str, Any]]) -> dict[str, Any]:
    """What the changed package makes of the frames: a scrape, the page of metrics, and spans."""
    command = [sys.executable, "-P", "-c", PROGRAM, json.dumps(frames)]
    done = subprocess.run(
        command, cwd=package.parent, env={"PYTHONPATH": str(package.parent)}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_a_field_is_one_entry(package: Path) -> None:
    """A field that is declared in turn.metrics, and nowhere else, is decoded, a metric, a span attribute and on the page."""
    module = package / "events" / "turn_metrics.py"
    before, rest = module.read_text(encoding="utf-8").split("    vad_label:", 1)
    module.write_text(f"{before}{FIELD.lstrip(chr(10))}    vad_label:{rest}", encoding="utf-8")
    found = outcome(package, [{"type": "turn.metrics", "turn_number": 1, "pipeline": "s2s", "probe_ms": 300}])
    assert 'agentstack_probe_wait_seconds_sum{pipeline="s2s"} 0.3' in found["scrape"]
    assert "agentstack.probe.wait" in found["spans"]
    assert any(line.startswith("| `probe_ms` | milliseconds | histogram `agentstack_probe_wait_seconds`") for line in found["page"])
    assert not any(line.startswith("agentstack_exporter_unknown_fields_total{") for line in found["scrape"])


def test_an_event_is_a_struct_and_a_line_in_the_list(package: Path) -> None:
    """An event without session logic takes its struct and its place in EVENTS to be decoded, counted and on the page."""
    module, registry = package / "events" / "telephony.py", package / "events" / "__init__.py"
    module.write_text(module.read_text(encoding="utf-8") + EVENT, encoding="utf-8")
    listed = registry.read_text(encoding="utf-8").replace(
        "    telephony.UserIdle,\n", "    telephony.UserIdle,\n    telephony.Probed,\n"
    )
    registry.write_text(listed, encoding="utf-8")
    found = outcome(package, [{"type": "probe.done", "depth": 3}])
    assert 'agentstack_probes_total{agent="unknown"} 1.0' in found["scrape"]
    assert "agentstack_probe_depth_sum 3.0" in found["scrape"]
    assert 'agentstack_exporter_events_total{event="probe.done"} 1.0' in found["scrape"]
    assert "### `probe.done`" in found["page"]
