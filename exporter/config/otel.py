"""The standard ``OTEL_*`` environment variables as one value. ``docs/otlp.md`` lists them."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, Literal, TypedDict, get_args

from exporter.config.otel_endpoint import OTLP, Endpoint, EndpointError, grpc_endpoint, http_endpoint
from exporter.config.otel_file import read_config_file, with_paths
from exporter.config.otel_proxy import proxy_for
from exporter.config.otel_values import ChosenExporters, EnvironmentReader, chosen_exporters
from exporter.exporters.otlp.delta import Temporality
from exporter.exporters.otlp.span_limits import DEFAULT_SPAN_LIMITS, SpanLimits
from exporter.exporters.otlp.target import ClientTlsFiles, Protocol, Proxy, Signal, Target
from exporter.logs import LogLevel
from exporter.protobuf import AttributeValue
from exporter.tracing.sampling import SamplerName

HistogramAggregation = Literal["explicit_bucket_histogram", "base2_exponential_bucket_histogram"]
ExemplarFilter = Literal["trace_based", "always_on", "always_off"]
CaptureContent = Literal["no_content", "span_only", "event_only", "span_and_event"]

_CAPTURE: Final = "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"
_BESIDE_A_FILE: Final = frozenset({"OTEL_CONFIG_FILE", _CAPTURE})
"""The variables that count beside a configuration file, which has no word for the second."""
DEFAULT_BATCH_SIZE: Final = 512
"""Spans that make a request due, unless ``OTEL_BSP_MAX_EXPORT_BATCH_SIZE`` is set."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OtelSettings:
    """The values of the variables. A signal whose target is ``None`` is not sent over OTLP. Durations are in seconds.

    ``span_exporters`` and ``metric_exporters`` name further exporters, which are found among the installed packages.
    ``other_sampler`` is the name of a sampler of another package and its argument; it replaces ``sampler``.
    ``max_queue_size`` is in spans; ``None`` means that the queue is limited in bytes instead. ``max_batch_size`` is ``None`` if it is
    not set: then requests grow with the backlog.
    """

    traces: Target | None = None
    metrics: Target | None = None
    span_exporters: tuple[str, ...] = ()
    metric_exporters: tuple[str, ...] = ()
    disabled: bool = False
    service_name: str | None = None
    resource_attributes: tuple[tuple[str, AttributeValue], ...] = ()
    resource_detectors: tuple[str, ...] = ()
    metric_interval: float = 60.0
    metric_timeout: float = 30.0
    temporality: Temporality = "cumulative"
    histogram_aggregation: HistogramAggregation = "explicit_bucket_histogram"
    exemplar_filter: ExemplarFilter = "trace_based"
    schedule_delay: float = 5.0
    batch_timeout: float = 30.0
    max_queue_size: int | None = None
    max_batch_size: int | None = None
    sampler: SamplerName = "parentbased_always_on"
    sampler_ratio: float = 1.0
    other_sampler: tuple[str, str] | None = None
    limits: SpanLimits = DEFAULT_SPAN_LIMITS
    capture_content: CaptureContent = "no_content"
    log_level: LogLevel | None = None

    @property
    def exponential_histograms(self) -> bool:
        """Whether metrics are sent with exponential histograms."""
        return self.metrics is not None and self.histogram_aggregation == "base2_exponential_bucket_histogram"


