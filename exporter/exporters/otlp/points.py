"""One family of a snapshot as an OTLP ``Metric``, byte by byte.

The constant part of a series (its attributes, its bounds) is kept from one export to the next, so that an export only packs the
numbers. Fields of fixed size are packed together with their tags. The bytes decode to the same messages as those of the
OpenTelemetry SDK's encoder, which takes many times as long.
Source: opentelemetry-proto, ``metrics/v1/metrics.proto``; the field numbers are beside the tags.
"""

from collections.abc import Callable, Iterator, Sequence
from struct import Struct
from typing import Final, Literal

from exporter.catalogue.declarations import MetricSpec
from exporter.catalogue.exponential import downscaled
from exporter.metrics.snapshot import Exemplar, Family, HistogramPoint, Series
from exporter.protobuf import attributes, delimited, delimited_head, utf8, varint, zigzag

DELTA: Final = 1
CUMULATIVE: Final = 2
"""``AggregationTemporality``."""

Shape = Literal["gauge", "sum", "histogram", "exponential"]
Constants = dict[tuple[str, ...], bytes]
"""Label values → the part of a series' points that never changes."""
Numbers = Callable[[Series, int], bytes]
"""Packs the numbers of a series. The second argument is the point's time in unix nanoseconds."""

_MOST: Final = 2**64 - 1
_DATA_FIELD: Final[dict[Shape, int]] = {"gauge": 5, "sum": 7, "histogram": 9, "exponential": 10}
_ATTRIBUTES_FIELD: Final[dict[Shape, int]] = {"gauge": 7, "sum": 7, "histogram": 9, "exponential": 1}
_POINT: Final = b"\x0a"  # data_points = 1, for every shape
_MONOTONIC: Final = b"\x18\x01"  # is_monotonic = 3
_GAUGE = Struct("<BQBd")  # time_unix_nano = 3, as_double = 4
_SUM = Struct("<BQBQBd")  # start_time_unix_nano = 2, then as a gauge
_EXPONENTIAL = Struct("<BQBQBQBdBQBd")  # start = 2, time = 3, count = 4, sum = 5, zero_count = 7, zero_threshold = 14
_EXEMPLAR = Struct("<BQBd2s8s2s16s")  # time_unix_nano = 2, as_double = 3, span_id = 4, trace_id = 5


def shape_of(family: Family, *, exponential: bool = True) -> Shape:
    """The kind of OTLP data for a family. With ``exponential``, a histogram is exponential if all its points have such buckets."""
    if family.spec.kind != "histogram":
        return "gauge" if family.spec.kind == "gauge" else "sum"
    points = (series.value for series in family.series)
    found = exponential and all(isinstance(point, HistogramPoint) and point.is_exponential for point in points)
    return "exponential" if found else "histogram"


def nanoseconds(seconds: float) -> int:
    """Unix time in nanoseconds, as exact as a float of seconds; never negative."""
    return max(0, round(seconds * 1e9))


class FamilyWriter:
    """Writes one metric, and keeps the constant part of each series for the next export."""

    __slots__ = ("_bounds", "_head", "_numbers", "_shape", "_spec", "constants")

    def __init__(self, spec: MetricSpec, shape: Shape) -> None:
        self._spec = spec
        self._shape = shape
        self._head = utf8(1, spec.otel_name) + utf8(2, spec.help) + utf8(3, spec.unit)
        self._bounds = b""
        if shape == "histogram":
            self._bounds = delimited(7, Struct(f"<{len(spec.bounds)}d").pack(*spec.bounds))
        self._numbers = _numbers(spec, shape)
        self.constants: Constants = {}

    def points(self, batch: Sequence[Series], at: int, used: Constants) -> Iterator[bytes]:
        """The data points of some series at ``at`` (unix nanoseconds). The constant part of each is added to ``used``."""
        cached, numbers = self.constants, self._numbers
        for series in batch:
            constant = cached.get(series.labels)
            if constant is None:
                constant = self._constant(series.labels)
            used[series.labels] = constant
            point = constant + numbers(series, at)
            yield _POINT + varint(len(point)) + point

    def metric(self, points: Sequence[bytes], temporality: int) -> bytes:
        """The ``Metric`` with these points, as a field of ``ScopeMetrics``."""
        data = b"".join(points)
        if self._shape != "gauge":
            data += b"\x10" + varint(temporality)  # aggregation_temporality = 2
        if self._shape == "sum":
            data += _MONOTONIC
        return delimited(2, self._head + delimited(_DATA_FIELD[self._shape], data))

    def _constant(self, values: tuple[str, ...]) -> bytes:
        labels = {name: value for name, value in zip(self._spec.labels, values, strict=True) if value}
        return attributes(_ATTRIBUTES_FIELD[self._shape], labels) + self._bounds


