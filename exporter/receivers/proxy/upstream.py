"""The app behind a relay: where it is, and what a request becomes on its way there."""

import ssl
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from exporter.receivers.proxy.http1 import EXTENSIONS, Head, Target

_PORTS: Final = {"ws": 80, "wss": 443}


@dataclass(frozen=True, slots=True)
class Upstream:
    """Where the app listens. ``path`` replaces the request's, if there is one; ``host`` is what it wants to be called, with TLS."""

    host: str
    port: int
    path: str = ""
    tls: ssl.SSLContext | None = None

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"

    def request(self, head: Head, target: Target, *, ours: bool) -> Head:
        """The request as the app gets it; ``ours`` says that its ``Authorization`` was meant for us.

        ``target`` is without our secret. With TLS the app is called by its own name, since servers choose by that; without, it is
        reached as the platform reached us, since signatures are made over that name.
        """
        path = self.path or target.path
        passed = head.without(EXTENSIONS, *(("authorization",) if ours else ()))
        passed = Head(f"GET {Target(path, target.query)} HTTP/1.1", passed.headers)
        return passed.replaced("host", self.host) if self.tls is not None else passed


def parse_upstream(url: str, authorities: str | None = None) -> Upstream:
    """The app at a ``ws://`` or ``wss://`` URL; raises ``ValueError`` if ``authorities`` (a PEM file) cannot be used."""
    parts = urlsplit(url)
    tls = None
    if parts.scheme == "wss":
        try:
            tls = ssl.create_default_context(cafile=authorities)
        except OSError as error:
            raise ValueError(f"the authorities in {authorities} cannot be used: {error.strerror or error}") from None
    path = parts.path if parts.path != "/" else ""
    return Upstream(parts.hostname or "", parts.port or _PORTS[parts.scheme], path, tls)
