"""Rows of cells by label values, the cap on them, and the snapshots taken of them."""

from dataclasses import FrozenInstanceError
from functools import partial
from typing import Any

import pytest

from exporter.catalogue.declarations import DeclarationError, MetricSpec
from exporter.catalogue.exponential import wire_bounds
from exporter.metrics.instrument import Instrument
from exporter.metrics.snapshot import Exemplar, HistogramPoint, Series, Snapshot
from exporter.metrics.store import Layout, Row, Store
from exporter.protocol.ids import TurnRef, trace_id, turn_span_id

WAIT = MetricSpec(
    kind="histogram",
    otel_name="agentstack.wait",
    unit="s",
    help="Wait.",
    labels=("agent",),
    bounds=(0.1, 0.3, 1.0),
    exemplars=True,
)
TURNS = MetricSpec(kind="counter", otel_name="agentstack.turns", unit="{turn}", help="Turns.", labels=("agent",))
ACTIVE = MetricSpec(kind="gauge", otel_name="agentstack.active", unit="{session}", help="Active.", labels=("agent",))
PAIRS = MetricSpec(
    kind="counter", otel_name="agentstack.pairs", unit="{pair}", help="Pairs.", labels=("provider", "model", "cancelled")
)
OWN = MetricSpec(kind="counter", otel_name="agentstack.own", unit="{frame}", help="Own.", labels=("reason",))


def series_of(snapshot: Snapshot, spec: MetricSpec) -> tuple[Series, ...]:
    return next(family.series for family in snapshot.families if family.spec is spec)


def value_of(store: Store, spec: MetricSpec, *labels: str) -> Any:
    return {series.labels: series.value for series in series_of(store.snapshot(0), spec)}.get(labels)


@pytest.fixture
def store() -> Store:
    return Store(1000, born=5.0)


@pytest.fixture
def layout(store: Store) -> Layout:
    return store.add_layout([WAIT, TURNS, ACTIVE], [1000.0, 1.0, 1.0], tables=["agent"])


def test_a_row_is_made_once(store: Store, layout: Layout) -> None:
    """The same label values always lead to the same row, which counts since it was made."""
    row = store.row(layout, ("a",), 7.0)
    row[1] += 2
    assert store.row(layout, ("a",), 9.0) is row
    assert series_of(store.snapshot(10), TURNS) == (Series(("a",), 2.0, 7.0),)


def test_a_row_without_a_time_counts_since_the_start(store: Store, layout: Layout) -> None:
    """Where nobody says when a series began it is said to count since the store exists."""
    Instrument(store, TURNS).add(1, agent="a")
    assert layout.since == {("a",): 5.0}


def test_what_was_not_recorded_is_not_shown(store: Store, layout: Layout) -> None:
    """A row shows only the metrics in which something was recorded, and every family is there."""
    Instrument(store, ACTIVE).set(0, agent="a")
    snapshot = store.snapshot(0)
    assert [family.spec.name for family in snapshot.families] == [
        "agentstack_active",
        "agentstack_turns_total",
        "agentstack_wait_seconds",
    ]
    assert [len(family.series) for family in snapshot.families] == [1, 0, 0]


def test_own_metrics_are_shown_from_zero(store: Store) -> None:
    """The exporter's own counters show that nothing happened."""
    own = store.add_layout([OWN], reserved=True)
    store.row(own, ("empty",), 0)
    assert value_of(store, OWN, "empty") == 0.0


@pytest.mark.parametrize(
    ("milliseconds", "bucket"),
    [(0, 0), (100, 0), (100.001, 1), (299.999, 1), (300, 1), (300.001, 2), (1000, 2), (1000.1, 3), (1e12, 3)],
)
def test_a_bound_belongs_to_its_bucket(milliseconds: float, bucket: int) -> None:
    """A value equal to a bound, in whole milliseconds too, falls into that bound's bucket."""
    store = Store(1000)
    store.add_layout([WAIT], [1000.0])
    Instrument(store, WAIT).observe(milliseconds / 1000, agent="a")
    point = value_of(store, WAIT, "a")
    assert isinstance(point, HistogramPoint)
    assert [index for index, count in enumerate(point.counts) if count] == [bucket]


