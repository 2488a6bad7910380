"""The same variables, here and with OpenTelemetry's own exporters: the same requests reach the collector.

Where the two differ on purpose, ``docs/otlp.md`` has the reason.
"""

import asyncio
import functools
import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from importlib import import_module
from pathlib import Path
from typing import Any, Final, Literal

import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace.sampling import Decision, _get_from_env_or_default

from exporter import __version__
from exporter.config.otel import read_otel
from exporter.config.otel_proxy import ProxyVariableError
from exporter.daemon.otlp import span_envelope
from exporter.daemon.resource import resource_of
from exporter.exporters.otlp.metrics import MetricsEncoder
from exporter.exporters.otlp.sender import create_transport
from exporter.exporters.otlp.sender.export_result import Delivered
from exporter.exporters.otlp.sender.requests import join
from exporter.exporters.otlp.target import Protocol, Signal
from exporter.exporters.sdk.metrics_data import metrics_data
from exporter.exporters.sdk.readable_spans import readable_spans
from exporter.tracing.sampling import Sampler
from tests.sockets.test_sender_tls import server_side
from tests.support.http_proxy import HttpProxy, copy_stream, http_proxy
from tests.support.otlp_receiver import Received, Site, otlp_receiver
from tests.support.pki import Pki, make_pki
from tests.support.small_snapshot import SMALL

Variables = dict[str, str]
HTTP: Final = "http/protobuf"
GRPC: Final = "grpc"
OTLP = "OTEL_EXPORTER_OTLP_"
_TRANSPORT_HEADERS = {"user-agent", "content-length", "accept", "accept-encoding", "connection"}
"""What each client says of itself and of the connection."""


def span() -> bytes:
    """A span as the SDK would write it."""
    message = Span(trace_id=b"t" * 16, span_id=b"s" * 8, name="chat", kind=Span.SPAN_KIND_CLIENT, flags=0x100)
    message.start_time_unix_nano, message.end_time_unix_nano = 1, 2
    message.status.SetInParent()
    message.attributes.add(key="gen_ai.request.model").value.string_value = "m"
    return message.SerializeToString()


@functools.cache
def body(signal: Signal) -> bytes:
    """A request that both send."""
    resource = {"service.name": "desk"}
    if signal == "metrics":
        return MetricsEncoder(resource).encode(SMALL).body
    return span_envelope(dict(resource)).wrap([join([span()])])


def stock_export(protocol: str, signal: Signal) -> None:
    """Let OpenTelemetry's exporter, with all its settings from the environment, send the request."""
    package = f"opentelemetry.exporter.otlp.proto.{'grpc' if protocol == GRPC else 'http'}"
    if signal == "traces":
        exporter: Any = import_module(f"{package}.trace_exporter").OTLPSpanExporter()
        result = exporter.export(readable_spans(body(signal)))
    else:
        exporter = import_module(f"{package}.metric_exporter").OTLPMetricExporter()
        result = exporter.export(metrics_data(body(signal)))
    exporter.shutdown()
    assert result.name == "SUCCESS"


async def both_export(variables: Variables, protocol: str, monkeypatch: pytest.MonkeyPatch, signal: Signal) -> None:
    """Export once with OpenTelemetry's exporter and once with ours."""
    for name in list(os.environ):
        if name.startswith("OTEL_") or name.lower().endswith(("_proxy", "_ca_bundle")):
            monkeypatch.delenv(name)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    await asyncio.to_thread(stock_export, protocol, signal)
    settings, _ = read_otel(os.environ)
    target = settings.traces if signal == "traces" else settings.metrics
    assert target is not None
    transport = create_transport(target)
    assert isinstance(await transport.send(body(signal)), Delivered)
    await transport.close()


def seen(request: Received) -> tuple[dict[str, str], Any]:
    """What a request says: its headers and path, and its message."""
    return {name: value for name, value in request.headers.items() if name not in _TRANSPORT_HEADERS}, request.message


