"""What the two transports share: their interface, and the TLS files."""

import ssl
from pathlib import Path
from typing import Protocol

from exporter import __version__
from exporter.exporters.otlp.sender.export_result import ExportResult
from exporter.exporters.otlp.target import ClientTlsFiles, Destination

USER_AGENT = f"agentstack-exporter/{__version__}"


class Transport(Protocol):
    """Sends requests to one target, one at a time. It connects with the first request, and again after a failure."""

    @property
    def target(self) -> Destination:
        """Where the requests go."""

    async def send(self, body: bytes) -> ExportResult:
        """Make one attempt, within the target's timeout. A failure is a result too, not an exception."""

    async def close(self) -> None:
        """Close the connection; the next request opens another."""


class TlsFileError(Exception):
    """A certificate or key cannot be used. The message names the file and the reason."""


def read_pem(path: Path | None) -> bytes | None:
    """A certificate or key for gRPC; raises :class:`TlsFileError`. Read for every connection, since such files are renewed."""
    if path is None:
        return None
    try:
        return path.read_bytes()
    except OSError as error:
        raise TlsFileError(f"{path} cannot be read: {error.strerror}") from None


def ssl_context(files: ClientTlsFiles) -> ssl.SSLContext:
    """The TLS settings of an HTTP connection; raises :class:`TlsFileError`. Blocks for some milliseconds."""
    for path in (files.authorities, files.client_certificate, files.client_key):
        read_pem(path)
    try:
        context = ssl.create_default_context(cafile=files.authorities or _default_authorities())
    except (OSError, ValueError) as error:
        raise TlsFileError(f"{files.authorities} holds no certificate: {error}") from None
    if files.client_certificate is not None:
        try:
            # An encrypted key would make OpenSSL ask for a password on the terminal. An empty password makes it fail instead.
            context.load_cert_chain(files.client_certificate, files.client_key, password=str)
        except (OSError, ValueError) as error:
            raise TlsFileError(f"{files.client_certificate} and its key do not work: {error}") from None
    return context


def _default_authorities() -> Path | None:
    """``None`` for the system's authorities; Mozilla's where the system has none, as in small images."""
    system = ssl.get_default_verify_paths()
    if system.cafile or system.capath:
        return None
    import certifi  # noqa: PLC0415 - few systems need it

    return Path(certifi.where())
