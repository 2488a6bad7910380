"""What is known of a peer before it is let in: the head of its request, as plain values."""

from typing import NamedTuple


class Handshake(NamedTuple):
    """An opening request. ``path`` and ``query`` are as they were sent, not decoded; header names are in lower case."""

    path: str
    query: str
    headers: tuple[tuple[str, str], ...]

    def header(self, name: str) -> str | None:
        """The header's value, several joined by commas as HTTP has it, or ``None``."""
        values = [value for found, value in self.headers if found == name]
        return ",".join(values) if values else None
