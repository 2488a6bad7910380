"""The catalogue against the protocol, against Prometheus's rules and against what is promised by name."""

import json
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from exporter.catalogue.declarations import MetricSpec, SpanAttribute, SpanEvent
from exporter.catalogue.exponential import octaves
from exporter.catalogue.names import Kind, scraped_name
from exporter.catalogue.render import as_json, as_markdown
from exporter.metrics import inventory

ROOT = Path(__file__).parents[2]
PROTOCOL: dict[str, dict[str, dict[str, Any]]] = json.loads((ROOT / "tests/data/events.json").read_text(encoding="utf-8"))["events"]
ENTRIES: list[dict[str, Any]] = json.loads(as_json(inventory.events(), inventory.other_metrics()))
FIELDS = {(entry["event"], entry["field"]): entry for entry in ENTRIES if entry["field"]}
METRICS = inventory.metrics()
MEASURES = {"histogram", "counter", "gauge"}
NOT_MEASURED = {"ordinal", "unix seconds"}
EARLIER_FIELDS = {
    "tts_pipeline_ms",
    "tts_gate_wait_ms",
    "fallback_silence_ms",
    "context_msg_count",
    "interruption_reason",
    "pause_duration_ms",
    "on_user_turn_completed_ms",
}
TARGET_LABELS = {
    *("stage", "service", "environment", "env", "zone", "region", "cluster", "job", "instance", "type", "namespace", "pod", "node"),
    *("container", "host", "endpoint", "le", "quantile", "session", "call", "turn", "request", "speech", "segment"),
}
TURN = ("agent", "pipeline", "interrupted", "answered_by")
HEADLINES: dict[str, tuple[Kind, tuple[str, ...]]] = {
    "agentstack_user_perceived_latency_seconds": ("histogram", TURN),
    "agentstack_stt_delay_seconds": ("histogram", ("agent", "provider", "model")),
    "agentstack_turn_decision_seconds": ("histogram", ("agent", "pipeline", "method")),
    "agentstack_llm_time_to_first_token_seconds": ("histogram", ("agent", "provider", "model", "cancelled")),
    "agentstack_tts_time_to_first_byte_seconds": ("histogram", ("agent", "provider", "model", "cancelled")),
    "agentstack_realtime_time_to_first_token_seconds": ("histogram", ("agent", "provider", "model", "cancelled")),
    "agentstack_turns_total": (
        "counter",
        ("agent", "pipeline", "initiator", "interrupted", "cancelled", "sub_agent", "answered_by"),
    ),
    "agentstack_sessions_active": ("gauge", ("agent",)),
    "agentstack_sessions_total": ("counter", ("agent",)),
    "agentstack_sessions_ended_total": ("counter", ("agent", "reason")),
    "agentstack_interruptions_total": ("counter", ("agent",)),
    "agentstack_errors_total": ("counter", ("agent", "code")),
    "agentstack_exporter_build_info": ("gauge", ("version", "python", "build")),
    "agentstack_exporter_frames_received_total": ("counter", ()),
    "agentstack_exporter_frames_total": ("counter", ("outcome",)),
    "agentstack_exporter_values_refused_total": ("counter", ("field", "reason")),
    "agentstack_exporter_label_overflow_total": ("counter", ("label",)),
}
PERSONAL = {
    *(("turn.metrics", "user_text"), ("turn.metrics", "agent_text"), ("turn.completed", "user_text"), ("turn.completed", "agent_text")),
    *(("session.ended", "transcript"), ("session.ended", "error"), ("session.error", "message")),
    *(("agent.speech_completed", "transcript"), ("voicemail.detected", "transcript")),
    *(("agent.speech_interrupted", "interrupted_text"), ("user.transcription", "text"), ("user.transcription", "speaker_id")),
    *(("user.backchannel", "speech_input_b64"), ("tool.called", "arguments")),
    *(("agent_tool.completed", "result"), ("agent_tool.failed", "error")),
    *(("session.started", "caller"), ("session.started", "callee"), ("call.transferred", "destination")),
    *(("participant.added", "target"), ("user.dtmf", "digit"), ("dtmf", "digit"), ("dtmf.sent", "digits")),
}

every_metric = pytest.mark.parametrize("spec", METRICS.values(), ids=METRICS)


