"""The declarative configuration file: what it says in the settings, and what it cannot say here."""

from pathlib import Path

import pytest

from exporter.config.otel import OtelSettings, read_otel
from exporter.config.otel_endpoint import EndpointError
from exporter.config.otel_file import ConfigFileError
from exporter.exporters.otlp.span_limits import SpanLimits
from exporter.exporters.otlp.target import ClientTlsFiles, Target

WHOLE = """
file_format: "1.0"
log_level: debug
attribute_limits: {attribute_value_length_limit: 100}
resource:
  attributes_list: team=voice,service.name=list
  attributes:
    - {name: service.name, value: desk}
    - {name: shards, value: 3, type: int}
    - {name: zones, value: [a, b], type: string_array}
  detection/development:
    detectors: [{host: {}}, {process: {}}, {service: {}}]
tracer_provider:
  limits: {attribute_count_limit: 10, event_count_limit: 11, link_count_limit: 12, event_attribute_count_limit: 13}
  sampler: {parent_based: {root: {trace_id_ratio_based: {ratio: 0.25}}}}
  processors:
    - batch:
        schedule_delay: 1000
        max_queue_size: 4096
        max_export_batch_size: 128
        exporter:
          otlp_http:
            endpoint: https://collector:4318/own/path
            headers: [{name: api-key, value: "${SECRET}"}, {name: team, value: "a,b"}]
            headers_list: from-list=1
            compression: gzip
            timeout: 5000
            encoding: json
            tls: {ca_file: CA, cert_file: CERT, key_file: KEY}
    - batch: {exporter: {console: {}}}
meter_provider:
  exemplar_filter: always_off
  readers:
    - periodic:
        interval: 15000
        timeout: 1000
        exporter:
          otlp_grpc:
            endpoint: collector:4317
            tls: {insecure: true}
            temporality_preference: low_memory
            default_histogram_aggregation: base2_exponential_bucket_histogram
"""


def read(directory: Path, text: str, **variables: str) -> tuple[OtelSettings, list[str]]:
    """The settings of a file, and the problems."""
    path = directory / "otel.yaml"
    path.write_text(text)
    settings, warnings = read_otel({"OTEL_CONFIG_FILE": str(path), **variables})
    return settings, [warning.removeprefix("OTEL_CONFIG_FILE: ") for warning in warnings]


def test_all_that_has_an_equal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Resource, processors, exporters, limits, sampler, readers, temporality and aggregation are those of the file."""
    monkeypatch.setenv("SECRET", "s3 cret")
    for name in ("CA", "CERT", "KEY"):
        (tmp_path / name).touch()
    text = WHOLE
    for name in ("CA", "CERT", "KEY"):
        text = text.replace(f"_file: {name}", f"_file: {tmp_path / name}")
    settings, problems = read(tmp_path, text)
    assert problems == []
    files = ClientTlsFiles(tmp_path / "CA", tmp_path / "CERT", tmp_path / "KEY")
    headers = (("from-list", "1"), ("api-key", "s3 cret"), ("team", "a,b"))
    assert settings == OtelSettings(
        traces=Target("traces", "http/json", "https://collector:4318/own/path", True, headers, "gzip", 5.0, files),
        metrics=Target("metrics", "grpc", "collector:4317"),
        span_exporters=("console",),
        resource_attributes=(("team", "voice"), ("service.name", "desk"), ("shards", 3), ("zones", ["a", "b"])),
        resource_detectors=("host", "process", "service_instance"),
        metric_interval=15.0,
        metric_timeout=1.0,
        temporality="lowmemory",
        histogram_aggregation="base2_exponential_bucket_histogram",
        exemplar_filter="always_off",
        schedule_delay=1.0,
        max_queue_size=4096,
        max_batch_size=128,
        sampler="parentbased_traceidratio",
        sampler_ratio=0.25,
        limits=SpanLimits(value_length=100, per_span=10, events=11, links=12, per_event=13),
        log_level="debug",
    )


def test_a_short_file(tmp_path: Path) -> None:
    """What a file does not say is off or has its default: here spans go to the default address, and no metrics are sent."""
    settings, problems = read(
        tmp_path, 'file_format: "1.0"\ntracer_provider: {processors: [{simple: {exporter: {otlp_grpc: }}}], sampler: {always_off: }}'
    )
    assert settings == OtelSettings(traces=Target("traces", "grpc", "localhost:4317"), sampler="always_off")
    assert problems == ["tracer_provider.processors[0].simple is used as batch"]
    assert read(tmp_path, 'file_format: "1.0"\ndisabled: true')[0].disabled


def test_what_has_no_equal(tmp_path: Path) -> None:
    """Each part that is not supported is named with its path, and the rest works."""
    text = """
