"""The standard ``OTEL_*`` environment variables as one value; ``docs/otlp.md`` lists them."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, get_args
from urllib.parse import SplitResult, urlsplit

from exporter.config.otel_values import Variables, exporters
from exporter.exporters.otlp.span_limits import UNLESS_SET, AttributeLimits
from exporter.exporters.otlp.target import Protocol, Signal, Target, TlsFiles
from exporter.logs import LogLevel

Temporality = Literal["cumulative", "delta", "lowmemory"]
HistogramAggregation = Literal["explicit_bucket_histogram", "base2_exponential_bucket_histogram"]
Sampler = Literal[
    "parentbased_always_on",
    "parentbased_always_off",
    "parentbased_traceidratio",
    "always_on",
    "always_off",
    "traceidratio",
]
ExemplarFilter = Literal["trace_based", "always_on", "always_off"]
CaptureContent = Literal["no_content", "span_only", "event_only", "span_and_event"]

_OTLP: Final = "OTEL_EXPORTER_OTLP_"
_HTTP_DEFAULT: Final = "http://localhost:4318"
_GRPC_DEFAULT: Final = "http://localhost:4317"
_GRPC_PORT: Final = 4317
_ADDRESS = re.compile(r"[^\s/@]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class OtelSettings:
    """What the variables say. A signal whose target is ``None`` is not sent; durations are in seconds.

    ``max_queue_size`` is ``None`` unless set: the queue is then bounded in bytes.
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
    sampler: Sampler = "parentbased_always_on"
    sampler_ratio: float = 1.0
    limits: AttributeLimits = UNLESS_SET
    capture_content: CaptureContent = "no_content"
    log_level: LogLevel | None = None


def read_otel(environ: Mapping[str, str]) -> tuple[OtelSettings, tuple[str, ...]]:
    """The settings, and for the log what was wrong with the variables. Never raises; no header's value is in a warning."""
    values = Variables(environ)
    disabled = values.boolean("OTEL_SDK_DISABLED")
    if values.text("OTEL_CONFIG_FILE")[1]:
        values.warn("OTEL_CONFIG_FILE", "declarative configuration is not supported; the file is not read")
    batch = values.count("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", 512)
    queue = values.whole("OTEL_BSP_MAX_QUEUE_SIZE", None, least=1)
    if queue is not None and batch > queue:
        batch = queue
    settings = OtelSettings(
        traces=_target(values, "traces", disabled),
        metrics=_target(values, "metrics", disabled),
        disabled=disabled,
        service_name=values.text("OTEL_SERVICE_NAME")[1] or None,
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
        sampler=values.word("parentbased_always_on", get_args(Sampler), "OTEL_TRACES_SAMPLER"),
        sampler_ratio=values.ratio("OTEL_TRACES_SAMPLER_ARG", 1.0),
        limits=_limits(values),
        capture_content=_capture_content(values),
        log_level=_log_level(values),
    )
    return settings, tuple(values.warnings)


def _limits(values: Variables) -> AttributeLimits:
    attributes = values.count("OTEL_ATTRIBUTE_COUNT_LIMIT", 128, least=0)
    length = values.whole("OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT", None)
    return AttributeLimits(
        value_length=values.whole("OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT", length),
        per_span=values.count("OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT", attributes, least=0),
        events=values.count("OTEL_SPAN_EVENT_COUNT_LIMIT", 128, least=0),
        links=values.count("OTEL_SPAN_LINK_COUNT_LIMIT", 128, least=0),
        per_event=values.count("OTEL_EVENT_ATTRIBUTE_COUNT_LIMIT", 128, least=0),
        per_link=values.count("OTEL_LINK_ATTRIBUTE_COUNT_LIMIT", 128, least=0),
    )


def _capture_content(values: Variables) -> CaptureContent:
    """The variable was a boolean before it had words."""
    name = "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"
    text = values.text(name)[1].lower()
    if text in {"true", "false"}:
        return "span_and_event" if text == "true" else "no_content"
    return values.word("no_content", get_args(CaptureContent), name)


