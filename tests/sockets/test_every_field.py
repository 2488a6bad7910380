"""Every field of the protocol, alone in an event, through a real WebSocket and back from a scrape: it moves what the catalogue says."""

import json
import math
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from exporter.catalogue.render import as_json
from exporter.metrics import inventory
from tests.support.daemon import Endpoints, Samples, call, running_daemon, samples_of
from tests.support.waiting import eventually

Event = dict[str, Any]
PROTOCOL: dict[str, dict[str, dict[str, Any]]] = json.loads((Path(__file__).parents[1] / "data" / "events.json").read_text())["events"]
CATALOGUE: list[dict[str, Any]] = json.loads(as_json(inventory.events(), inventory.other_metrics()))
FIELDS = [entry for entry in CATALOGUE if entry["event"] and entry["field"]]
STREAM = ("start", "media", "dtmf", "playedStream", "clearedAudio", "stop")
NESTED = {
    ("start", "stream_id"): ("start", "streamId"),
    ("start", "call_id"): ("start", "callId"),
    ("start", "content_type"): ("start", "mediaFormat", "type"),
    ("start", "sample_rate"): ("start", "mediaFormat", "rate"),
    ("media", "payload"): ("media", "payload"),
    ("media", "content_type"): ("media", "contentType"),
    ("media", "sample_rate"): ("media", "sampleRate"),
    ("media", "timestamp"): ("media", "timestamp"),
    ("dtmf", "digit"): ("dtmf", "digit"),
}
"""Where audio streaming keeps a field; everything else stands at the top of its event."""
STRUCTURED: dict[str, Any] = {
    "arguments": {"order_id": "A-1"},
    "transcript": [{"role": "user", "text": "hi"}],
    "destination": ["+14155550123"],
    "llm_availability": {"openai/gpt-4o": True, "groq/llama": False},
    "calls": [{"name": "crm.find", "call_id": "tc-2", "is_error": False}],
    "result": {"ok": True},
    "probabilities": [0.1, 0.9],
    "models": [{"type": "llm_usage", "provider": "openai", "model": "gpt-4o", "input_tokens": 812, "output_tokens": 21}],
}
USUAL = {
    *("agentstack_sessions_total", "agentstack_sessions_active"),
    *("agentstack_exporter_frames_received_total", "agentstack_exporter_frames_total", "agentstack_exporter_events_total"),
    *("agentstack_exporter_connections_total", "agentstack_exporter_connections_active", "agentstack_exporter_series"),
    *("agentstack_exporter_event_loop_lag_seconds", "agentstack_exporter_render_duration_seconds"),
    "agentstack_exporter_scrape_size_bytes",
}
"""What moves with any event that begins a session, and with any scrape."""
DERIVED = {
    "turn.metrics": {"agentstack_turns_total", "agentstack_caller_turns_total", "gen_ai_invoke_agent_duration_seconds"},
    "turn.completed": set[str](),
    "session.ended": {"agentstack_sessions_ended_total", "agentstack_session_duration_seconds"},
    "stop": {"agentstack_sessions_ended_total", "agentstack_session_duration_seconds"},
}
"""What session logic works out of an event whatever its fields say."""
PARTS = ("_bucket", "_count", "_sum")


@dataclass(frozen=True)
class Change:
    """A sample that a field changed, and by how much."""

    name: str
    labels: dict[str, str]
    by: float


