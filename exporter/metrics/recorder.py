"""Declarations → recorders: for each event type one function, written out at start, that adds the event's fields to the store.

What a recorder does is spelt out, slowly and obviously, by the reference recorder in the tests, which proves the two equal; how its
source is written is in :mod:`exporter.metrics.recorder_source`. Metrics whose labels come from the same wire fields share a
*bundle*: one
look-up by the raw values finds the rows of all of them.
"""

from bisect import bisect_left
from collections.abc import Callable, Iterable
from functools import partial
from itertools import chain
from typing import Any, NamedTuple

import msgspec

from exporter.catalogue.inspect import EventSpec
from exporter.catalogue.model import Const, DeclarationError, Flag, Labels, MetricSpec, OfSession, OneOf, Text
from exporter.compiled import RecordWriter
from exporter.metrics.label_limits import PAIR, UNKNOWN, LabelLimiter, pairs_of
from exporter.metrics.record_program import record_program
from exporter.metrics.recorder_source import LabelGroup, Update, groups_of, recorder_source
from exporter.metrics.store import Layout, Observe, Row, Store
from exporter.protocol.commands import Direction
from exporter.protocol.ids import TurnRef

Record = Callable[[Any, "SeriesCache", float, TurnRef | None], None]
"""Adds an event to the store: the event, the session's cells, the time of receipt (unix seconds), the turn for exemplars."""

Counted = tuple[str | None, bool | None, bool | None, bool | None, bool, bool]
"""How a turn counts: its pipeline; begun by the agent, interrupted, cancelled work, of the main agent; was its caller answered."""

_MOST_CACHED = 1024


class AudioRows(NamedTuple):
    """The rows that count the audio messages of one direction, and their bytes."""

    frames: Row
    bytes: Row


class SeriesCache:
    """Where sessions of one agent find their rows: a dictionary per bundle, from the raw values of the wire.

    ``agent`` is the label value the sessions were given. The dictionaries are emptied now and then, so that label values still in
    use show themselves. The others hold what the analysis of that name has found: ``latency_breakdown`` by pipeline,
    ``turn_position`` by position, ``turns`` by how turns count, ``states`` by participant and state, ``app_commands`` by kind,
    ``audio`` and ``audio_jitter`` by direction.
    """

    __slots__ = (
        "agent",
        "answered_by",
        "app_commands",
        "audio",
        "audio_jitter",
        "caches",
        "latency_breakdown",
        "states",
        "turn_position",
        "turns",
    )

    def __init__(self, agent: str, answered_by: str, groups: int) -> None:
        self.agent = agent
        self.answered_by = answered_by
        self.caches: list[dict[Any, tuple[Row, ...]]] = [{} for _ in range(groups)]
        self.latency_breakdown: dict[str, list[Row | None]] = {}
        self.turn_position: dict[str, tuple[Observe, Observe]] = {}
        self.turns: dict[Counted, tuple[Row, ...]] = {}
        self.states: dict[tuple[str, str], Row] = {}
        self.app_commands: dict[str, Row] = {}
        self.audio: dict[Direction, AudioRows] = {}
        self.audio_jitter: dict[Direction, Observe] = {}

    def forget(self) -> None:
        """Empty the dictionaries."""
        self.states.clear()
        self.app_commands.clear()
        self.audio.clear()
        self.audio_jitter.clear()
        self.latency_breakdown.clear()
        self.turn_position.clear()
        self.turns.clear()
        for cache in self.caches:
            cache.clear()