def agree(site: Site) -> None:
    """Both requests say the same."""
    stock, ours = site.receiver.requests
    assert seen(ours) == seen(stock)


@asynccontextmanager
async def also_at(site: Site, host: str | None = None, path: Path | None = None) -> AsyncIterator[int]:
    """Make the receiver reachable at another address, or at a socket file; yields the port."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", site.listener.port)
        ways = [asyncio.ensure_future(copy_stream(reader, far_writer)), asyncio.ensure_future(copy_stream(far_reader, writer))]
        await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        for way in ways:
            way.cancel()
        far_writer.close()
        writer.close()

    server = await (asyncio.start_unix_server(serve, path) if path else asyncio.start_server(serve, host, 0))
    try:
        yield 0 if path else server.sockets[0].getsockname()[1]
    finally:
        server.close()


HTTP_CASES: list[Variables] = [
    {"ENDPOINT": "http://{}"},
    {"ENDPOINT": "http://{}/"},
    {"ENDPOINT": "http://{}/otlp"},
    {"ENDPOINT": "http://{}/otlp/"},
    {"TRACES_ENDPOINT": "http://{}/v1/traces"},
    {"TRACES_ENDPOINT": "http://{}/api/x?team=a&b=c%20d"},
    {"ENDPOINT": "http://127.0.0.1:1", "TRACES_ENDPOINT": "http://{}/own"},
    {"ENDPOINT": "http://{}", "PROTOCOL": HTTP},
    {"ENDPOINT": "http://{}", "PROTOCOL": "grpc", "TRACES_PROTOCOL": HTTP},
    {"ENDPOINT": "http://{}", "HEADERS": "api-key=secret"},
    {"ENDPOINT": "http://{}", "HEADERS": "Authorization=Bearer%20a%2Cb="},
    {"ENDPOINT": "http://{}", "HEADERS": " a = 1 , b=2,"},
    {"ENDPOINT": "http://{}", "HEADERS": "X-Tenant=Upper"},
    {"ENDPOINT": "http://{}", "HEADERS": "a=1,a=2"},
    {"ENDPOINT": "http://{}", "HEADERS": "good=1,bad,also=2"},
    {"ENDPOINT": "http://{}", "HEADERS": "a=1", "TRACES_HEADERS": "b=2"},
    {"ENDPOINT": "http://{}", "COMPRESSION": "gzip"},
    {"ENDPOINT": "http://{}", "COMPRESSION": "gzip", "TRACES_COMPRESSION": "none"},
    {"ENDPOINT": "http://{}", "TRACES_COMPRESSION": "gzip"},
    {"ENDPOINT": "http://{}", "TIMEOUT": "9000"},
    {"ENDPOINT": "http://user:p%40ss@{}"},
]
METRICS_CASES: list[Variables] = [
    {"ENDPOINT": "http://{}"},
    {"METRICS_ENDPOINT": "http://{}/own/metrics", "METRICS_HEADERS": "a=1", "HEADERS": "b=2", "METRICS_COMPRESSION": "gzip"},
]
GRPC_CASES: list[Variables] = [
    {"ENDPOINT": "http://{}"},
    {"ENDPOINT": "http://{}/ignored"},
    {"TRACES_ENDPOINT": "http://{}", "ENDPOINT": "http://127.0.0.1:1"},
    {"ENDPOINT": "{}", "INSECURE": "true"},
    {"ENDPOINT": "{}", "TRACES_INSECURE": "true"},
    {"ENDPOINT": "dns:///{}", "INSECURE": "true"},
    {"ENDPOINT": "dns:{}", "INSECURE": "true"},
    {"ENDPOINT": "ipv4:{}", "INSECURE": "true"},
    {"ENDPOINT": "http://{}", "HEADERS": "api-key=secret,X-Tenant=Upper"},
    {"ENDPOINT": "http://{}", "HEADERS": "a=1", "TRACES_HEADERS": "b=2"},
    {"ENDPOINT": "http://{}", "COMPRESSION": "gzip"},
]


def filled(variables: Variables, address: str, **more: str) -> Variables:
    """The variables of a case, with the receiver's address."""
    return {OTLP + name: value.replace("{}", address) for name, value in variables.items()} | more


