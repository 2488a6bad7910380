"""Event types → what they declare, with nested parts laid flat."""

from datetime import datetime
from typing import Annotated, Any, ClassVar

import msgspec
import pytest

from exporter.catalogue.declarations import AliasOf, Feeds, Ignored, SpanAttribute, counter, histogram
from exporter.catalogue.inspect import EventSpec, inspect_event
from exporter.catalogue.quantities import DateTime, Json, LatencyMs
from exporter.events.audio_stream import Start
from exporter.events.base import Event
from exporter.events.tools import ToolCalled

WAIT = histogram("wait", "Wait.", (1.0,))


class Inner(msgspec.Struct, frozen=True):
    streamId: Annotated[str | None, Ignored("an example")] = None  # noqa: N815 - as a wire might have it


class Waited(Event, frozen=True, forbid_unknown_fields=True, tag="user.waited"):
    earlier_names: ClassVar[tuple[str, ...]] = ("waited",)
    metrics: ClassVar[tuple[Feeds, ...]] = (counter("waits", "Waits.", unit="{wait}"),)

    wait_ms: Annotated[LatencyMs | None, WAIT, SpanAttribute("turn", "agentstack.wait")] = None
    delay_ms: Annotated[LatencyMs | None, AliasOf("wait_ms")] = None
    at: Annotated[DateTime | None, Ignored("an example")] = None
    rest: Annotated[Json, Ignored("an example")] = None
    outer_id: str | None = None
    inner: Inner | None = None


@pytest.fixture
def spec() -> EventSpec:
    return inspect_event(Waited)


def test_an_event_knows_itself(spec: EventSpec) -> None:
    """An event's names and the metrics that it feeds as a whole are read from its type."""
    assert (spec.name, spec.type, spec.earlier_names) == ("user.waited", Waited, ("waited",))
    assert [feeds.spec.name for feeds in spec.metrics] == ["agentstack_waits_total"]


def test_fields_are_laid_flat(spec: EventSpec) -> None:
    """Fields of nested parts are the event's, those that only repeat outside are left out."""
    assert [field.name for field in spec.fields] == ["wait_ms", "delay_ms", "at", "rest", "streamId"]
    assert spec.field("streamId").path == ("inner", "streamId")


def test_a_field_knows_type_and_unit(spec: EventSpec) -> None:
    """Type, unit and divisor are told apart from the declarations."""
    wait = spec.field("wait_ms")
    assert (wait.type, wait.divisor) == (float, 1000.0)
    assert wait.quantity is not None
    assert wait.quantity.wire_unit == "milliseconds"
    assert spec.field("at").type is datetime
    assert (spec.field("rest").type, spec.field("rest").divisor) == (Any, 1.0)


def test_a_field_knows_what_it_becomes(spec: EventSpec) -> None:
    """The metrics that a field feeds and the field it is an earlier name of are read from its declarations."""
    assert spec.field("wait_ms").feeds == (WAIT,)
    assert spec.field("wait_ms").alias_of is None
    assert spec.field("delay_ms").alias_of == "wait_ms"
    assert spec.field("delay_ms").feeds == ()


def test_a_missing_field_is_an_error(spec: EventSpec) -> None:
    """Asking for a field that the event does not have fails."""
    with pytest.raises(KeyError):
        spec.field("zzz")


def test_names_are_those_of_the_protocol() -> None:
    """A field renamed in Python has its name on the wire, one of a nested part the name it has un-nested."""
    assert "name" in {field.name for field in inspect_event(ToolCalled).fields}
    assert [field.name for field in inspect_event(Start).fields] == ["stream_id", "call_id", "content_type", "sample_rate"]
