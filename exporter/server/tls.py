"""TLS of a listener whose certificates may be exchanged while it runs: each handshake uses what the files now hold."""

import ssl
from dataclasses import dataclass
from pathlib import Path

from exporter.server.reloading_file import ReloadingFile


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """PEM files: the certificate with its chain, its key, and, if clients must have a certificate, who may have signed it."""

    certificate: Path
    key: Path
    client_ca: Path | None = None
    minimum: ssl.TLSVersion = ssl.TLSVersion.TLSv1_2
    maximum: ssl.TLSVersion = ssl.TLSVersion.MAXIMUM_SUPPORTED


def load_tls(files: TlsFiles) -> ssl.SSLContext:
    """A server's context; raises ``ValueError`` that names the file which cannot be used."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version, context.maximum_version = files.minimum, files.maximum
    try:
        context.load_cert_chain(files.certificate, files.key)
    except (OSError, ssl.SSLError) as error:
        raise ValueError(f"certificate {files.certificate} with key {files.key} cannot be used: {_reason(error)}") from None
    if files.client_ca is not None:
        try:
            context.load_verify_locations(files.client_ca)
        except (OSError, ssl.SSLError) as error:
            raise ValueError(f"client CA {files.client_ca} cannot be used: {_reason(error)}") from None
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def rotating_tls(files: TlsFiles) -> ssl.SSLContext:
    """As :func:`load_tls`, but every handshake is made with the files' present content."""
    paths = [files.certificate, files.key, *([files.client_ca] if files.client_ca else [])]
    watched = ReloadingFile(paths, lambda: load_tls(files))
    first = load_tls(files)

    def choose(connection: ssl.SSLObject | ssl.SSLSocket, _name: str | None, _context: ssl.SSLContext) -> None:
        connection.context = watched.current()

    first.sni_callback = choose
    return first


def _reason(error: OSError | ssl.SSLError) -> str:
    if isinstance(error, ssl.SSLError):
        return error.reason or "it is no PEM file" if error.reason != "PEM" else "it is no PEM file"
    return error.strerror or str(error)
