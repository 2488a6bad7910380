"""The certificate files of a listener that speaks TLS."""

import ssl
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class ServerTlsFiles:
    """PEM files of a TLS server.

    ``certificate`` holds the certificate with its chain, ``key`` its private key. With ``client_ca`` every client must present a
    certificate that one of the authorities in this file has signed.
    """

    certificate: Path
    key: Path
    client_ca: Path | None = None
    minimum: ssl.TLSVersion = ssl.TLSVersion.TLSv1_2
    maximum: ssl.TLSVersion = ssl.TLSVersion.MAXIMUM_SUPPORTED