@pytest.mark.parametrize("event", PROTOCOL)
def test_every_field_of_the_protocol_is_in_the_catalogue(event: str) -> None:
    """An event's fields in the catalogue are those of the protocol with the same unit, and those only earlier servers sent."""
    listed = {name: entry["wire_unit"] for (of, name), entry in FIELDS.items() if of == event}
    assert {name: field.get("unit") for name, field in PROTOCOL[event].items()}.items() <= listed.items()
    assert listed.keys() - PROTOCOL[event].keys() <= EARLIER_FIELDS | {"tool_name"}


def test_every_event_of_the_catalogue_is_in_the_protocol() -> None:
    """The catalogue knows the events of the protocol and no others."""
    assert {event.name for event in inventory.events()} == PROTOCOL.keys()


@pytest.mark.parametrize(("event", "field"), [(event, name) for event, fields in PROTOCOL.items() for name in fields])
def test_a_field_has_the_type_of_the_protocol(event: str, field: str) -> None:
    """A number is read as a number, a truth value as one, and a text as a text or a time."""
    spec = next(found for found in inventory.events() if found.name == event).field(field)
    wanted = PROTOCOL[event][field]
    expected = {"number": "float", "boolean": "bool", "string": "datetime" if wanted.get("unit") else "str"}.get(wanted["type"])
    assert expected in (None, getattr(spec.type, "__name__", ""))


@pytest.mark.external
def test_the_command_prints_the_catalogue() -> None:
    """The command prints the same list as JSON, with the keys that are promised for each kind of entry."""
    command = [sys.executable, "-m", "exporter.cli", "catalogue", "--format", "json"]
    printed = json.loads(subprocess.run(command, check=True, capture_output=True, cwd=ROOT).stdout)
    assert printed == ENTRIES
    assert isinstance(printed, list)
    for entry in printed:
        assert {"event", "field", "becomes"} <= entry.keys() <= {"event", "field", "becomes", "wire_unit", "alias_of", "why"}
        assert ("wire_unit" in entry) is (entry["field"] is not None)


KEYS: dict[str, set[str]] = {
    "histogram": {"kind", "name", "otel_name", "unit", "labels", "help", "buckets", "exemplars"},
    "counter": {"kind", "name", "otel_name", "unit", "labels", "help"},
    "gauge": {"kind", "name", "otel_name", "unit", "labels", "help"},
    "label": {"kind", "name"},
    "span_attribute": {"kind", "span", "name", "personal"},
    "span_time": {"kind", "span", "edge"},
    "span_event": {"kind", "span", "name", "personal"},
    "state": {"kind", "metrics", "does"},
}


def test_what_a_field_becomes_has_the_keys_of_its_kind() -> None:
    """Each thing that a field becomes says all that belongs to its kind."""
    for entry in ENTRIES:
        for item in entry["becomes"]:
            assert item.keys() == KEYS[item["kind"]]


@pytest.mark.parametrize("name", PROTOCOL["turn.metrics"])
def test_every_field_of_a_turn_lands_somewhere(name: str) -> None:
    """No field of turn.metrics is left out, and each that measures something is a metric."""
    entry = FIELDS["turn.metrics", name]
    assert entry["becomes"]
    if PROTOCOL["turn.metrics"][name]["type"] == "number" and entry["wire_unit"] not in NOT_MEASURED:
        assert MEASURES & {item["kind"] for item in entry["becomes"]}


def test_what_lands_nowhere_says_why() -> None:
    """A field that becomes nothing has a reason beside it, and only such a field has."""
    for entry in FIELDS.values():
        assert bool(entry.get("why")) is not bool(entry["becomes"])


def test_states_feed_metrics_that_exist() -> None:
    """What drives session logic names the scraped metrics that it feeds."""
    fed = {name for entry in ENTRIES for item in entry["becomes"] if item["kind"] == "state" for name in item["metrics"]}
    assert fed <= METRICS.keys()


def test_labels_of_fields_are_labels_of_metrics() -> None:
    """A field that becomes a label does so on some metric."""
    known = {label for spec in METRICS.values() for label in spec.scraped_labels}
    assert {item["name"] for entry in ENTRIES for item in entry["becomes"] if item["kind"] == "label"} <= known