def test_sums_of_milliseconds_are_exact(store: Store, layout: Layout) -> None:
    """Ten times 0.1 s is exactly one second, because sums are kept in the wire's unit."""
    instrument = Instrument(store, WAIT)
    for _ in range(10):
        instrument.observe(0.1, agent="a")
    assert value_of(store, WAIT, "a") == HistogramPoint((10, 0, 0, 0), 1.0)


def test_values_come_back_in_base_units() -> None:
    """A counter fed in milliseconds is shown in seconds, whichever way it was fed."""
    spec = MetricSpec(kind="counter", otel_name="agentstack.spoken", unit="s", help="Spoken.")
    store = Store(1000)
    layout = store.add_layout([spec], [1000.0])
    store.row(layout, (), 0)[0] += 250
    Instrument(store, spec).add(0.5)
    assert value_of(store, spec) == 0.75


@pytest.mark.parametrize(("bounds", "divisor", "expected"), [((0.3, 1.1), 1000.0, (300.0, 1100.0)), ((0.1,), 1.0, (0.1,))])
def test_bounds_in_wire_units_are_round(bounds: tuple[float, ...], divisor: float, expected: tuple[float, ...]) -> None:
    """A bound of 0.3 s is exactly 300 ms."""
    assert wire_bounds(bounds, divisor) == expected


def test_a_snapshot_never_changes(store: Store, layout: Layout) -> None:
    """What was recorded after a snapshot is not in it, and nothing in it can be set."""
    Instrument(store, TURNS).add(1, agent="a")
    Instrument(store, WAIT).observe(0.2, agent="a")
    before = store.snapshot(1)
    kept = repr(before)
    Instrument(store, TURNS).add(1, agent="a")
    Instrument(store, WAIT).observe(0.2, agent="a")
    assert repr(before) == kept
    assert store.snapshot(1) != before
    with pytest.raises(FrozenInstanceError):
        before.at = 2.0  # type: ignore[misc]


def test_exemplars_point_at_their_turn(store: Store, layout: Layout) -> None:
    """Each bucket shows its example in base units with the ids of the turn's span, or none."""
    turn = TurnRef(trace_id("as-1"), ("", 2))
    cell = store.row(layout, ("a",), 0)[0]
    cell[1] += 1
    cell[-2] += 250
    cell[-1][1] = (250, turn, 12.5)
    point = value_of(store, WAIT, "a")
    span = turn_span_id(trace_id("as-1"), ("", 2))
    assert point.exemplars == (None, Exemplar(0.25, trace_id("as-1"), span, 12.5), None, None)


def test_series_are_counted_as_prometheus_sees_them(store: Store, layout: Layout) -> None:
    """A histogram makes a series a bucket and two more, everything else one."""
    store.row(layout, ("a",), 0)
    assert store.series == layout.series_per_row == (4 + 2) + 1 + 1


def test_a_full_store_has_other_rows() -> None:
    """Beyond the cap all label values become _other, in the one row kept free for it, and each time is counted."""
    store = Store(3)
    layout = store.add_layout([PAIRS])
    for number in range(5):
        store.row(layout, (f"p{number}", f"m{number}", "true"), 0)[0] += 1
    assert set(layout.rows) == {("p0", "m0", "true"), ("p1", "m1", "true"), ("_other", "_other", "_other")}
    assert value_of(store, PAIRS, "_other", "_other", "_other") == 3.0
    assert store.overflowed == 3
    assert store.series == 3


