"""Heads of HTTP messages, read and written without touching what need not change: order, case and spelling of headers stay."""

from typing import Final, NamedTuple

from exporter.auth import Handshake

LONGEST: Final = 32 * 1024
"""Bytes a head may have."""
END: Final = b"\r\n\r\n"
EXTENSIONS: Final = "sec-websocket-extensions"


class BadHeadError(ValueError):
    """The bytes are no head of an HTTP message; the text says what is wrong and shows nothing of them."""


class Head(NamedTuple):
    """The first line and the headers, each as name and value without the white space around it."""

    first: str
    headers: tuple[tuple[str, str], ...]

    def get(self, name: str) -> str | None:
        """The first header called so, in whatever case."""
        return next((value for found, value in self.headers if found.lower() == name), None)

    def without(self, *names: str) -> "Head":
        """The head less the headers called so."""
        return Head(self.first, tuple(header for header in self.headers if header[0].lower() not in names))

    def replaced(self, name: str, value: str) -> "Head":
        """The head with another value in the header called so."""
        return Head(self.first, tuple((found, value if found.lower() == name else old) for found, old in self.headers))

    def encoded(self) -> bytes:
        """The head as it is sent."""
        lines = [self.first, *(f"{name}: {value}" for name, value in self.headers)]
        return "\r\n".join(lines).encode("latin-1") + END


class Target(NamedTuple):
    """What a request asks for: path and query as they were sent."""

    path: str
    query: str

    def __str__(self) -> str:
        return f"{self.path}?{self.query}" if self.query else self.path


def parse_head(raw: bytes) -> Head:
    """Read a head, without the empty line that ends it; raises :class:`BadHeadError`."""
    first, *lines = raw.decode("latin-1").split("\r\n")
    headers = []
    for line in lines:
        name, colon, value = line.partition(":")
        if not colon or not name or name != name.strip() or "\n" in line or "\r" in line or "\0" in line:
            raise BadHeadError("a header is not written as name: value")
        headers.append((name, value.strip(" \t")))
    if not first.isprintable():
        raise BadHeadError("the first line is not printable")
    return Head(first, tuple(headers))


def target_of(head: Head) -> Target:
    """What the request asks for; raises :class:`BadHeadError` unless it is a GET of a path with HTTP/1.1."""
    parts = head.first.split(" ")
    if len(parts) != 3 or parts[0] != "GET" or not parts[1].startswith("/") or parts[2] != "HTTP/1.1":
        raise BadHeadError("the first line is not GET, a path and HTTP/1.1")
    path, _, query = parts[1].partition("?")
    return Target(path, query)


def is_upgrade(head: Head) -> bool:
    """Whether a WebSocket is asked for."""
    return (head.get("upgrade") or "").lower() == "websocket" and head.get("sec-websocket-key") is not None


def handshake_of(head: Head, target: Target) -> Handshake:
    """The request as the door looks at it."""
    return Handshake(target.path, target.query, tuple((name.lower(), value) for name, value in head.headers))


def status_of(head: Head) -> int:
    """The status of an answer; raises :class:`BadHeadError` if there is none."""
    parts = head.first.split(" ")
    if len(parts) < 2 or not parts[0].startswith("HTTP/1.") or not (parts[1].isascii() and parts[1].isdigit() and len(parts[1]) == 3):
        raise BadHeadError("the first line is no status line")
    return int(parts[1])


def refusal(status: int, told: str) -> bytes:
    """A whole answer that refuses."""
    body = f"{told}\n".encode()
    more = "WWW-Authenticate: Bearer\r\n" if status == 401 else "Upgrade: websocket\r\n" if status == 426 else ""
    head = f"HTTP/1.1 {status} {_PHRASES.get(status, 'Refused')}\r\nContent-Type: text/plain; charset=utf-8\r\n"
    return f"{head}Content-Length: {len(body)}\r\n{more}Connection: close\r\n\r\n".encode() + body


_PHRASES: Final = {
    400: "Bad Request",
    401: "Unauthorized",
    403: "Forbidden",
    404: "Not Found",
    426: "Upgrade Required",
    431: "Request Header Fields Too Large",
    502: "Bad Gateway",
    503: "Service Unavailable",
    504: "Gateway Timeout",
}
