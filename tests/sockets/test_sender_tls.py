"""Sending over TLS, with and without a certificate to show, and what is told when that does not work."""

import ssl
from pathlib import Path
from typing import Any

import grpc
import pytest

from exporter.exporters.otlp.sender import BackoffConfig, Batching, SpanEnvelope, SpanSender, open_transport
from exporter.exporters.otlp.target import Protocol, Target, TlsFiles
from tests.support.otlp_receiver import Site, otlp_receiver
from tests.support.pki import Pki, make_pki
from tests.support.sender_counts import Tally
from tests.support.waiting import eventually

SPAN = b"\x2a\x01x"
both_protocols = pytest.mark.parametrize("protocol", ["grpc", "http/protobuf"])


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Pki:
    return make_pki(tmp_path_factory.mktemp("pki"))


def server_side(protocol: Protocol, pki: Pki, *, clients: bool = False) -> Any:
    """What the receiver shows, and whether it wants the client to show the same."""
    if protocol == "grpc":
        pair = (pki.key.read_bytes(), pki.certificate.read_bytes())
        return grpc.ssl_server_credentials([pair], pki.certificate.read_bytes() if clients else None, clients)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=pki.certificate)
    context.load_cert_chain(pki.certificate, pki.key)
    context.verify_mode = ssl.CERT_REQUIRED if clients else ssl.CERT_NONE
    return context


def sender_to(site: Site, counts: Tally, files: TlsFiles) -> SpanSender:
    target = Target("traces", site.protocol, site.endpoint.replace("http:", "https:"), tls=True, tls_files=files)
    sender = SpanSender(open_transport(target), SpanEnvelope(), counts, batching=Batching(delay=0.0), backoff=BackoffConfig(unit=0.01))
    sender.start()
    assert sender.offer([SPAN])
    return sender


@both_protocols
async def test_authority(protocol: Protocol, pki: Pki) -> None:
    """A receiver whose certificate the given authority has signed gets the spans."""
    async with otlp_receiver(protocol, tls=server_side(protocol, pki)) as site:
        sender = sender_to(site, counts := Tally(), TlsFiles(pki.certificate))
        await eventually(lambda: counts.items == {"delivered": 1})
        await sender.stop()


@both_protocols
async def test_client_certificate(protocol: Protocol, pki: Pki) -> None:
    """A receiver that asks for a certificate is shown the client's."""
    async with otlp_receiver(protocol, tls=server_side(protocol, pki, clients=True)) as site:
        sender = sender_to(site, counts := Tally(), TlsFiles(pki.certificate, pki.certificate, pki.key))
        await eventually(lambda: counts.items == {"delivered": 1})
        await sender.stop()


@both_protocols
@pytest.mark.parametrize("authority", ["system", "other"])
async def test_untrusted(protocol: Protocol, pki: Pki, authority: str, caplog: pytest.LogCaptureFixture) -> None:
    """A certificate that is not trusted is told of as such, and the spans are kept."""
    async with otlp_receiver(protocol, tls=server_side(protocol, pki)) as site:
        sender = sender_to(site, counts := Tally(), TlsFiles(pki.other if authority == "other" else None))
        await eventually(lambda: counts.reasons["tls"] >= 2)
        assert counts.reasons.keys() == {"tls"}
        await sender.stop(within=0.1)
        assert not site.receiver.requests
    assert counts.drops == {"stopped": 1}
    assert "certificate" in caplog.text.lower()


@both_protocols
async def test_certificate_comes_later(protocol: Protocol, pki: Pki, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A certificate file that is missing is told of by name, and used as soon as it is there."""
    late = tmp_path / "late.pem"
    async with otlp_receiver(protocol, tls=server_side(protocol, pki)) as site:
        sender = sender_to(site, counts := Tally(), TlsFiles(late))
        await eventually(lambda: counts.reasons["tls"])
        assert "late.pem cannot be read: No such file" in caplog.text
        late.write_bytes(pki.certificate.read_bytes())
        await eventually(lambda: counts.items == {"delivered": 1})
        await sender.stop()


@both_protocols
async def test_no_tls_there(protocol: Protocol, caplog: pytest.LogCaptureFixture) -> None:
    """A receiver that does not speak TLS is told of as such."""
    async with otlp_receiver(protocol) as site:
        sender = sender_to(site, counts := Tally(), TlsFiles())
        await eventually(lambda: counts.reasons["tls"])
        await sender.stop(within=0.1)
    assert "ssl" in caplog.text.lower() or "tls" in caplog.text.lower()


@pytest.mark.parametrize("broken", ["authority", "key"])
async def test_unusable_files(pki: Pki, tmp_path: Path, broken: str, caplog: pytest.LogCaptureFixture) -> None:
    """Files that hold no certificate, or a key of another, are told of by name."""
    (tmp_path / "empty.pem").write_text("nothing")
    files = TlsFiles(tmp_path / "empty.pem") if broken == "authority" else TlsFiles(pki.certificate, pki.certificate, pki.other_key)
    async with otlp_receiver("http/protobuf", tls=server_side("http/protobuf", pki)) as site:
        sender = sender_to(site, counts := Tally(), files)
        await eventually(lambda: counts.reasons["tls"])
        await sender.stop(within=0.1)
    assert ("empty.pem holds no certificate" if broken == "authority" else "one.pem and its key do not work") in caplog.text