@pytest.mark.parametrize("variables", HTTP_CASES, ids=str)
async def test_over_http(variables: Variables, monkeypatch: pytest.MonkeyPatch) -> None:
    """Over HTTP the same variables give the same path, headers and message."""
    async with otlp_receiver("http/protobuf") as site:
        await both_export(filled(variables, f"127.0.0.1:{site.listener.port}"), HTTP, monkeypatch, "traces")
        agree(site)


@pytest.mark.parametrize("variables", METRICS_CASES, ids=str)
@pytest.mark.parametrize("protocol", [HTTP, GRPC])
async def test_metrics(variables: Variables, protocol: Protocol, monkeypatch: pytest.MonkeyPatch) -> None:
    """Metrics follow their own variables in the same way."""
    async with otlp_receiver(protocol) as site:
        more = {OTLP + "PROTOCOL": protocol}
        await both_export(filled(variables, f"127.0.0.1:{site.listener.port}", **more), protocol, monkeypatch, "metrics")
        agree(site)


@pytest.mark.parametrize("variables", GRPC_CASES, ids=str)
async def test_over_grpc(variables: Variables, monkeypatch: pytest.MonkeyPatch) -> None:
    """Over gRPC the same variables give the same metadata and message, for every form of a target."""
    async with otlp_receiver("grpc") as site:
        more = {OTLP + "PROTOCOL": GRPC}
        await both_export(filled(variables, f"127.0.0.1:{site.listener.port}", **more), GRPC, monkeypatch, "traces")
        agree(site)


