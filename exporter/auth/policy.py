"""The decision: a handshake is let in, or refused with a status and a reason before anything was accepted.

Where several credentials are configured any one of them opens, since the platform may be able to give only one. Once any is
configured it is asked for everywhere, on loopback too.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, NamedTuple

from exporter.auth.handshake import Handshake
from exporter.auth.secrets import SecretSet
from exporter.auth.signatures import Signatures

_BEARER: Final = "bearer "


class Refusal(NamedTuple):
    """Why a handshake is refused: the HTTP status, the value of the ``reason`` label, and what the peer is told."""

    status: int
    reason: str
    told: str


class Load(NamedTuple):
    """How things stand: connections open, and whether no new ones are taken."""

    connections: int = 0
    stopping: bool = False


WRONG_PATH: Final = Refusal(404, "wrong_path", "no WebSocket is spoken on this path")
STOPPING: Final = Refusal(503, "stopping", "the exporter is stopping")
ORIGIN: Final = Refusal(403, "origin", "this Origin is not allowed")
TOO_MANY: Final = Refusal(503, "too_many", "too many connections")
NO_CREDENTIALS: Final = Refusal(401, "no_credentials", "credentials are missing")
WRONG_TOKEN: Final = Refusal(401, "wrong_token", "the token is not valid")
WRONG_SECRET: Final = Refusal(401, "wrong_path_secret", "the secret in the path is not valid")
WRONG_SIGNATURE: Final = Refusal(403, "wrong_signature", "the signature is not valid")
REPLAYED: Final = Refusal(403, "replayed", "the signature was used before")
REFUSALS: Final = (
    WRONG_PATH, STOPPING, ORIGIN, TOO_MANY, NO_CREDENTIALS, WRONG_TOKEN, WRONG_SECRET, WRONG_SIGNATURE, REPLAYED,
)  # fmt: skip


_NO_SECRETS: Final = SecretSet(())


@dataclass(frozen=True, slots=True)
class Rules:
    """What the operator has set. ``path`` is ``None`` where any will do, as before an app with paths of its own."""

    path: str | None
    max_connections: int
    origins: frozenset[str] = frozenset()


class Door:
    """Decides. ``tokens`` is asked each time, since they may change while the process runs."""

    def __init__(
        self,
        rules: Rules,
        tokens: Callable[[], SecretSet] = lambda: _NO_SECRETS,
        path_secrets: SecretSet | None = None,
        signatures: Signatures | None = None,
    ) -> None:
        self._rules = rules
        self._tokens = tokens
        self._path_secrets = path_secrets or _NO_SECRETS
        self._signatures = signatures or Signatures((), None)

    def decide(self, handshake: Handshake, load: Load) -> Refusal | None:
        """``None`` lets the peer in; a signed handshake that is let in is remembered and never let in again."""
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

    def took_token(self, handshake: Handshake) -> bool:
        """Whether the ``Authorization`` of a handshake that was let in was meant for this door."""
        presented = _bearer(handshake.header("authorization"))
        return presented is not None and self._tokens().holds(presented)

    def is_spoken_on(self, path: str) -> bool:
        """Whether a WebSocket is spoken on this path, so that a request which is none had better be one."""
        return self._rules.path is None or self._split(path)[0] == self._rules.path

    def public_path(self, path: str) -> str:
        """The path without the secret in it, as it may be shown and passed on."""
        return self._split(path)[0]

    def _split(self, path: str) -> tuple[str, str | None]:
        """The path and its secret: the last segment, where secrets are configured and it is one or has the place of one."""
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
            if verdict == "right":
                return None
            refusal = {"wrong": WRONG_SIGNATURE, "replayed": REPLAYED}.get(verdict, refusal)
        return refusal


def _bearer(header: str | None) -> str | None:
    """The token of an ``Authorization`` header (RFC 6750), or ``None`` if it has none."""
    return header[len(_BEARER) :].strip() if header and header[: len(_BEARER)].lower() == _BEARER else None