def test_names_are_unique() -> None:
    """No two metrics share a scraped or an OpenTelemetry name, nor does one end in what another's samples are called."""
    assert len({spec.otel_name for spec in METRICS.values()}) == len(METRICS)
    samples = [
        name + suffix for name, spec in METRICS.items() for suffix in (("", "_bucket", "_count", "_sum") if spec.bounds else ("",))
    ]
    assert len(set(samples)) == len(samples)


@every_metric
def test_a_metric_follows_the_rules(spec: MetricSpec) -> None:
    """Name, unit, labels and help of a metric are as Prometheus and our own rules want them."""
    assert spec.name == scraped_name(spec.otel_name, spec.unit, spec.kind)
    assert re.fullmatch(r"(agentstack|gen_ai|process)(_[a-z0-9]+)+", spec.name)
    assert spec.name.endswith("_total") is (spec.kind == "counter")
    assert re.fullmatch(r"[A-Z].*\.", spec.help)
    assert not set(spec.labels) & TARGET_LABELS
    assert len(set(spec.labels)) == len(spec.labels)
    assert not spec.name.endswith(("_bucket", "_count", "_sum", "_milliseconds"))
    assert spec.unit != "1" or spec.kind != "counter"


@every_metric
def test_a_unit_is_a_base_unit(spec: MetricSpec) -> None:
    """Everything is in seconds, bytes, hertz, ratios, counts of something, or rates of these."""
    assert re.fullmatch(r"(s|By|Hz|1||\{[a-z_]+\})(/s)?", spec.unit)


@pytest.mark.parametrize("name", HEADLINES)
def test_a_headline_metric_is_as_promised(name: str) -> None:
    """The metrics that dashboards of others are built on have their names, types and labels."""
    kind, labels = HEADLINES[name]
    assert (METRICS[name].kind, METRICS[name].labels) == (kind, labels)


def test_latencies_carry_examples() -> None:
    """The latency of a turn and of its five stages can be followed into a trace."""
    assert {name for name, spec in METRICS.items() if spec.exemplars} == {
        name for name, (kind, _) in HEADLINES.items() if kind == "histogram"
    }


def test_personal_fields_are_marked() -> None:
    """What the protocol calls personal is on spans only, left out by default, and nothing of it is a label or metric."""
    marked = {
        (event.name, field.name)
        for event in inventory.events()
        for field in event.fields
        if any(isinstance(item, SpanAttribute | SpanEvent) and item.personal for item in field.declarations)
    }
    assert marked == PERSONAL
    for where in PERSONAL:
        assert {item["kind"] for item in FIELDS[where]["becomes"]} <= {"span_attribute", "span_event"}
        assert all(item["personal"] for item in FIELDS[where]["becomes"])


def test_one_call_stays_within_its_share() -> None:
    """One agent with one set of providers makes fewer than 1,500 series, even if it used every event there is."""
    own = [spec for name, spec in METRICS.items() if not name.startswith(("agentstack_exporter_", "process_"))]
    fed = {(feeds.spec.name, feeds.labels) for event in inventory.events() for field in event.fields for feeds in field.feeds}
    sets = Counter(name for name, _ in fed if name.startswith("gen_ai_"))  # which have a series for each component
    assert sum(max(1, sets[spec.name]) * (len(spec.bounds) + 3 if spec.bounds else 1) for spec in own) < 1_500


def test_the_page_is_current() -> None:
    """The metrics reference is what the catalogue renders to now."""
    page = (ROOT / "docs/metrics.md").read_text(encoding="utf-8")
    assert page == as_markdown(inventory.events(), inventory.other_metrics()), "run make docs"


def test_native_histograms_are_wider_than_classic_ones() -> None:
    """Native buckets reach from an eighth of the first bound, or less, to eight times the last, and hold every plausible latency."""
    for spec in METRICS.values():
        if spec.kind == "histogram":
            lowest, highest = octaves(spec.bounds, spec.unit)
            assert 2.0**lowest <= min(filter(None, spec.bounds)) / 8, spec.name
            assert 2.0**highest >= (1 if spec.unit == "1" else 8 * spec.bounds[-1]), spec.name
    for latency in (METRICS[name] for name in HEADLINES if name.endswith("_seconds")):
        assert 2.0 ** octaves(latency.bounds, latency.unit)[1] >= 120, latency.name
