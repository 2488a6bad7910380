"""Which proxy a connection to a collector takes: the variables ``HTTP_PROXY``, ``HTTPS_PROXY``, ``ALL_PROXY`` and ``NO_PROXY``.

There is no standard for them. The rule here delivers wherever the exporters of OpenTelemetry's SDK do; ``docs/otlp.md`` has it, and a
table of where ``requests`` and gRPC differ.
"""

import re
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final
from urllib.parse import SplitResult, unquote, urlsplit

from exporter.config.otel_values import EnvironmentReader, Variable
from exporter.exporters.otlp.target import Proxy

_HTTP_PORT: Final = 80
_SEPARATORS = re.compile(r"[\s,]+")
_NAME_AND_PORT = re.compile(r"(\[[^\]]*\]|[^:]*)(?::([0-9]{1,5}))?")


def proxy_for(values: EnvironmentReader, host: str, port: int, *, tls: bool, grpc: bool) -> Proxy | None:
    """The proxy of an endpoint; ``None`` for a direct connection. No warning contains the value of a variable."""
    bypass = _first_set(values, ("no_grpc_proxy", "no_proxy") if grpc else ("no_proxy",)).text
    variable = _first_set(values, _proxy_names(tls=tls, grpc=grpc))
    if not variable.text or is_bypassed(bypass, host, port):
        return None
    try:
        parts = urlsplit(variable.text if "://" in variable.text else f"http://{variable.text}")
        if parts.scheme != "http":
            values.warn(variable.name, "is not a proxy that starts with http://; OTLP connects without a proxy")
            return None
        return _proxy(parts)
    except ValueError:
        values.warn(variable.name, "is not a proxy such as http://proxy:3128; OTLP connects without a proxy")
        return None


def is_bypassed(no_proxy: str, host: str, port: int) -> bool:
    """Whether an entry of ``NO_PROXY`` stands for the host and port."""
    host = host.rstrip(".").lower()
    address = _address(host)
    return any(_matches(entry, host, address, port) for entry in _SEPARATORS.split(no_proxy.lower()) if entry)


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
    return Proxy(parts.hostname, parts.port or _HTTP_PORT, f"{unquote(user)}{separator}{unquote(password)}")


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
