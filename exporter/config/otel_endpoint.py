"""The endpoints of ``OTEL_EXPORTER_OTLP_…ENDPOINT``: what each form means, and which lead nowhere.

An endpoint that cannot lead to a collector is an error and not a warning: another address in its place would lose every span without a
word.
"""

import re
from dataclasses import dataclass
from typing import Final
from urllib.parse import SplitResult, urlsplit

from exporter.config.otel_values import EnvironmentReader, Variable
from exporter.exporters.otlp.target import Signal, bracketed

OTLP: Final = "OTEL_EXPORTER_OTLP_"
_HTTP_DEFAULT: Final = "http://localhost:4318"
_GRPC_DEFAULT: Final = "http://localhost:4317"
_GRPC_PORT: Final = 4317
_HTTP_PORT: Final = 4318
_DNS_PORT: Final = 443
"""What gRPC takes for a name without a port."""
_PORTS: Final = 65_536
_HOST_AND_PORT = re.compile(r"([A-Za-z0-9._~-]+|\[[0-9A-Fa-f:.%]+\])(?::([0-9]{1,5}))?")
_OTHER_SCHEMES = re.compile(r"(unix|unix-abstract|vsock|ipv4|ipv6|xds):/*[^/\s].*")
_DNS = re.compile(r"dns:(?://[^/\s]*/)?([^/\s]+)")


class EndpointError(ValueError):
    """An endpoint leads nowhere. The message names the variable, and says what to write."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where requests go: a URL, or for gRPC a target; whether over TLS; and the host and port to reach, if a proxy can reach them."""

    address: str
    tls: bool
    host: str = ""
    port: int = 0


def http_endpoint(values: EnvironmentReader, variable: Variable, signal: Signal, *, is_own: bool) -> Endpoint:
    """The URL to post to. The signal's path is appended, except to an endpoint of the signal's own variable."""
    text = variable.text or _HTTP_DEFAULT
    parts = _url(text)
    if parts is None:
        raise EndpointError(f"{variable.name}: {_advice(text, _HTTP_PORT)}")
    if parts.port == _GRPC_PORT:
        values.warn(
            variable.name,
            f"has port {_GRPC_PORT}, where receivers mostly speak gRPC, and the protocol is http/protobuf; "
            f"set {OTLP}PROTOCOL=grpc, or use port {_HTTP_PORT}",
        )
    path = parts.path or "/" if is_own else f"{parts.path.rstrip('/')}/v1/{signal}"
    tls = parts.scheme == "https"
    url = parts._replace(path=path, fragment="").geturl()
    return Endpoint(url, tls, parts.hostname or "", parts.port or (443 if tls else 80))


def grpc_endpoint(values: EnvironmentReader, variable: Variable, *, insecure: bool) -> Endpoint:
    """The target to call. The URL's scheme decides about TLS; without a scheme ``INSECURE`` does."""
    text = variable.text or _GRPC_DEFAULT
    if text.rstrip("/").endswith(f":{_HTTP_PORT}"):
        values.warn(
            variable.name,
            f"has port {_HTTP_PORT}, where receivers mostly speak HTTP/1.1, and the protocol is grpc; "
            f"set {OTLP}PROTOCOL=http/protobuf, or use port {_GRPC_PORT}",
        )
    parts = _url(text)
    if parts is not None:
        host, port = parts.hostname or "", parts.port or _GRPC_PORT
        return Endpoint(f"{bracketed(host)}:{port}", parts.scheme == "https", host, port)
    target = _grpc_target(text, tls=not insecure)
    if target is None:
        raise EndpointError(f"{variable.name}: {_advice(text, _GRPC_PORT)}")
    return target


def _grpc_target(text: str, *, tls: bool) -> Endpoint | None:
    """A target in one of gRPC's own forms: ``host:port``, ``dns:///host``, ``unix:path``, …; ``None`` if it is in none."""
    if _OTHER_SCHEMES.fullmatch(text):
        return Endpoint(text, tls)
    dns = _DNS.fullmatch(text)
    found = _HOST_AND_PORT.fullmatch(dns[1] if dns else text)
    if found is None or not (dns or found[2]) or not 0 < int(found[2] or _DNS_PORT) < _PORTS:
        return None
    return Endpoint(text, tls, found[1].strip("[]"), int(found[2] or _DNS_PORT))


def _url(text: str) -> SplitResult | None:
    """The parts of an HTTP URL with a host; ``None`` if the text is no such URL."""
    try:
        parts = urlsplit(text)
        valid = parts.scheme in {"http", "https"} and parts.hostname and parts.port != 0
    except ValueError:
        return None
    return parts if valid and text.isascii() and text.isprintable() and " " not in text else None


def _advice(text: str, port: int) -> str:
    """What is wrong with an endpoint, and what to write. A URL may hold a password, so only a plain host is repeated."""
    host = re.fullmatch(r"([A-Za-z0-9._-]+)(:[0-9]{1,5})?/?", text)
    if host is not None and not text.startswith(("http:", "https:")):
        example = f"{host[1]}:{port}" if not host[2] or int(host[2][1:]) not in range(1, _PORTS) else host[1] + host[2]
        return f"has no scheme, so it leads nowhere; write http://{example}, or https://{example} for TLS"
    return f"is not an address of a collector, so it leads nowhere; write one such as http://collector:{port}"
