"""What the two ways to a receiver have in common: their interface, and what they verify it with."""

import ssl
from pathlib import Path
from typing import Protocol

from exporter import __version__
from exporter.exporters.otlp.sender.export_result import Answer
from exporter.exporters.otlp.target import TlsFiles

USER_AGENT = f"agentstack-exporter/{__version__}"


class Transport(Protocol):
    """Sends requests to one target, one at a time. It connects when it first sends, and anew after a failure."""

    async def send(self, body: bytes) -> Answer:
        """Make one attempt, no longer than the target's timeout; what goes wrong is an answer too."""

    async def close(self) -> None:
        """Close the connection; sending again opens another."""


class TlsFileError(Exception):
    """A certificate or key cannot be used; the message names the file and the reason."""


def read_pem(path: Path | None) -> bytes | None:
    """A certificate or key for gRPC, read anew for every connection since such files are renewed; raises :class:`TlsFileError`."""
    if path is None:
        return None
    try:
        return path.read_bytes()
    except OSError as error:
        raise TlsFileError(f"{path} cannot be read: {error.strerror}") from None


def ssl_context(files: TlsFiles) -> ssl.SSLContext:
    """What HTTP verifies the receiver with, and shows it; raises :class:`TlsFileError`. Blocks for some milliseconds."""
    for path in (files.authorities, files.client_certificate, files.client_key):
        read_pem(path)
    try:
        context = ssl.create_default_context(cafile=files.authorities or _authorities())
    except (OSError, ValueError) as error:
        raise TlsFileError(f"{files.authorities} holds no certificate: {error}") from None
    if files.client_certificate is not None:
        try:
            # A password would be asked for on the terminal; none is given, so that such a key fails.
            context.load_cert_chain(files.client_certificate, files.client_key, password=str)
        except (OSError, ValueError) as error:
            raise TlsFileError(f"{files.client_certificate} and its key do not work: {error}") from None
    return context


def _authorities() -> Path | None:
    """Those of the system, or where it has none, as in small images, Mozilla's."""
    system = ssl.get_default_verify_paths()
    if system.cafile or system.capath:
        return None
    import certifi  # noqa: PLC0415 - hardly anybody needs it

    return Path(certifi.where())
