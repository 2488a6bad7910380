"""What is known of a peer before its connection is accepted: the head of its request, as plain values."""

from typing import NamedTuple


class Handshake(NamedTuple):
    """An opening request. ``path`` and ``query`` are as the peer sent them, not decoded. Header names are in lower case."""

    path: str
    query: str
    headers: tuple[tuple[str, str], ...]

    def header(self, name: str) -> str | None:
        """The value of the header, or ``None``. Several values are joined by commas, as HTTP prescribes."""
        values = [value for found, value in self.headers if found == name]
        return ",".join(values) if values else None