def read_otel(environ: Mapping[str, str], *, use_proxies: bool = True) -> tuple[OtelSettings, tuple[str, ...]]:
    """The settings, and warnings for the log about wrong variables. No warning contains the value of a header.

    Raises ``ValueError`` for an endpoint that leads nowhere, and for a proxy and an ``OTEL_CONFIG_FILE`` that cannot be used, and for
    nothing else.
    """
    path = environ.get("OTEL_CONFIG_FILE", "").strip()
    if not path:
        return _read(EnvironmentReader(environ), use_proxies=use_proxies)
    file = read_config_file(path)
    ignored = [name for name in environ if name.startswith("OTEL_") and name not in _BESIDE_A_FILE and environ[name]]
    kept = {name: value for name, value in environ.items() if not name.startswith("OTEL_") or name == _CAPTURE}
    try:
        settings, warnings = _read(EnvironmentReader(kept | file.variables), use_proxies=use_proxies)
    except EndpointError as error:
        raise EndpointError(with_paths(str(error), file)) from None
    attributes = dict(settings.resource_attributes) | file.attributes
    if ignored:
        file.notes.append(f"OTEL_CONFIG_FILE: is set, so {', '.join(sorted(ignored))} {'are' if ignored[1:] else 'is'} not used")
    notes = (*file.notes, *(with_paths(warning, file) for warning in warnings))
    return replace(settings, resource_attributes=tuple(attributes.items())), notes


def _read(values: EnvironmentReader, *, use_proxies: bool) -> tuple[OtelSettings, tuple[str, ...]]:
    disabled = values.boolean("OTEL_SDK_DISABLED")
    batch = values.integer("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", None, least=1)
    queue = values.integer("OTEL_BSP_MAX_QUEUE_SIZE", None, least=1)
    if queue is not None and (batch or DEFAULT_BATCH_SIZE) > queue:
        batch = queue
    spans, metrics = (_chosen(values, signal, disabled=disabled) for signal in get_args(Signal))
    settings = OtelSettings(
        traces=_target(values, "traces", spans, use_proxies=use_proxies),
        metrics=_target(values, "metrics", metrics, use_proxies=use_proxies),
        span_exporters=spans.others,
        metric_exporters=metrics.others,
        disabled=disabled,
        service_name=values.text("OTEL_SERVICE_NAME") or None,
        resource_attributes=values.attributes("OTEL_RESOURCE_ATTRIBUTES"),
        resource_detectors=values.names("OTEL_EXPERIMENTAL_RESOURCE_DETECTORS"),
        metric_interval=values.interval("OTEL_METRIC_EXPORT_INTERVAL", 60_000, least=1),
        metric_timeout=values.timeout(30_000, "OTEL_METRIC_EXPORT_TIMEOUT"),
        temporality=values.word("cumulative", get_args(Temporality), OTLP + "METRICS_TEMPORALITY_PREFERENCE"),
        histogram_aggregation=values.word(
            "explicit_bucket_histogram", get_args(HistogramAggregation), OTLP + "METRICS_DEFAULT_HISTOGRAM_AGGREGATION"
        ),
        exemplar_filter=values.word("trace_based", get_args(ExemplarFilter), "OTEL_METRICS_EXEMPLAR_FILTER"),
        schedule_delay=values.interval("OTEL_BSP_SCHEDULE_DELAY", 5_000),
        batch_timeout=values.timeout(30_000, "OTEL_BSP_EXPORT_TIMEOUT"),
        max_queue_size=queue,
        max_batch_size=batch,
        **_sampler(values),
        limits=_limits(values),
        capture_content=_capture_content(values),
        log_level=_log_level(values),
    )
    values.warn_of_misspelled()
    return settings, tuple(dict.fromkeys(values.warnings))  # both signals may have met the same fault


class _Sampler(TypedDict, total=False):
    sampler: SamplerName
    sampler_ratio: float
    other_sampler: tuple[str, str]


def _sampler(values: EnvironmentReader) -> _Sampler:
    """The sampler. Only the specification's own take a ratio; an argument of another means what its package says."""
    name = values.text("OTEL_TRACES_SAMPLER")
    if name and name.lower() not in get_args(SamplerName):
        return _Sampler(other_sampler=(name, values.text("OTEL_TRACES_SAMPLER_ARG")))
    return _Sampler(
        sampler=values.word("parentbased_always_on", get_args(SamplerName), "OTEL_TRACES_SAMPLER"),
        sampler_ratio=values.ratio("OTEL_TRACES_SAMPLER_ARG", 1.0),
    )


