"""Sending through a proxy that refuses, resets, answers 407 and recovers: nothing is lost, and no credential is in the log."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace

import pytest
import uvloop

from exporter.exporters.otlp.sender import BackoffConfig, BatchConfig, SpanEnvelope, SpanSender, create_transport
from exporter.exporters.otlp.sender.export_result import Delivered, RetryableFailure
from exporter.exporters.otlp.target import ClientTlsFiles, Protocol, Proxy, Target
from tests.sockets.test_sender_tls import server_side
from tests.support.http_proxy import HttpProxy, http_proxy
from tests.support.otlp_receiver import Site, otlp_receiver
from tests.support.pki import Pki, make_pki
from tests.support.recording_observer import RecordingObserver
from tests.support.waiting import eventually, patience

LOGIN = "Basic dXNlcjpzM2NyZXQ="
CREDENTIALS = "user:s3cret"
ROUTES = [
    pytest.param("http/protobuf", False, False, id="http"),
    pytest.param("http/protobuf", True, False, id="https"),
    pytest.param("http/protobuf", False, True, id="http, TLS to the proxy"),
    pytest.param("http/protobuf", True, True, id="https, TLS to the proxy"),
    pytest.param("grpc", False, False, id="grpc"),
    pytest.param("grpc", True, False, id="grpc with TLS"),
]
each_route = pytest.mark.parametrize(("protocol", "tls", "proxy_tls"), ROUTES)


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Pki:
    return make_pki(tmp_path_factory.mktemp("pki"))


@dataclass
class Route:
    """A sender, the proxy, and the receiver behind it."""

    target: Target
    sender: SpanSender
    observer: RecordingObserver
    proxy: HttpProxy
    site: Site
    offered: int = 0

    async def send(self) -> None:
        """Offer a span."""
        name = f"s{self.offered}".encode()
        assert self.sender.offer([b"\x2a" + bytes([len(name)]) + name])
        self.offered += 1

    async def arrived(self) -> None:
        """Wait until all have arrived, once each and in order."""
        await eventually(lambda: self.observer.items["delivered"] == self.offered, within=20)
        assert self.site.receiver.spans() == [f"s{number}" for number in range(self.offered)]

    async def fails(self, attempts: int = 1) -> None:
        """Wait until further attempts have failed."""
        before = self.observer.attempts["failed"]
        await eventually(lambda: self.observer.attempts["failed"] >= before + attempts, within=20)


@asynccontextmanager
async def route(
    protocol: Protocol, pki: Pki, *, tls: bool, proxy_tls: bool = False, credentials: str = CREDENTIALS
) -> AsyncIterator[Route]:
    """A sender to a receiver that it is told to reach through a proxy, which wants a password."""
    to_proxy = server_side("http/protobuf", pki) if proxy_tls else None
    async with otlp_receiver(protocol, tls=server_side(protocol, pki) if tls else None) as site, http_proxy(LOGIN, to_proxy) as proxy:
        target = Target(
            *("traces", protocol, site.endpoint.replace("http:", "https:") if tls else site.endpoint, tls),
            timeout=patience(10.0),
            tls_files=ClientTlsFiles(pki.certificate),
            proxy=Proxy("127.0.0.1", proxy.port, credentials, tls=proxy_tls),
        )
        observer = RecordingObserver()
        backoff = BackoffConfig(time_scale=0.02)
        sender = SpanSender(create_transport(target), SpanEnvelope(), observer, batch=BatchConfig(delay=0.0), backoff=backoff)
        sender.start()
        try:
            yield Route(target, sender, observer, proxy, site)
        finally:
            await sender.stop(within=0.2)


@each_route
async def test_nothing_is_lost(protocol: Protocol, tls: bool, proxy_tls: bool, pki: Pki, caplog: pytest.LogCaptureFixture) -> None:
    """A proxy that refuses connections, resets them, answers 407 and breaks tunnels costs no span, and its password is in no line."""
    caplog.set_level(logging.DEBUG, "exporter")
    async with route(protocol, pki, tls=tls, proxy_tls=proxy_tls) as run:
        await run.send()
        await run.arrived()
        await run.proxy.shut()
        await run.send()
        await run.fails(2)
        await run.proxy.open()
        await run.arrived()
        for trouble in ("reset", 407, 407) if protocol == "grpc" else ("reset", 407, "reset"):
            await run.proxy.shut()  # the next attempt needs a new connection
            run.proxy.answers.append(trouble)
            await run.proxy.open()
            await run.send()
            await eventually(lambda: not run.proxy.answers, within=20)
            await run.arrived()
        assert (run.observer.drops, run.observer.items) == ({}, {"delivered": run.offered})
        tunnels = {target for method, target, _ in run.proxy.requests if method == "CONNECT"}
        assert tunnels <= {f"127.0.0.1:{run.site.listener.port}"}
    forwarded = protocol == "http/protobuf" and not tls
    assert set(run.proxy.methods()) == {"POST" if forwarded else "CONNECT"}
    assert "s3cret" not in caplog.text + repr(run)
    assert "dXNlcj" not in caplog.text


@each_route
async def test_a_wrong_password(protocol: Protocol, tls: bool, proxy_tls: bool, pki: Pki, caplog: pytest.LogCaptureFixture) -> None:
    """Spans wait while the proxy answers 407, counted as a failure of the proxy, and the log says what is missing."""
    async with route(protocol, pki, tls=tls, proxy_tls=proxy_tls, credentials="") as run:
        await run.send()
        await run.fails(2)
        assert run.observer.reasons.keys() == {"proxy"}
        assert run.observer.queue[0] == 1
        run.proxy.login = ""
        await run.arrived()
    assert "407" in caplog.text


@pytest.mark.parametrize("tls", [False, True], ids=["http", "https"])
async def test_a_proxy_that_is_not_trusted(tls: bool, pki: Pki) -> None:
    """The certificate of a proxy is verified before it is sent anything, whatever the endpoint; the failure is that of the proxy."""
    async with route("http/protobuf", replace(pki, certificate=pki.other, key=pki.other_key), tls=tls, proxy_tls=True) as run:
        target = replace(run.target, tls_files=ClientTlsFiles(pki.certificate))
        transport = create_transport(target)
        assert await transport.send(b"") == RetryableFailure(
            "proxy", f"TLS: the proxy's certificate is not trusted: self-signed certificate (through the proxy {run.proxy.url})"
        )
        assert run.proxy.requests == []


@pytest.mark.parametrize("tls", [False, True], ids=["http", "https"])
async def test_a_proxy_without_tls(tls: bool, pki: Pki) -> None:
    """A proxy that speaks no TLS although it should is a failure of the proxy."""

    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n")
        writer.close()

    async with await asyncio.start_server(refuse, "127.0.0.1", 0) as plain:
        proxy = Proxy("127.0.0.1", plain.sockets[0].getsockname()[1], tls=True)
        url = f"http{'s' if tls else ''}://127.0.0.1:1/v1/traces"
        target = Target("traces", "http/protobuf", url, tls, tls_files=ClientTlsFiles(pki.certificate), proxy=proxy)
        result = await create_transport(target).send(b"")
    assert isinstance(result, RetryableFailure)
    assert result.reason == "proxy"
    assert "to the proxy failed" in result.detail


def test_tls_to_the_proxy_on_uvloop(pki: Pki) -> None:
    """uvloop, which the daemon runs on, makes a connection with TLS within the one with TLS to the proxy."""

    async def deliver() -> None:
        async with route("http/protobuf", pki, tls=True, proxy_tls=True) as run:
            await run.send()
            await run.arrived()

    uvloop.run(deliver())


@pytest.mark.parametrize("header", ["X-Squid-Error: ERR_ACCESS_DENIED 0", "Proxy-Status: corp; error=http_request_denied"])
async def test_an_error_of_the_proxy_itself(header: str, pki: Pki, caplog: pytest.LogCaptureFixture) -> None:
    """A 403 that the proxy marks as its own is not a refusal of the collector, which would lose the spans."""
    async with route("http/protobuf", pki, tls=False) as run:
        run.proxy.error_headers = f"{header}\r\n"
        run.proxy.answers += [403, 503]
        await run.send()
        await run.arrived()
        assert run.observer.reasons == {"proxy": 2}
    assert "the proxy answered 403" in caplog.text


async def test_a_refused_tunnel(pki: Pki, caplog: pytest.LogCaptureFixture) -> None:
    """A tunnel that the proxy refuses for any reason is asked for again."""
    async with route("http/protobuf", pki, tls=True) as run:
        run.proxy.answers += [403, 502]
        await run.send()
        await run.arrived()
        assert run.observer.reasons == {"proxy": 2}
    assert f"the proxy answered 403 (through the proxy http://127.0.0.1:{run.proxy.port})" in caplog.text


@pytest.mark.parametrize("form", ["{}", "dns:{}", "dns:///{}"])
async def test_grpc_does_not_read_the_environment_again(form: str, pki: Pki, monkeypatch: pytest.MonkeyPatch) -> None:
    """The settings decide about the proxy of every form of a target, also where gRPC's own rule for no_proxy would decide otherwise."""
    monkeypatch.setenv("no_proxy", "0.0.1,localhost")
    async with otlp_receiver("grpc") as site, http_proxy(LOGIN) as proxy:
        address = Proxy("127.0.0.1", proxy.port, CREDENTIALS)
        transport = create_transport(Target("traces", "grpc", form.format(site.endpoint), proxy=address))
        assert await transport.send(b"") == Delivered()
        await transport.close()
    assert [(method, target) for method, target, _ in proxy.requests] == [("CONNECT", site.endpoint)]


async def test_a_silent_proxy(pki: Pki) -> None:
    """A proxy that never answers is a timeout, and the connection to it is closed."""

    connected, ended = asyncio.Event(), asyncio.Event()

    async def never(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connected.set()
        with contextlib.suppress(OSError):
            await reader.read()
        writer.close()
        ended.set()

    async with await asyncio.start_server(never, "127.0.0.1", 0) as silent:
        port = silent.sockets[0].getsockname()[1]
        target = Target(
            *("traces", "http/protobuf", "https://127.0.0.1:1/v1/traces", True),
            timeout=0.1,
            tls_files=ClientTlsFiles(pki.certificate),
            proxy=Proxy("127.0.0.1", port),
        )
        transport = create_transport(target)
        result = await transport.send(b"")
        while not connected.is_set():  # reading the certificate took as long as the timeout
            result = await transport.send(b"")
        detail = f"timeout: no response within 0.1 s (through the proxy http://127.0.0.1:{port})"
        assert result == RetryableFailure("timeout", detail)
        async with asyncio.timeout(5):
            await ended.wait()
