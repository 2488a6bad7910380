"""Where a signal is sent and how: what the settings decide and the transports follow."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

Signal = Literal["traces", "metrics"]
Protocol = Literal["grpc", "http/protobuf"]
Compression = Literal["gzip", "none"]


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """PEM files; ``None`` means the system's certificate authorities, and no client certificate."""

    authorities: Path | None = None
    client_certificate: Path | None = None
    client_key: Path | None = None


@dataclass(frozen=True, slots=True)
class Target:
    """An OTLP receiver of one signal.

    ``endpoint`` is the URL to post to, or for gRPC ``host:port`` (or another name gRPC resolves). ``timeout`` is that of one attempt,
    in seconds. ``headers`` may hold credentials and so are not shown; their names are lower case.
    """

    signal: Signal
    protocol: Protocol
    endpoint: str
    tls: bool = False
    headers: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    compression: Compression = "none"
    timeout: float = 10.0
    tls_files: TlsFiles = TlsFiles()