def _limits(values: EnvironmentReader) -> SpanLimits:
    attributes = values.count("OTEL_ATTRIBUTE_COUNT_LIMIT", 128, least=0)
    length = values.integer("OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT", None)
    return SpanLimits(
        value_length=values.integer("OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT", length),
        per_span=values.count("OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT", attributes, least=0),
        events=values.count("OTEL_SPAN_EVENT_COUNT_LIMIT", 128, least=0),
        links=values.count("OTEL_SPAN_LINK_COUNT_LIMIT", 128, least=0),
        per_event=values.count("OTEL_EVENT_ATTRIBUTE_COUNT_LIMIT", 128, least=0),
        per_link=values.count("OTEL_LINK_ATTRIBUTE_COUNT_LIMIT", 128, least=0),
    )


def _capture_content(values: EnvironmentReader) -> CaptureContent:
    """The variable was a boolean in earlier versions of the conventions."""
    text = values.text(_CAPTURE).lower()
    if text in {"true", "false"}:
        return "span_and_event" if text == "true" else "no_content"
    return values.word("no_content", get_args(CaptureContent), _CAPTURE)


def _log_level(values: EnvironmentReader) -> LogLevel | None:
    text = values.text("OTEL_LOG_LEVEL").lower()
    if not text or text == "warn":
        return "warning" if text else None
    level: LogLevel = values.word("info", get_args(LogLevel), "OTEL_LOG_LEVEL")
    return level


def _chosen(values: EnvironmentReader, signal: Signal, *, disabled: bool) -> ChosenExporters:
    if disabled:
        return ChosenExporters("off")
    return chosen_exporters(values, f"OTEL_{signal.upper()}_EXPORTER", ("prometheus",) if signal == "metrics" else ())


def _target(values: EnvironmentReader, signal: Signal, chosen: ChosenExporters, *, use_proxies: bool) -> Target | None:
    own, general = f"{OTLP}{signal.upper()}_", OTLP
    variable = values.variable(own + "ENDPOINT", general + "ENDPOINT")
    if chosen.otlp == "off" or (chosen.otlp == "auto" and not variable.text):
        return None
    protocol = values.word("http/protobuf", get_args(Protocol), own + "PROTOCOL", general + "PROTOCOL")
    insecure = values.boolean(own + "INSECURE", general + "INSECURE")
    if protocol == "grpc":
        endpoint = grpc_endpoint(values, variable, insecure=insecure)
    else:
        endpoint = http_endpoint(values, variable, signal, is_own=variable.name == own + "ENDPOINT")
    return Target(
        signal=signal,
        protocol=protocol,
        endpoint=endpoint.address,
        tls=endpoint.tls,
        headers=values.headers(own + "HEADERS", general + "HEADERS"),
        compression=values.word("none", ("gzip", "none"), own + "COMPRESSION", general + "COMPRESSION"),
        timeout=values.timeout(10_000, own + "TIMEOUT", general + "TIMEOUT"),
        tls_files=_tls_files(values, own, general),
        proxy=_proxy(values, endpoint, protocol) if use_proxies else None,
    )


def _proxy(values: EnvironmentReader, endpoint: Endpoint, protocol: Protocol) -> Proxy | None:
    """The proxy of an endpoint. A socket file and the like have no host, so no proxy reaches them."""
    if not endpoint.host:
        return None
    return proxy_for(values, endpoint.host, endpoint.port, tls=endpoint.tls, grpc=protocol == "grpc")


def _tls_files(values: EnvironmentReader, own: str, general: str) -> ClientTlsFiles:
    def file(word: str) -> Path | None:
        name, text = values.variable(own + word, general + word)
        if text and not Path(text).is_file():
            values.warn(name, f"file not found: {text}; it is read again for every connection")
        return Path(text) if text else None

    authorities, certificate, key = file("CERTIFICATE"), file("CLIENT_CERTIFICATE"), file("CLIENT_KEY")
    if key and not certificate:
        values.warn(general + "CLIENT_KEY", "has no effect without OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE")
    return ClientTlsFiles(authorities, certificate, key if certificate else None)