@pytest.mark.parametrize("form", ["unix://{}", "unix:{}"])
async def test_a_socket_file(form: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A gRPC receiver at a socket file is reached in both spellings."""
    path = tmp_path / "otel.sock"
    async with otlp_receiver("grpc") as site, also_at(site, path=path):
        variables = {OTLP + "ENDPOINT": form.format(path), OTLP + "INSECURE": "true", OTLP + "PROTOCOL": GRPC}
        await both_export(variables, GRPC, monkeypatch, "traces")
        agree(site)


@pytest.mark.parametrize("protocol", [HTTP, GRPC])
async def test_ipv6(protocol: Protocol, monkeypatch: pytest.MonkeyPatch) -> None:
    """A receiver at an IPv6 address is reached."""
    async with otlp_receiver(protocol) as site, also_at(site, host="::1") as port:
        variables = {OTLP + "ENDPOINT": f"http://[::1]:{port}", OTLP + "PROTOCOL": protocol}
        await both_export(variables, protocol, monkeypatch, "traces")
        agree(site)


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Pki:
    return make_pki(tmp_path_factory.mktemp("pki"))


@pytest.mark.parametrize("prefix", ["", "TRACES_"])
@pytest.mark.parametrize("clients", [False, True], ids=["TLS", "mTLS"])
@pytest.mark.parametrize("protocol", [HTTP, GRPC])
async def test_certificates(protocol: Protocol, clients: bool, prefix: str, pki: Pki, monkeypatch: pytest.MonkeyPatch) -> None:
    """The files of the certificate authority, of the client's certificate and of its key are used."""
    async with otlp_receiver(protocol, tls=server_side(protocol, pki, clients=clients)) as site:
        variables = {"ENDPOINT": "https://{}", "PROTOCOL": protocol, prefix + "CERTIFICATE": str(pki.certificate)}
        if clients:
            variables |= {prefix + "CLIENT_CERTIFICATE": str(pki.certificate), prefix + "CLIENT_KEY": str(pki.key)}
        await both_export(filled(variables, f"127.0.0.1:{site.listener.port}"), protocol, monkeypatch, "traces")
        agree(site)


Route = Literal["through", "past"]
PROXY_CASES: list[tuple[str, bool, Variables, Route]] = [
    (HTTP, False, {"http_proxy": "{proxy}"}, "through"),
    (HTTP, False, {"HTTP_PROXY": "{proxy}"}, "through"),
    (HTTP, False, {"https_proxy": "{proxy}"}, "past"),
    (HTTP, False, {"ALL_PROXY": "{proxy}"}, "through"),
    (HTTP, False, {"http_proxy": "{proxy}", "HTTP_PROXY": "http://127.0.0.1:1"}, "through"),
    (HTTP, False, {"http_proxy": "{proxy}", "no_proxy": "127.0.0.1"}, "past"),
    (HTTP, False, {"http_proxy": "{proxy}", "NO_PROXY": "other,127.0.0.0/8"}, "past"),
    (HTTP, False, {"http_proxy": "{proxy}", "no_proxy": "*"}, "past"),
    (HTTP, False, {"http_proxy": "{proxy}", "no_proxy": "localhost"}, "through"),
    (HTTP, True, {"https_proxy": "{proxy}"}, "through"),
    (HTTP, True, {"HTTPS_PROXY": "{proxy}", "NO_PROXY": "10.0.0.0/8"}, "through"),
    (HTTP, True, {"http_proxy": "{proxy}"}, "past"),
    (HTTP, True, {"https_proxy": "{tls proxy}"}, "through"),
    (GRPC, False, {"http_proxy": "{proxy}"}, "through"),
    (GRPC, False, {"https_proxy": "{proxy}"}, "through"),
    (GRPC, False, {"grpc_proxy": "{proxy}", "http_proxy": "http://127.0.0.1:1"}, "through"),
    (GRPC, False, {"http_proxy": "{proxy}", "no_proxy": "127.0.0.1"}, "past"),
    (GRPC, False, {"http_proxy": "{proxy}", "no_proxy": "127.0.0.0/8"}, "past"),
    (GRPC, False, {"http_proxy": "{proxy}", "no_grpc_proxy": "127.0.0.1"}, "past"),
    (GRPC, True, {"https_proxy": "{proxy}"}, "through"),
    (GRPC, True, {"http_proxy": "{proxy}"}, "through"),
]


@pytest.mark.parametrize("login", ["", "user:p%40ss@"], ids=["open", "with a password"])
@pytest.mark.parametrize(("protocol", "tls", "variables", "way"), PROXY_CASES, ids=str)
async def test_proxies(
    protocol: Protocol, tls: bool, variables: Variables, way: Route, login: str, pki: Pki, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each goes through the proxy where the other does, with the same password, and the same request arrives."""
    async with AsyncExitStack() as stack:
        site = await stack.enter_async_context(otlp_receiver(protocol, tls=server_side(protocol, pki) if tls else None))
        to_proxy = server_side(HTTP, pki) if "{tls proxy}" in variables.values() else None
        proxy: HttpProxy = await stack.enter_async_context(http_proxy("Basic dXNlcjpwQHNz" if login else "", to_proxy))
        address = proxy.url.replace("://", f"://{login}")
        chosen = {name: address if value.endswith("proxy}") else value for name, value in variables.items()}
        chosen |= {OTLP + "ENDPOINT": f"{'https' if tls else 'http'}://127.0.0.1:{site.listener.port}", OTLP + "PROTOCOL": protocol}
        chosen |= {OTLP + "CERTIFICATE": str(pki.certificate)} if tls or to_proxy else {}
        await both_export(chosen, protocol, monkeypatch, "traces")
        agree(site)
        asked = [(method, target, headers.get("proxy-authorization")) for method, target, headers in proxy.requests]
        assert len(asked) == (2 if way == "through" else 0)
        assert len(set(asked)) <= 1


@pytest.mark.parametrize("proxy", ["socks5://127.0.0.1:1", "ftp://127.0.0.1:1", "http://"])
async def test_proxies_that_cannot_be_used(proxy: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Over HTTP neither connects directly: the SDK's exporter fails with every batch, and ours does not start."""
    async with otlp_receiver(HTTP) as site:
        chosen = {OTLP + "ENDPOINT": site.endpoint, OTLP + "PROTOCOL": HTTP, "http_proxy": proxy}
        with pytest.raises(AssertionError, match="FAILURE"):
            await both_export(chosen, HTTP, monkeypatch, "traces")
        assert site.receiver.requests == []
    with pytest.raises(ProxyVariableError, match="http_proxy"):
        read_otel(chosen)


@pytest.mark.parametrize("argument", ["", "0.25", "0", "1", "nonsense", "2"])
@pytest.mark.parametrize(
    "name",
    [
        *("always_on", "always_off", "traceidratio", "parentbased_always_on", "parentbased_always_off", "parentbased_traceidratio"),
        "",
    ],
)
def test_samplers(name: str, argument: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each of the specification's samplers decides as the SDK's does, whatever its argument."""
    variables = {"OTEL_TRACES_SAMPLER": name or "parentbased_always_on", "OTEL_TRACES_SAMPLER_ARG": argument}
    for key, value in variables.items():
        monkeypatch.setenv(key, value)
    settings, _ = read_otel(variables)
    ours, stock = Sampler(settings.sampler, settings.sampler_ratio), _get_from_env_or_default()
    for low in (0, 1, 1 << 61, 1 << 62, (1 << 62) + 1, 1 << 63, (1 << 64) - 1):
        trace = (7 << 64) | low
        decision = stock.should_sample(None, trace, "session").decision
        assert ours.samples(f"{trace:032x}") == (decision is Decision.RECORD_AND_SAMPLE)


RESOURCES: list[Variables] = [
    {},
    {"OTEL_SERVICE_NAME": "desk"},
    {"OTEL_RESOURCE_ATTRIBUTES": "service.name=attribute"},
    {"OTEL_RESOURCE_ATTRIBUTES": "service.name=attribute", "OTEL_SERVICE_NAME": "desk"},
    {"OTEL_RESOURCE_ATTRIBUTES": "a.b=1,c=x%2Cy,d=p=q, e = 2 "},
    {"OTEL_RESOURCE_ATTRIBUTES": "a=1,bad,b=2"},
    {"OTEL_RESOURCE_ATTRIBUTES": "a=100%,b=%zz"},
    {"OTEL_RESOURCE_ATTRIBUTES": "service.instance.id=7,telemetry.sdk.name=mine"},
    {"OTEL_EXPERIMENTAL_RESOURCE_DETECTORS": "process", "OTEL_RESOURCE_ATTRIBUTES": "process.pid=1"},
    {"OTEL_EXPERIMENTAL_RESOURCE_DETECTORS": "otel,os", "OTEL_RESOURCE_ATTRIBUTES": "os.type=mine,a=1"},
    {"OTEL_EXPERIMENTAL_RESOURCE_DETECTORS": "os,nobody,host"},
    {"OTEL_EXPERIMENTAL_RESOURCE_DETECTORS": "*"},
]


@pytest.mark.parametrize("variables", RESOURCES, ids=str)
def test_resources(variables: Variables, monkeypatch: pytest.MonkeyPatch) -> None:
    """The resource is the one that the SDK makes of the same variables, with our name and version as defaults."""
    for name in ("OTEL_SERVICE_NAME", "OTEL_RESOURCE_ATTRIBUTES", "OTEL_EXPERIMENTAL_RESOURCE_DETECTORS"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    settings, _ = read_otel(variables)
    ours, stock = resource_of(settings), dict(Resource.create().attributes)
    if "service.name" not in str(variables) and "OTEL_SERVICE_NAME" not in variables:
        assert ours["service.name"] == "agentstack-exporter"
        stock["service.name"] = ours["service.name"]
    if "service.instance.id" not in str(variables):
        stock["service.instance.id"] = ours["service.instance.id"]
    assert ours == {**stock, "service.version": __version__}
