"""HTTP basic authentication for the telemetry pages, with the users of Prometheus's web configuration file.

Checking a bcrypt hash is slow on purpose (70 ms at the usual cost). So it runs in a thread, one check at a time, and the digest of a
correct password is remembered. An unknown user costs as much as a wrong password.
"""

import asyncio
import binascii
import hmac
import os
from base64 import b64decode
from collections.abc import Callable, Mapping
from hashlib import sha256
from typing import Final

import bcrypt
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from exporter.bounded_dict import BoundedDict

PUBLIC_PATHS: Final = frozenset({"/-/healthy", "/-/ready"})
"""Paths that need no authentication: an orchestrator's probes have no credentials, and these pages reveal nothing."""
MAX_REMEMBERED: Final = 100
_DUMMY_HASH: Final = bcrypt.hashpw(os.urandom(16), bcrypt.gensalt(10)).decode()
_MAX_PASSWORD: Final = 72
"""Bytes of a password that bcrypt compares. Longer passwords are refused, as in Prometheus."""


class BasicAuth:
    """An ASGI application that forwards authenticated requests to ``app``.

    ``users`` maps user names to bcrypt hashes and is called for each request, because the file may change. ``refused`` is called with
    the reason of a refusal. ``headers`` are added to every answer.
    """

    def __init__(
        self, app: ASGIApp, users: Callable[[], Mapping[str, str]], refused: Callable[[str], None], headers: Mapping[str, str]
    ) -> None:
        self._app = app
        self._users = users
        self._refused = refused
        self._headers = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
        self._verified: BoundedDict[bytes, None] = BoundedDict(MAX_REMEMBERED)
        self._salt = os.urandom(16)
        self._one_at_a_time = asyncio.Lock()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if self._headers:
            send = self._with_headers(send)
        users = self._users()
        if scope["type"] != "http" or not users or scope["path"] in PUBLIC_PATHS:
            await self._app(scope, receive, send)
            return
        credentials = _credentials(scope["headers"])
        if credentials is not None and await self._is_valid(users, *credentials):
            await self._app(scope, receive, send)
            return
        self._refused("no_user" if credentials is None else "wrong_user")
        await _refuse(send)

    async def _is_valid(self, users: Mapping[str, str], user: str, password: bytes) -> bool:
        hashed = users.get(user, _DUMMY_HASH)
        digest = hmac.new(self._salt, b"\0".join((user.encode(), hashed.encode(), password)), sha256).digest()
        if digest in self._verified:
            return True
        async with self._one_at_a_time:
            matches = await asyncio.to_thread(_matches, password, hashed)
        if not matches or user not in users:
            return False
        self._verified[digest] = None
        return True

    def _with_headers(self, send: Send) -> Send:
        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": [*message.get("headers", ()), *self._headers]}
            await send(message)

        return send_with_headers


def _matches(password: bytes, hashed: str) -> bool:
    return len(password) <= _MAX_PASSWORD and bcrypt.checkpw(password, hashed.encode())


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


async def _refuse(send: Send) -> None:
    body = b"authentication failed: expected a user and password (HTTP basic authentication)\n"
    headers = [
        (b"www-authenticate", b"Basic"),
        (b"content-type", b"text/plain; charset=utf-8"),
        (b"content-length", str(len(body)).encode()),
        (b"cache-control", b"no-store"),
    ]
    await send({"type": "http.response.start", "status": 401, "headers": headers})
    await send({"type": "http.response.body", "body": body})
