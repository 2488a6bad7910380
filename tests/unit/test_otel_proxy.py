"""Which proxy an endpoint has: the variables in both cases, and every form of an entry of NO_PROXY."""

import pytest

from exporter.config.otel import read_otel
from exporter.config.otel_proxy import ProxyVariableError, is_bypassed
from exporter.exporters.otlp.target import Proxy

OTLP = "OTEL_EXPORTER_OTLP_"
PLAIN, TLS = "http://collector.example:4318", "https://collector.example:4318"
BOTH = {"http_proxy": "http://plain:1", "https_proxy": "http://tls:2"}


def proxy(endpoint: str, protocol: str = "http/protobuf", **variables: str) -> Proxy | None:
    """The proxy of an endpoint; the variables have to be right."""
    settings, warnings = read_otel({OTLP + "TRACES_ENDPOINT": endpoint, OTLP + "PROTOCOL": protocol, **variables})
    assert warnings == ()
    assert settings.traces is not None
    return settings.traces.proxy


@pytest.mark.parametrize(
    ("endpoint", "protocol", "variables", "found"),
    [
        (PLAIN, "http/protobuf", {}, None),
        (PLAIN, "http/protobuf", BOTH, Proxy("plain", 1)),
        (TLS, "http/protobuf", BOTH, Proxy("tls", 2)),
        (TLS, "http/json", BOTH, Proxy("tls", 2)),
        (TLS, "http/protobuf", {"http_proxy": "http://plain:1"}, None),
        (TLS, "http/protobuf", {"HTTPS_PROXY": "http://upper:3"}, Proxy("upper", 3)),
        (TLS, "http/protobuf", {"HTTPS_PROXY": "http://upper:3", "https_proxy": "http://lower:4"}, Proxy("lower", 4)),
        (TLS, "http/protobuf", {"HTTPS_PROXY": "http://upper:3", "https_proxy": ""}, None),
        (TLS, "http/protobuf", {"ALL_PROXY": "http://all:5"}, Proxy("all", 5)),
        (TLS, "http/protobuf", {"all_proxy": "http://all:5", **BOTH}, Proxy("tls", 2)),
        (TLS, "http/protobuf", {"https_proxy": "proxy.example:3128"}, Proxy("proxy.example", 3128)),
        (TLS, "http/protobuf", {"https_proxy": "http://proxy.example"}, Proxy("proxy.example", 80)),
        (TLS, "http/protobuf", {"https_proxy": "https://proxy.example"}, Proxy("proxy.example", 443, tls=True)),
        (PLAIN, "http/json", {"http_proxy": "https://a:b@proxy.example:3128"}, Proxy("proxy.example", 3128, "a:b", tls=True)),
        (PLAIN, "http/protobuf", {"ALL_PROXY": "socks5://proxy", **BOTH}, Proxy("plain", 1)),
        (PLAIN, "http/protobuf", {"ALL_PROXY": "socks5://proxy", "NO_PROXY": "collector.example"}, None),
        (TLS, "http/protobuf", {"https_proxy": "http://[::1]:3128"}, Proxy("::1", 3128)),
        (TLS, "http/protobuf", {"https_proxy": "http://a%40b:p%3Aq@proxy:1"}, Proxy("proxy", 1, "a@b:p:q")),
        ("http://collector.example:4317", "grpc", BOTH, Proxy("plain", 1)),
        ("https://collector.example:4317", "grpc", BOTH, Proxy("tls", 2)),
        ("https://collector.example:4317", "grpc", {"http_proxy": "http://plain:1"}, Proxy("plain", 1)),
        ("http://collector.example:4317", "grpc", {"HTTPS_PROXY": "http://tls:2"}, Proxy("tls", 2)),
        ("dns:///collector.example:4317", "grpc", {"grpc_proxy": "http://own:6", **BOTH}, Proxy("own", 6)),
        ("https://collector.example:4317", "grpc", {**BOTH, "no_grpc_proxy": "collector.example"}, None),
        (
            "https://collector.example:4317",
            "grpc",
            {**BOTH, "no_grpc_proxy": "other", "no_proxy": "collector.example"},
            Proxy("tls", 2),
        ),
        ("unix:///run/otel.sock", "grpc", BOTH, None),
        (PLAIN, "http/protobuf", {**BOTH, "NO_PROXY": "collector.example"}, None),
        (PLAIN, "http/protobuf", {**BOTH, "NO_PROXY": "collector.example", "no_proxy": ""}, Proxy("plain", 1)),
        ("http://localhost:4318", "http/protobuf", BOTH, Proxy("plain", 1)),
        ("http://localhost:4318", "http/protobuf", {**BOTH, "NO_PROXY": "localhost,127.0.0.1"}, None),
    ],
)
def test_the_variable_that_counts(endpoint: str, protocol: str, variables: dict[str, str], found: Proxy | None) -> None:
    """The endpoint's scheme chooses the variable, lower case wins over upper case even if it is empty, and loopback is no exception."""
    assert proxy(endpoint, protocol, **variables) == found


