"""Snapshots as hypothesis draws them: hostile label values, numbers of every magnitude, families without series."""

from collections import Counter
from dataclasses import replace

from hypothesis import strategies as st

from exporter.catalogue.declarations import MetricSpec
from exporter.catalogue.names import Kind
from exporter.metrics.snapshot import Exemplar, ExponentialPoint, Family, HistogramPoint, Series, Snapshot

_KINDS: tuple[Kind, ...] = ("counter", "gauge", "histogram")
_UNITS = ("s", "By", "1", "{turn}", "{token}/s", "")
_LABEL_NAMES = ("agent", "a", "kind", "model", "provider", "zulu")
_NASTY = ('"', "\\", "\n", "%", "%d.0", "%s", "%%", "{", "}", "# EOF", ",", "=", " ", "é", "語", "😀", "\r", "\x00", "\u2028")
_NAMES = st.sampled_from(("turns", "errors", "latency", "llm.time", "x.total", "delay.seconds", "build.info"))

# Drawn by number, because hypothesis needs a second to set up its own table of Unicode.
_characters = st.integers(0, 0x10F7FF).map(lambda point: chr(point if point < 0xD800 else point + 0x800))

label_values = st.lists(st.sampled_from(_NASTY) | _characters, max_size=8).map("".join)
"""Any UTF-8 text, often with characters that have a meaning in the formats."""

counts = st.one_of(st.integers(0, 20), st.integers(999_990, 1_000_010), st.integers(0, 2**63))
"""Bucket counts around the values where their notation changes."""

amounts = st.one_of(st.floats(min_value=0, allow_nan=False), st.sampled_from((0.0, 999_999.5, 1e6, 1e15, 1e16, 1e22, 1e-7)))
"""Numbers that a counter or a sum may have."""

_ids = st.integers(0, 2**64 - 1).map(lambda number: f"{number:016x}")


def _exemplars(places: int) -> st.SearchStrategy[tuple[Exemplar | None, ...]]:
    exemplar = st.builds(Exemplar, amounts, _ids.map(lambda half: half * 2), _ids, st.floats(0, 4e9))
    full = st.lists(st.none() | exemplar, min_size=places, max_size=places).map(tuple)
    return st.just(()) | full


def _points(places: int) -> st.SearchStrategy[HistogramPoint]:
    numbers = st.lists(counts, min_size=places, max_size=places).map(tuple)
    return st.builds(HistogramPoint, numbers, amounts, _exemplars(places))


@st.composite
def specs(draw: st.DrawFn) -> MetricSpec:
    """Any metric the catalogue could declare."""
    kind = draw(st.sampled_from(_KINDS))
    bounds = draw(st.lists(st.floats(0, 1e9), min_size=1, max_size=5, unique=True)) if kind == "histogram" else []
    return MetricSpec(
        kind=kind,
        otel_name="agentstack." + draw(_NAMES),
        unit=draw(st.sampled_from(_UNITS)),
        help=draw(label_values) + ".",
        labels=tuple(draw(st.lists(st.sampled_from(_LABEL_NAMES), max_size=3, unique=True))),
        bounds=tuple(sorted({bound + 0.0 for bound in bounds})),
    )


@st.composite
def families(draw: st.DrawFn) -> Family:
    """A family with up to four series, no two with the same labels."""
    spec = draw(specs())
    values: st.SearchStrategy[float | HistogramPoint] = amounts
    if spec.kind == "histogram":
        values = _points(len(spec.bounds) + 1)
    elif spec.kind == "gauge":
        values = st.floats() | st.integers(-(2**53), 2**53).map(float)
    labels = st.lists(label_values.map(lambda text: text or "none"), min_size=len(spec.labels), max_size=len(spec.labels)).map(tuple)
    series = draw(st.lists(st.builds(Series, labels, values, st.just(0.0)), max_size=4, unique_by=lambda one: one.labels))
    return Family(spec, tuple(series))


snapshots = st.builds(
    Snapshot, st.just(0.0), st.lists(families(), max_size=4, unique_by=lambda family: family.spec.otel_name).map(tuple)
)
"""Snapshots whose families have different names."""


_MOST_APART = 160
"""Indices of a point are drawn so that its buckets need not be merged."""


@st.composite
def _exponential(draw: st.DrawFn, snapshot: Snapshot) -> Snapshot:
    families = []
    for family in snapshot.families:
        series = [replace(one, value=draw(_with_exponential(one.value))) for one in family.series]
        families.append(replace(family, series=tuple(series)))
    return replace(snapshot, families=tuple(families))


@st.composite
def _with_exponential(draw: st.DrawFn, value: float | HistogramPoint) -> float | HistogramPoint:
    """The same snapshot with exponential buckets too: each explicit bucket is put into one of them, the first into the zero bucket."""
    if not isinstance(value, HistogramPoint):
        return value
    first = draw(st.integers(-320, 300))
    found = Counter[int]()
    for count in filter(None, value.counts[1:]):
        found[first + draw(st.integers(0, _MOST_APART - 1))] += count
    return replace(value, exponential=ExponentialPoint(draw(st.integers(-3, 8)), 2.0**-20, value.counts[0], dict(found)))


exponential_snapshots = snapshots.flatmap(_exponential)
"""Snapshots whose histograms have exponential buckets too."""
