"""Secrets of which any one opens: several are valid at once, so that they can be exchanged without a gap."""

import hmac
from collections.abc import Iterable
from hashlib import sha256


class SecretSet:
    """Compares in a time that depends on neither which secret is near nor how much of it is right: digests, and all of them."""

    __slots__ = ("_digests",)

    def __init__(self, secrets: Iterable[str]) -> None:
        self._digests = tuple(_digest(secret) for secret in dict.fromkeys(secrets))

    def __bool__(self) -> bool:
        return bool(self._digests)

    def holds(self, presented: str) -> bool:
        """Whether it is one of them."""
        digest = _digest(presented)
        found = False
        for known in self._digests:
            found |= hmac.compare_digest(known, digest)
        return found


def _digest(secret: str) -> bytes:
    return sha256(secret.encode("utf-8", "surrogateescape")).digest()