file_format: "1.0"
propagator: {composite_list: tracecontext}
logger_provider: {processors: [{batch: {exporter: {console: }}}]}
resource: {schema_url: x, detection/development: {attributes: {included: [a]}}}
tracer_provider:
  sampler: {jaeger_remote/development: {endpoint: http://x, initial_sampler: {always_on: }}}
  id_generator: {random: }
  processors:
    - batch: {exporter: {otlp_http: {endpoint: http://a/v1/traces}}}
    - batch: {exporter: {otlp_http: {endpoint: http://b/v1/traces}}}
    - batch: {exporter: {otlp_file/development: {}}}
    - batch: {exporter: {acme: {region: eu}}}
    - custom: {}
meter_provider:
  views: [{selector: {instrument_name: a}, stream: {name: b}}]
  readers:
    - pull: {exporter: {prometheus/development: {}}}
    - periodic: {exporter: {console: {}}, cardinality_limits: {default: 5}}
"""
    settings, problems = read(tmp_path, text)
    assert settings.traces is not None
    assert settings.traces.endpoint == "http://a/v1/traces"
    assert (settings.span_exporters, settings.metric_exporters) == (("acme",), ("console",))
    assert problems == [
        "resource.detection/development.attributes is not supported",
        "tracer_provider.processors[1].batch.exporter.otlp_http is left out: there is one for this signal already",
        "tracer_provider.processors[2].batch.exporter.otlp_file/development is not supported",
        "tracer_provider.processors[3].batch.exporter.acme has options here that are not used; the exporter reads its own variables",
        "tracer_provider.processors[4].custom is not supported",
        "tracer_provider.sampler.jaeger_remote/development is not supported; parentbased_always_on is used",
        "tracer_provider.id_generator is not supported",
        "meter_provider.readers[0].pull is not needed; /metrics is at --telemetry-listen",
        "meter_provider.readers[1].periodic.cardinality_limits is not supported",
        "meter_provider.views is not supported",
        "logger_provider is not supported",
        "propagator has no effect here",
    ]


def test_other_variables(tmp_path: Path) -> None:
    """While the file is set, other variables are not used and named, except for proxies and the capture of content."""
    settings, problems = read(
        tmp_path,
        'file_format: "1.0"\ntracer_provider: {processors: [{batch: {exporter: {otlp_http: {endpoint: "https://a"}}}}]}',
        OTEL_SERVICE_NAME="other",
        OTEL_EXPORTER_OTLP_ENDPOINT="http://elsewhere",
        OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT="true",
        HTTPS_PROXY="http://proxy:1",
    )
    assert settings.traces is not None
    assert (settings.traces.endpoint, settings.metrics, settings.service_name) == ("https://a/", None, None)
    assert settings.traces.proxy is not None
    assert settings.capture_content == "span_and_event"
    assert problems == ["is set, so OTEL_EXPORTER_OTLP_ENDPOINT, OTEL_SERVICE_NAME are not used"]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "Configuration file is empty"),
        ("a: [", "Failed to parse YAML"),
        ('file_format: "9.0"', "Unsupported file_format '9.0'"),
        ("tracer_provider: {}", "'file_format' is a required property"),
        ('file_format: "1.0"\ntracer_provider: {processors: 5}', "tracer_provider -> processors"),
    ],
)
def test_a_file_that_cannot_be_used(tmp_path: Path, text: str, problem: str) -> None:
    """A file that is no configuration is an error with the place in it."""
    with pytest.raises(ConfigFileError, match=r"^OTEL_CONFIG_FILE: ") as error:
        read(tmp_path, text)
    assert problem in str(error.value)


def test_a_file_that_is_missing(tmp_path: Path) -> None:
    """A missing file is an error that names it."""
    with pytest.raises(ConfigFileError, match=r"OTEL_CONFIG_FILE: Configuration file not found: .*gone\.yaml"):
        read_otel({"OTEL_CONFIG_FILE": str(tmp_path / "gone.yaml")})


def test_problems_name_the_place(tmp_path: Path) -> None:
    """What is wrong with a value is said of its place in the file."""
    text = 'file_format: "1.0"\ntracer_provider: {processors: [{batch: {exporter: {otlp_http: {endpoint: "%s", compression: zip}}}}]}'
    _, problems = read(tmp_path, text % "http://a")
    place = "tracer_provider.processors[0].batch.exporter.otlp_http"
    assert problems == [f"{place}.compression: 'zip' is not one of gzip, none; none is used"]
    with pytest.raises(EndpointError) as error:
        read(tmp_path, text % "foo")
    assert str(error.value).startswith(f"OTEL_CONFIG_FILE: {place}.endpoint: has no scheme, so it leads nowhere; write http://foo:4318")
