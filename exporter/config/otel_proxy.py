"""Which proxy a connection to a collector takes: the variables ``HTTP_PROXY``, ``HTTPS_PROXY``, ``ALL_PROXY`` and ``NO_PROXY``.

There is no standard for them. The rule here delivers wherever the exporters of OpenTelemetry's SDK do; ``docs/otlp.md`` has it, and a
table of where ``requests`` and gRPC differ.

A proxy that cannot be used is an error and not a warning: where a proxy is the only permitted way out, a direct connection in its place
would break the rule without a word.
"""

import re
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final
from urllib.parse import SplitResult, unquote, urlsplit

from exporter.config.otel_endpoint import OTLP
from exporter.config.otel_values import EnvironmentReader, Variable
from exporter.exporters.otlp.target import Proxy

_PORTS: Final = {"http": 80, "https": 443}
"""The schemes of proxies that can be used, and their ports."""
_SEPARATORS = re.compile(r"[\s,]+")
_NAME_AND_PORT = re.compile(r"(\[[^\]]*\]|[^:]*)(?::([0-9]{1,5}))?")


class ProxyVariableError(ValueError):
    """A variable names a proxy that cannot be used. The message names the variable without its value, and says what to write."""


def proxy_for(values: EnvironmentReader, host: str, port: int, *, tls: bool, grpc: bool) -> Proxy | None:
    """The proxy of an endpoint; ``None`` for a direct connection. Raises :class:`ProxyVariableError`."""
    bypass = _first_set(values, ("no_grpc_proxy", "no_proxy") if grpc else ("no_proxy",)).text
    variable = _first_set(values, _proxy_names(tls=tls, grpc=grpc))
    if not variable.text or is_bypassed(bypass, host, port):
        return None
    try:
        parts = urlsplit(variable.text if "://" in variable.text else f"http://{variable.text}")
        proxy = _proxy(parts)
    except ValueError:
        raise _unusable(variable, "is not a proxy such as http://proxy:3128", "correct it") from None
    if parts.scheme not in _PORTS:
        kind = "a SOCKS proxy" if parts.scheme.startswith("socks") else "a proxy of another kind than HTTP"
        raise _unusable(variable, f"is {kind}, which OTLP cannot use", "write the address of an HTTP proxy, such as http://proxy:3128")
    if grpc and proxy.tls:
        raise _unusable(variable, "starts with https://, which gRPC cannot use", f"write http://, or set {OTLP}PROTOCOL=http/protobuf")
    return proxy


def is_bypassed(no_proxy: str, host: str, port: int) -> bool:
    """Whether an entry of ``NO_PROXY`` stands for the host and port."""
    host = host.rstrip(".").lower()
    address = _address(host)
    return any(_matches(entry, host, address, port) for entry in _SEPARATORS.split(no_proxy.lower()) if entry)


def _unusable(variable: Variable, fault: str, advice: str) -> ProxyVariableError:
    """The error for a proxy, with every way on. There is no direct connection in its place."""
    return ProxyVariableError(
        f"{variable.name}: {fault}, and nothing is sent past a proxy; "
        f"{advice}, or name the collector in NO_PROXY, or ignore all proxies with --no-otlp-proxy"
    )


def _proxy_names(*, tls: bool, grpc: bool) -> tuple[str, ...]:
    """The variables in order. A call of gRPC takes a tunnel through any proxy, so that of the other scheme counts too."""
    own, other = ("https_proxy", "http_proxy") if tls else ("http_proxy", "https_proxy")
    return ("grpc_proxy", own, other, "all_proxy") if grpc else (own, "all_proxy")


def _first_set(values: EnvironmentReader, names: tuple[str, ...]) -> Variable:
    """The first variable that is not empty. The name in lower case wins over that in upper case, even if it is empty."""
    for name in names:
        found = values.either_case(name)
        if found.text:
            return found
    return Variable("", "")


def _proxy(parts: SplitResult) -> Proxy:
    """Raises ``ValueError`` for a URL without a host."""
    if not parts.hostname or parts.port == 0:
        raise ValueError("no host")
    user, separator, password = parts.netloc.rpartition("@")[0].partition(":")
    port = parts.port or _PORTS.get(parts.scheme, 0)
    return Proxy(parts.hostname, port, f"{unquote(user)}{separator}{unquote(password)}", tls=parts.scheme == "https")


def _matches(entry: str, host: str, address: IPv4Address | IPv6Address | None, port: int) -> bool:
    if entry == "*":
        return True
    network = _network(entry)
    if network is not None:
        return address is not None and address.version == network.version and address in network
    found = _NAME_AND_PORT.fullmatch(entry)
    if found is None or (found[2] and int(found[2]) != port):
        return False
    name = found[1].removeprefix("*").strip("[].")
    if address is not None:
        return _address(name) == address
    return bool(name) and (host == name or host.endswith(f".{name}"))


def _network(entry: str) -> IPv4Network | IPv6Network | None:
    """The network or single address that an entry names; ``None`` for a host name or an entry with a port."""
    try:
        return ip_network(entry, strict=False)
    except ValueError:
        return None


def _address(host: str) -> IPv4Address | IPv6Address | None:
    try:
        return ip_address(host)
    except ValueError:
        return None
