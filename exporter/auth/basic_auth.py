"""HTTP basic authentication in front of the telemetry pages, as Prometheus's web configuration has it.

A bcrypt hash is made to be slow (70 ms at the usual cost), so it is worked out in a thread, one at a time, and a right answer is
remembered by its digest. A user who does not exist costs as much as a wrong password.
"""

import asyncio
import binascii
import hmac
import os
from base64 import b64decode
from collections.abc import Callable, Mapping
from hashlib import sha256
from typing import Any, Final

import bcrypt

Message = dict[str, Any]
Receive = Callable[[], Any]
Send = Callable[[Message], Any]
App = Callable[[Message, Receive, Send], Any]

OPEN: Final = frozenset({"/-/healthy", "/-/ready"})
"""Paths that ask for no user: an orchestrator's probes have none, and they tell nothing."""
MOST_REMEMBERED: Final = 100
_DUMMY: Final = bcrypt.hashpw(os.urandom(16), bcrypt.gensalt(10)).decode()
_LONGEST: Final = 72
"""Bytes of a password that bcrypt looks at; Prometheus refuses longer ones, and so do we."""


class BasicAuth:
    """An ASGI application that lets the users through to another. ``users`` is asked each time, since the file may change."""

    def __init__(
        self, app: App, users: Callable[[], Mapping[str, str]], refused: Callable[[str], None], headers: Mapping[str, str]
    ) -> None:
        self._app = app
        self._users = users
        self._refused = refused
        self._headers = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
        self._known: dict[bytes, None] = {}
        self._salt = os.urandom(16)
        self._one_at_a_time = asyncio.Lock()

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if self._headers:
            send = self._adding(send)
        users = self._users()
        if scope["type"] != "http" or not users or scope["path"] in OPEN:
            await self._app(scope, receive, send)
            return
        given = _credentials(scope["headers"])
        if given is not None and await self._is_right(users, *given):
            await self._app(scope, receive, send)
            return
        self._refused("no_user" if given is None else "wrong_user")
        await _ask(send)

    async def _is_right(self, users: Mapping[str, str], user: str, password: bytes) -> bool:
        hashed = users.get(user, _DUMMY)
        digest = hmac.new(self._salt, b"\0".join((user.encode(), hashed.encode(), password)), sha256).digest()
        if digest in self._known:
            return True
        async with self._one_at_a_time:
            right = await asyncio.to_thread(_matches, password, hashed)
        if not right or user not in users:
            return False
        self._known[digest] = None
        if len(self._known) > MOST_REMEMBERED:
            del self._known[next(iter(self._known))]
        return True

    def _adding(self, send: Send) -> Send:
        async def adding(message: Message) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": [*message.get("headers", ()), *self._headers]}
            await send(message)

        return adding


def _matches(password: bytes, hashed: str) -> bool:
    return len(password) <= _LONGEST and bcrypt.checkpw(password, hashed.encode())


def _credentials(headers: list[tuple[bytes, bytes]]) -> tuple[str, bytes] | None:
    """User and password of the request (RFC 7617), or ``None``."""
    value = next((value for name, value in headers if name == b"authorization"), b"")
    scheme, _, encoded = value.partition(b" ")
    if scheme.lower() != b"basic":
        return None
    try:
        user, colon, password = b64decode(encoded.strip(), validate=True).partition(b":")
        return (user.decode(), password) if colon else None
    except (binascii.Error, UnicodeDecodeError):
        return None


async def _ask(send: Send) -> None:
    body = b"user and password are needed\n"
    headers = [
        (b"www-authenticate", b"Basic"),
        (b"content-type", b"text/plain; charset=utf-8"),
        (b"content-length", str(len(body)).encode()),
        (b"cache-control", b"no-store"),
    ]
    await send({"type": "http.response.start", "status": 401, "headers": headers})
    await send({"type": "http.response.body", "body": body})
