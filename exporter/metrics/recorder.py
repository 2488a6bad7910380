"""Declarations → recorders: one function for each event type, made at start, that adds the event's fields to the store.

Each function is written out as Python text (:mod:`exporter.metrics.recorder_source`) or, where C was compiled, as
instructions for it (:mod:`exporter.metrics.compiled_recorder`). The reference recorder in the tests does the same slowly and obviously;
property tests prove all three equal. Metrics whose labels are read from the same wire fields share a *label group*: one look-up by
the raw values finds the rows of all of them.
"""

from collections.abc import Hashable, Iterable, Iterator, Mapping
from functools import partial
from itertools import chain
from typing import Any, Final, NamedTuple, Protocol, TypeVar

import msgspec

from exporter.catalogue.declarations import Const, DeclarationError, Flag, Labels, MetricSpec, OfSession, OneIf, OneOf, Source, Text
from exporter.catalogue.genai import MODEL, PROVIDER
from exporter.catalogue.genai_metrics import DEFAULT, ERROR_SOURCES, Generation, label_value
from exporter.catalogue.generated_code import run_generated
from exporter.catalogue.inspect import EventSpec
from exporter.compiled import RecordWriter
from exporter.metrics.compiled_recorder import record_program
from exporter.metrics.label_limits import UNKNOWN, LabelLimiter, pairs_of
from exporter.metrics.recorder_source import LabelGroup, Update, label_groups, recorder_source
from exporter.metrics.series_cache import SeriesCache
from exporter.metrics.store import Layout, Row, Store
from exporter.protocol.ids import TurnRef

_MOST_CACHED = 1024
_PLACES: Final = {"provider": 0, "model": 1, PROVIDER: 0, MODEL: 1}
"""Labels that hold one half of a (provider, model) pair → which half."""

EventT = TypeVar("EventT", bound=msgspec.Struct)
EventT_contra = TypeVar("EventT_contra", bound=msgspec.Struct, contravariant=True)
_K = TypeVar("_K")
_V = TypeVar("_V")
_RawValues = Mapping[str, Any]
"""Wire field → its value in an event. The label source that reads the field knows the type: text or flag, or ``None``."""


class Record(Protocol[EventT_contra]):
    """Adds an event to the store: the last hop of a frame.

    What is called is a function that :func:`~exporter.metrics.recorder_source.recorder_source` wrote at start, or
    ``RecordWriter.record`` of ``exporter/compiled/record.pyx``. Both update cells in the rows that :meth:`Recorder.find_rows` returns.
    """

    def __call__(self, event: EventT_contra, cache: SeriesCache, now: float, turn: TurnRef | None, /) -> None:
        """Add ``event`` of a session with this ``cache``, received at ``now`` (unix seconds); exemplars point at ``turn``."""


class RecordTable(Protocol):
    """The recorder of each event type: ``table[TurnMetrics]`` takes a ``TurnMetrics``."""

    def __getitem__(self, event: type[EventT], /) -> Record[EventT]:
        """The recorder of an event type; raises ``KeyError`` for a type without one."""


