"""Declarations: what an event field becomes. They are validated when the module that holds them is imported.

A field carries its declarations as ``Annotated`` metadata (an event in its ``metrics``), so each field is described in one place.
Prometheus names follow from the OTel names, see :mod:`exporter.catalogue.names`.
"""

import re
from dataclasses import dataclass, field
from typing import Literal

from exporter.catalogue.names import Kind, scraped_label, scraped_name, unit_words

PREFIX = "agentstack."
GENAI = "gen_ai."
"""The prefix of the metrics that the GenAI conventions define; their labels are attributes of the conventions, with dots."""
_PREFIXES = (PREFIX, GENAI, "process.")

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
"""What a field adds to a counter: its value, 1 if it is present (and not empty or false), or the bytes its base64 text encodes."""


class DeclarationError(ValueError):
    """A declaration contradicts itself or another one. Raised when the process starts, never later."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricSpec:
    """One metric family, as ``/metrics`` and OTLP export it.

    ``bounds`` are the finite upper bounds of a histogram's buckets in ``unit``. ``labels`` are in the order in which series hold their
    values; an empty value means that a series does not have the label. ``name`` is the scraped name.
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
        if not self.otel_name.startswith(_PREFIXES):
            raise DeclarationError(f"{self.otel_name}: every name starts with {PREFIX!r}")
        if not self.help.endswith("."):
            raise DeclarationError(f"{self.otel_name}: help is a sentence and ends with a full stop")
        if (self.kind == "histogram") != bool(self.bounds):
            raise DeclarationError(f"{self.otel_name}: a histogram has bounds, nothing else does")
        if list(self.bounds) != sorted(set(self.bounds)):
            raise DeclarationError(f"{self.otel_name}: bounds must rise")
        form = r"[a-z][a-z_.]*" if self.otel_name.startswith(GENAI) else r"[a-z][a-z_]*"
        if not all(re.fullmatch(form, label) for label in self.labels):
            raise DeclarationError(f"{self.otel_name}: labels are snake_case, got {self.labels}")

    @property
    def scraped_labels(self) -> tuple[str, ...]:
        """The labels as ``/metrics`` names them."""
        return tuple(map(scraped_label, self.labels))

    @property
    def unit_suffix(self) -> str:
        """The unit at the end of the name (``seconds``, ``bytes``, ``ratio``), or an empty text."""
        suffix = "_".join(word for word in unit_words(self.unit) if word)
        if self.unit == "1" and self.kind == "gauge":
            suffix = "ratio"
        base = self.name.removesuffix("_total")
        return suffix if suffix and base.endswith("_" + suffix) else ""


def counter_spec(name: str, unit: str, text: str, *labels: str) -> MetricSpec:
    """A counter that no single field feeds; ``name`` is the OTel name without the ``agentstack.`` prefix."""
    return MetricSpec(kind="counter", otel_name=PREFIX + name, unit=unit, help=text, labels=labels)


def gauge_spec(name: str, unit: str, text: str, *labels: str) -> MetricSpec:
    """A gauge that no single field feeds; ``name`` is the OTel name without the ``agentstack.`` prefix."""
    return MetricSpec(kind="gauge", otel_name=PREFIX + name, unit=unit, help=text, labels=labels)


@dataclass(frozen=True, slots=True)
class OfSession:
    """Label source: the session's ``agent``, or who answered the call (``human``, ``machine`` or ``unknown``)."""

    what: Literal["agent", "answered_by"]


@dataclass(frozen=True, slots=True)
class Text:
    """Label source: a text field of the event; the number of its values is limited. Absent → ``unknown``."""

    field: str


@dataclass(frozen=True, slots=True)
class Flag:
    """Label source: a boolean field of the event. Absent → ``false``."""

    field: str


@dataclass(frozen=True, slots=True)
class OneOf:
    """Label source: a text field with a closed set of values. Any other value → ``other``, absent → ``unknown``."""

    field: str
    values: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Const:
    """Label source: a fixed value, which tells apart the fields that feed one family."""

    value: str


@dataclass(frozen=True, slots=True)
class OneIf:
    """Label source: the text of a field if it is one of ``values``. Any other text, or none → the series does not have the label."""

    field: str
    values: tuple[str, ...]


Source = OfSession | Text | Flag | OneOf | Const | OneIf


