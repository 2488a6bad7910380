"""For any turn, the spans have its values, and times that form a tree."""

from datetime import datetime
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from exporter.catalogue.declarations import SpanAttribute
from exporter.catalogue.genai import PROVIDERS
from exporter.catalogue.inspect import EventSpec, FieldSpec
from exporter.events.turn_metrics import TurnMetrics
from exporter.protocol.decoder import SPECS
from exporter.sessions.clock import LATEST
from exporter.tracing.attributes import compile_attributes, span_attributes
from exporter.tracing.sampling import SpanOptions
from exporter.tracing.timeline import is_timed, lay_out
from exporter.tracing.turn_spans import STAGES
from tests.support.traced import RECEIPT, Player, values
from tests.support.turn_events import NEAR, turn_metrics, value

_SPANS = [*(name for name, _ in STAGES), "turn", "session", "execute_tool"]
_SMALL = [spec for spec in SPECS if spec.type is not TurnMetrics and not spec.type.__module__.endswith("audio_stream")]


def reference(spec: EventSpec, event: Any, span: str, options: SpanOptions) -> dict[str, Any]:
    """The attributes that an event gives a span: slow and obvious."""
    found = {}
    for field in spec.fields:
        names = [field, *(other for other in spec.fields if other.alias_of == field.name)]
        value = next((got for got in (_read(event, name.path) for name in names) if got is not None), None)
        for item in field.declarations:
            if isinstance(item, SpanAttribute) and item.span == span and value is not None and (options.capture or not item.personal):
                if item.zero_is_absent and not value:
                    continue
                found[item.name] = item.as_flag or _converted(item.name, field, value)
    return found


def _read(event: Any, path: tuple[str, ...]) -> Any:
    for step in path:
        event = None if event is None else getattr(event, step)
    return event


def _converted(name: str, field: FieldSpec, value: Any) -> Any:
    unit = field.quantity.wire_unit if field.quantity else ""
    if unit == "milliseconds":
        return value / 1000
    if unit in ("tokens", "characters", "count", "ordinal"):
        return int(value)
    if isinstance(value, datetime):
        return value.isoformat().replace("+00:00", "Z")
    if name == "gen_ai.provider.name":
        known = PROVIDERS[field.name.split("_")[0]]
        return known.get(value.strip().lower().replace("-", "_"), value)[:4096]
    if isinstance(value, bool | float):
        return value
    return (value if isinstance(value, str) else msgspec.json.encode(value).decode())[:4096]


def generated(spec: EventSpec, event: Any, span: Any, options: SpanOptions) -> dict[str, Any]:
    write = compile_attributes(span_attributes(spec, span, options), options)
    return values(Span.FromString(write(event)).attributes)


@given(event=turn_metrics, capture=st.booleans())
def test_generated_attributes_equal_the_reference(event: TurnMetrics, capture: bool) -> None:
    """For any turn, the generated functions write what is declared and nothing else."""
    options = SpanOptions(capture=capture, proposals=True)
    spec = next(spec for spec in SPECS if spec.type is TurnMetrics)
    for span in _SPANS:
        assert generated(spec, event, span, options) == reference(spec, event, span, options)


@pytest.mark.parametrize("spec", _SMALL, ids=lambda spec: spec.name)
@given(data=st.data())
def test_small_events_equal_the_reference(spec: EventSpec, data: st.DataObject) -> None:
    """The same holds for every other event."""
    fields = {field.path[0]: value(field) for field in spec.fields if field.name not in ("models", "calls", "probabilities")}
    event = spec.type(**data.draw(st.fixed_dictionaries({}, optional=fields)))
    options = SpanOptions(capture=True, proposals=True)
    for span in _SPANS:
        assert generated(spec, event, span, options) == reference(spec, event, span, options)


STAMPS = 1000
"""The resolution of the platform's stamps, in nanoseconds."""


def longest(event: TurnMetrics, stage: int) -> float | None:
    """The longest that a stage may be by its measurements, in milliseconds; ``None`` if stamps decide."""
    measured = {
        2: [event.turn_decision_ms],
        3: [event.llm_duration_ms, event.llm_ttft_ms],
        4: [event.tts_duration_ms, event.tts_ttfb_ms],
        6: [event.realtime_duration_ms, event.realtime_ttft_ms],
    } | ({1: [event.stt_delay_ms]} if event.stt_delay_ms and event.stt_delay_ms * 1e6 >= 1 else {})  # less than 1 ns is no length
    return max((length or 0.0 for length in measured[stage]), default=0.0) if stage in measured else None


@given(event=turn_metrics, since=st.integers(0, 1000), clock_known=st.booleans())
def test_any_times_give_a_sane_tree(event: TurnMetrics, since: int, clock_known: bool) -> None:
    """With missing, reversed and stale times, stages still lie in their turn and are no longer than measured."""
    low = (NEAR - since) * 10**9 if clock_known else 10**18
    high = (NEAR + since) * 10**9 if clock_known else LATEST
    times = lay_out(event, (low, high))
    present = [stage for stage in range(len(STAGES)) if is_timed(event, stage)]
    start, end = times.envelope(present, NEAR * 10**9)
    for stage in present:
        assert start <= times.starts[stage] <= times.ends[stage] <= end
        measured = longest(event, stage)
        if measured is not None:
            assert times.ends[stage] - times.starts[stage] <= measured * 1e6 + STAMPS
    assert 0 <= start <= end < 2**64
    if times.estimated:
        assert end == NEAR * 10**9


@given(events=st.lists(turn_metrics, max_size=4), receipt=st.floats(0, 9e9), per_turn=st.booleans())
def test_spans_of_any_turns_can_be_read(events: list[TurnMetrics], receipt: float, per_turn: bool) -> None:
    """Every span has its ids, ends after it began, lies in its parent and has each key once."""
    player = Player(SpanOptions(per_turn=per_turn))
    player.session.started_at = player.session.last_event_at = receipt
    for event in events:
        player.spans.handlers[TurnMetrics](player.session, event, receipt)
    player.finish(receipt=receipt)
    spans = {(span.trace_id, span.span_id): span for span in player.emitted}
    for span in spans.values():
        assert len(span.trace_id) == 16
        assert len(span.span_id) == 8
        assert any(span.span_id)
        values(span.attributes)
        parent = spans.get((span.trace_id, span.parent_span_id))
        assert (parent is None) == (not span.parent_span_id)
        if parent is not None:
            assert parent.start_time_unix_nano <= span.start_time_unix_nano
            assert span.end_time_unix_nano <= parent.end_time_unix_nano
        assert span.start_time_unix_nano <= span.end_time_unix_nano


def test_receipt_is_the_samples() -> None:
    """The times that tests use belong to the same call."""
    assert abs(RECEIPT - NEAR) < 60
