"""``OTEL_CONFIG_FILE``: OpenTelemetry's declarative configuration, as the variables that say the same.

The file is read, and checked against its schema, by OpenTelemetry's own package. While it is set, other ``OTEL_*`` variables count only
where the file refers to them. Parts that have no equal here are named with their path, and left out.
"""

from collections.abc import Mapping
from dataclasses import fields
from typing import Any, Final, NamedTuple
from urllib.parse import quote

from exporter.exporters.otlp.target import Signal
from exporter.protobuf import AttributeValue

_LEVELS: Final = {"trace": "debug", "debug": "debug", "info": "info", "warn": "warning", "error": "error", "fatal": "error"}
_OTLP: Final = {"otlp_http": "http/protobuf", "otlp_grpc": "grpc"}
_TLS: Final = {"ca_file": "CERTIFICATE", "key_file": "CLIENT_KEY", "cert_file": "CLIENT_CERTIFICATE"}
_DEFAULT_ENDPOINTS: Final = {"otlp_http": "http://localhost:4318/v1/{}", "otlp_grpc": "http://localhost:4317"}
_LIMITS: Final = {
    "attribute_value_length_limit": "OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT",
    "attribute_count_limit": "OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT",
    "event_count_limit": "OTEL_SPAN_EVENT_COUNT_LIMIT",
    "link_count_limit": "OTEL_SPAN_LINK_COUNT_LIMIT",
    "event_attribute_count_limit": "OTEL_EVENT_ATTRIBUTE_COUNT_LIMIT",
    "link_attribute_count_limit": "OTEL_LINK_ATTRIBUTE_COUNT_LIMIT",
}
_SAMPLERS: Final = {"always_on": "always_on", "always_off": "always_off", "trace_id_ratio_based": "traceidratio"}


class ConfigFileError(ValueError):
    """The file cannot be used. The message says why."""


class ConfigFile(NamedTuple):
    """What a file says: as variables, the path of each in the file, typed attributes of the resource, and what was left out."""

    variables: dict[str, str]
    paths: dict[str, str]
    attributes: dict[str, AttributeValue]
    notes: list[str]


def read_config_file(path: str) -> ConfigFile:
    """Read the file; raises :class:`ConfigFileError`."""
    from opentelemetry.configuration import ConfigurationError, load_config_file  # noqa: PLC0415 - 20 MB that few need

    try:
        config = load_config_file(path)
    except ConfigurationError as error:
        raise ConfigFileError(f"OTEL_CONFIG_FILE: {error}") from None
    return _Translation().translated(config)


def with_paths(text: str, file: ConfigFile) -> str:
    """A message about a variable, which names the place in the file instead."""
    variable, _, problem = text.partition(": ")
    return f"OTEL_CONFIG_FILE: {file.paths[variable]}: {problem}" if variable in file.paths else text


