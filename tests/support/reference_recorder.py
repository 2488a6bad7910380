"""A slow and obvious recorder, which interprets the declarations: dictionaries, loops, exact decimals.

It reads events as plain JSON values. It shares only the declarations and the normalisation of label values with the decoder and the
real recorders.
"""

import base64
import typing
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from fractions import Fraction
from functools import cache
from typing import Any

import msgspec

from exporter.catalogue.declarations import Const, Feeds, Flag, Labels, MetricSpec, OfSession, OneIf, OneOf, Text
from exporter.catalogue.exponential import octaves
from exporter.catalogue.genai import provider_name
from exporter.catalogue.inspect import EventSpec, FieldSpec
from exporter.metrics.label_limits import normalise

Json = Any
SeriesKey = tuple[str, tuple[str, ...]]


@dataclass
class ReferenceHistogram:
    """One histogram series: how many values fell into each bucket, their sum, and the last value of each bucket with a turn.

    ``exponential`` counts by exponential bucket of scale 5; those up to ``zero_threshold`` are under ``None``, and those that are too
    large in the last one below ``highest``.
    """

    bounds: tuple[float, ...]
    unit: str
    counts: list[int] = field(default_factory=list)
    sum: Decimal = Decimal(0)
    exemplars: dict[int, Decimal] = field(default_factory=dict)
    exponential: Counter[int | None] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self.counts = [0] * (len(self.bounds) + 1)

    def observe(self, value: Decimal, *, exemplar: bool) -> None:
        """Count a value in the first bucket whose bound it does not exceed."""
        place = len(self.bounds)
        for index, bound in enumerate(self.bounds):
            if value <= Decimal(repr(bound)):
                place = index
                break
        self.counts[place] += 1
        self.exponential[_exponential_bucket(value, *octaves(self.bounds, self.unit))] += 1
        self.sum += value
        if exemplar:
            self.exemplars[place] = value


def _exponential_bucket(value: Decimal, lowest: int, highest: int) -> int | None:
    """The bucket whose edges 2**(i/32) and 2**((i+1)/32) the value lies between, worked out in whole numbers."""
    if value <= Decimal(2) ** lowest:
        return None
    if value > Decimal(2) ** highest:
        return 32 * highest - 1
    power = Fraction(value) ** 32
    index = power.numerator.bit_length() - power.denominator.bit_length() - 2
    while power > Fraction(2) ** (index + 1):
        index += 1
    return index


class ReferenceRecorder:
    """Adds events up; ``refused`` counts values that are left out, by field and reason."""

    def __init__(self, events: Iterable[EventSpec]) -> None:
        self._events = {event.name: event for event in events}
        self.numbers: dict[SeriesKey, Decimal] = {}
        self.histograms: dict[SeriesKey, ReferenceHistogram] = {}
        self.refused: Counter[tuple[str, str]] = Counter()

    def record(self, document: dict[str, Json], agent: str | None, answered_by: str) -> None:
        """Add one event of a session of ``agent``, answered by a human, a machine or unknown."""
        event = self._events[document.get("type") or document["event"]]
        values = self._values(event, document)
        exemplar = event.name == "turn.metrics" and values["turn_number"] is not None
        for feeds in event.metrics:
            key = self._key(feeds, values, agent, answered_by)
            self.numbers[key] = self.numbers.get(key, Decimal(0)) + 1
        aliases = [(alias.name, name) for alias in event.fields if (name := alias.alias_of)]
        for spec in event.fields:
            value = values[spec.name]
            for alias, name in aliases:
                if value is None and name == spec.name:
                    value = values[alias]
            for feeds in spec.feeds:
                if value is not None and not (value == 0 and feeds.zero_is_unknown):
                    key = self._key(feeds, values, agent, answered_by)
                    self._update(feeds, key, value, spec.divisor, exemplar=exemplar and feeds.spec.exemplars)

    def values_of(self, document: dict[str, Json]) -> dict[str, Json]:
        """The fields of an event that can be taken for what they say."""
        return self._values(self._events[document.get("type") or document["event"]], document)

    def _update(self, feeds: Feeds, key: SeriesKey, value: Json, divisor: float, *, exemplar: bool) -> None:
        if feeds.spec.kind == "histogram":
            found = self.histograms.setdefault(key, ReferenceHistogram(feeds.spec.bounds, feeds.spec.unit))
            found.observe(_decimal(value) / _decimal(divisor), exemplar=exemplar)
            return
        if feeds.amount == "presence":
            amount = Decimal(1 if value else 0)
        elif feeds.amount == "base64_bytes":
            amount = Decimal(len(base64.b64decode(value)))
        else:
            amount = _decimal(value) / _decimal(divisor)
        if amount:
            self.numbers[key] = self.numbers.get(key, Decimal(0)) + amount

    def _key(self, feeds: Feeds, values: dict[str, Json], agent: str | None, answered_by: str) -> SeriesKey:
        return feeds.spec.name, tuple(_label_values(feeds.labels, values, agent, answered_by))

    def _values(self, event: EventSpec, document: dict[str, Json]) -> dict[str, Json]:
        """The fields of the event that can be taken for what they say; the others are ``None``, and counted if they are wrong."""
        values: dict[str, Json] = {}
        for spec in event.fields:
            raw, least, most = _look_up(event, spec, document)
            why = _why_refused(spec, raw, least, most)
            values[spec.name] = raw if why is None else None
            if why is not None:
                self.refused[spec.name, why] += 1
        if values.get("agent_first") and values.get("user_perceived_ms") is not None:
            values["user_perceived_ms"] = None
            self.refused["user_perceived_ms", "not_applicable"] += 1
        return values


