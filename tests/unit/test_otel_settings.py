"""The standard ``OTEL_*`` variables: their meaning, and that none of them can keep the exporter from starting."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.config.otel import OtelSettings, read_otel
from exporter.config.otel_endpoint import EndpointError
from exporter.config.otel_values import NO_TIMEOUT
from exporter.exporters.otlp.target import ClientTlsFiles, Target

OTLP = "OTEL_EXPORTER_OTLP_"
HERE = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector"}
SIGNALS = ("traces", "metrics")
both_signals = pytest.mark.parametrize("signal", SIGNALS)


def read(**variables: str) -> OtelSettings:
    """The settings of correct variables."""
    settings, warnings = read_otel(variables)
    assert warnings == ()
    return settings


def read_bad(**variables: str) -> tuple[OtelSettings, str]:
    """The settings when one variable is wrong, and the one warning."""
    settings, warnings = read_otel(variables)
    [warning] = warnings
    return settings, warning


def traces(**variables: str) -> Target:
    """The target of spans."""
    target = read(**{**HERE, **variables}).traces
    assert target is not None
    return target


def test_nothing_is_sent_by_default() -> None:
    """Without variables there is no target, and everything else is the specification's default."""
    assert read() == OtelSettings()


@pytest.mark.parametrize("text", ["", " "])
def test_an_empty_variable_is_unset(text: str) -> None:
    """Empty variables change nothing."""
    names = ("ENDPOINT", "PROTOCOL", "HEADERS", "COMPRESSION", "TIMEOUT", "CERTIFICATE", "INSECURE")
    variables = {OTLP + name: text for name in names} | {"OTEL_SDK_DISABLED": text, "OTEL_BSP_MAX_QUEUE_SIZE": text}
    assert read(**variables) == OtelSettings()


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("OTEL_EXPORTER_OTLP_ENDPONT", "OTEL_EXPORTER_OTLP_ENDPOINT"),
        ("OTEL_EXPORTER_OTLP_HEADER", "OTEL_EXPORTER_OTLP_HEADERS"),
        ("OTEL_SERVICENAME", "OTEL_SERVICE_NAME"),
        ("OTEL_METRICS_EXPORT_INTERVAL", "OTEL_METRIC_EXPORT_INTERVAL"),
        ("OTEL_METRIC_EXPORTER", "OTEL_METRICS_EXPORTER"),
    ],
)
def test_a_misspelled_name(name: str, meant: str) -> None:
    """A variable that has no effect because of its spelling is named, with the one that was meant."""
    settings, warning = read_bad(**HERE, **{name: "60"})
    assert settings == read(**HERE)
    assert warning == f"{name}: no such variable is known, so it has no effect; did you mean {meant}?"


@pytest.mark.parametrize(
    "name",
    ["OTEL_EXPORTER_OTLP_LOGS_ENDPOINT", "OTEL_EXPORTER_OTLP_PROFILES_ENDPOINT", "OTEL_LOGS_EXPORTER", "OTEL_PYTHON_LOG_LEVEL"],
)
def test_names_of_others(name: str) -> None:
    """Variables of other signals, programs and languages are none of the exporter's business, however similar they look."""
    assert read(**HERE, **{name: "x"}) == read(**HERE)


