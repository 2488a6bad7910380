"""Catalogue entries that contradict themselves are refused where they are written."""

from typing import Annotated, Any, ClassVar

import pytest

from exporter.catalogue.declarations import (
    Const,
    DeclarationError,
    Feeds,
    Flag,
    Ignored,
    MetricSpec,
    OfSession,
    OneOf,
    Text,
    counter,
    histogram,
    labels,
)
from exporter.catalogue.inspect import inspect_event
from exporter.events.base import Event
from exporter.metrics.label_limits import LabelLimiter, LabelLimits
from exporter.metrics.recorder import Recorder
from exporter.metrics.store import Store

GOOD: dict[str, Any] = {"kind": "counter", "otel_name": "agentstack.turns", "unit": "{turn}", "help": "Turns."}


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"otel_name": "turns"}, "starts with"),
        ({"help": "Turns"}, "full stop"),
        ({"kind": "histogram"}, "bounds"),
        ({"bounds": (1.0,)}, "bounds"),
        ({"kind": "histogram", "bounds": (2.0, 1.0)}, "must rise"),
        ({"kind": "histogram", "bounds": (1.0, 1.0)}, "must rise"),
        ({"labels": ("Agent",)}, "snake_case"),
        ({"labels": ("agent-id",)}, "snake_case"),
        ({"labels": ("",)}, "snake_case"),
    ],
)
def test_a_contradiction_is_refused(change: dict[str, Any], complaint: str) -> None:
    """A metric with a foreign name, a fragment as help, bounds that do not fit or odd labels cannot be declared."""
    MetricSpec(**GOOD)
    with pytest.raises(DeclarationError, match=complaint):
        MetricSpec(**GOOD | change)


def test_the_scraped_name_follows() -> None:
    """The name on /metrics is worked out, not written down."""
    assert MetricSpec(**GOOD).name == "agentstack_turns_total"


@pytest.mark.parametrize(
    ("kind", "otel_name", "unit", "suffix"),
    [
        ("counter", "agentstack.received", "By", "bytes"),
        ("gauge", "agentstack.delay", "s", "seconds"),
        ("gauge", "agentstack.part", "1", "ratio"),
        ("gauge", "agentstack.turns", "{turn}", ""),
        ("gauge", "agentstack.seconds.left", "s", ""),
        ("gauge", "agentstack.speed", "By/s", "bytes_per_second"),
        ("gauge", "agentstack.info", "", ""),
    ],
)
def test_the_unit_is_named_where_the_name_ends_in_it(kind: Any, otel_name: str, unit: str, suffix: str) -> None:
    """OpenMetrics wants a family's unit to be the end of its name, so it is given only there."""
    assert MetricSpec(kind=kind, otel_name=otel_name, unit=unit, help="It.").unit_suffix == suffix


def test_labels_know_their_names_and_fields() -> None:
    """A label set has its names in the order given, and the event fields that values are read from."""
    by = labels(
        "llm",
        agent=OfSession("agent"),
        provider=Text("llm_provider"),
        cancelled=Flag("llm_cancelled"),
        edge=Const("started"),
        reason=OneOf("reason", ("a",)),
    )
    assert by.names == ("agent", "provider", "cancelled", "edge", "reason")
    assert by.fields == ("llm_provider", "llm_cancelled", "reason")
    assert by.component == "llm"


def test_shorthands_prefix_the_name() -> None:
    """A histogram or counter is declared without the prefix that all names share."""
    assert histogram("wait", "Wait.", (1.0,)).spec.name == "agentstack_wait_seconds"
    assert counter("turns", "Turns.", unit="{turn}", amount="presence").amount == "presence"


def test_a_field_that_says_nothing_is_refused() -> None:
    """A field must say what it becomes, or why it becomes nothing."""

    class Silent(Event, frozen=True, forbid_unknown_fields=True, tag="silent"):
        wait_ms: float | None = None

    with pytest.raises(DeclarationError, match=r"silent\.wait_ms"):
        inspect_event(Silent)


def _recorder(*events: type[Event]) -> Recorder:
    limiter = LabelLimiter(LabelLimits(), lambda *_: None, lambda _: None)
    return Recorder([inspect_event(event) for event in events], Store(1000), limiter)


class InSeconds(Event, frozen=True, forbid_unknown_fields=True, tag="in.seconds"):
    metrics: ClassVar[tuple[Feeds, ...]] = (counter("waits", "Waits.", unit="{wait}"),)


class WithLabels(Event, frozen=True, forbid_unknown_fields=True, tag="with.labels"):
    metrics: ClassVar[tuple[Feeds, ...]] = (counter("waits", "Waits.", labels(edge=Const("a")), unit="{wait}"),)
    why: Annotated[str | None, Ignored("an example")] = None


def test_one_metric_has_one_declaration() -> None:
    """Two events that feed a metric of the same name must declare the same metric."""
    _recorder(InSeconds)
    with pytest.raises(DeclarationError, match="declared twice"):
        _recorder(InSeconds, WithLabels)
