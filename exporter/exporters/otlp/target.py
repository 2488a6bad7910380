"""Where a signal is sent, and how. The settings decide it; the transports follow it."""

import base64
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal
from typing import Protocol as Interface
from urllib.parse import urlsplit

Signal = Literal["traces", "metrics"]
Protocol = Literal["grpc", "http/protobuf", "http/json"]
Compression = Literal["gzip", "none"]

ITEM_NAMES: Final[dict[Signal, str]] = {"traces": "spans", "metrics": "data points"}
"""What a signal's requests hold, for log lines."""


class Destination(Interface):
    """What log lines and counts say of where requests go."""

    @property
    def signal(self) -> Signal:
        """The signal whose requests go there."""

    @property
    def address(self) -> str:
        """Its name in log lines, without credentials."""

    @property
    def item_name(self) -> str:
        """What the requests hold: spans or data points."""


@dataclass(frozen=True, slots=True)
class ClientTlsFiles:
    """PEM files. ``None`` means the system's certificate authorities, and no client certificate."""

    authorities: Path | None = None
    client_certificate: Path | None = None
    client_key: Path | None = None


@dataclass(frozen=True, slots=True)
class Proxy:
    """An HTTP proxy. ``credentials`` are ``user:password`` for basic authentication, so ``repr`` does not show them.

    ``tls`` says that the connection to the proxy itself is encrypted.
    """

    host: str
    port: int
    credentials: str = field(default="", repr=False)
    tls: bool = False

    @property
    def address(self) -> str:
        """The proxy as log lines name it: without user and password."""
        return f"{'https' if self.tls else 'http'}://{bracketed(self.host)}:{self.port}"

    @property
    def authorization(self) -> str:
        """The value of the header ``Proxy-Authorization``; empty without credentials."""
        return f"Basic {base64.b64encode(self.credentials.encode()).decode()}" if self.credentials else ""


@dataclass(frozen=True, slots=True)
class Target:
    """An OTLP receiver of one signal.

    ``endpoint`` is the URL to post to; for gRPC it is ``host:port`` or another name that gRPC resolves. ``timeout`` is that of one
    attempt, in seconds. ``headers`` can hold credentials, so ``repr`` does not show them; their names are lower case. Without a
    ``proxy`` the connection is direct.
    """

    signal: Signal
    protocol: Protocol
    endpoint: str
    tls: bool = False
    headers: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    compression: Compression = "none"
    timeout: float = 10.0
    tls_files: ClientTlsFiles = ClientTlsFiles()
    proxy: Proxy | None = None

    @property
    def address(self) -> str:
        """The receiver as log lines name it: without user, password, path and query, which can hold credentials."""
        if self.protocol == "grpc":
            return self.endpoint
        url = urlsplit(self.endpoint)
        return f"{url.scheme}://{url.netloc.rpartition('@')[2]}"

    @property
    def item_name(self) -> str:
        """What the signal's requests hold: spans or data points."""
        return ITEM_NAMES[self.signal]


def bracketed(host: str) -> str:
    """A host as it stands in a URL: an IPv6 address has brackets."""
    return f"[{host}]" if ":" in host else host