def test_known_rows_and_own_metrics_pass_the_cap() -> None:
    """A full store goes on counting in the rows it has, and the exporter's own metrics always get theirs."""
    store = Store(3)
    layout = store.add_layout([TURNS])
    own = store.add_layout([OWN], reserved=True)
    known = store.row(layout, ("a",), 0)
    assert store.row(layout, ("a",), 0) is known
    store.row(own, ("empty",), 0)
    assert set(own.rows) == {("empty",)}
    assert store.overflowed == 0


def test_dropping_removes_the_rows_of_a_value(store: Store, layout: Layout) -> None:
    """Rows of a value that gave up its place go with their series, and others stay."""
    store.row(layout, ("a",), 0)
    store.row(layout, ("b",), 0)
    room = store.series
    assert store.drop("agent", ("agent",), ("a",)) == 1
    assert (set(layout.rows), set(layout.since), store.series) == ({("b",)}, {("b",)}, room // 2)
    assert store.drop("agent", ("agent",), ("a",)) == 0


def test_dropping_spares_what_another_table_bounds(store: Store) -> None:
    """A label of the same name and value elsewhere keeps its rows: a closed set, the exporter's own, another component."""
    own = store.add_layout([OWN], reserved=True)
    pairs = store.add_layout([PAIRS], tables=["llm"])
    store.row(own, ("empty",), 0)
    store.row(pairs, ("openai", "gpt-4o", "true"), 0)
    assert store.drop("reason", ("reason",), ("empty",)) == 0
    assert store.drop("stt", ("provider", "model"), ("openai", "gpt-4o")) == 0
    assert store.drop("llm", ("provider", "model"), ("openai", "gpt-4o")) == 1
    assert set(own.rows) == {("empty",)}


def test_label_values_are_given_by_name() -> None:
    """Label values reach their label in any order, and other labels than the metric's are an error that names it."""
    store = Store(1000)
    store.add_layout([PAIRS])
    pairs = Instrument(store, PAIRS)
    pairs.add(1, provider="openai", model="gpt-4o", cancelled="true")
    pairs.add(1, model="gpt-4o", cancelled="true", provider="openai")
    assert value_of(store, PAIRS, "openai", "gpt-4o", "true") == 2.0
    wrong = r"agentstack_pairs_total has the labels \(provider, model, cancelled\), but was given \(provider, modle, cancelled\)"
    for record in (pairs.add, pairs.set, pairs.observe):
        with pytest.raises(TypeError, match=wrong):
            record(1, provider="openai", modle="gpt-4o", cancelled="true")
    for find in (pairs.row, pairs.observer):
        with pytest.raises(TypeError, match="was given"):
            find()
        with pytest.raises(TypeError, match="was given"):
            find(provider="openai")
        with pytest.raises(TypeError, match="was given"):
            find(provider="openai", model="gpt-4o", cancelled="true", agent="a")


def test_what_was_found_is_remembered_unless_the_store_is_full() -> None:
    """Rows are found once while there is room; of a full store they are found, and counted, each time."""
    store = Store(2)
    store.add_layout([TURNS])
    turns, cache = Instrument(store, TURNS), dict[str, Row]()
    for agent in ("a", "b", "b"):
        store.cached(cache, agent, partial(turns.row, agent=agent))
    assert set(cache) == {"a"}
    assert store.overflowed == 2


def test_a_metric_is_declared_once(store: Store, layout: Layout) -> None:
    """A second metric of the same name, or neighbours with other labels, are refused."""
    with pytest.raises(DeclarationError, match="declared twice"):
        store.add_layout([TURNS])
    with pytest.raises(DeclarationError, match="other labels"):
        store.add_layout([OWN, PAIRS])


def test_metrics_are_found_by_name(store: Store, layout: Layout) -> None:
    """A metric is found by the name it is scraped under, and one that is not there is an error."""
    assert store.spec("agentstack_wait_seconds") is WAIT
    assert store.place(ACTIVE) == (layout, 2)
    assert Instrument(store, WAIT).label_names == ("agent",)
    with pytest.raises(KeyError):
        store.spec("agentstack_nothing")
