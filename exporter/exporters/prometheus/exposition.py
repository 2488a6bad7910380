"""A snapshot as text for Prometheus: text format 0.0.4 and 1.0.0, and OpenMetrics 1.0.0.

The bytes equal those of ``prometheus_client`` for the same families. Rendering is much cheaper, because the constant part of a
series (name, labels, bounds) is kept as a template, and a scrape only fills in the numbers. Text 0.0.4 and 1.0.0 differ only in
their content type, because all names are valid legacy names. OpenMetrics differs in a family's metadata lines, has exemplars, and
ends with ``# EOF``.
Source: Prometheus "Exposition formats"; OpenMetrics 1.0. Numbers are written as by ``prometheus_client.utils.floatToGoString``,
which follows Go's ``strconv``.
"""

import math
from collections.abc import Iterator, Sequence
from itertools import accumulate

from exporter.catalogue.declarations import MetricSpec
from exporter.exporters.prometheus.negotiation import Format
from exporter.metrics.snapshot import Exemplar, HistogramPoint, Series, Snapshot

CHUNK_SAMPLES = 500
"""Samples in a chunk: a few tenths of a millisecond of work, 50 to 80 kB of text."""

_EXPONENT_FROM = 1_000_000

Templates = dict[tuple[str, ...], str]
"""Label values → the text of a series without its numbers."""


