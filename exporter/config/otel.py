"""The standard ``OTEL_*`` environment variables as one value. ``docs/otlp.md`` lists them."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, get_args
from urllib.parse import SplitResult, urlsplit

from exporter.config.otel_values import EnvironmentReader, Variable, otlp_choice
from exporter.exporters.otlp.delta import Temporality
from exporter.exporters.otlp.span_limits import DEFAULT_SPAN_LIMITS, SpanLimits
from exporter.exporters.otlp.target import ClientTlsFiles, Protocol, Signal, Target
from exporter.logs import LogLevel
from exporter.tracing.sampling import SamplerName

HistogramAggregation = Literal["explicit_bucket_histogram", "base2_exponential_bucket_histogram"]
ExemplarFilter = Literal["trace_based", "always_on", "always_off"]
CaptureContent = Literal["no_content", "span_only", "event_only", "span_and_event"]

_OTLP: Final = "OTEL_EXPORTER_OTLP_"
_HTTP_DEFAULT: Final = "http://localhost:4318"
_GRPC_DEFAULT: Final = "http://localhost:4317"
_GRPC_PORT: Final = 4317
_HTTP_PORT: Final = 4318
_ADDRESS = re.compile(r"[^\s/@]+")


@dataclass(frozen=True, slots=True)
class _Endpoint:
    """Where requests go: a URL, or for gRPC an address; and whether over TLS."""

    address: str
    tls: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class OtelSettings:
    """The values of the variables. A signal whose target is ``None`` is not sent. Durations are in seconds.

    ``max_queue_size`` is in spans; ``None`` means that the queue is limited in bytes instead.
    """

    traces: Target | None = None
    metrics: Target | None = None
    disabled: bool = False
    service_name: str | None = None
    resource_attributes: tuple[tuple[str, str], ...] = ()
    metric_interval: float = 60.0
    metric_timeout: float = 30.0
    temporality: Temporality = "cumulative"
    histogram_aggregation: HistogramAggregation = "explicit_bucket_histogram"
    exemplar_filter: ExemplarFilter = "trace_based"
    schedule_delay: float = 5.0
    batch_timeout: float = 30.0
    max_queue_size: int | None = None
    max_batch_size: int = 512
    sampler: SamplerName = "parentbased_always_on"
    sampler_ratio: float = 1.0
    limits: SpanLimits = DEFAULT_SPAN_LIMITS
    capture_content: CaptureContent = "no_content"
    log_level: LogLevel | None = None

    @property
    def exponential_histograms(self) -> bool:
        """Whether metrics are sent with exponential histograms."""
        return self.metrics is not None and self.histogram_aggregation == "base2_exponential_bucket_histogram"


def read_otel(environ: Mapping[str, str]) -> tuple[OtelSettings, tuple[str, ...]]:
    """The settings, and warnings for the log about wrong variables. Never raises. No warning contains the value of a header."""
    values = EnvironmentReader(environ)
    disabled = values.boolean("OTEL_SDK_DISABLED")
    if values.text("OTEL_CONFIG_FILE"):
        values.warn("OTEL_CONFIG_FILE", "declarative configuration is not supported; the file is not read")
    batch = values.count("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", 512)
    queue = values.integer("OTEL_BSP_MAX_QUEUE_SIZE", None, least=1)
    if queue is not None and batch > queue:
        batch = queue
    settings = OtelSettings(
        traces=_target(values, "traces", disabled),
        metrics=_target(values, "metrics", disabled),
        disabled=disabled,
        service_name=values.text("OTEL_SERVICE_NAME") or None,
        resource_attributes=values.attributes("OTEL_RESOURCE_ATTRIBUTES"),
        metric_interval=values.interval("OTEL_METRIC_EXPORT_INTERVAL", 60_000, least=1),
        metric_timeout=values.timeout(30_000, "OTEL_METRIC_EXPORT_TIMEOUT"),
        temporality=values.word("cumulative", get_args(Temporality), _OTLP + "METRICS_TEMPORALITY_PREFERENCE"),
        histogram_aggregation=values.word(
            "explicit_bucket_histogram", get_args(HistogramAggregation), _OTLP + "METRICS_DEFAULT_HISTOGRAM_AGGREGATION"
        ),
        exemplar_filter=values.word("trace_based", get_args(ExemplarFilter), "OTEL_METRICS_EXEMPLAR_FILTER"),
        schedule_delay=values.interval("OTEL_BSP_SCHEDULE_DELAY", 5_000),
        batch_timeout=values.timeout(30_000, "OTEL_BSP_EXPORT_TIMEOUT"),
        max_queue_size=queue,
        max_batch_size=batch,
        sampler=values.word("parentbased_always_on", get_args(SamplerName), "OTEL_TRACES_SAMPLER"),
        sampler_ratio=values.ratio("OTEL_TRACES_SAMPLER_ARG", 1.0),
        limits=_limits(values),
        capture_content=_capture_content(values),
        log_level=_log_level(values),
    )
    return settings, tuple(dict.fromkeys(values.warnings))  # both signals may have met the same fault


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
    name = "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"
    text = values.text(name).lower()
    if text in {"true", "false"}:
        return "span_and_event" if text == "true" else "no_content"
    return values.word("no_content", get_args(CaptureContent), name)


def _log_level(values: EnvironmentReader) -> LogLevel | None:
    text = values.text("OTEL_LOG_LEVEL").lower()
    if not text or text == "warn":
        return "warning" if text else None
    level: LogLevel = values.word("info", get_args(LogLevel), "OTEL_LOG_LEVEL")
    return level


def _target(values: EnvironmentReader, signal: Signal, disabled: bool) -> Target | None:
    choice = otlp_choice(values, f"OTEL_{signal.upper()}_EXPORTER", ("prometheus",) if signal == "metrics" else ())
    own, general = f"{_OTLP}{signal.upper()}_", _OTLP
    variable = values.variable(own + "ENDPOINT", general + "ENDPOINT")
    if disabled or choice == "off" or (choice == "auto" and not variable.text):
        return None
    protocol = _protocol(values, own + "PROTOCOL", general + "PROTOCOL")
    insecure = values.boolean(own + "INSECURE", general + "INSECURE")
    if protocol == "grpc":
        endpoint = _grpc_endpoint(values, variable, insecure)
    else:
        endpoint = _http_endpoint(values, variable, signal, is_own=variable.name == own + "ENDPOINT")
    return Target(
        signal=signal,
        protocol=protocol,
        endpoint=endpoint.address,
        tls=endpoint.tls,
        headers=values.headers(own + "HEADERS", general + "HEADERS"),
        compression=values.word("none", ("gzip", "none"), own + "COMPRESSION", general + "COMPRESSION"),
        timeout=values.timeout(10_000, own + "TIMEOUT", general + "TIMEOUT"),
        tls_files=_tls_files(values, own, general),
    )


def _protocol(values: EnvironmentReader, *names: str) -> Protocol:
    name, text = values.variable(*names)
    if text.lower() == "http/json":
        values.warn(name, "http/json is not supported; http/protobuf is used")
        return "http/protobuf"
    return values.word("http/protobuf", get_args(Protocol), *names)


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


def _split(text: str) -> SplitResult | None:
    """The parts of an HTTP URL with a host; ``None`` if the text is no such URL."""
    try:
        parts = urlsplit(text)
        valid = parts.scheme in {"http", "https"} and parts.hostname and parts.port != 0
    except ValueError:
        return None
    return parts if valid and text.isascii() and text.isprintable() and " " not in text else None


def _http_endpoint(values: EnvironmentReader, variable: Variable, signal: Signal, *, is_own: bool) -> _Endpoint:
    """The URL to post to. The signal's path is appended, except to a valid endpoint of the signal's own variable."""
    parts = _split(variable.text or _HTTP_DEFAULT)
    append = not is_own
    if parts is None:
        values.warn(variable.name, f"is not a URL that starts with http:// or https://; {_HTTP_DEFAULT} is used")
        parts, append = urlsplit(_HTTP_DEFAULT), True
    if parts.port == _GRPC_PORT:
        values.warn(
            variable.name,
            f"has port {_GRPC_PORT}, where receivers mostly speak gRPC, and the protocol is http/protobuf; "
            f"set {_OTLP}PROTOCOL=grpc, or use port {_HTTP_PORT}",
        )
    path = f"{parts.path.rstrip('/')}/v1/{signal}" if append else parts.path or "/"
    return _Endpoint(parts._replace(path=path, fragment="").geturl(), tls=parts.scheme == "https")


def _grpc_endpoint(values: EnvironmentReader, variable: Variable, insecure: bool) -> _Endpoint:
    """The address to call. The URL's scheme decides about TLS; without a scheme ``INSECURE`` does."""
    text = variable.text or _GRPC_DEFAULT
    parts = _split(text)
    if text.rstrip("/").endswith(f":{_HTTP_PORT}"):
        values.warn(
            variable.name,
            f"has port {_HTTP_PORT}, where receivers mostly speak HTTP/1.1, and the protocol is grpc; "
            f"set {_OTLP}PROTOCOL=http/protobuf, or use port {_GRPC_PORT}",
        )
    if parts is not None:
        host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
        return _Endpoint(f"{host}:{parts.port or _GRPC_PORT}", tls=parts.scheme == "https")
    if text.startswith(("dns:///", "unix:///")) or ("://" not in text and _ADDRESS.fullmatch(text)):
        return _Endpoint(text, tls=not insecure)
    values.warn(variable.name, f"is not an endpoint such as {_GRPC_DEFAULT}; {_GRPC_DEFAULT} is used")
    return _Endpoint(urlsplit(_GRPC_DEFAULT).netloc, tls=False)