@dataclass(frozen=True, slots=True)
class Labels:
    """The labels of a metric, and the source of each label's value.

    ``component`` is the component whose (provider, model) pairs are limited together; empty if the labels hold no such pair. ``also``
    are fields that other labels are read from: metrics whose labels are read from the same fields find their rows in one look-up.
    """

    sources: tuple[tuple[str, Source], ...] = ()
    component: str = ""
    also: tuple[str, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """The label names, in the order in which series hold their values."""
        return tuple(name for name, _ in self.sources)

    @property
    def fields(self) -> tuple[str, ...]:
        """The event fields that the values are read from, and :attr:`also`."""
        read = (source.field for _, source in self.sources if isinstance(source, Text | Flag | OneOf | OneIf))
        return tuple(dict.fromkeys((*read, *self.also)))


def labels(component: str = "", also: tuple[str, ...] = (), /, **sources: Source) -> Labels:
    """A label set, by name: ``labels("llm", provider=Text("llm_provider"), …)``."""
    return Labels(tuple(sources.items()), component, also)


NO_LABELS = Labels()


@dataclass(frozen=True, slots=True)
class Feeds:
    """The field (or the event) feeds a metric, in the series that ``labels`` say.

    ``zero_is_unknown`` marks fields for which the platform writes 0 for "not measured": that value is not observed.
    """

    spec: MetricSpec
    labels: Labels
    zero_is_unknown: bool = False
    amount: Amount = "value"


@dataclass(frozen=True, slots=True)
class BecomesLabel:
    """The field is the label ``name`` of metrics."""

    name: str


@dataclass(frozen=True, slots=True)
class SpanAttribute:
    """The field is an attribute of a span. A ``personal`` one is left out unless content capture is switched on.

    With ``zero_is_absent``, 0 means that there is nothing to count, and the attribute is left out. With ``as_flag``, the attribute is
    ``true`` if the field has any value.
    """

    span: SpanName
    name: str
    personal: bool = False
    zero_is_absent: bool = False
    as_flag: bool = False


@dataclass(frozen=True, slots=True)
class SpanTime:
    """The field sets the start, end or duration of a span."""

    span: SpanName
    sets: Literal["start", "end", "duration"]


@dataclass(frozen=True, slots=True)
class SpanEvent:
    """The field is an attribute, or the time, of an event on a span.

    The value of a ``personal`` one is left out unless content capture is switched on.
    """

    span: SpanName
    name: str
    personal: bool = False


@dataclass(frozen=True, slots=True)
class DrivesLogic:
    """The field drives session logic, which feeds ``metrics`` (OTel names). ``effect`` says what the field does, as a verb phrase."""

    metrics: tuple[str, ...]
    effect: str


@dataclass(frozen=True, slots=True)
class AliasOf:
    """The field is an earlier generation's name of another field of the event, and becomes the same."""

    field: str


@dataclass(frozen=True, slots=True)
class Ignored:
    """The field becomes nothing, for this ``reason``."""

    reason: str


GenAiMeasure = Literal["duration", "time_to_first_chunk", "input_tokens", "output_tokens", "cache_read_tokens"]
"""What a field says of an operation of the GenAI conventions."""
Modality = Literal["text", "audio", "image"]


@dataclass(frozen=True, slots=True)
class GenAiMetric:
    """The field feeds metrics of the GenAI conventions for ``measure`` of an operation of ``component`` (``llm``, ``stt``, …).

    Which metrics these are, and with which labels, says :mod:`exporter.catalogue.genai_metrics`. Tokens whose ``modality`` is known are
    counted by it. A ``part`` is only counted: it is contained in another field.
    """

    measure: GenAiMeasure
    component: str
    modality: Modality | None = None
    part: bool = False


Declaration = Feeds | GenAiMetric | BecomesLabel | SpanAttribute | SpanTime | SpanEvent | DrivesLogic | AliasOf | Ignored


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
    """Observe the field's value in a histogram. ``name`` is the OTel name without the ``agentstack.`` prefix."""
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
    """Add ``amount`` of the field (or, for an event, 1) to a counter. ``name`` is the OTel name without the ``agentstack.`` prefix."""
    spec = MetricSpec(kind="counter", otel_name=PREFIX + name, unit=unit, help=help, labels=by.names)
    return Feeds(spec, by, amount=amount)
