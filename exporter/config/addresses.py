"""Host and port of a listener, as written by an operator: ``127.0.0.1:8790``, ``[::1]:8790``, ``localhost:8790``."""

import ipaddress
import re
from dataclasses import dataclass

_HOST_NAME = re.compile(r"(?=.{1,253}\Z)[A-Za-z0-9_]([A-Za-z0-9_-]{0,62})(\.[A-Za-z0-9_]([A-Za-z0-9_-]{0,62}))*")
_NUMBER = re.compile(r"[0-9]+|0[xX][0-9A-Fa-f]*")
MAX_PORT = 65535


_LOCALHOST = ("127.0.0.1", "::1", "localhost")


class AddressError(ValueError):
    """The text is not an address. The message says what to write instead."""


@dataclass(frozen=True, slots=True)
class Address:
    """The address of a listener. ``host`` is an IP address without brackets, or a host name. Port 0 means any free port."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can reach it. A host name other than ``localhost`` counts as reachable from elsewhere."""
        ip = _ip(self.host)
        return self.host.lower() == "localhost" if ip is None else ip.is_loopback

    @property
    def is_wildcard(self) -> bool:
        """Whether it means every interface of the machine."""
        ip = _ip(self.host)
        return ip is not None and ip.is_unspecified

    def reachable(self) -> "Address":
        """The address for a client on this machine: loopback instead of a wildcard."""
        if not self.is_wildcard:
            return self
        return Address("::1" if ":" in self.host else "127.0.0.1", self.port)

    def overlaps(self, other: "Address") -> bool:
        """Whether listening on both at the same time is impossible. Port 0 never conflicts."""
        if self.port != other.port or self.port == 0:
            return False
        return self.host.lower() == other.host.lower() or self.is_wildcard or other.is_wildcard

    def is_reached_by(self, host: str, port: int) -> bool:
        """Whether a connection from this machine to ``host`` and ``port`` certainly leads here. No name is resolved."""
        if port != self.port or port == 0:
            return False
        if host.lower() == self.host.lower():
            return True
        target, own = _ip(host), _ip(self.host)
        if host.lower() == "localhost" or (target is not None and target.is_unspecified):
            return self.is_wildcard or self.host in _LOCALHOST
        if target is None or not target.is_loopback:
            return False
        if own is None:
            return self.host.lower() == "localhost" and host in _LOCALHOST
        return own.is_unspecified and own.version == target.version


def parse_address(text: str) -> Address:
    """Read ``host:port``. Raises :class:`AddressError` with a hint if the text is anything else."""
    if "://" in text:
        raise AddressError("leave out the scheme")
    host, colon, port = text.rpartition(":")
    if not colon:
        raise AddressError(f"for this machine only write 127.0.0.1:{text}" if _is_port(text) else "the port is missing")
    if re.fullmatch("[0-9]{5,20}", port) and not _is_port(port):
        raise AddressError(f"port {port} is above {MAX_PORT}, the largest port")
    if not _is_port(port):
        raise AddressError(f"the port must be a number from 0 to {MAX_PORT}")
    if not host:
        raise AddressError(f"for this machine only write 127.0.0.1{text}, for every interface 0.0.0.0{text}")
    return Address(_parse_host(host), int(port))


def _parse_host(text: str) -> str:
    if text.startswith("[") and text.endswith("]"):
        ip = _ip(text[1:-1])
        if ip is None or ip.version != 6:
            raise AddressError("brackets are for IPv6 addresses")
        return text[1:-1]
    if ":" in text:
        raise AddressError("write an IPv6 address in brackets, as in [::1]:8790")
    if _ip(text) is not None:
        return text
    # Resolvers read "0", "127.1" and "0x7f000001" as addresses. Such a name would listen on an unexpected address.
    if not _HOST_NAME.fullmatch(text) or _NUMBER.fullmatch(text.rpartition(".")[2]):
        raise AddressError("the host is neither an IP address nor a host name")
    return text


def _ip(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    if not host.isprintable() or "%" in host:
        return None
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def _is_port(text: str) -> bool:
    return re.fullmatch("[0-9]{1,5}", text) is not None and int(text) <= MAX_PORT