def value_of(number: int, entry: dict[str, Any]) -> Any:
    """A plausible value that no other field of its unit has."""
    event, field, unit = entry["event"], entry["field"], entry["wire_unit"]
    declared = PROTOCOL[event].get(field, {"type": "number" if unit else "string"})
    if unit == "RFC 3339 date-time":
        return datetime.fromtimestamp(time.time() - 1, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    if unit == "unix seconds":
        return time.time() - number / 100
    if unit:
        scale = {"ratio 0..1": 1 / 512, "seconds": 1 / 16, "words/second": 1 / 16, "ordinal": 1, "hertz": 16}.get(unit, 1)
        return (number + 1) * scale
    if declared["type"] == "boolean":
        return True
    if field in STRUCTURED and declared["type"] in ("any", "array", "object"):
        return STRUCTURED[field]
    return "UklGRiQAAABXQVZF" if field == "payload" else f"{field}-{number}"


def wire_form(name: str, field: str | None = None, value: Any = None) -> Event:
    """The event as it is sent, with one field or none."""
    event: Event = {tag_of(name): name}
    if field is None:
        return event
    *outer, last = NESTED.get((name, field), (field,))
    inner = event
    for step in outer:
        inner = inner.setdefault(step, {})
    inner[last] = value
    return event


def tag_of(name: str) -> str:
    return "event" if name in STREAM else "type"


class Watched:
    """A daemon of which one scrape is compared with the one before."""

    def __init__(self, endpoints: Endpoints) -> None:
        self.endpoints = endpoints
        self.frames = 0
        self._lines: set[str] = set()
        self._samples: Samples = {}

    async def begin(self) -> None:
        """Take the first scrape."""
        text = await self.endpoints.text()
        self._lines, self._samples = set(text.splitlines()), samples_of(text)

    async def changes(self, event: Event) -> list[Change]:
        """Send the event on a connection of its own; every sample that changed by it."""
        async with call(self.endpoints.ws) as socket:
            await socket.send(msgspec.json.encode(event), text=True)
            self.frames += 1
            text = await eventually(self._text_after_the_frame, because=f"the frame of {event} to be counted")
        lines = {line for line in text.splitlines() if not line.startswith(("#", "process_"))}
        changed = samples_of("\n".join(sorted(lines - self._lines)) + "\n")
        self._lines = lines
        found = [
            Change(name, dict(labels), value - self._samples.get((name, labels), 0.0)) for (name, labels), value in changed.items()
        ]
        self._samples |= changed
        return [change for change in found if family_of(change.name) not in USUAL]

    async def _text_after_the_frame(self) -> str:
        text = await self.endpoints.text()
        return text if f"agentstack_exporter_frames_received_total {float(self.frames)}" in text.splitlines() else ""


def family_of(sample: str) -> str:
    return next((sample.removesuffix(part) for part in PARTS if sample.endswith(part)), sample)


def declared_moves(entry: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {item["name"]: item for item in entry["becomes"] if item["kind"] in ("histogram", "counter", "gauge")}


def whole_event(name: str) -> dict[str, dict[str, Any]]:
    """The metrics that the event moves as a whole."""
    entries = [entry for entry in CATALOGUE if entry["event"] == name and entry["field"] is None]
    return {item["name"]: item for entry in entries for item in entry["becomes"]}


def fed_by_state(entry: dict[str, Any]) -> set[str]:
    return {metric for item in entry["becomes"] if item["kind"] == "state" for metric in item["metrics"]}


def in_metric_unit(entry: dict[str, Any], metric: dict[str, Any], value: Any) -> float:
    """What the value should have added to the metric."""
    if entry["wire_unit"] is None:
        return 12.0 if metric["unit"] == "By" else 1.0
    return float(value) / (1000 if entry["wire_unit"] == "milliseconds" else 1)


def faults(entry: dict[str, Any], value: Any, changes: list[Change]) -> Iterator[str]:
    """What is wrong with the changes that one field made."""
    feeds, whole = declared_moves(entry), whole_event(entry["event"])
    allowed = set(feeds) | set(whole) | fed_by_state(entry) | DERIVED.get(entry["event"], set())
    yield from (f"moved {change.name} too" for change in changes if family_of(change.name) not in allowed)
    for name, metric in feeds.items():
        amount = in_metric_unit(entry, metric, value)
        found = {change.name: change.by for change in changes if family_of(change.name) == name and not change.name.endswith("_bucket")}
        expected = {f"{name}_count": 1.0, f"{name}_sum": amount} if metric["kind"] == "histogram" else {name: amount}
        if found.keys() != expected.keys() or not all(math.isclose(found[key], expected[key], rel_tol=1e-9) for key in expected):
            yield f"{found} where {expected} was expected"
        if metric["kind"] == "histogram":
            filled = {change.labels["le"] for change in changes if change.name == f"{name}_bucket" and change.by == 1}
            if {float(bound) for bound in filled} != {bound for bound in (*metric["buckets"], math.inf) if bound >= amount}:
                yield f"{name}: {amount} filled the buckets {sorted(filled)}"
    for metric in whole.values():
        yield from label_faults(entry, metric, value, [change for change in changes if change.name == metric["name"]])


def label_faults(entry: dict[str, Any], metric: dict[str, Any], value: Any, changes: list[Change]) -> Iterator[str]:
    """What is wrong with a metric that the event moves by one whatever its fields say."""
    if [change.by for change in changes] != [1.0]:
        yield f"{metric['name']} was moved by {[change.by for change in changes]}"
        return
    shown = "true" if value is True else value
    closed = {"result", "method", "state", "reason"}
    for item in entry["becomes"]:
        if item["kind"] == "label" and item["name"] in metric["labels"]:
            expected = {shown, "other"} if item["name"] in closed else {shown}
            if changes[0].labels[item["name"]] not in expected:
                yield f"label {item['name']} of {metric['name']} is {changes[0].labels[item['name']]}"


def test_the_catalogue_has_every_field_of_the_protocol() -> None:
    """No event and no field of the protocol's own list is left out."""
    known = {(entry["event"], entry["field"]) for entry in FIELDS}
    assert {(event, field) for event, fields in PROTOCOL.items() for field in fields} <= known
    assert set(PROTOCOL) == {spec.name for spec in inventory.events()}


async def test_every_field_moves_what_the_catalogue_says_and_nothing_else() -> None:
    """Each field, sent alone, moves its metrics once, by its value in their unit, and no metric that is not declared for it."""
    problems = []
    async with running_daemon(session_resume=3600.0, turn_wait=600.0) as endpoints:
        watched = Watched(endpoints)
        await watched.begin()
        for number, entry in enumerate(FIELDS):
            value = value_of(number, entry)
            changes = await watched.changes(wire_form(entry["event"], entry["field"], value))
            problems += [f"{entry['event']}.{entry['field']} = {value!r}: {fault}" for fault in faults(entry, value, changes)]
        assert await endpoints.total("agentstack_exporter_values_refused_total") == 0
        assert await endpoints.total("agentstack_exporter_unknown_fields_total") == 0
        assert await endpoints.total("agentstack_exporter_frames_total", outcome="processed") == len(FIELDS)
    assert problems == []


async def test_an_event_is_counted_under_each_of_its_names() -> None:
    """An event without fields, under its name and under those of earlier generations, moves by one what it moves as a whole."""
    problems = []
    async with running_daemon(session_resume=3600.0, turn_wait=600.0) as endpoints:
        watched = Watched(endpoints)
        await watched.begin()
        for spec in inventory.events():
            for name in (spec.name, *spec.earlier_names):
                changes = await watched.changes({**wire_form(spec.name), tag_of(spec.name): name})
                counted = {change.name: change.by for change in changes if change.name in whole_event(spec.name)}
                if counted != dict.fromkeys(whole_event(spec.name), 1.0):
                    problems.append(f"{name}: {counted}")
            if await endpoints.total("agentstack_exporter_events_total", event=spec.name) != 1 + len(spec.earlier_names):
                problems.append(f"{spec.name} is not counted once for each of its names")
    assert problems == []
