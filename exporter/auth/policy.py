"""The auth policy: accepts a handshake, or refuses it with a status and a reason before the connection is accepted.

If several kinds of credentials are configured, any one of them is enough, because the platform may be able to present only one. If
at least one is configured, every peer must present one, on loopback too.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, NamedTuple

from exporter.auth.handshake import Handshake
from exporter.auth.secrets import SecretSet
from exporter.auth.signatures import Signatures

_BEARER: Final = "bearer "


class Refusal(NamedTuple):
    """Why a handshake is refused: the HTTP status, the value of the ``reason`` label, and the text the peer receives."""

    status: int
    reason: str
    message: str


class ConnectionLoad(NamedTuple):
    """How many connections are open, and whether the exporter is stopping and accepts no new ones."""

    connections: int = 0
    stopping: bool = False


WRONG_PATH: Final = Refusal(404, "wrong_path", "there is no WebSocket endpoint on this path")
STOPPING: Final = Refusal(503, "stopping", "the exporter is stopping and accepts no connections")
ORIGIN: Final = Refusal(403, "origin", "this Origin is not allowed")
TOO_MANY: Final = Refusal(503, "too_many", "too many connections are open")
NO_CREDENTIALS: Final = Refusal(
    401, "no_credentials", "credentials are missing: expected a bearer token, a secret in the path or a Plivo signature"
)
WRONG_TOKEN: Final = Refusal(401, "wrong_token", "the bearer token in the Authorization header is not valid")
WRONG_SECRET: Final = Refusal(401, "wrong_path_secret", "the secret at the end of the path is not valid")
WRONG_SIGNATURE: Final = Refusal(403, "wrong_signature", "the Plivo signature does not match the URL and the nonce")
REPLAYED: Final = Refusal(403, "replayed", "the Plivo signature was used before")


_NO_SECRETS: Final = SecretSet(())


@dataclass(frozen=True, slots=True)
class AccessRules:
    """What the operator has configured. ``path`` is ``None`` if every path is accepted, as in front of an app with its own paths."""

    path: str | None
    max_connections: int
    origins: frozenset[str] = frozenset()


class AuthPolicy:
    """Decides who may connect. ``tokens`` is called for each handshake, because tokens may change while the process runs."""

    def __init__(
        self,
        rules: AccessRules,
        tokens: Callable[[], SecretSet] = lambda: _NO_SECRETS,
        path_secrets: SecretSet | None = None,
        signatures: Signatures | None = None,
    ) -> None:
        self._rules = rules
        self._tokens = tokens
        self._path_secrets = path_secrets or _NO_SECRETS
        self._signatures = signatures or Signatures((), None)

    def decide(self, handshake: Handshake, load: ConnectionLoad) -> Refusal | None:
        """Return the refusal, or ``None`` to accept the peer. A signed handshake is accepted once: its nonce is remembered."""
        path, secret = self._split(handshake.path)
        if self._rules.path is not None and path != self._rules.path:
            return WRONG_PATH
        if load.stopping:
            return STOPPING
        origin = handshake.header("origin")
        if origin is not None and origin not in self._rules.origins:
            return ORIGIN
        if load.connections >= self._rules.max_connections:
            return TOO_MANY
        return self._credentials(handshake, secret)

    def consumed_authorization(self, handshake: Handshake) -> bool:
        """Whether the ``Authorization`` header of an accepted handshake is a token of this policy, not one for the app behind it."""
        presented = _bearer(handshake.header("authorization"))
        return presented is not None and self._tokens().holds(presented)

    def is_websocket_path(self, path: str) -> bool:
        """Whether the WebSocket endpoint is on this path, so that the answer to a plain HTTP request is 426 and not 404."""
        return self._rules.path is None or self._split(path)[0] == self._rules.path

    def public_path(self, path: str) -> str:
        """The path without its secret: safe to show and to forward."""
        return self._split(path)[0]

    def _split(self, path: str) -> tuple[str, str | None]:
        """Split the secret off the path.

        The last segment is the secret if path secrets are configured and it is one of them, or stands where one is expected.
        """
        if not self._path_secrets:
            return path, None
        before, _, last = path.rpartition("/")
        if self._path_secrets.holds(last) or (self._rules.path is not None and before == self._rules.path.rstrip("/") and last):
            return before or "/", last
        return path, None

    def _credentials(self, handshake: Handshake, secret: str | None) -> Refusal | None:
        tokens = self._tokens()
        if not (tokens or self._path_secrets or self._signatures):
            return None
        if secret is not None and self._path_secrets.holds(secret):
            return None
        refusal = NO_CREDENTIALS if secret is None else WRONG_SECRET
        if tokens and (presented := _bearer(handshake.header("authorization"))) is not None:
            if tokens.holds(presented):
                return None
            refusal = WRONG_TOKEN
        if self._signatures:
            verdict = self._signatures.check(handshake)
            if verdict == "valid":
                return None
            refusal = {"invalid": WRONG_SIGNATURE, "replayed": REPLAYED}.get(verdict, refusal)
        return refusal


def _bearer(header: str | None) -> str | None:
    """The bearer token of an ``Authorization`` header (RFC 6750), or ``None``."""
    return header[len(_BEARER) :].strip() if header and header[: len(_BEARER)].lower() == _BEARER else None
