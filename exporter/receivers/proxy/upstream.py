"""The app behind a relay: its address, and the request that it receives."""

import ssl
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from exporter.receivers.proxy.http1 import EXTENSIONS, Head, Target

_PORTS: Final = {"ws": 80, "wss": 443}


@dataclass(frozen=True, slots=True)
class Upstream:
    """Where the app listens. A ``path`` replaces the path of the request. With ``tls``, ``host`` is also sent as ``Host``."""

    host: str
    port: int
    path: str = ""
    tls: ssl.SSLContext | None = None

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"

    def request(self, head: Head, target: Target, *, drop_authorization: bool) -> Head:
        """The request for the app.

        ``target`` has no path secret any more. ``drop_authorization`` removes an ``Authorization`` header that holds the exporter's own
        token. With TLS, ``Host`` is the app's own name, because TLS servers select by it. Without TLS the platform's ``Host`` stays,
        because signatures cover it.
        """
        path = self.path or target.path
        dropped = (EXTENSIONS, "authorization") if drop_authorization else (EXTENSIONS,)
        forwarded = Head(f"GET {Target(path, target.query)} HTTP/1.1", head.without(*dropped).headers)
        return forwarded.replaced("host", self.host) if self.tls is not None else forwarded


def parse_upstream(url: str, ca_file: str | None = None) -> Upstream:
    """The app at a ``ws://`` or ``wss://`` URL. Raises ``ValueError`` if ``ca_file`` (PEM) cannot be used."""
    parts = urlsplit(url)
    tls = None
    if parts.scheme == "wss":
        try:
            tls = ssl.create_default_context(cafile=ca_file)
        except OSError as error:
            raise ValueError(
                f"--upstream-ca {ca_file} cannot be used: expected certificates in PEM format: {error.strerror or error}"
            ) from None
    path = parts.path if parts.path != "/" else ""
    return Upstream(parts.hostname or "", parts.port or _PORTS[parts.scheme], path, tls)