class Recorder:
    """All events' recorders and the way to the rows they write to."""

    def __init__(self, events: Iterable[EventSpec], store: Store, limiter: LabelLimiter) -> None:
        self._store = store
        self._limiter = limiter
        self._groups: list[tuple[LabelGroup, tuple[Layout, ...]]] = []
        self._cells: dict[tuple[str, str], SeriesCache] = {}
        uses = {event: tuple(_uses(event)) for event in events}
        layouts = _lay_out(uses, store)
        self.record: dict[type, Record] = {event.type: self._compile(event, uses[event], layouts) for event in uses}
        """The recorder of each event type."""

    def cells(self, agent: str, answered_by: str = UNKNOWN) -> SeriesCache:
        """The cells of sessions whose label is ``agent``; kept for its next session."""
        key = (agent, answered_by)
        found = self._cells.get(key)
        if found is None:
            if len(self._cells) >= _MOST_CACHED:
                self._cells.clear()
            found = self._cells[key] = SeriesCache(agent, answered_by, len(self._groups))
        return found

    def forget(self, cells: Iterable[SeriesCache]) -> None:
        """Empty the caches, also of ``cells`` that sessions hold: at each sweep, and after rows were dropped."""
        for held in {*self._cells.values(), *cells}:
            held.forget()

    def resolve(self, index: int, cells: SeriesCache, key: Any, now: float) -> tuple[Row, ...]:
        """The rows of bundle ``index`` for the raw wire values ``key``.

        They are remembered where the texts of the wire are label values as they stand: those are few, while no end of texts may be
        cut, masked or refused to the same value.
        """
        group, layouts = self._groups[index]
        raw = dict(zip(group.fields, key if len(group.fields) > 1 else (key,), strict=False))
        values = [self._label_values(labels, raw, cells, now) for labels in group.labels]
        find = partial(self._rows, layouts, values, now)
        if not {text for text in raw.values() if isinstance(text, str)}.issubset(chain(*values)):
            return find()
        cache = cells.caches[index]
        if len(cache) >= _MOST_CACHED:
            cache.clear()
        return self._store.cached(cache, key, find)

    def _rows(self, layouts: tuple[Layout, ...], values: list[tuple[str, ...]], now: float) -> tuple[Row, ...]:
        return tuple(self._store.row(layout, labels, now) for layout, labels in zip(layouts, values, strict=True))

    def _label_values(self, labels: Labels, raw: dict[str, Any], cells: SeriesCache, now: float) -> tuple[str, ...]:
        pair = self._pair(labels, raw, now) if labels.component else None
        return tuple(
            pair[name == "model"] if pair and name in PAIR else self._value(name, source, raw, cells, now)
            for name, source in labels.sources
        )

    def _pair(self, labels: Labels, raw: dict[str, Any], now: float) -> tuple[str, str]:
        provider, model = (raw[source.field] for _, source in labels.sources if isinstance(source, Text))
        return self._limiter.pair(labels.component, provider, model, now)

    def _value(self, name: str, source: Any, raw: dict[str, Any], cells: SeriesCache, now: float) -> str:
        match source:
            case OfSession("agent"):
                return self._limiter.admit("agent", cells.agent, now)
            case OfSession():
                return cells.answered_by
            case Const(value):
                return str(value)
            case Flag(field):
                return "true" if raw[field] else "false"
            case OneOf(field, allowed):
                return one_of(raw[field], allowed)
            case Text(field):
                return self._limiter.value(name, raw[field], now)
        raise AssertionError(source)

    def _compile(self, event: EventSpec, uses: tuple[Update, ...], layouts: dict[str, Layout]) -> Record:
        first = len(self._groups)
        groups = groups_of(uses, layouts)
        self._groups.extend((group, tuple(layouts[use_names[0]] for use_names in group.metrics)) for group in groups)
        if RecordWriter is not None and (program := record_program(event, groups, layouts, first)) is not None:
            return _compiled(RecordWriter(program, len(event.type.__struct_fields__), self.resolve).record)
        source, constants = recorder_source(event, groups, layouts, first)
        namespace: dict[str, Any] = {"bisect_left": bisect_left, "resolve": self.resolve, **constants}
        exec(compile(source, f"<recorder of {event.name}>", "exec"), namespace)  # noqa: S102 - written from our own declarations
        record: Record = namespace["record"]
        return record


def _compiled(write: Callable[[tuple[Any, ...], list[Any], SeriesCache, float, TurnRef | None], None]) -> Record:
    """The recorder that adds events by way of C."""
    values_of = msgspec.structs.astuple

    def record(e: Any, cells: SeriesCache, now: float, turn: TurnRef | None) -> None:
        write(values_of(e), cells.caches, cells, now, turn)

    return record


def one_of(raw: str | None, allowed: tuple[str, ...]) -> str:
    """A label value of a closed set: absent → ``unknown``, not in the set → ``other``."""
    if not raw:
        return UNKNOWN
    return raw if raw in allowed else "other"


def _tables(labels: Labels) -> Iterable[str]:
    """The tables of label values that bound the series of these labels."""
    for name, source in labels.sources:
        match source:
            case Text():
                yield pairs_of(labels.component) if labels.component and name in PAIR else name
            case OfSession("agent"):
                yield "agent"


def _uses(event: EventSpec) -> Iterable[Update]:
    for feeds in event.metrics:
        yield Update(feeds, None)
    for field in event.fields:
        aliases = tuple(other for other in event.fields if other.alias_of == field.name)
        for feeds in field.feeds:
            yield Update(feeds, field, aliases)


def _lay_out(uses: dict[EventSpec, tuple[Update, ...]], store: Store) -> dict[str, Layout]:
    """Put metrics that are always recorded together into one layout; returns the layout of each metric by name."""
    moved_by: dict[MetricSpec, set[tuple[str, Labels]]] = {}
    divisors: dict[MetricSpec, float] = {}
    for event, event_uses in uses.items():
        for use in event_uses:
            spec = use.feeds.spec
            moved_by.setdefault(spec, set()).add((event.name, use.feeds.labels))
            if divisors.setdefault(spec, use.divisor) != use.divisor:
                raise DeclarationError(f"{spec.name} is fed in different units")
    groups: dict[frozenset[tuple[str, Labels]], list[MetricSpec]] = {}
    for spec, movers in moved_by.items():
        groups.setdefault(frozenset(movers), []).append(spec)
    found = {}
    for specs in groups.values():
        tables = {table for _, labels in moved_by[specs[0]] for table in _tables(labels)}
        layout = store.add_layout(specs, (divisors[spec] for spec in specs), tables=tables)
        found.update({spec.name: layout for spec in specs})
    return found
