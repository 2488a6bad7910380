"""HTTP/1.1 message heads, read and written without changing more than necessary: order, case and spelling of headers stay."""

from typing import Final, NamedTuple

from exporter.auth import Handshake

MAX_HEAD: Final = 32 * 1024
"""Largest head in bytes."""
MAX_HEADERS: Final = 100
"""Most headers in a head."""
HEAD_END: Final = b"\r\n\r\n"
EXTENSIONS: Final = "sec-websocket-extensions"
RELAYS: Final = "agentstack-exporter-relay"
"""Header with the random id of a relay that forwarded the request. Each relay in a chain adds one."""


class BadHeadError(ValueError):
    """The bytes are not the head of an HTTP message. The text says what was expected and shows nothing of them."""


class TooLargeError(BadHeadError):
    """The head has too many headers."""


class Head(NamedTuple):
    """The start line and the headers of a message, each as name and value without surrounding white space."""

    start_line: str
    headers: tuple[tuple[str, str], ...]

    def get(self, name: str) -> str | None:
        """The value of the first header with this lower-case name, or ``None``."""
        return next((value for found, value in self.headers if found.lower() == name), None)

    def without(self, *names: str) -> "Head":
        """The head without the headers of these lower-case names."""
        return Head(self.start_line, tuple(header for header in self.headers if header[0].lower() not in names))

    def replaced(self, name: str, value: str) -> "Head":
        """The head with another value in the header of this lower-case name."""
        return Head(self.start_line, tuple((found, value if found.lower() == name else old) for found, old in self.headers))

    def with_header(self, name: str, value: str) -> "Head":
        """The head with one more header at its end."""
        return Head(self.start_line, (*self.headers, (name, value)))

    def encoded(self) -> bytes:
        """The head in bytes, with the empty line that ends it."""
        lines = [self.start_line, *(f"{name}: {value}" for name, value in self.headers)]
        return "\r\n".join(lines).encode("latin-1") + HEAD_END


class Target(NamedTuple):
    """Path and query of a request, as the peer sent them."""

    path: str
    query: str

    def __str__(self) -> str:
        return f"{self.path}?{self.query}" if self.query else self.path


def parse_head(raw: bytes) -> Head:
    """Read a head without the empty line that ends it. Raises :class:`BadHeadError`."""
    start_line, *lines = raw.decode("latin-1").split("\r\n", MAX_HEADERS + 1)
    if len(lines) > MAX_HEADERS:
        raise TooLargeError(f"expected at most {MAX_HEADERS} headers")
    headers = []
    for line in lines:
        name, colon, value = line.partition(":")
        if not colon or not name or name != name.strip() or "\n" in line or "\r" in line or "\0" in line:
            raise BadHeadError("expected each header as name: value")
        headers.append((name, value.strip(" \t")))
    if not start_line.isprintable():
        raise BadHeadError("expected printable characters in the first line")
    return Head(start_line, tuple(headers))


def target_of(head: Head) -> Target:
    """The target of a request. Raises :class:`BadHeadError` unless the request is a GET of a path with HTTP/1.1."""
    parts = head.start_line.split(" ")
    if len(parts) != 3 or parts[0] != "GET" or not parts[1].startswith("/") or parts[2] != "HTTP/1.1":
        raise BadHeadError("expected GET, a path and HTTP/1.1 in the first line")
    path, _, query = parts[1].partition("?")
    return Target(path, query)


def is_upgrade(head: Head) -> bool:
    """Whether the request asks for a WebSocket."""
    return (head.get("upgrade") or "").lower() == "websocket" and head.get("sec-websocket-key") is not None


def handshake_of(head: Head, target: Target) -> Handshake:
    """The request in the form that the auth policy takes."""
    return Handshake(target.path, target.query, tuple((name.lower(), value) for name, value in head.headers))


def status_of(head: Head) -> int:
    """The status of an answer. Raises :class:`BadHeadError` if the start line is not a status line."""
    parts = head.start_line.split(" ")
    if len(parts) < 2 or not parts[0].startswith("HTTP/1.") or not (parts[1].isascii() and parts[1].isdigit() and len(parts[1]) == 3):
        raise BadHeadError("expected a status line of HTTP/1.1")
    return int(parts[1])


def refusal_answer(status: int, message: str) -> bytes:
    """A complete answer that refuses a request."""
    body = f"{message}\n".encode()
    more = "WWW-Authenticate: Bearer\r\n" if status == 401 else "Upgrade: websocket\r\n" if status == 426 else ""
    head = f"HTTP/1.1 {status} {_PHRASES.get(status, 'RefusalReason')}\r\nContent-Type: text/plain; charset=utf-8\r\n"
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
    508: "Loop Detected",
}