def _log_level(values: Variables) -> LogLevel | None:
    text = values.text("OTEL_LOG_LEVEL")[1].lower()
    if not text or text == "warn":
        return "warning" if text else None
    level: LogLevel = values.word("info", get_args(LogLevel), "OTEL_LOG_LEVEL")
    return level


def _target(values: Variables, signal: Signal, disabled: bool) -> Target | None:
    asked = exporters(values, f"OTEL_{signal.upper()}_EXPORTER", ("prometheus",) if signal == "metrics" else ())
    own, general = f"{_OTLP}{signal.upper()}_", _OTLP
    name, endpoint = values.text(own + "ENDPOINT", general + "ENDPOINT")
    if disabled or asked == "off" or (asked == "auto" and not endpoint):
        return None
    protocol = _protocol(values, own + "PROTOCOL", general + "PROTOCOL")
    insecure = values.boolean(own + "INSECURE", general + "INSECURE")
    if protocol == "grpc":
        address, tls = _grpc_address(values, name, endpoint or _GRPC_DEFAULT, insecure)
    else:
        address, tls = _http_url(values, name, endpoint or _HTTP_DEFAULT, None if name == own + "ENDPOINT" else signal)
    return Target(
        signal=signal,
        protocol=protocol,
        endpoint=address,
        tls=tls,
        headers=values.headers(own + "HEADERS", general + "HEADERS"),
        compression=values.word("none", ("gzip", "none"), own + "COMPRESSION", general + "COMPRESSION"),
        timeout=values.timeout(10_000, own + "TIMEOUT", general + "TIMEOUT"),
        tls_files=_tls_files(values, own, general),
    )


def _protocol(values: Variables, *names: str) -> Protocol:
    name, text = values.text(*names)
    if text.lower() == "http/json":
        values.warn(name, "http/json is not supported; http/protobuf is used")
        return "http/protobuf"
    return values.word("http/protobuf", get_args(Protocol), *names)


def _tls_files(values: Variables, own: str, general: str) -> TlsFiles:
    def file(word: str) -> Path | None:
        name, text = values.text(own + word, general + word)
        if text and not Path(text).is_file():
            values.warn(name, f"there is no such file now: {text}")
        return Path(text) if text else None

    authorities, certificate, key = file("CERTIFICATE"), file("CLIENT_CERTIFICATE"), file("CLIENT_KEY")
    if key and not certificate:
        values.warn(general + "CLIENT_KEY", "is of no use without OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE")
    return TlsFiles(authorities, certificate, key if certificate else None)


def _split(text: str) -> SplitResult | None:
    """The parts of an HTTP URL that names a host, or ``None``."""
    try:
        parts = urlsplit(text)
        right = parts.scheme in {"http", "https"} and parts.hostname and parts.port != 0
    except ValueError:
        return None
    return parts if right and text.isascii() and text.isprintable() and " " not in text else None


def _http_url(values: Variables, name: str, text: str, signal: Signal | None) -> tuple[str, bool]:
    """The URL to post to, and whether over TLS; with a ``signal`` its path is appended, as to the general endpoint."""
    parts = _split(text)
    if parts is None:
        values.warn(name, f"is not a URL that starts with http:// or https://; {_HTTP_DEFAULT} is used")
        parts = urlsplit(_HTTP_DEFAULT)
        signal = signal or ("traces" if "TRACES" in name else "metrics")
    path = f"{parts.path.rstrip('/')}/v1/{signal}" if signal else parts.path or "/"
    return parts._replace(path=path, fragment="").geturl(), parts.scheme == "https"


def _grpc_address(values: Variables, name: str, text: str, insecure: bool) -> tuple[str, bool]:
    """The address to call, and whether over TLS. Without a scheme ``INSECURE`` decides, with one the scheme."""
    parts = _split(text)
    if parts is not None:
        host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
        return f"{host}:{parts.port or _GRPC_PORT}", parts.scheme == "https"
    if "://" not in text and _ADDRESS.fullmatch(text):
        return text, not insecure
    if text.startswith(("dns:///", "unix:///")):
        return text, not insecure
    values.warn(name, f"is not an endpoint such as {_GRPC_DEFAULT}; that is used")
    return urlsplit(_GRPC_DEFAULT).netloc, False
