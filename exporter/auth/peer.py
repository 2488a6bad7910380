"""Who is refused, and who wants to know."""

from typing import Protocol


class OnRefused(Protocol):
    """Called when a connection or a request is refused, or closed by the exporter."""

    def __call__(self, reason: str, peer: object = None, *, status: int | None = None, problem: str = "") -> None:
        """``peer`` is the address of its socket. ``status`` is that of the HTTP answer. ``problem`` says more than ``reason`` does."""


def ignore_refusal(reason: str, peer: object = None, *, status: int | None = None, problem: str = "") -> None:
    """Take a refusal that nobody wants to know of."""


def peer_name(address: object) -> str:
    """Host and port of a socket's address; ``unknown`` if the connection has none, as over a Unix socket."""
    if not isinstance(address, tuple | list) or len(address) < 2:
        return "unknown"
    host, port = str(address[0]), address[1]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