class Recorder:
    """The recorders of all event types, and the rows they write to. ``genai`` says which names the GenAI metrics have, if any."""

    def __init__(self, events: Iterable[EventSpec], store: Store, limiter: LabelLimiter, genai: Generation | None = DEFAULT) -> None:
        self._store = store
        self._limiter = limiter
        self._groups: list[tuple[LabelGroup, tuple[Layout, ...]]] = []
        self._caches: dict[tuple[str, str], SeriesCache] = {}
        updates = {event: tuple(_updates(event, genai)) for event in events}
        layouts = _add_layouts(updates, store)
        self.record: RecordTable = {event.type: self._compile(event, updates[event], layouts) for event in updates}

    def series_cache(self, agent: str, answered_by: str = UNKNOWN) -> SeriesCache:
        """The cache that sessions with these label values share."""
        key = (agent, answered_by)
        found = self._caches.get(key)
        if found is None:
            if len(self._caches) >= _MOST_CACHED:
                self._caches.clear()
            found = self._caches[key] = SeriesCache(agent, answered_by, len(self._groups))
        return found

    def clear_caches(self, held: Iterable[SeriesCache]) -> None:
        """Empty all caches, also the ones that sessions hold; needed at each sweep and after rows were dropped."""
        for cache in {*self._caches.values(), *held}:
            cache.clear()

    def find_rows(self, index: int, cache: SeriesCache, key: Hashable, now: float) -> tuple[Row, ...]:
        """The rows of label group ``index`` for the raw wire values ``key``, which ``cache`` does not have.

        They are cached only if each text of the wire is a label value unchanged or a known ``error_source``: such texts are few, while
        any number of texts can be cut, masked or replaced to give the same label value. Rows that became ``_other`` because the store
        is full are remembered apart, because each use of them is counted.
        """
        full = cache.full_rows[index].get(key)
        if full is not None:
            rows, overflowed = full
            self._store.overflowed += overflowed
            return rows
        group, layouts = self._groups[index]
        raw = dict(zip(group.fields, key if isinstance(key, tuple) else (key,), strict=False))
        values = [self._label_values(labels, raw, cache, now) for labels in group.labels]
        find = partial(self._rows, layouts, values, now)
        texts = {text for text in raw.values() if isinstance(text, str)}
        if not texts.issubset(chain(ERROR_SOURCES, *values)):
            return find()
        before = self._store.overflowed
        rows = self._store.cached(_with_room(cache.rows[index]), key, find)
        if (overflowed := self._store.overflowed - before) > 0:
            _with_room(cache.full_rows[index])[key] = rows, overflowed
        return rows

    def _rows(self, layouts: tuple[Layout, ...], values: list[tuple[str, ...]], now: float) -> tuple[Row, ...]:
        return tuple(self._store.row(layout, labels, now) for layout, labels in zip(layouts, values, strict=True))

    def _label_values(self, labels: Labels, raw: _RawValues, cache: SeriesCache, now: float) -> tuple[str, ...]:
        pair = self._pair(labels, raw, now) if labels.component else None
        return tuple(
            label_value(name, pair[_PLACES[name]], labels.component)
            if pair and name in _PLACES
            else self._label_value(name, source, raw, cache, now)
            for name, source in labels.sources
        )

    def _pair(self, labels: Labels, raw: _RawValues, now: float) -> tuple[str, str]:
        provider, model = (raw[source.field] for _, source in labels.sources if isinstance(source, Text))
        return self._limiter.pair(labels.component, provider, model, now)

    def _label_value(self, name: str, source: Source, raw: _RawValues, cache: SeriesCache, now: float) -> str:
        match source:
            case OfSession("agent"):
                return self._limiter.admit("agent", cache.agent, now)
            case OfSession():
                return cache.answered_by
            case Const(value):
                return value
            case Flag(field):
                return "true" if raw[field] else "false"
            case OneOf(field, allowed):
                return one_of(raw[field], allowed)
            case OneIf(field, allowed):
                return text if (text := (raw[field] or "").lower()) in allowed else ""
            case Text(field):
                return self._limiter.value(name, raw[field], now)

    def _compile(self, event: EventSpec, updates: tuple[Update, ...], layouts: dict[str, Layout]) -> Record[Any]:
        """The recorder of one event type; in the table it is found by that type, so ``Any`` ends there."""
        first = len(self._groups)
        groups = label_groups(updates, layouts)
        self._groups.extend((group, tuple(layouts[names[0]] for names in group.metrics)) for group in groups)
        if RecordWriter is not None and (program := record_program(event, groups, layouts, first)) is not None:
            compiled: Record[Any] = RecordWriter(program, event.type, self.find_rows).record
            return compiled
        source, constants = recorder_source(event, groups, layouts, first)
        names: dict[str, Any] = {"find_rows": self.find_rows, **constants}
        run_generated(source, names, f"recorder of {event.name}")
        record: Record[Any] = names["record"]
        return record


def _with_room(cache: dict[_K, _V]) -> dict[_K, _V]:
    """The cache, emptied if it was full."""
    if len(cache) >= _MOST_CACHED:
        cache.clear()
    return cache


def one_of(raw: str | None, allowed: tuple[str, ...]) -> str:
    """A label value of a closed set: absent → ``unknown``, not in the set → ``other``."""
    if not raw:
        return UNKNOWN
    return raw if raw in allowed else "other"


def _label_tables(labels: Labels) -> Iterator[str]:
    """The limiter's tables that bound how many series these labels make."""
    for name, source in labels.sources:
        match source:
            case Text():
                yield pairs_of(labels.component) if labels.component and name in _PLACES else name
            case OfSession("agent"):
                yield "agent"


def _updates(event: EventSpec, genai: Generation | None) -> Iterator[Update]:
    """What recording an event updates: each metric that the event or one of its fields feeds."""
    for feeds in event.metrics:
        yield Update(feeds, None)
    for field in event.fields:
        for feeds in field.feeds_in(genai):
            yield Update(feeds, field)


class _Feeder(NamedTuple):
    """An event, and the labels with which it or one of its fields feeds a metric."""

    event: str
    labels: Labels


def _add_layouts(updates: dict[EventSpec, tuple[Update, ...]], store: Store) -> dict[str, Layout]:
    """Give metrics with the same feeders a common layout in the store; returns each metric's layout by the metric's name."""
    feeders: dict[MetricSpec, set[_Feeder]] = {}
    divisors: dict[MetricSpec, float] = {}
    for event, event_updates in updates.items():
        for update in event_updates:
            spec = update.feeds.spec
            feeders.setdefault(spec, set()).add(_Feeder(event.name, update.feeds.labels))
            if divisors.setdefault(spec, update.divisor) != update.divisor:
                raise DeclarationError(f"{spec.name} is fed in different units")
    together: dict[frozenset[_Feeder], list[MetricSpec]] = {}
    for spec, of_spec in feeders.items():
        together.setdefault(frozenset(of_spec), []).append(spec)
    layouts = {}
    for common, specs in together.items():
        tables = {table for feeder in common for table in _label_tables(feeder.labels)}
        layout = store.add_layout(specs, (divisors[spec] for spec in specs), tables=tables)
        layouts.update({spec.name: layout for spec in specs})
    return layouts
