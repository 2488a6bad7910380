"""Arbitrary turn.metrics for property tests: every field may be absent, and times may be anything a decoder lets through."""

from datetime import UTC, datetime
from typing import Any

from hypothesis import strategies as st

from exporter.catalogue.inspect import FieldSpec, inspect_event
from exporter.events.turn_metrics import TurnMetrics

SPEC = inspect_event(TurnMetrics)
RANGES = {
    "milliseconds": 120_000.0,
    "seconds": 86_400.0,
    "ratio 0..1": 1.0,
    "words/second": 50.0,
    "tokens/second": 100_000.0,
    "hertz": 1_000_000.0,
}
"""Wire unit → largest plausible value; counts go up to ten million."""
NEAR = 1_777_885_206
"""Unix seconds near which the times of a plausible turn lie."""

_near = st.integers(-400_000_000, 400_000_000).map(lambda microseconds: NEAR + microseconds / 1e6)
_anywhen = st.floats(1e9, 9.9e9)


def value(field: FieldSpec) -> st.SearchStrategy[Any]:
    """Values of a field as the decoder lets them through."""
    unit = field.quantity.wire_unit if field.quantity else ""
    if unit == "unix seconds":
        return _near | _anywhen
    if unit == "RFC 3339 date-time":
        return (_near | _anywhen).map(lambda seconds: datetime.fromtimestamp(seconds, UTC))
    if unit in ("tokens", "characters", "count", "ordinal"):
        return st.integers(0, 10_000_000).map(float)
    if field.type is float:
        return st.floats(0, RANGES[unit])
    if field.type is bool:
        return st.booleans()
    if field.type is str:
        return st.text(max_size=20) | st.sampled_from(["llm", "stt", "tts", "openai", "x" * 200, "é" * 5000])
    return st.dictionaries(st.text(max_size=5), st.booleans(), max_size=3)


turn_metrics: st.SearchStrategy[TurnMetrics] = st.fixed_dictionaries(
    {}, optional={field.name: value(field) for field in SPEC.fields}
).map(lambda fields: TurnMetrics(**fields))