class TestWhetherToSend:
    def test_a_general_endpoint_turns_both_on(self) -> None:
        """The general endpoint turns both signals on."""
        settings = read(**HERE)
        assert settings.traces is not None
        assert settings.metrics is not None

    @both_signals
    def test_an_own_endpoint_turns_one_on(self, signal: str) -> None:
        """A signal's own endpoint turns only that signal on."""
        settings = read(**{f"{OTLP}{signal.upper()}_ENDPOINT": "http://collector"})
        assert [name for name in SIGNALS if getattr(settings, name) is not None] == [signal]

    @both_signals
    def test_none(self, signal: str) -> None:
        """The exporter none turns a signal off although there is an endpoint."""
        settings = read(**HERE, **{f"OTEL_{signal.upper()}_EXPORTER": "none"})
        assert [name for name in SIGNALS if getattr(settings, name) is None] == [signal]

    @both_signals
    def test_otlp_without_endpoint(self, signal: str) -> None:
        """The exporter otlp without an endpoint sends to the specification's default endpoint."""
        target = getattr(read(**{f"OTEL_{signal.upper()}_EXPORTER": "otlp"}), signal)
        assert target.endpoint == f"http://localhost:4318/v1/{signal}"

    def test_prometheus(self) -> None:
        """The exporter prometheus means only /metrics; together with otlp it means both."""
        assert read(**HERE, OTEL_METRICS_EXPORTER="prometheus").metrics is None
        assert read(**HERE, OTEL_METRICS_EXPORTER="otlp, prometheus").metrics is not None

    @both_signals
    def test_other_exporters(self, signal: str) -> None:
        """Further names of the list are kept in order, each once, and OTLP is on only if it is named."""
        name = f"OTEL_{signal.upper()}_EXPORTER"
        settings = read(**HERE, **{name: "console, acme,console"})
        assert getattr(settings, signal) is None
        assert (settings.span_exporters, settings.metric_exporters) == (
            (("console", "acme"), ()) if signal == "traces" else ((), ("console", "acme"))
        )
        assert getattr(read(**HERE, **{name: "console,OTLP"}), signal) is not None

    @pytest.mark.parametrize("text", ["true", "TRUE"])
    def test_disabled(self, text: str) -> None:
        """OTEL_SDK_DISABLED turns everything off."""
        settings = read(**HERE, OTEL_SDK_DISABLED=text, OTEL_TRACES_EXPORTER="otlp,console")
        assert (settings.disabled, settings.traces, settings.metrics, settings.span_exporters) == (True, None, None, ())

    def test_only_true_is_true(self) -> None:
        """A word other than true or false is false, with a warning."""
        settings, warning = read_bad(**HERE, OTEL_SDK_DISABLED="1")
        assert settings.traces is not None
        assert warning.startswith("OTEL_SDK_DISABLED: '1' is neither")


class TestHttpEndpoint:
    @pytest.mark.parametrize(
        ("endpoint", "url"),
        [
            ("http://collector:4318", "http://collector:4318/v1/traces"),
            ("http://collector:4318/", "http://collector:4318/v1/traces"),
            ("https://collector/otlp/", "https://collector/otlp/v1/traces"),
            ("http://[::1]:4318", "http://[::1]:4318/v1/traces"),
        ],
    )
    def test_general(self, endpoint: str, url: str) -> None:
        """The path of the signal is appended to the general endpoint."""
        target = traces(OTEL_EXPORTER_OTLP_ENDPOINT=endpoint)
        assert (target.endpoint, target.tls) == (url, endpoint.startswith("https"))

    @both_signals
    @pytest.mark.parametrize(
        ("endpoint", "url"),
        [
            ("http://collector:4318", "http://collector:4318/"),
            ("https://collector/api/otlp?team=a", "https://collector/api/otlp?team=a"),
        ],
    )
    def test_own(self, signal: str, endpoint: str, url: str) -> None:
        """A signal's own endpoint is used unchanged and wins over the general one."""
        settings = read(**{**HERE, f"{OTLP}{signal.upper()}_ENDPOINT": endpoint})
        assert getattr(settings, signal).endpoint == url

    @pytest.mark.parametrize(
        ("endpoint", "advice"),
        [
            ("foo", "has no scheme, so it leads nowhere; write http://foo:4318, or https://foo:4318 for TLS"),
            ("collector:4318", "has no scheme, so it leads nowhere; write http://collector:4318, or https://collector:4318 for TLS"),
            ("localhost/", "has no scheme, so it leads nowhere; write http://localhost:4318, or https://localhost:4318 for TLS"),
            *[
                (bad, "is not an address of a collector, so it leads nowhere; write one such as http://collector:4318")
                for bad in (
                    "ftp://user:secret@collector",
                    "http://",
                    "http://a:99999",
                    "http://a:0",
                    "http://a b",
                    "http://[::1",
                    "http:a",
                )
            ],
        ],
    )
    @both_signals
    def test_bad(self, signal: str, endpoint: str, advice: str) -> None:
        """An endpoint that leads nowhere is an error that says what to write, and shows no password."""
        name = f"{OTLP}{signal.upper()}_ENDPOINT"
        with pytest.raises(EndpointError) as error:
            read_otel({name: endpoint})
        assert str(error.value) == f"{name}: {advice}"

    def test_an_endpoint_that_is_not_used(self) -> None:
        """An endpoint of a signal that is off is not looked at."""
        assert read(OTEL_EXPORTER_OTLP_ENDPOINT="foo", OTEL_TRACES_EXPORTER="none", OTEL_METRICS_EXPORTER="prometheus").traces is None


