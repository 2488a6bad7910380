"""Where a signal is sent, and how. The settings decide it; the transports follow it."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal
from urllib.parse import urlsplit

Signal = Literal["traces", "metrics"]
Protocol = Literal["grpc", "http/protobuf"]
Compression = Literal["gzip", "none"]

ITEM_NAMES: Final[dict[Signal, str]] = {"traces": "spans", "metrics": "data points"}
"""What a signal's requests hold, for log lines."""


@dataclass(frozen=True, slots=True)
class ClientTlsFiles:
    """PEM files. ``None`` means the system's certificate authorities, and no client certificate."""

    authorities: Path | None = None
    client_certificate: Path | None = None
    client_key: Path | None = None


@dataclass(frozen=True, slots=True)
class Target:
    """An OTLP receiver of one signal.

    ``endpoint`` is the URL to post to; for gRPC it is ``host:port`` or another name that gRPC resolves. ``timeout`` is that of one
    attempt, in seconds. ``headers`` can hold credentials, so ``repr`` does not show them; their names are lower case.
    """

    signal: Signal
    protocol: Protocol
    endpoint: str
    tls: bool = False
    headers: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    compression: Compression = "none"
    timeout: float = 10.0
    tls_files: ClientTlsFiles = ClientTlsFiles()

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