class Renderer:
    """Renders snapshots. It keeps one template for each series of the last snapshot, and none of older snapshots.

    Two scrapes may be rendered at the same time. Each is complete, and the one that ends last leaves its templates.
    """

    def __init__(self, chunk_samples: int = CHUNK_SAMPLES) -> None:
        self._chunk_samples = chunk_samples
        self._families: dict[MetricSpec, _FamilyText] = {}

    @property
    def cached_series(self) -> int:
        """Number of series with a template."""
        return sum(len(family.templates) for family in self._families.values())

    def chunks(self, snapshot: Snapshot, text_format: Format) -> Iterator[bytes]:
        """The snapshot as UTF-8 text, in chunks of about ``chunk_samples`` samples. A series is never split.

        The caller may do other work between two chunks. A lone surrogate, which UTF-8 cannot hold, becomes ``?``.
        """
        openmetrics = text_format is Format.OPENMETRICS_1_0_0
        families: dict[MetricSpec, _FamilyText] = {}
        parts: list[str] = []
        room = self._chunk_samples
        for family in snapshot.families:
            text = families[family.spec] = self._families.get(family.spec) or _FamilyText(family.spec)
            templates: Templates = {}
            parts.append(text.openmetrics_head if openmetrics else text.head)
            start = 0
            while start < len(family.series):
                batch = family.series[start : start + max(1, room // text.samples_each)]
                parts += text.lines(batch, templates, openmetrics)
                start += len(batch)
                room -= len(batch) * text.samples_each
                if room < text.samples_each:
                    yield _encoded(parts)
                    parts, room = [], self._chunk_samples
            text.templates = templates
        self._families = families
        yield _encoded([*parts, "# EOF\n"] if openmetrics else parts)


def sample_count(snapshot: Snapshot) -> int:
    """Number of samples in the rendered snapshot; the same in every format."""
    return sum(len(family.series) * samples_each(family.spec) for family in snapshot.families)


def go_float(value: float) -> str:
    """A number as Go writes it: ``+Inf``, ``NaN``, and with an exponent from one million on."""
    number = float(value)
    if -math.inf < number < _EXPONENT_FROM:
        return repr(number)
    if math.isnan(number):
        return "NaN"
    if math.isinf(number):
        return "+Inf" if number > 0 else "-Inf"
    digits, point, fraction = repr(number).partition(".")
    if not point or "e" in fraction:
        return repr(number)
    return f"{digits[0]}.{digits[1:]}{fraction}".rstrip("0.") + f"e+{len(digits) - 1:02d}"


class _FamilyText:
    """The constant text of a family: its metadata lines, and a template for each series."""

    __slots__ = ("_spec", "head", "openmetrics_head", "samples_each", "templates")

    def __init__(self, spec: MetricSpec) -> None:
        self._spec = spec
        self.head = _head(spec)
        self.openmetrics_head = _openmetrics_head(spec)
        self.samples_each = samples_each(spec)
        self.templates: Templates = {}

    def lines(self, batch: Sequence[Series], used: Templates, openmetrics: bool) -> list[str]:
        """The lines of some series. The template of each is added to ``used``."""
        cached, build = self.templates, _histogram_template if self._spec.bounds else _sample_prefix
        out = []
        for series in batch:
            labels, value = series.labels, series.value
            template = cached.get(labels)
            if template is None:
                template = build(self._spec, labels)
            used[labels] = template
            if isinstance(value, HistogramPoint):
                text = _histogram_lines(template, value)
                out.append(_with_exemplars(text, value.exemplars) if openmetrics and value.exemplars else text)
            else:
                out.append(f"{template}{go_float(value)}\n")
        return out


def _histogram_lines(template: str, point: HistogramPoint) -> str:
    counts = tuple(accumulate(point.counts))
    total = counts[-1]
    if total < _EXPONENT_FROM:
        return template % (*counts, total, go_float(point.sum))
    # Only the end of a line has a raw line feed, so this cannot replace a part of a label value.
    return template.replace("%d.0\n", "%s\n") % (*map(go_float, counts), go_float(total), go_float(point.sum))


def _with_exemplars(text: str, exemplars: Sequence[Exemplar | None]) -> str:
    lines = text.split("\n")
    for position, exemplar in enumerate(exemplars):
        if exemplar is not None:
            lines[position] += _exemplar(exemplar)
    return "\n".join(lines)


def _exemplar(exemplar: Exemplar) -> str:
    labels = f'span_id="{_escaped(exemplar.span_id)}",trace_id="{_escaped(exemplar.trace_id)}"'
    return f" # {{{labels}}} {go_float(exemplar.value)} {exemplar.at}"


def _histogram_template(spec: MetricSpec, values: tuple[str, ...]) -> str:
    """The lines of one histogram with ``%d.0`` for each count and ``%s`` for the sum."""
    labels = list(zip(spec.scraped_labels, values, strict=True))
    bounds = [*map(go_float, spec.bounds), "+Inf"]
    plain = _literal(_braced(labels))
    buckets = [f"{spec.name}_bucket{_literal(_braced([*labels, ('le', bound)]))} %d.0\n" for bound in bounds]
    return "".join([*buckets, f"{spec.name}_count{plain} %d.0\n", f"{spec.name}_sum{plain} %s\n"])


def _sample_prefix(spec: MetricSpec, values: tuple[str, ...]) -> str:
    """The line of one counter or gauge up to its value."""
    return f"{spec.name}{_braced(list(zip(spec.scraped_labels, values, strict=True)))} "


def _head(spec: MetricSpec) -> str:
    documentation = spec.help.replace("\\", r"\\").replace("\n", r"\n")
    return f"# HELP {spec.name} {documentation}\n# TYPE {spec.name} {spec.kind}\n"


def _openmetrics_head(spec: MetricSpec) -> str:
    # In OpenMetrics a counter's family name has no "_total".
    name = spec.name.removesuffix("_total") if spec.kind == "counter" else spec.name
    unit = f"# UNIT {name} {spec.unit_suffix}\n" if spec.unit_suffix else ""
    return f"# HELP {name} {_escaped(spec.help)}\n# TYPE {name} {spec.kind}\n{unit}"


def samples_each(spec: MetricSpec) -> int:
    """Samples of one series: the finite buckets, ``+Inf``, count and sum of a histogram, or one value."""
    return len(spec.bounds) + 3 if spec.bounds else 1


def _braced(labels: list[tuple[str, str]]) -> str:
    pairs = ",".join(f'{name}="{_escaped(value)}"' for name, value in sorted(labels) if value)
    return f"{{{pairs}}}" if pairs else ""


def _escaped(text: str) -> str:
    return text.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")


def _literal(text: str) -> str:
    return text.replace("%", "%%")


def _encoded(parts: list[str]) -> bytes:
    return "".join(parts).encode("utf-8", "replace")
