"""What an event field can become: the words of a declaration, validated when they are written down.

A declaration stands as ``Annotated`` metadata on the field it is about (or in ``metrics=`` of the event it counts), so that a
field is described in one place. Every name follows from the OTel name, see :mod:`exporter.catalogue.names`.
"""

import re
from dataclasses import dataclass, field
from typing import Literal

from exporter.catalogue.names import Kind, scraped_name, unit_words

PREFIX = "agentstack."

SpanName = Literal[
    "session",
    "turn",
    "user_speech",
    "speech_to_text",
    "turn_detection",
    "chat",
    "text_to_speech",
    "agent_speech",
    "realtime_inference",
    "execute_tool",
]


Amount = Literal["value", "presence", "base64_bytes"]


class DeclarationError(ValueError):
    """A catalogue entry contradicts itself or another; raised at import, never later."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricSpec:
    """One metric family, as both views show it.

    ``bounds`` are the finite upper bounds of a histogram's buckets in ``unit``; ``labels`` are in the order in which series carry
    their values.
    """

    kind: Kind
    otel_name: str
    unit: str
    help: str
    labels: tuple[str, ...] = ()
    bounds: tuple[float, ...] = ()
    exemplars: bool = False
    name: str = field(init=False, default="")

    def __post_init__(self) -> None:
        object.__setattr__(self, "name", scraped_name(self.otel_name, self.unit, self.kind))
        if not self.otel_name.startswith(PREFIX) and not self.otel_name.startswith("process."):
            raise DeclarationError(f"{self.otel_name}: every name starts with {PREFIX!r}")
        if not self.help.endswith("."):
            raise DeclarationError(f"{self.otel_name}: help is a sentence and ends with a full stop")
        if (self.kind == "histogram") != bool(self.bounds):
            raise DeclarationError(f"{self.otel_name}: a histogram has bounds, nothing else does")
        if list(self.bounds) != sorted(set(self.bounds)):
            raise DeclarationError(f"{self.otel_name}: bounds must rise")
        if not all(re.fullmatch(r"[a-z][a-z_]*", label) for label in self.labels):
            raise DeclarationError(f"{self.otel_name}: labels are snake_case, got {self.labels}")

    @property
    def unit_suffix(self) -> str:
        """The unit as the name ends in it (``seconds``, ``bytes``, ``ratio``), or nothing."""
        suffix = "_".join(word for word in unit_words(self.unit) if word)
        if self.unit == "1" and self.kind == "gauge":
            suffix = "ratio"
        base = self.name.removesuffix("_total")
        return suffix if suffix and base.endswith("_" + suffix) else ""


def counter_spec(name: str, unit: str, text: str, *labels: str) -> MetricSpec:
    """A counter of no single field; ``name`` is the OTel name without the prefix."""
    return MetricSpec(kind="counter", otel_name=PREFIX + name, unit=unit, help=text, labels=labels)


def gauge_spec(name: str, unit: str, text: str, *labels: str) -> MetricSpec:
    """A gauge of no single field; ``name`` is the OTel name without the prefix."""
    return MetricSpec(kind="gauge", otel_name=PREFIX + name, unit=unit, help=text, labels=labels)


@dataclass(frozen=True, slots=True)
class OfSession:
    """Label source: what is known of the session: its ``agent``, or whether a ``human`` or a ``machine`` answered."""

    what: Literal["agent", "answered_by"]


@dataclass(frozen=True, slots=True)
class Text:
    """Label source: a text field of the event, bounded in how many values it may bring; absent → ``unknown``."""

    field: str


@dataclass(frozen=True, slots=True)
class Flag:
    """Label source: a boolean field of the event; absent counts as ``false``."""

    field: str


@dataclass(frozen=True, slots=True)
class OneOf:
    """Label source: a text field with a closed set of values; anything else → ``other``, absent → ``unknown``."""

    field: str
    values: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Const:
    """Label source: a fixed value, where several fields feed one family."""

    value: str


Source = OfSession | Text | Flag | OneOf | Const


@dataclass(frozen=True, slots=True)
class Labels:
    """The labels of a metric and where each value comes from.

    ``component`` names the table in which (provider, model) pairs are bounded together.
    """

    sources: tuple[tuple[str, Source], ...] = ()
    component: str = ""

    @property
    def names(self) -> tuple[str, ...]:
        """The label names in the order of the series."""
        return tuple(name for name, _ in self.sources)

    @property
    def fields(self) -> tuple[str, ...]:
        """The event fields the values are read from."""
        return tuple(source.field for _, source in self.sources if isinstance(source, Text | Flag | OneOf))


def labels(component: str = "", /, **sources: Source) -> Labels:
    """Write a label set down: ``labels("llm", provider=Text("llm_provider"), …)``."""
    return Labels(tuple(sources.items()), component)


NO_LABELS = Labels()


@dataclass(frozen=True, slots=True)
class Feeds:
    """A metric that a field (or an event) moves: what is observed, in which series.

    ``zero_is_unknown`` marks fields where the platform writes 0 for "not measured": such a value is not observed.
    ``amount`` says what of the field counts: its value, that it is there at all, or the bytes its base64 text stands for.
    """

    spec: MetricSpec
    labels: Labels
    zero_is_unknown: bool = False
    amount: Amount = "value"


@dataclass(frozen=True, slots=True)
class BecomesLabel:
    """The field is a label of metrics."""

    name: str


@dataclass(frozen=True, slots=True)
class SpanAttribute:
    """The field is an attribute of a span. ``personal`` ones are left out unless content capture is switched on."""

    span: SpanName
    name: str
    personal: bool = False


@dataclass(frozen=True, slots=True)
class SpanTime:
    """The field fixes a time of a span: its start, end, or how long it took."""

    span: SpanName
    edge: Literal["start", "end", "duration"]


@dataclass(frozen=True, slots=True)
class SpanEvent:
    """The field is, or times, an event on a span. The value of a ``personal`` one is left out unless capture is switched on."""

    span: SpanName
    name: str
    personal: bool = False


@dataclass(frozen=True, slots=True)
class DrivesLogic:
    """The field drives session logic, which feeds the named metrics (OTel names)."""

    metrics: tuple[str, ...]
    does: str


@dataclass(frozen=True, slots=True)
class AliasOf:
    """The field is an earlier generation's name of another field of the event and lands where that one does."""

    field: str