class _Translation:
    """Collects what a file says while its parts are visited. Paths are as in the file: ``tracer_provider.sampler``."""

    def __init__(self) -> None:
        self._found = ConfigFile({}, {}, {}, [])

    def translated(self, config: Any) -> ConfigFile:  # noqa: ANN401 - of the package, which is imported late
        self._say("OTEL_SDK_DISABLED", config.disabled, "disabled")
        if config.log_level is not None:
            self._say("OTEL_LOG_LEVEL", _LEVELS[config.log_level.value.rstrip("234")], "log_level")
        if config.attribute_limits is not None:
            for name in ("value_length", "count"):
                value = getattr(config.attribute_limits, f"attribute_{name}_limit")
                self._say(f"OTEL_ATTRIBUTE_{name.upper()}_LIMIT", value, f"attribute_limits.attribute_{name}_limit")
        self._resource(config.resource)
        self._traces(config.tracer_provider)
        self._metrics(config.meter_provider)
        handled = {"file_format", "disabled", "log_level", "attribute_limits", "resource", "tracer_provider", "meter_provider"}
        self._leave_out(config, "", handled)
        return self._found

    def _resource(self, resource: Any) -> None:  # noqa: ANN401 - as above
        if resource is None:
            return
        self._say("OTEL_RESOURCE_ATTRIBUTES", resource.attributes_list, "resource.attributes_list")
        for pair in resource.attributes or ():
            self._found.attributes[pair.name] = pair.value
        if (detection := resource.detection_development) is not None:
            names = [name for each in detection.detectors or () for name in _set(each)]
            self._say(
                "OTEL_EXPERIMENTAL_RESOURCE_DETECTORS", ",".join(_detector(name) for name in names), "resource.detection/development"
            )
            self._leave_out(detection, "resource.detection/development", {"detectors"})
        self._leave_out(resource, "resource", {"attributes", "attributes_list", "detection_development", "schema_url"})

    def _traces(self, provider: Any) -> None:  # noqa: ANN401 - as above
        names: list[str] = []
        for place, processor in enumerate(provider.processors if provider else ()):
            path = f"tracer_provider.processors[{place}]"
            kind, body = next(iter(_set(processor).items()))
            if kind not in ("batch", "simple"):
                self._note(f"{path}.{kind}", "is not supported")
                continue
            name = self._exporter("traces", body.exporter, f"{path}.{kind}.exporter", names)
            if kind == "simple":
                self._note(f"{path}.simple", "is used as batch")
            elif name:
                for field in ("schedule_delay", "export_timeout", "max_queue_size", "max_export_batch_size"):
                    self._say(f"OTEL_BSP_{field.upper()}", getattr(body, field), f"{path}.batch.{field}")
        self._found.variables["OTEL_TRACES_EXPORTER"] = ",".join(names) or "none"
        if provider is None:
            return
        for field, variable in _LIMITS.items() if provider.limits else ():
            self._say(variable, getattr(provider.limits, field), f"tracer_provider.limits.{field}")
        if provider.sampler is not None:
            self._sampler(provider.sampler)
        self._leave_out(provider, "tracer_provider", {"processors", "limits", "sampler"})

    def _sampler(self, sampler: Any) -> None:  # noqa: ANN401 - as above
        kind, body = next(iter(_set(sampler).items()))
        path, prefix = f"tracer_provider.sampler.{kind}", ""
        if kind == "parent_based" and body.root is not None:
            self._leave_out(body, path, {"root"})
            (kind, body), prefix = next(iter(_set(body.root).items())), "parentbased_"
            path += f".root.{kind}"
        if kind not in _SAMPLERS:
            self._note(path.replace("_development", "/development"), "is not supported; parentbased_always_on is used")
            return
        self._say("OTEL_TRACES_SAMPLER", prefix + _SAMPLERS[kind], path)
        self._say("OTEL_TRACES_SAMPLER_ARG", getattr(body, "ratio", None), f"{path}.ratio")

    def _metrics(self, provider: Any) -> None:  # noqa: ANN401 - as above
        names: list[str] = []
        for place, reader in enumerate(provider.readers if provider else ()):
            path = f"meter_provider.readers[{place}]"
            if reader.periodic is None:
                self._note(f"{path}.pull", "is not needed; /metrics is at --telemetry-listen")
                continue
            if self._exporter("metrics", reader.periodic.exporter, f"{path}.periodic.exporter", names):
                self._say("OTEL_METRIC_EXPORT_INTERVAL", reader.periodic.interval, f"{path}.periodic.interval")
                self._say("OTEL_METRIC_EXPORT_TIMEOUT", reader.periodic.timeout, f"{path}.periodic.timeout")
            self._leave_out(reader.periodic, f"{path}.periodic", {"exporter", "interval", "timeout"})
        self._found.variables["OTEL_METRICS_EXPORTER"] = ",".join(names) or "none"
        if provider is not None:
            if provider.exemplar_filter is not None:
                self._say("OTEL_METRICS_EXEMPLAR_FILTER", provider.exemplar_filter.value, "meter_provider.exemplar_filter")
            self._leave_out(provider, "meter_provider", {"readers", "exemplar_filter"})

    def _exporter(self, signal: Signal, exporter: Any, path: str, names: list[str]) -> str:  # noqa: ANN401 - as above
        """Add an exporter's name to ``names`` and return it; an empty text if it is left out."""
        kind, body = next(iter(_set(exporter).items()))
        name = "otlp" if kind in _OTLP else kind
        if name in names:
            self._note(f"{path}.{kind}", "is left out: there is one for this signal already")
            return ""
        if kind.endswith("_development"):
            self._note(f"{path}.{kind.replace('_development', '/development')}", "is not supported")
            return ""
        if kind in _OTLP:
            self._otlp(signal, kind, body, f"{path}.{kind}")
        elif body and _set(body):
            self._note(f"{path}.{kind}", "has options here that are not used; the exporter reads its own variables")
        names.append(name)
        return name

    def _otlp(self, signal: Signal, kind: str, body: Any, path: str) -> None:  # noqa: ANN401 - as above
        own = f"OTEL_EXPORTER_OTLP_{signal.upper()}_"
        endpoint = (body.endpoint if body else None) or _DEFAULT_ENDPOINTS[kind].format(signal)
        self._say(own + "ENDPOINT", endpoint, f"{path}.endpoint")
        json = getattr(getattr(body, "encoding", None), "value", "") == "json"
        self._say(own + "PROTOCOL", "http/json" if json else _OTLP[kind], f"{path}.encoding")
        if body is None:
            return
        pairs = [f"{pair.name}={quote(pair.value or '')}" for pair in body.headers or ()]
        self._say(own + "HEADERS", ",".join(filter(None, (body.headers_list, *pairs))) or None, f"{path}.headers")
        self._say(own + "COMPRESSION", body.compression, f"{path}.compression")
        self._say(own + "TIMEOUT", body.timeout, f"{path}.timeout")
        for field, word in _TLS.items() if body.tls else ():
            self._say(own + word, getattr(body.tls, field), f"{path}.tls.{field}")
        self._say(own + "INSECURE", getattr(body.tls, "insecure", None), f"{path}.tls.insecure")
        if signal == "metrics":
            temporality = body.temporality_preference and body.temporality_preference.value.replace("_", "")
            self._say(own + "TEMPORALITY_PREFERENCE", temporality, f"{path}.temporality_preference")
            histogram = body.default_histogram_aggregation and body.default_histogram_aggregation.value
            self._say(own + "DEFAULT_HISTOGRAM_AGGREGATION", histogram, f"{path}.default_histogram_aggregation")

    def _say(self, variable: str, value: object, path: str) -> None:
        """Set a variable, unless the file says nothing about it."""
        if value is not None:
            self._found.variables[variable] = str(value).lower() if isinstance(value, bool) else str(value)
            self._found.paths[variable] = path

    def _note(self, path: str, problem: str) -> None:
        self._found.notes.append(f"OTEL_CONFIG_FILE: {path} {problem}")

    def _leave_out(self, part: Any, path: str, handled: set[str]) -> None:  # noqa: ANN401 - as above
        """Name everything that the file says in this part besides what is handled."""
        for name in _set(part):
            if name not in handled:
                place = f"{path}.{name}".strip(".").replace("_development", "/development")
                self._note(place, "has no effect here" if name == "propagator" else "is not supported")


def _set(part: Any) -> dict[str, Any]:  # noqa: ANN401 - a part of the model, or an object as it stands in the file
    """What a part says. A key without a value, as ``always_on:``, says that it is chosen."""
    if isinstance(part, Mapping):
        return dict(part)
    said = {field.name: getattr(part, field.name) for field in fields(part) if getattr(part, field.name) is not None}
    return {**said, **getattr(part, "additional_properties", {})}


def _detector(name: str) -> str:
    """The detector ``service`` of the file is the SDK's for the service's instance."""
    return "service_instance" if name == "service" else name