def metrics_of(events: Iterable[EventSpec]) -> dict[str, MetricSpec]:
    """The metrics that events or their fields feed directly, by name."""
    fed: list[Feeds] = []
    for event in events:
        fed += event.metrics
        for spec in event.fields:
            fed += spec.feeds
    return {feeds.spec.name: feeds.spec for feeds in fed}


def _label_values(labels: Labels, values: dict[str, Json], agent: str | None, answered_by: str) -> Iterator[str]:
    for name, source in labels.sources:
        if isinstance(source, OfSession):
            yield normalise(agent, "agent") if source.what == "agent" else answered_by
        elif isinstance(source, Const):
            yield source.value
        elif isinstance(source, Flag):
            yield "true" if values[source.field] is True else "false"
        elif isinstance(source, OneOf):
            raw = values[source.field]
            yield raw if raw in source.values else "other" if raw else "unknown"
        elif isinstance(source, OneIf):
            raw = (values[source.field] or "").lower()
            yield raw if raw in source.values else ""
        else:
            assert isinstance(source, Text)
            yield _text(name, values[source.field], labels.component)


def _text(name: str, raw: str | None, component: str) -> str:
    if name == "gen_ai.provider.name":
        known = normalise(raw, "provider")
        return known if known == "unknown" else provider_name(known, component)
    if name == "gen_ai.request.model":
        return normalise(raw, "model") if normalise(raw, "model") != "unknown" else ""
    return normalise(raw, name)


def _look_up(event: EventSpec, spec: FieldSpec, document: dict[str, Json]) -> tuple[Json, float, float]:
    """The field's raw value in the JSON, and the plausible range of its type."""
    struct: Any = event.type
    value: Json = document
    least = most = 0.0
    for attribute in spec.path:
        name, struct, least, most = _step(struct, attribute)
        value = value.get(name) if isinstance(value, dict) else None
    return value, least, most


@cache
def _step(struct: type[msgspec.Struct], attribute: str) -> tuple[str, type[msgspec.Struct] | None, float, float]:
    """An attribute's name on the wire, the struct it holds if it does, and the plausible range of its type."""
    names = dict(zip(struct.__struct_fields__, struct.__struct_encode_fields__, strict=True))
    parts = list(_parts(typing.get_type_hints(struct, include_extras=True)[attribute]))
    inner = next((part for part in parts if isinstance(part, type) and issubclass(part, msgspec.Struct)), None)
    ranges = [part for part in parts if isinstance(part, msgspec.Meta)]
    least, most = next(((meta.ge, meta.le) for meta in ranges if meta.le is not None), (None, None))
    return names[attribute], inner, float(least or 0), float(most or 0)


def _parts(hint: Any) -> Iterator[Any]:
    """A type and everything it is made of, metadata included."""
    yield hint
    for part in (*typing.get_args(hint), *getattr(hint, "__metadata__", ())):
        yield from _parts(part)


def _why_refused(spec: FieldSpec, raw: Json, least: float, most: float) -> str | None:
    if raw is None or spec.type is Any:
        return None
    if spec.type is float:
        return _why_number_refused(raw, least, most)
    if spec.type is datetime:
        return _why_time_refused(raw)
    wanted = typing.get_origin(spec.type) or spec.type
    return None if isinstance(raw, wanted) else "wrong_type"


def _why_number_refused(raw: Json, least: float, most: float) -> str | None:
    if isinstance(raw, bool) or not isinstance(raw, int | float):
        return "wrong_type"
    if raw == -1:
        return "sentinel"
    if raw < 0:
        return "negative"
    if raw > most:
        return "too_large"
    return "too_small" if raw < least else None


def _why_time_refused(raw: Json) -> str | None:
    if not isinstance(raw, str):
        return "wrong_type"
    try:
        return "not_a_time" if datetime.fromisoformat(raw).tzinfo is None else None
    except ValueError:
        return "not_a_time"


def _decimal(number: float) -> Decimal:
    return Decimal(repr(float(number)))