@pytest.mark.parametrize(
    ("entry", "host", "port", "matches"),
    [
        ("*", "anything", 1, True),
        ("example.com", "example.com", 1, True),
        ("example.com", "EXAMPLE.com.", 1, True),
        ("example.com", "api.example.com", 1, True),
        ("example.com", "notexample.com", 1, False),
        (".example.com", "api.example.com", 1, True),
        (".example.com", "example.com", 1, True),
        ("*.example.com", "api.example.com", 1, True),
        ("Example.COM", "example.com", 1, True),
        ("example.com:4318", "example.com", 4318, True),
        ("example.com:4318", "example.com", 443, False),
        ("10.0.0.0/8", "10.1.2.3", 1, True),
        ("10.0.0.0/8", "11.1.2.3", 1, False),
        ("10.0.0.1/8", "10.9.9.9", 1, True),
        ("10.0.0.0/8", "name.in.ten", 1, False),
        ("10.1.2.3", "10.1.2.3", 1, True),
        ("10.1.2.3:4318", "10.1.2.3", 4318, True),
        ("10.1.2.3:4318", "10.1.2.3", 80, False),
        ("0.0.3", "10.0.0.3", 1, False),
        ("::1", "::1", 1, True),
        ("[::1]", "::1", 1, True),
        ("[::1]:4318", "::1", 4318, True),
        ("[::1]:4318", "::1", 80, False),
        ("0:0::1", "::1", 1, True),
        ("fd00::/8", "fd12::3", 1, True),
        ("fd00::/8", "10.0.0.1", 1, False),
        (" a , b  c ", "c", 1, True),
        ("", "a", 1, False),
        (",, ", "a", 1, False),
        ("a/b,a:b:c,:80,[", "a", 80, False),
    ],
)
def test_entries_of_no_proxy(entry: str, host: str, port: int, matches: bool) -> None:
    """A name stands for itself and below it, a network for addresses in it, and a port narrows an entry."""
    assert is_bypassed(entry, host, port) == matches


@pytest.mark.parametrize(
    ("protocol", "text", "fault"),
    [
        ("http/protobuf", "socks5://secret@proxy:1", "is a SOCKS proxy, which OTLP cannot use"),
        ("http/protobuf", "socks5h://proxy", "is a SOCKS proxy, which OTLP cannot use"),
        ("http/json", "quic://secret@proxy", "is a proxy of another kind than HTTP"),
        ("http/protobuf", "http://", "is not a proxy such as http://proxy:3128"),
        ("http/protobuf", "http://proxy:99999", "is not a proxy such as http://proxy:3128"),
        ("http/protobuf", "http://[secret", "is not a proxy such as http://proxy:3128"),
        ("grpc", "https://secret@proxy", "starts with https://, which gRPC cannot use"),
        ("grpc", "socks5://proxy", "is a SOCKS proxy, which OTLP cannot use"),
    ],
)
def test_a_proxy_that_cannot_be_used(protocol: str, text: str, fault: str) -> None:
    """A proxy that cannot be used is an error that says how to go on, without its value; never a direct connection."""
    with pytest.raises(ProxyVariableError) as error:
        read_otel({OTLP + "TRACES_ENDPOINT": PLAIN, OTLP + "PROTOCOL": protocol, "HTTP_PROXY": text})
    assert str(error.value).startswith(f"HTTP_PROXY: {fault}")
    assert "NO_PROXY" in str(error.value)
    assert "secret" not in str(error.value)


def test_proxies_can_be_ignored() -> None:
    """The setting of the exporter ignores all variables, wrong ones too."""
    settings, warnings = read_otel({OTLP + "ENDPOINT": TLS, "HTTPS_PROXY": "socks5://x", "ALL_PROXY": "http://y"}, use_proxies=False)
    assert settings.traces is not None
    assert (settings.traces.proxy, warnings) == (None, ())


def test_credentials_are_not_shown() -> None:
    """Neither the repr of the settings nor the address in log lines has the user or the password."""
    settings, _ = read_otel({OTLP + "ENDPOINT": TLS, "HTTPS_PROXY": "http://user:secret@proxy:1"})
    assert settings.traces is not None
    assert settings.traces.proxy is not None
    assert "secret" not in repr(settings) + settings.traces.proxy.address
    assert "user" not in settings.traces.proxy.address
