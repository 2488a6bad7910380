"""Sets of secrets. Several are valid at the same time, so that a secret can be rotated without an outage."""

import hmac
from collections.abc import Iterable
from hashlib import sha256


class SecretSet:
    """Compares a presented secret with all valid ones.

    It compares digests, and always every one of them. So the time it takes reveals neither which secret is close nor how many of its
    characters match.
    """

    __slots__ = ("_digests",)

    def __init__(self, secrets: Iterable[str]) -> None:
        self._digests = tuple(_digest(secret) for secret in dict.fromkeys(secrets))

    def __bool__(self) -> bool:
        return bool(self._digests)

    def holds(self, presented: str) -> bool:
        """Whether ``presented`` is one of the secrets."""
        digest = _digest(presented)
        found = False
        for known in self._digests:
            found |= hmac.compare_digest(known, digest)
        return found


def _digest(secret: str) -> bytes:
    return sha256(secret.encode("utf-8", "surrogateescape")).digest()
