"""A slow and obvious OTLP request: the snapshot as data of the OpenTelemetry SDK, encoded by the SDK's exporter."""

from collections.abc import Mapping

from opentelemetry.exporter.otlp.proto.common.metrics_encoder import encode_metrics
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.sdk.metrics import Exemplar as SdkExemplar
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
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope

from exporter.metrics.snapshot import Exemplar, Family, HistogramPoint, Series, Snapshot

_CUMULATIVE = AggregationTemporality.CUMULATIVE


def reference_request(snapshot: Snapshot, resource: Mapping[str, str], version: str) -> ExportMetricsServiceRequest:
    """The request that the SDK sends for the snapshot."""
    return encode_metrics(sdk_data(snapshot, resource, version))


def sdk_data(snapshot: Snapshot, resource: Mapping[str, str], version: str) -> MetricsData:
    """The snapshot as the SDK's own types; families without series are left out, as the SDK does."""
    metrics = [sdk_metric(family, snapshot.at) for family in snapshot.families if family.series]
    scope = InstrumentationScope("agentstack-exporter", version)
    return MetricsData([ResourceMetrics(Resource(resource), [ScopeMetrics(scope, metrics, "")], "")])


def sdk_metric(family: Family, at: float) -> Metric:
    spec = family.spec
    data: Gauge | Sum | Histogram | ExponentialHistogram
    if spec.kind == "histogram":
        data = _histogram(family, at)
    else:
        points = [_number(family, series, at) for series in family.series]
        data = Gauge(points) if spec.kind == "gauge" else Sum(points, _CUMULATIVE, is_monotonic=True)
    return Metric(spec.otel_name, spec.help, spec.unit, data)


def _histogram(family: Family, at: float) -> Histogram | ExponentialHistogram:
    points = [(series, series.value) for series in family.series if isinstance(series.value, HistogramPoint)]
    if all(point.exponential for _, point in points):
        return ExponentialHistogram([_exponential(family, *one, at) for one in points], _CUMULATIVE)
    return Histogram([_explicit(family, *one, at) for one in points], _CUMULATIVE)


def _attributes(family: Family, series: Series) -> dict[str, str]:
    return {name: value for name, value in zip(family.spec.labels, series.labels, strict=True) if value}


def _nanoseconds(seconds: float) -> int:
    return round(seconds * 1e9)


def _number(family: Family, series: Series, at: float) -> NumberDataPoint:
    assert not isinstance(series.value, HistogramPoint)
    return NumberDataPoint(_attributes(family, series), _nanoseconds(series.since), _nanoseconds(at), series.value)


def _explicit(family: Family, series: Series, point: HistogramPoint, at: float) -> HistogramDataPoint:
    return HistogramDataPoint(
        attributes=_attributes(family, series),
        start_time_unix_nano=_nanoseconds(series.since),
        time_unix_nano=_nanoseconds(at),
        count=sum(point.counts),
        sum=point.sum,
        bucket_counts=point.counts,
        explicit_bounds=family.spec.bounds,
        min=None,  # type: ignore[arg-type]  # the message may go without, as ours does
        max=None,  # type: ignore[arg-type]
        exemplars=_exemplars(point),
    )


def _exponential(family: Family, series: Series, point: HistogramPoint, at: float) -> ExponentialHistogramDataPoint:
    parts = point.exponential
    assert parts is not None
    first, last = (min(parts.counts), max(parts.counts)) if parts.counts else (0, -1)
    return ExponentialHistogramDataPoint(
        attributes=_attributes(family, series),
        start_time_unix_nano=_nanoseconds(series.since),
        time_unix_nano=_nanoseconds(at),
        count=sum(point.counts),
        sum=point.sum,
        scale=parts.scale,
        zero_count=parts.zero_count,
        positive=Buckets(first, [parts.counts.get(index, 0) for index in range(first, last + 1)]),
        negative=Buckets(0, []),
        flags=0,
        min=None,  # type: ignore[arg-type]  # as above
        max=None,  # type: ignore[arg-type]
        exemplars=_exemplars(point),
    )


def _exemplars(point: HistogramPoint) -> list[SdkExemplar]:
    return [_exemplar(exemplar) for exemplar in point.exemplars if exemplar]


def _exemplar(exemplar: Exemplar) -> SdkExemplar:
    span, trace = int(exemplar.span_id, 16), int(exemplar.trace_id, 16)
    return SdkExemplar({}, exemplar.value, _nanoseconds(exemplar.at), span, trace)
