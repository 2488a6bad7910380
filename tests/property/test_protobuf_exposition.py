"""The protobuf exposition against messages that a protobuf runtime makes from the published field numbers."""

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from exporter.catalogue.declarations import MetricSpec
from exporter.catalogue.exponential import halved
from exporter.exporters.prometheus.native_buckets import MOST_BUCKETS, reduced
from exporter.exporters.prometheus.protobuf_exposition import Histograms, ProtobufRenderer
from exporter.metrics.instrument import Instrument
from exporter.metrics.snapshot import ExponentialPoint, HistogramPoint, Snapshot
from exporter.metrics.store import Store
from tests.support.prometheus_messages import decoded, expected, native_counts, without_native
from tests.support.snapshots import exponential_snapshots, snapshots

MODES: tuple[Histograms, ...] = ("both", "classic", "native")
modes = pytest.mark.parametrize("histograms", MODES)

SPEC = MetricSpec(kind="histogram", otel_name="agentstack.delay", unit="s", help="Delay.", labels=("a",), bounds=(0.0, 0.3, 1.0, 10.0))
COUNT = MetricSpec(kind="counter", otel_name="agentstack.turns", unit="{turn}", help="Turns.", labels=("a",))


def fits(snapshot: Snapshot) -> bool:
    """Whether all counts fit into the messages' fields."""
    points = (series.value for family in snapshot.families for series in family.series)
    return all(point.count < 2**63 for point in points if isinstance(point, HistogramPoint))


def assert_equal(body: bytes, snapshot: Snapshot, histograms: Histograms, most: int = MOST_BUCKETS) -> None:
    """The body decodes to the snapshot: everything but native buckets as messages, those by bucket."""
    found = decoded(body)
    # As bytes, because a gauge may be NaN, and because pytest takes very long to show how messages differ.
    equal = [each.SerializeToString() for each in map(without_native, found)] == [
        each.SerializeToString() for each in expected(snapshot, histograms)
    ]
    assert equal
    shown = [family for family in snapshot.families if family.series and family.spec.kind == "histogram"]
    messages = [family for family in found if family.metric and family.metric[0].HasField("histogram")]
    for family, message in zip(shown, messages, strict=True):
        for series, metric in zip(family.series, message.metric, strict=True):
            assert isinstance(series.value, HistogramPoint)
            assert_native(metric.histogram, series.value.exponential if histograms != "classic" else None, most)


def assert_native(message: object, point: ExponentialPoint | None, most: int) -> None:
    found = native_counts(message)
    if point is None:
        assert found == ExponentialPoint(0, 0.0, 0, {})
        return
    times = point.scale - found.scale
    assert (found.zero_count, found.zero_threshold) == (point.zero_count, point.zero_threshold)
    assert found.counts == {index: count for index, count in halved(point.counts, times).items() if count}
    assert len(found.counts) <= most or found.scale == -4
    assert not times or len(halved(point.counts, times - 1)) > most


@given(snapshot=snapshots | exponential_snapshots, most=st.sampled_from((1, 3, MOST_BUCKETS)))
def test_equals_the_messages(snapshot: Snapshot, most: int) -> None:
    """Any snapshot decodes to what a protobuf runtime makes of it, and its native buckets are those of the snapshot."""
    assume(fits(snapshot))
    for histograms in MODES:
        assert_equal(b"".join(ProtobufRenderer(histograms, most_buckets=most).chunks(snapshot)), snapshot, histograms, most)


@given(first=snapshots | exponential_snapshots, second=snapshots | exponential_snapshots, turns=st.lists(st.booleans(), max_size=20))
def test_renderings_are_independent(first: Snapshot, second: Snapshot, turns: list[bool]) -> None:
    """Two renderings of one renderer, interleaved in any way, are each that of their own snapshot; the last one's constants stay."""
    assume(fits(first) and fits(second))
    renderer = ProtobufRenderer(chunk_samples=1)
    running = {True: renderer.chunks(first), False: renderer.chunks(second)}
    bodies = {True: b"", False: b""}
    for turn in turns:
        bodies[turn] += next(running[turn], b"")
    for which, rest in running.items():
        bodies[which] += b"".join(rest)
    assert_equal(bodies[True], first, "both")
    assert_equal(bodies[False], second, "both")
    assert renderer.cached_series in {sum(len(family.series) for family in each.families) for each in (first, second)}


_values = st.lists(st.floats(0, 2e5) | st.integers(0, 100_000).map(lambda number: number / 1000), max_size=60)


@modes
@given(observed=st.dictionaries(st.text(max_size=4), _values, max_size=3), at=st.floats(0, 4e9), since=st.floats(0, 4e9))
def test_whatever_the_store_holds(histograms: Histograms, observed: dict[str, list[float]], at: float, since: float) -> None:
    """Whatever was observed, with any labels and any clock, the bytes decode to the snapshot of the store."""
    store = Store(100_000, born=since, exponential=histograms != "classic")
    store.add_layout([SPEC], [1000.0])
    store.add_layout([COUNT])
    delay, count = Instrument(store, SPEC), Instrument(store, COUNT)
    for label, values in observed.items():
        for value in values:
            delay.observe(value, a=label, now=since)
            count.add(1, a=label)
    snapshot = store.snapshot(at)
    assert_equal(b"".join(ProtobufRenderer(histograms, most_buckets=16).chunks(snapshot)), snapshot, histograms, 16)


_sparse = st.dictionaries(st.integers(-400, 400), st.integers(1, 5))


@given(before=_sparse, added=_sparse)
def test_no_bucket_ever_falls(before: dict[int, int], added: dict[int, int]) -> None:
    """However the resolution is reduced, a later scrape has no higher scale and in no bucket less: a reader sees no restart."""
    after = {index: before.get(index, 0) + added.get(index, 0) for index in before.keys() | added.keys()}
    earlier_scale, earlier = reduced(before, 5, 20)
    later_scale, later = reduced(after, 5, 20)
    assert later_scale <= earlier_scale
    assert all(later[index] >= count for index, count in halved(earlier, earlier_scale - later_scale).items())