class TestGrpcEndpoint:
    @pytest.mark.parametrize(
        ("endpoint", "insecure", "address", "tls"),
        [
            ("http://collector:4317", "", "collector:4317", False),
            ("http://collector", "", "collector:4317", False),
            ("http://[::1]:9", "", "[::1]:9", False),
            ("https://collector:4317/ignored", "", "collector:4317", True),
            ("https://collector:4317", "true", "collector:4317", True),
            ("collector:4317", "", "collector:4317", True),
            ("collector:4317", "false", "collector:4317", True),
            ("collector:4317", "true", "collector:4317", False),
            ("dns:///collector:4317", "true", "dns:///collector:4317", False),
            ("unix:///run/otel.sock", "true", "unix:///run/otel.sock", False),
            ("unix:/run/otel.sock", "true", "unix:/run/otel.sock", False),
            ("unix:otel.sock", "true", "unix:otel.sock", False),
            ("unix:/run/otel.sock", "", "unix:/run/otel.sock", True),
            ("unix-abstract:otel", "true", "unix-abstract:otel", False),
            ("vsock:2:4317", "true", "vsock:2:4317", False),
            ("dns:collector:4317", "true", "dns:collector:4317", False),
            ("dns:///collector", "true", "dns:///collector", False),
            ("dns://8.8.8.8/collector:4317", "true", "dns://8.8.8.8/collector:4317", False),
            ("ipv4:127.0.0.1:4317,127.0.0.2:4317", "true", "ipv4:127.0.0.1:4317,127.0.0.2:4317", False),
            ("ipv6:[::1]:4317", "true", "ipv6:[::1]:4317", False),
            ("xds:///collector", "true", "xds:///collector", False),
            ("[::1]:4317", "true", "[::1]:4317", False),
        ],
    )
    def test_address(self, endpoint: str, insecure: str, address: str, tls: bool) -> None:
        """The scheme decides about TLS; without a scheme OTEL_EXPORTER_OTLP_INSECURE does."""
        target = traces(OTEL_EXPORTER_OTLP_PROTOCOL="grpc", OTEL_EXPORTER_OTLP_ENDPOINT=endpoint, OTEL_EXPORTER_OTLP_INSECURE=insecure)
        assert (target.protocol, target.endpoint, target.tls) == ("grpc", address, tls)

    def test_default(self) -> None:
        """Without an endpoint gRPC uses port 4317."""
        target = read(OTEL_TRACES_EXPORTER="otlp", OTEL_EXPORTER_OTLP_TRACES_PROTOCOL="grpc").traces
        assert target is not None
        assert (target.endpoint, target.tls) == ("localhost:4317", False)

    @pytest.mark.parametrize(
        ("protocol", "endpoint", "advice"),
        [
            ("http/protobuf", "http://collector:4317", "set OTEL_EXPORTER_OTLP_PROTOCOL=grpc, or use port 4318"),
            ("grpc", "http://collector:4318", "set OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf, or use port 4317"),
            ("grpc", "collector:4318", "set OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf, or use port 4317"),
        ],
    )
    def test_port_of_the_other_protocol(self, protocol: str, endpoint: str, advice: str) -> None:
        """The usual port of the other protocol is used as it was set, with one warning that says what to set."""
        settings, warning = read_bad(OTEL_EXPORTER_OTLP_ENDPOINT=endpoint, OTEL_EXPORTER_OTLP_PROTOCOL=protocol)
        assert settings.traces is not None
        assert endpoint.removeprefix("http://") in settings.traces.endpoint
        assert warning.startswith("OTEL_EXPORTER_OTLP_ENDPOINT: has port ")
        assert warning.endswith(advice)

    @pytest.mark.parametrize(
        ("endpoint", "advice"),
        [
            ("foo", "has no scheme, so it leads nowhere; write http://foo:4317, or https://foo:4317 for TLS"),
            *[
                (bad, "is not an address of a collector, so it leads nowhere; write one such as http://collector:4317")
                for bad in ("ftp://x", "http://", "unix:", "dns:", "dns:///", "http://a:70000", "a b", "unix://")
            ],
            ("collector:70000", "has no scheme, so it leads nowhere; write http://collector:4317, or https://collector:4317 for TLS"),
        ],
    )
    def test_bad(self, endpoint: str, advice: str) -> None:
        """An endpoint in none of gRPC's forms is an error that says what to write, and never localhost instead."""
        with pytest.raises(EndpointError) as error:
            read_otel({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": endpoint, "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"})
        assert str(error.value) == f"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: {advice}"


OPTIONS = [
    ("PROTOCOL", "grpc", "http/protobuf", "protocol", "grpc"),
    ("HEADERS", "a=1", "b=2", "headers", (("a", "1"),)),
    ("COMPRESSION", "gzip", "none", "compression", "gzip"),
    ("TIMEOUT", "2500", "9000", "timeout", 2.5),
]


class TestPerSignal:
    @both_signals
    @pytest.mark.parametrize(("name", "text", "other", "field", "value"), OPTIONS)
    def test_own_before_general(self, signal: str, name: str, text: str, other: str, field: str, value: object) -> None:
        """A signal's own variable wins over the general one and does not change the other signal."""
        settings = read(**HERE, **{f"{OTLP}{name}": other, f"{OTLP}{signal.upper()}_{name}": text})
        [rest] = [each for each in SIGNALS if each != signal]
        assert getattr(getattr(settings, signal), field) == value
        assert getattr(getattr(settings, rest), field) != value

    @both_signals
    @pytest.mark.parametrize(("name", "text", "other", "field", "value"), OPTIONS)
    def test_general(self, signal: str, name: str, text: str, other: str, field: str, value: object) -> None:
        """A general variable applies to both signals."""
        assert getattr(getattr(read(**HERE, **{OTLP + name: text}), signal), field) == value

    @both_signals
    def test_tls_files(self, signal: str, tmp_path: Path) -> None:
        """Certificate, client certificate and client key are read for each signal, and in general."""
        own, general = tmp_path / "own.pem", tmp_path / "general.pem"
        own.touch()
        general.touch()
        words = ("CERTIFICATE", "CLIENT_CERTIFICATE", "CLIENT_KEY")
        variables = {OTLP + word: str(general) for word in words}
        settings = read(**HERE, **variables, **{f"{OTLP}{signal.upper()}_{word}": str(own) for word in words})
        [rest] = [each for each in SIGNALS if each != signal]
        assert getattr(settings, signal).tls_files == ClientTlsFiles(own, own, own)
        assert getattr(settings, rest).tls_files == ClientTlsFiles(general, general, general)

    def test_missing_file(self, tmp_path: Path) -> None:
        """A missing certificate file gives a warning and is kept, because it may be created later."""
        settings, warnings = read_otel({**HERE, OTLP + "CERTIFICATE": str(tmp_path / "ca.pem")})
        assert settings.traces is not None
        assert settings.traces.tls_files.authorities == tmp_path / "ca.pem"
        assert len(warnings) == 1

    def test_key_without_certificate(self, tmp_path: Path) -> None:
        """A client key without a certificate is ignored, with a warning."""
        (tmp_path / "key.pem").touch()
        settings, warnings = read_otel({**HERE, OTLP + "CLIENT_KEY": str(tmp_path / "key.pem"), "OTEL_METRICS_EXPORTER": "none"})
        assert settings.traces is not None
        assert settings.traces.tls_files == ClientTlsFiles()
        assert len(warnings) == 1


class TestHeaders:
    @pytest.mark.parametrize(
        ("text", "headers"),
        [
            ("api-key=secret", (("api-key", "secret"),)),
            ("Authorization=Bearer%20a%2Cb=", (("authorization", "Bearer a,b="),)),
            (" a = 1 , b=2,", (("a", "1"), ("b", "2"))),
            ("a=1,A=2", (("a", "2"),)),
            ("a=", (("a", ""),)),
        ],
    )
    def test_pairs(self, text: str, headers: object) -> None:
        """Pairs are separated by commas, values are percent-decoded, and names become lower case."""
        assert traces(OTEL_EXPORTER_OTLP_HEADERS=text).headers == headers

    @pytest.mark.parametrize("text", ["secret", "a b=secret", "x=secret%0d%0ay: z", "x=secret%", "x=secret%ff", "=secret", "x=secrét"])
    def test_bad_pair(self, text: str) -> None:
        """A bad entry is ignored, and the warning gives its position but not its content."""
        settings, warning = read_bad(OTEL_EXPORTER_OTLP_TRACES_ENDPOINT="http://a", OTEL_EXPORTER_OTLP_HEADERS=f"good=1,{text}")
        assert settings.traces is not None
        assert settings.traces.headers == (("good", "1"),)
        assert "entry 2" in warning
        assert "secr" not in warning

    def test_not_shown(self) -> None:
        """The repr of the settings does not contain the values of headers."""
        assert "secret" not in repr(read(**HERE, OTEL_EXPORTER_OTLP_HEADERS="authorization=secret"))


@pytest.mark.parametrize(
    ("name", "text", "field", "value"),
    [
        ("OTEL_SERVICE_NAME", "desk", "service_name", "desk"),
        ("OTEL_RESOURCE_ATTRIBUTES", "a.b=1,c=x%2Cy,a.b=2", "resource_attributes", (("a.b", "2"), ("c", "x,y"))),
        ("OTEL_RESOURCE_ATTRIBUTES", "a=%zz,b=100%", "resource_attributes", (("a", "%zz"), ("b", "100%"))),
        ("OTEL_EXPERIMENTAL_RESOURCE_DETECTORS", "os, process,os", "resource_detectors", ("os", "process")),
        ("OTEL_METRIC_EXPORT_INTERVAL", "15000", "metric_interval", 15.0),
        ("OTEL_METRIC_EXPORT_TIMEOUT", "1500", "metric_timeout", 1.5),
        ("OTEL_METRIC_EXPORT_TIMEOUT", "0", "metric_timeout", NO_TIMEOUT),
        ("OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE", "DELTA", "temporality", "delta"),
        ("OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE", "lowmemory", "temporality", "lowmemory"),
        (
            "OTEL_EXPORTER_OTLP_METRICS_DEFAULT_HISTOGRAM_AGGREGATION",
            "base2_exponential_bucket_histogram",
            "histogram_aggregation",
            "base2_exponential_bucket_histogram",
        ),
        ("OTEL_METRICS_EXEMPLAR_FILTER", "always_off", "exemplar_filter", "always_off"),
        ("OTEL_BSP_SCHEDULE_DELAY", "0", "schedule_delay", 0.0),
        ("OTEL_BSP_EXPORT_TIMEOUT", "40000", "batch_timeout", 40.0),
        ("OTEL_BSP_MAX_QUEUE_SIZE", "10000", "max_queue_size", 10_000),
        ("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "100", "max_batch_size", 100),
        ("OTEL_TRACES_SAMPLER", "traceidratio", "sampler", "traceidratio"),
        ("OTEL_TRACES_SAMPLER", "jaeger_remote", "other_sampler", ("jaeger_remote", "")),
        ("OTEL_TRACES_SAMPLER_ARG", "0.25", "sampler_ratio", 0.25),
        ("OTEL_TRACES_SAMPLER_ARG", "1e-3", "sampler_ratio", 0.001),
        ("OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT", "SPAN_ONLY", "capture_content", "span_only"),
        ("OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT", "true", "capture_content", "span_and_event"),
        ("OTEL_LOG_LEVEL", "debug", "log_level", "debug"),
        ("OTEL_LOG_LEVEL", "warn", "log_level", "warning"),
    ],
)
def test_value(name: str, text: str, field: str, value: object) -> None:
    """Each variable sets its value; durations are milliseconds in the variable."""
    assert getattr(read(**{name: text}), field) == value


@pytest.mark.parametrize(
    ("name", "field", "value"),
    [
        ("OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT", "value_length", 7),
        ("OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT", "value_length", 7),
        ("OTEL_ATTRIBUTE_COUNT_LIMIT", "per_span", 7),
        ("OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT", "per_span", 7),
        ("OTEL_SPAN_EVENT_COUNT_LIMIT", "events", 7),
        ("OTEL_SPAN_LINK_COUNT_LIMIT", "links", 7),
        ("OTEL_EVENT_ATTRIBUTE_COUNT_LIMIT", "per_event", 7),
        ("OTEL_LINK_ATTRIBUTE_COUNT_LIMIT", "per_link", 7),
    ],
)
def test_limit(name: str, field: str, value: int) -> None:
    """Each span limit has its variable."""
    assert getattr(read(**{name: str(value)}).limits, field) == value


@pytest.mark.parametrize(
    ("name", "text"),
    [
        *((f"{OTLP}{name}", text) for name in ("TIMEOUT", "TRACES_TIMEOUT") for text in ("abc", "-1", "10s", "1.5", "9" * 40, "²")),
        (f"{OTLP}COMPRESSION", "zstd"),
        (f"{OTLP}PROTOCOL", "thrift"),
        (f"{OTLP}INSECURE", "yes"),
        ("OTEL_METRIC_EXPORT_INTERVAL", "0"),
        (f"{OTLP}METRICS_TEMPORALITY_PREFERENCE", "often"),
        (f"{OTLP}METRICS_DEFAULT_HISTOGRAM_AGGREGATION", "summary"),
        ("OTEL_METRICS_EXEMPLAR_FILTER", "some"),
        ("OTEL_BSP_SCHEDULE_DELAY", "soon"),
        ("OTEL_BSP_MAX_QUEUE_SIZE", "0"),
        ("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "many"),
        *(("OTEL_TRACES_SAMPLER_ARG", text) for text in ("2", "-1", "nan", "inf", "half", ".", "e5")),
        ("OTEL_ATTRIBUTE_COUNT_LIMIT", "x"),
        ("OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT", "all"),
    ],
)
def test_bad_value(name: str, text: str) -> None:
    """A value that cannot be parsed gives the default, with a warning that names the variable."""
    base = {f"{OTLP}TRACES_ENDPOINT": "http://collector"}
    settings, warning = read_bad(**base, **{name: text})
    assert settings == read(**base)
    assert warning.startswith(f"{name}: ")


def test_a_batch_fits_the_queue() -> None:
    """A batch is never larger than the queue."""
    assert read(OTEL_BSP_MAX_QUEUE_SIZE="100").max_batch_size == 100
    assert read(OTEL_BSP_MAX_QUEUE_SIZE="600").max_batch_size is None


@pytest.mark.parametrize("text", ["bad,a=1,b=2", "a=1,=x,b=2", "a=1,b=2,secret"])
def test_a_bad_resource_attribute(text: str) -> None:
    """One bad entry costs that entry only, and the warning does not show it."""
    settings, warning = read_bad(OTEL_RESOURCE_ATTRIBUTES=text)
    assert settings.resource_attributes == (("a", "1"), ("b", "2"))
    assert warning.startswith("OTEL_RESOURCE_ATTRIBUTES: entry ")
    assert "secret" not in warning


def test_the_argument_of_another_sampler() -> None:
    """The argument of a sampler of another package is kept as it is."""
    settings = read(OTEL_TRACES_SAMPLER="acme", OTEL_TRACES_SAMPLER_ARG="endpoint=http://x,rate=2")
    assert settings.other_sampler == ("acme", "endpoint=http://x,rate=2")
    assert settings.sampler == "parentbased_always_on"


def test_json() -> None:
    """The protocol http/json posts to the same URL as http/protobuf."""
    target = traces(OTEL_EXPORTER_OTLP_PROTOCOL="http/json")
    assert (target.protocol, target.endpoint) == ("http/json", "http://collector/v1/traces")


NAMES = st.sampled_from(
    [f"{OTLP}{signal}{name}" for signal in ("", "TRACES_") for name in ("ENDPOINT", "PROTOCOL", "HEADERS", "TIMEOUT", "INSECURE")]
    + ["OTEL_RESOURCE_ATTRIBUTES", "OTEL_TRACES_SAMPLER_ARG", "OTEL_BSP_MAX_QUEUE_SIZE", "OTEL_TRACES_EXPORTER", "OTEL_SERVICE_NAME"]
)


@given(st.dictionaries(NAMES, st.text() | st.sampled_from(["grpc", "otlp", "http://a", "http://[", "a=%2", "1e99"])))
def test_hardly_ever_raises(variables: dict[str, str]) -> None:
    """No text in any variable raises, except for an endpoint that leads nowhere."""
    try:
        settings, warnings = read_otel(variables)
    except EndpointError:
        return
    assert isinstance(settings, OtelSettings)
    assert all(isinstance(warning, str) for warning in warnings)
