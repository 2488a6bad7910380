"""Everything that is measured, in one list."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from exporter.catalogue.declarations import Feeds
from exporter.catalogue.inspect import EventSpec
from exporter.metrics import inventory
from exporter.metrics.label_limits import LabelLimits
from exporter.pipeline.diagnostics import NoDiagnostics
from exporter.pipeline.pipeline import Pipeline
from exporter.sessions.registry import SessionTimeouts

PROTOCOL: dict[str, Any] = json.loads((Path(__file__).parents[1] / "data" / "events.json").read_text(encoding="utf-8"))["events"]


def test_every_metric_is_in_the_list() -> None:
    """The list has the metrics that events and fields feed, derived metrics, and the exporter's own."""
    found = inventory.metrics()
    for name in (
        "agentstack_interruptions_total",
        "agentstack_user_perceived_latency_seconds",
        "agentstack_turns_total",
        "agentstack_exporter_frames_received_total",
        "process_cpu_seconds_total",
    ):
        assert found[name].name == name


def test_a_snapshot_has_every_metric_of_the_list() -> None:
    """What is scraped and what is listed are the same families, with the same declarations."""
    snapshot = Pipeline(LabelLimits(), SessionTimeouts(), NoDiagnostics(), 0.0).snapshot(0.0)
    assert {family.spec.name: family.spec for family in snapshot.families} == inventory.metrics()


def test_events_are_listed_once() -> None:
    """Each event of the protocol's list is there once, and no earlier name is another's."""
    names = Counter(name for event in inventory.events() for name in (event.name, *event.earlier_names))
    assert sorted(event.name for event in inventory.events()) == sorted(PROTOCOL)
    assert {name for name, times in names.items() if times > 1} == {"dtmf"}


@pytest.mark.parametrize("event", inventory.events(), ids=lambda event: event.name)
def test_labels_are_read_from_fields_that_exist(event: EventSpec) -> None:
    """Every label that an event's metrics read from a field names a field of that event."""
    fields = {field.name for field in event.fields}
    fed: list[Feeds] = [*event.metrics, *(feeds for field in event.fields for feeds in field.feeds)]
    assert {name for feeds in fed for name in feeds.labels.fields} <= fields


@pytest.mark.parametrize("event", inventory.events(), ids=lambda event: event.name)
def test_an_alias_stands_for_a_field_that_exists(event: EventSpec) -> None:
    """A field of an earlier generation lands where a field of today does, in the same unit."""
    for field in event.fields:
        if field.alias_of:
            target = event.field(field.alias_of)
            assert (target.type, target.quantity, target.alias_of) == (field.type, field.quantity, None)
