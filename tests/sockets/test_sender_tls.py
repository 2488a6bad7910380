"""Sending over TLS, with and without a client certificate, and the log when that fails."""

import ssl
from pathlib import Path
from typing import Any

import grpc
import pytest

from exporter.exporters.otlp.sender import BackoffConfig, BatchConfig, SpanEnvelope, SpanSender, create_transport
from exporter.exporters.otlp.target import ClientTlsFiles, Protocol, Target
from tests.support.otlp_receiver import Site, otlp_receiver
from tests.support.pki import Pki, make_pki
from tests.support.recording_observer import RecordingObserver
from tests.support.waiting import eventually

SPAN = b"\x2a\x01x"
both_protocols = pytest.mark.parametrize("protocol", ["grpc", "http/protobuf"])


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Pki:
    return make_pki(tmp_path_factory.mktemp("pki"))


def server_side(protocol: Protocol, pki: Pki, *, clients: bool = False) -> Any:
    """The receiver's TLS settings; with ``clients`` it requires a client certificate."""
    if protocol == "grpc":
        pair = (pki.key.read_bytes(), pki.certificate.read_bytes())
        return grpc.ssl_server_credentials([pair], pki.certificate.read_bytes() if clients else None, clients)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=pki.certificate)
    context.load_cert_chain(pki.certificate, pki.key)
    context.verify_mode = ssl.CERT_REQUIRED if clients else ssl.CERT_NONE
    return context


def sender_to(site: Site, observer: RecordingObserver, files: ClientTlsFiles) -> SpanSender:
    target = Target("traces", site.protocol, site.endpoint.replace("http:", "https:"), tls=True, tls_files=files)
    sender = SpanSender(
        create_transport(target), SpanEnvelope(), observer, batch=BatchConfig(delay=0.0), backoff=BackoffConfig(time_scale=0.01)
    )
    sender.start()
    assert sender.offer([SPAN])
    return sender


@both_protocols
async def test_authority(protocol: Protocol, pki: Pki) -> None:
    """A receiver whose certificate is signed by the given authority gets the spans."""
    async with otlp_receiver(protocol, tls=server_side(protocol, pki)) as site:
        sender = sender_to(site, observer := RecordingObserver(), ClientTlsFiles(pki.certificate))
        await eventually(lambda: observer.items == {"delivered": 1})
        await sender.stop()


@both_protocols
async def test_client_certificate(protocol: Protocol, pki: Pki) -> None:
    """The client sends its certificate to a receiver that requires one."""
    async with otlp_receiver(protocol, tls=server_side(protocol, pki, clients=True)) as site:
        sender = sender_to(site, observer := RecordingObserver(), ClientTlsFiles(pki.certificate, pki.certificate, pki.key))
        await eventually(lambda: observer.items == {"delivered": 1})
        await sender.stop()


@both_protocols
@pytest.mark.parametrize("authority", ["system", "other"])
async def test_untrusted(protocol: Protocol, pki: Pki, authority: str, caplog: pytest.LogCaptureFixture) -> None:
    """An untrusted certificate is a TLS failure in metrics and log, and the spans stay queued."""
    async with otlp_receiver(protocol, tls=server_side(protocol, pki)) as site:
        sender = sender_to(site, observer := RecordingObserver(), ClientTlsFiles(pki.other if authority == "other" else None))
        await eventually(lambda: observer.reasons["tls"] >= 2)
        assert observer.reasons.keys() == {"tls"}
        await sender.stop(within=0.1)
        assert not site.receiver.requests
    assert observer.drops == {"stopped": 1}
    assert "certificate" in caplog.text.lower()


@both_protocols
async def test_certificate_comes_later(protocol: Protocol, pki: Pki, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The log names a certificate file that is missing, and the file is used as soon as it exists."""
    late = tmp_path / "late.pem"
    async with otlp_receiver(protocol, tls=server_side(protocol, pki)) as site:
        sender = sender_to(site, observer := RecordingObserver(), ClientTlsFiles(late))
        await eventually(lambda: observer.reasons["tls"])
        assert "late.pem cannot be read: No such file" in caplog.text
        late.write_bytes(pki.certificate.read_bytes())
        await eventually(lambda: observer.items == {"delivered": 1})
        await sender.stop()


@both_protocols
async def test_receiver_without_tls(protocol: Protocol, caplog: pytest.LogCaptureFixture) -> None:
    """A receiver that does not speak TLS is a TLS failure in the log."""
    async with otlp_receiver(protocol) as site:
        sender = sender_to(site, observer := RecordingObserver(), ClientTlsFiles())
        await eventually(lambda: observer.reasons["tls"])
        await sender.stop(within=0.1)
    assert "ssl" in caplog.text.lower() or "tls" in caplog.text.lower()


@pytest.mark.parametrize("broken", ["authority", "key"])
async def test_unusable_files(pki: Pki, tmp_path: Path, broken: str, caplog: pytest.LogCaptureFixture) -> None:
    """The log names files without a certificate, and a key that does not match."""
    (tmp_path / "empty.pem").write_text("nothing")
    files = (
        ClientTlsFiles(tmp_path / "empty.pem")
        if broken == "authority"
        else ClientTlsFiles(pki.certificate, pki.certificate, pki.other_key)
    )
    async with otlp_receiver("http/protobuf", tls=server_side("http/protobuf", pki)) as site:
        sender = sender_to(site, observer := RecordingObserver(), files)
        await eventually(lambda: observer.reasons["tls"])
        await sender.stop(within=0.1)
    assert ("empty.pem holds no certificate" if broken == "authority" else "one.pem and its key do not work") in caplog.text
