"""HTTP basic authentication for the telemetry pages, with the users of Prometheus's web configuration file.

Checking a bcrypt hash is slow on purpose (70 ms at the usual cost). So it runs in a thread, one check at a time, the peers take turns
(:mod:`exporter.auth.password_checks`), and the digest of a correct password is remembered. An unknown user costs as much as a wrong
password: the name decides which user's cost that is.
"""

import asyncio
import binascii
import contextlib
import hmac
import os
from base64 import b64decode
from collections import deque
from collections.abc import Callable, Coroutine, Mapping
from hashlib import sha256
from typing import Final, TypeVar

import bcrypt
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from exporter.auth.password_checks import PasswordChecks, TooManyChecksError
from exporter.auth.peer import OnRefused
from exporter.bounded_dict import BoundedDict

T = TypeVar("T")

PUBLIC_PATHS: Final = frozenset({"/-/healthy", "/-/ready"})
"""Paths that need no authentication: an orchestrator's probes have no credentials, and these pages reveal nothing."""
MAX_REMEMBERED: Final = 100
_HASH_HEAD: Final = len("$2b$10$")
"""Characters of a bcrypt hash that say version and cost."""
_NO_PASSWORD: Final = "." * 53
"""Salt and digest of a hash that is no password's."""
_MAX_PASSWORD: Final = 72
"""Bytes of a password that bcrypt compares. Longer passwords are refused, as in Prometheus."""


class BasicAuth:
    """An ASGI application that forwards authenticated requests to ``app``.

    ``users`` maps user names to bcrypt hashes and is called for each request, because the file may change. ``refused`` is called for
    each refusal. ``headers`` are added to every answer.
    """

    def __init__(self, app: ASGIApp, users: Callable[[], Mapping[str, str]], refused: OnRefused, headers: Mapping[str, str]) -> None:
        self._app = app
        self._users = users
        self._refused = refused
        self._headers = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
        self._verified: BoundedDict[bytes, None] = BoundedDict(MAX_REMEMBERED)
        self._salt = os.urandom(16)
        self._checks = PasswordChecks()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if self._headers:
            send = self._with_headers(send)
        users = self._users()
        if scope["type"] != "http" or not users or scope["path"] in PUBLIC_PATHS:
            await self._app(scope, receive, send)
            return
        credentials = _credentials(scope["headers"])
        if credentials is None:
            self._refused("no_user", scope.get("client"), status=401)
            await _refuse(send)
            return
        request = _Request(receive)
        peer = (scope.get("client") or ("",))[0]
        try:
            valid = await self._is_valid(users, *credentials, peer=peer, request=request)
        except TooManyChecksError:
            self._refused("too_many_attempts", scope.get("client"), status=429)
            await _answer(send, 429, b"too many wrong passwords are being checked; try again later\n", (b"retry-after", b"1"))
            return
        if valid:
            await self._app(scope, request.receive, send)
        elif valid is not None:
            self._refused("wrong_user", scope.get("client"), status=401)
            await _refuse(send)

    async def _is_valid(self, users: Mapping[str, str], user: str, password: bytes, *, peer: str, request: "_Request") -> bool | None:
        """Whether user and password are right; ``None`` if the client left before that was known."""
        hashed = users.get(user) or self._like_a_user(users, user)
        digest = hmac.new(self._salt, b"\0".join((user.encode(), hashed.encode(), password)), sha256).digest()
        if digest in self._verified:
            return True
        matches = await request.unless_left(self._checks.check(peer, digest, lambda: _matches(password, hashed)))
        if matches and user in users:
            self._verified[digest] = None
        return matches and user in users if matches is not None else None

    def _like_a_user(self, users: Mapping[str, str], name: str) -> str:
        """A hash that no password has. Its cost is a user's, the same one each time for a name, as if the name were a user's."""
        hashes = sorted(users.values())
        place = int.from_bytes(hmac.new(self._salt, name.encode(), sha256).digest()[:8], "big")
        return hashes[place % len(hashes)][:_HASH_HEAD] + _NO_PASSWORD

    def _with_headers(self, send: Send) -> Send:
        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": [*message.get("headers", ()), *self._headers]}
            await send(message)

        return send_with_headers


class _Request:
    """Receives a request's messages, and keeps those that were received before the application asked for them."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._received: deque[Message] = deque()

    async def receive(self) -> Message:
        """The next message, for the application."""
        return self._received.popleft() if self._received else await self._receive()

    async def unless_left(self, work: Coroutine[None, None, T]) -> T | None:
        """The result of ``work``, or ``None`` if the client left first: then ``work`` is cancelled."""
        working = asyncio.ensure_future(work)
        leaving = asyncio.ensure_future(self._left())
        try:
            await asyncio.wait({working, leaving}, return_when=asyncio.FIRST_COMPLETED)
            if not working.done() and not leaving.result():
                await asyncio.wait({working})
            return working.result() if working.done() else None
        finally:
            for task in (working, leaving):
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError, TooManyChecksError):
                    await task

    async def _left(self) -> bool:
        """Wait until the client has left; ``False`` if it still sends a body, which is the application's business."""
        for _ in range(2):
            message = await self._receive()
            self._received.append(message)
            if message["type"] == "http.disconnect" or message.get("more_body"):
                return bool(message["type"] == "http.disconnect")
        return False


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
    await _answer(send, 401, body, (b"www-authenticate", b"Basic"))


async def _answer(send: Send, status: int, body: bytes, header: tuple[bytes, bytes]) -> None:
    headers = [
        header,
        (b"content-type", b"text/plain; charset=utf-8"),
        (b"content-length", str(len(body)).encode()),
        (b"cache-control", b"no-store"),
    ]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