@dataclass(frozen=True, slots=True)
class Ignored:
    """The field becomes nothing, and this is why."""

    why: str


Declaration = Feeds | BecomesLabel | SpanAttribute | SpanTime | SpanEvent | DrivesLogic | AliasOf | Ignored


def histogram(
    name: str,
    help: str,  # noqa: A002 - the word Prometheus uses
    bounds: tuple[float, ...],
    by: Labels = NO_LABELS,
    *,
    unit: str = "s",
    exemplars: bool = False,
    zero_is_unknown: bool = False,
) -> Feeds:
    """The field's value is observed in a histogram. ``name`` is the OTel name without the ``agentstack.`` prefix."""
    spec = MetricSpec(
        kind="histogram",
        otel_name=PREFIX + name,
        unit=unit,
        help=help,
        labels=by.names,
        bounds=bounds,
        exemplars=exemplars,
    )
    return Feeds(spec, by, zero_is_unknown)


def counter(
    name: str,
    help: str,  # noqa: A002 - as above
    by: Labels = NO_LABELS,
    *,
    unit: str,
    amount: Amount = "value",
) -> Feeds:
    """The field's value (or, on an event, one) is added to a counter."""
    spec = MetricSpec(kind="counter", otel_name=PREFIX + name, unit=unit, help=help, labels=by.names)
    return Feeds(spec, by, amount=amount)
