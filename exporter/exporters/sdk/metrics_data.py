"""The metrics of an OTLP request as the SDK's ``MetricsData``, which is what its metric exporters take."""

from collections.abc import Callable
from typing import Any, Final

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.metrics.v1 import metrics_pb2 as pb
from opentelemetry.sdk.metrics import Exemplar
from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    Buckets,
    ExponentialHistogram,
    ExponentialHistogramDataPoint,
    Gauge,
    Histogram,
    HistogramDataPoint,
    Metric,
    MetricsData,
    NumberDataPoint,
    ResourceMetrics,
    ScopeMetrics,
    Sum,
)

from exporter.exporters.sdk.attribute_values import attributes_of, resource_of, scope_of

_UNKNOWN: Final[Any] = None
"""Least and greatest value of a histogram, which the exporter does not record. The SDK's type has no word for that."""


def metrics_data(request: bytes) -> MetricsData:
    """The metrics of a serialised ``ExportMetricsServiceRequest``."""
    return MetricsData([_resource(each) for each in ExportMetricsServiceRequest.FromString(request).resource_metrics])


def _resource(message: pb.ResourceMetrics) -> ResourceMetrics:
    scopes = [
        ScopeMetrics(scope_of(each.scope, each.schema_url), [_metric(metric) for metric in each.metrics], each.schema_url)
        for each in message.scope_metrics
    ]
    return ResourceMetrics(resource_of(message.resource, message.schema_url), scopes, message.schema_url)


def _metric(metric: pb.Metric) -> Metric:
    kind = metric.WhichOneof("data")
    if kind is None:
        raise ValueError(f"{metric.name} has no data")
    return Metric(metric.name, metric.description, metric.unit, _DATA[kind](getattr(metric, kind)))


def _gauge(data: pb.Gauge) -> Gauge:
    return Gauge([_number(point) for point in data.data_points])


def _sum(data: pb.Sum) -> Sum:
    return Sum([_number(point) for point in data.data_points], _temporality(data), data.is_monotonic)


def _histogram(data: pb.Histogram) -> Histogram:
    return Histogram([_explicit(point) for point in data.data_points], _temporality(data))


def _exponential_histogram(data: pb.ExponentialHistogram) -> ExponentialHistogram:
    return ExponentialHistogram([_exponential(point) for point in data.data_points], _temporality(data))


_DATA: Final[dict[str, Callable[[Any], Gauge | Sum | Histogram | ExponentialHistogram]]] = {
    "gauge": _gauge,
    "sum": _sum,
    "histogram": _histogram,
    "exponential_histogram": _exponential_histogram,
}


def _temporality(data: pb.Sum | pb.Histogram | pb.ExponentialHistogram) -> AggregationTemporality:
    return AggregationTemporality(data.aggregation_temporality)


def _number(point: pb.NumberDataPoint) -> NumberDataPoint:
    return NumberDataPoint(dict(attributes_of(point.attributes)), point.start_time_unix_nano, point.time_unix_nano, point.as_double)


def _explicit(point: pb.HistogramDataPoint) -> HistogramDataPoint:
    return HistogramDataPoint(
        attributes=dict(attributes_of(point.attributes)),
        start_time_unix_nano=point.start_time_unix_nano,
        time_unix_nano=point.time_unix_nano,
        count=point.count,
        sum=point.sum,
        bucket_counts=tuple(point.bucket_counts),
        explicit_bounds=tuple(point.explicit_bounds),
        min=_UNKNOWN,
        max=_UNKNOWN,
        exemplars=[_exemplar(exemplar) for exemplar in point.exemplars],
    )


def _exponential(point: pb.ExponentialHistogramDataPoint) -> ExponentialHistogramDataPoint:
    return ExponentialHistogramDataPoint(
        attributes=dict(attributes_of(point.attributes)),
        start_time_unix_nano=point.start_time_unix_nano,
        time_unix_nano=point.time_unix_nano,
        count=point.count,
        sum=point.sum,
        scale=point.scale,
        zero_count=point.zero_count,
        positive=_buckets(point.positive),
        negative=_buckets(point.negative),
        flags=point.flags,
        min=_UNKNOWN,
        max=_UNKNOWN,
        exemplars=[_exemplar(exemplar) for exemplar in point.exemplars],
    )


def _buckets(buckets: pb.ExponentialHistogramDataPoint.Buckets) -> Buckets:
    return Buckets(buckets.offset, tuple(buckets.bucket_counts))


def _exemplar(exemplar: pb.Exemplar) -> Exemplar:
    span, trace = int.from_bytes(exemplar.span_id), int.from_bytes(exemplar.trace_id)
    return Exemplar({}, exemplar.as_double, exemplar.time_unix_nano, span, trace)
