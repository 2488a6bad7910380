"""Prometheus' protobuf messages from their published field numbers, made by a protobuf runtime, and a snapshot as such messages.

Source: prometheus/prometheus ``prompb/io/prometheus/client/metrics.proto``. No package for Python has these messages.
"""

from collections.abc import Iterator
from itertools import accumulate
from math import inf
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, timestamp_pb2

from exporter.exporters.prometheus.protobuf_exposition import Histograms
from exporter.metrics.snapshot import Exemplar, ExponentialPoint, Family, HistogramPoint, Series, Snapshot

_PACKAGE = "io.prometheus.client"
_MESSAGES = """
LabelPair: string name 1, string value 2
Gauge: double value 1
Counter: double value 1, Exemplar exemplar 2, Timestamp start_timestamp 3
Quantile: double quantile 1, double value 2
Summary: uint64 sample_count 1, double sample_sum 2, *Quantile quantile 3, Timestamp start_timestamp 4
Untyped: double value 1
Histogram: uint64 sample_count 1, double sample_count_float 4, double sample_sum 2, *Bucket bucket 3, Timestamp start_timestamp 15, \
sint32 schema 5, double zero_threshold 6, uint64 zero_count 7, double zero_count_float 8, *BucketSpan negative_span 9, \
*sint64 negative_delta 10, *double negative_count 11, *BucketSpan positive_span 12, *sint64 positive_delta 13, \
*double positive_count 14, *Exemplar exemplars 16
Bucket: uint64 cumulative_count 1, double cumulative_count_float 4, double upper_bound 2, Exemplar exemplar 3
BucketSpan: sint32 offset 1, uint32 length 2
Exemplar: *LabelPair label 1, double value 2, Timestamp timestamp 3
Metric: *LabelPair label 1, Gauge gauge 2, Counter counter 3, Summary summary 4, Untyped untyped 5, Histogram histogram 7, \
int64 timestamp_ms 6
MetricFamily: string name 1, string help 2, int32 type 3, *Metric metric 4, string unit 5
"""
"""Message: type, field and number of each field; ``*`` is repeated. The type of a family is an enumeration, on the wire an int32."""
_TYPES = {"counter": 0, "gauge": 1, "histogram": 4}


def _family_type() -> Any:
    fields = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(name="metrics.proto", package=_PACKAGE, syntax="proto3")
    file.dependency.append("google/protobuf/timestamp.proto")
    for line in _MESSAGES.strip().splitlines():
        name, members = line.split(": ")
        message = file.message_type.add(name=name)
        for member in members.split(", "):
            kind, field, number = member.lstrip("*").split()
            label = fields.LABEL_REPEATED if member.startswith("*") else fields.LABEL_OPTIONAL
            added = message.field.add(name=field, number=int(number), label=label)
            if kind[0].isupper():
                added.type = fields.TYPE_MESSAGE
                added.type_name = ".google.protobuf.Timestamp" if kind == "Timestamp" else f".{_PACKAGE}.{kind}"
            else:
                added.type = fields.Type.Value(f"TYPE_{kind.upper()}")
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(timestamp_pb2.DESCRIPTOR.serialized_pb)
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{_PACKAGE}.MetricFamily"))


MetricFamily = _family_type()


def decoded(body: bytes) -> list[Any]:
    """The families of a body, each of which comes after its length."""
    found, start = [], 0
    while start < len(body):
        length, shift = 0, 0
        while True:
            byte = body[start]
            length, shift, start = length | (byte & 0x7F) << shift, shift + 7, start + 1
            if byte < 0x80:
                break
        assert start + length <= len(body)
        found.append(MetricFamily.FromString(body[start : start + length]))
        start += length
    return found


def expected(snapshot: Snapshot, histograms: Histograms = "both") -> list[Any]:
    """The snapshot as messages, without native buckets: those are compared by :func:`native_counts`."""
    return [_family(family, snapshot.at, histograms) for family in snapshot.families if family.series]


def _family(family: Family, at: float, histograms: Histograms) -> Any:
    spec = family.spec
    message = MetricFamily(name=spec.name, help=_text(spec.help), type=_TYPES[spec.kind], unit=spec.unit_suffix)
    for series in family.series:
        metric = message.metric.add()
        for name, value in sorted(zip(spec.scraped_labels, series.labels, strict=True)):
            if value:
                metric.label.add(name=name, value=_text(value))
        if isinstance(series.value, HistogramPoint):
            _histogram(metric.histogram, family, series, series.value, at, histograms)
        elif spec.kind == "counter":
            metric.counter.value = series.value
            _set_time(metric.counter.start_timestamp, min(series.since, at))
        else:
            metric.gauge.value = series.value
    return message


def _histogram(message: Any, family: Family, series: Series, point: HistogramPoint, at: float, histograms: Histograms) -> None:
    message.sample_count, message.sample_sum = sum(point.counts), point.sum
    _set_time(message.start_timestamp, min(series.since, at))
    if histograms != "native" or point.exponential is None:
        exemplars = point.exemplars or (None,) * len(point.counts)
        for bound, count, exemplar in zip((*family.spec.bounds, inf), accumulate(point.counts), exemplars, strict=True):
            bucket = message.bucket.add(upper_bound=bound, cumulative_count=count)
            if exemplar is not None:
                _set_exemplar(bucket.exemplar, exemplar)
    else:
        for exemplar in filter(None, point.exemplars):
            _set_exemplar(message.exemplars.add(), exemplar)


def _set_exemplar(message: Any, exemplar: Exemplar) -> None:
    message.label.add(name="span_id", value=exemplar.span_id)
    message.label.add(name="trace_id", value=exemplar.trace_id)
    message.value = exemplar.value
    _set_time(message.timestamp, exemplar.at)


def _set_time(message: Any, at: float) -> None:
    message.SetInParent()
    message.seconds = int(at)
    message.nanos = min(999_999_999, round(at % 1 * 1e9))


def _text(text: str) -> str:
    return text.encode("utf-8", "replace").decode()


def without_native(family: Any) -> Any:
    """A copy of a family without the fields of native buckets."""
    copy = MetricFamily.FromString(family.SerializeToString())
    for metric in copy.metric:
        if metric.HasField("histogram"):
            for field in ("schema", "zero_threshold", "zero_count", "positive_span", "positive_delta"):
                metric.histogram.ClearField(field)
    return copy


def native_counts(histogram: Any) -> ExponentialPoint:
    """The native buckets of a message, numbered as in OpenTelemetry: Prometheus' numbers are larger by one."""
    return ExponentialPoint(histogram.schema, histogram.zero_threshold, histogram.zero_count, dict(_populated(histogram)))


def _populated(histogram: Any) -> Iterator[tuple[int, int]]:
    counts = accumulate(histogram.positive_delta)
    index = 0
    for span in histogram.positive_span:
        index += span.offset
        for _ in range(span.length):
            if count := next(counts):
                yield index - 1, count
            index += 1
    assert next(counts, None) is None
