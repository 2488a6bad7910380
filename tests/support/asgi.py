"""Calls an ASGI application without a server, with headers and query strings that no client library would send."""

import zlib
from collections.abc import Sequence
from dataclasses import dataclass

from starlette.types import ASGIApp, Message

RawHeaders = Sequence[tuple[bytes, bytes]]


@dataclass(frozen=True, slots=True)
class Answer:
    """What the application sent. ``body`` is as on the wire."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def text(self) -> str:
        """The body as UTF-8 text, decompressed if it is gzip."""
        gzip = self.headers.get("content-encoding") == "gzip"
        return (zlib.decompress(self.body, 16 + zlib.MAX_WBITS) if gzip else self.body).decode()


async def call(app: ASGIApp, path: str = "/metrics", headers: RawHeaders = (), *, method: str = "GET", query: bytes = b"") -> Answer:
    """Make one request and return the whole answer."""
    sent: list[Message] = []

    async def receive() -> Message:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Message) -> None:
        sent.append(message)

    await app(_scope(method, path, headers, query), receive, send)
    start, *rest = sent
    names = {name.decode("latin-1"): value.decode("latin-1") for name, value in start["headers"]}
    return Answer(start["status"], names, b"".join(message.get("body", b"") for message in rest))


def _scope(method: str, path: str, headers: RawHeaders, query: bytes) -> dict[str, object]:
    return {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": query,
        "root_path": "",
        "headers": list(headers),
        "client": ("127.0.0.1", 50000),
        "server": ("127.0.0.1", 8791),
    }