def _numbers(spec: MetricSpec, shape: Shape) -> Numbers:
    if shape == "histogram":
        return _explicit(len(spec.bounds) + 1)
    return {"gauge": _gauge, "sum": _sum, "exponential": _exponential}[shape]


def _gauge(series: Series, at: int) -> bytes:
    return _GAUGE.pack(0x19, at, 0x21, series.value)


def _sum(series: Series, at: int) -> bytes:
    return _SUM.pack(0x11, _start(series, at), 0x19, at, 0x21, series.value)


def _explicit(places: int) -> Numbers:
    counts_head = delimited_head(6, 8 * places)  # bucket_counts = 6
    struct = Struct(f"<BQBQBQBd{len(counts_head)}s{places}Q")  # start = 2, time = 3, count = 4, sum = 5

    def numbers(series: Series, at: int) -> bytes:
        point = _histogram_point(series)
        total = min(point.count, _MOST)
        start = _start(series, at)
        packed = struct.pack(0x11, start, 0x19, at, 0x21, total, 0x29, point.sum, counts_head, *point.counts)
        return packed + _exemplars(8, point.exemplars) if point.exemplars else packed

    return numbers


def _exponential(series: Series, at: int) -> bytes:
    point = _histogram_point(series)
    parts = point.exponential
    if parts is None:
        raise TypeError("a point of an exponential histogram has no exponential buckets")
    start, total = _start(series, at), min(point.count, _MOST)
    packed = _EXPONENTIAL.pack(
        *(0x11, start, 0x19, at, 0x21, total, 0x29, point.sum, 0x39, parts.zero_count, 0x71, parts.zero_threshold)
    )
    scale, offset, counts = downscaled(parts.counts, parts.scale)
    packed += b"\x30" + zigzag(scale)  # scale = 6
    if counts:
        buckets = b"\x08" + zigzag(offset) + delimited(2, _varints(counts))  # offset = 1, bucket_counts = 2
        packed += delimited(8, buckets)  # positive = 8
    return packed + _exemplars(11, point.exemplars) if point.exemplars else packed


def _varints(counts: Sequence[int]) -> bytes:
    if max(counts) < 0x80:
        return bytes(counts)
    return b"".join(map(varint, counts))


def _exemplars(field: int, exemplars: Sequence[Exemplar | None]) -> bytes:
    head = delimited_head(field, _EXEMPLAR.size)
    return b"".join(head + _exemplar(exemplar) for exemplar in exemplars if exemplar is not None)


def _exemplar(exemplar: Exemplar) -> bytes:
    span, trace = bytes.fromhex(exemplar.span_id), bytes.fromhex(exemplar.trace_id)
    return _EXEMPLAR.pack(0x11, nanoseconds(exemplar.at), 0x19, exemplar.value, b"\x22\x08", span, b"\x2a\x10", trace)


def _start(series: Series, at: int) -> int:
    # When the system clock is set back, a point must still not start after its end.
    return min(nanoseconds(series.since), at)


def _histogram_point(series: Series) -> HistogramPoint:
    if not isinstance(series.value, HistogramPoint):
        raise TypeError(f"a histogram series has the value {series.value!r}")
    return series.value
