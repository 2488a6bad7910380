"""Plivo's V3 signatures: the caller proves that it knows an auth token, by signing the URL it was given and a nonce.

``base64(HMAC-SHA256(auth token, URL + "." + nonce))`` stands in ``X-Plivo-Signature-V3`` (or ``-Ma-V3`` for the main account), perhaps
among others, separated by commas; the nonce in ``X-Plivo-Signature-V3-Nonce``. The URL is the one the platform was given, so behind a
proxy it has to be configured. Plivo's own libraries disagree on how a query is written into it and which scheme it has: each of their
ways is accepted, since all of them need the token. Sources: docs.plivo.com/docs/voice/xml/request/validation; plivo-python,
``plivo/utils/signature_v3.py``; plivo-agentstack-node, ``src/webhook.ts``.
"""

import hmac
from base64 import b64encode
from collections.abc import Iterator, Sequence
from hashlib import sha256
from typing import Final, Literal
from urllib.parse import parse_qsl, quote, urlsplit

from exporter.auth.handshake import Handshake

MOST_NONCES: Final = 50_000
"""Nonces remembered. The scheme has no time in it, so that a replay is known as long as its nonce is."""
LONGEST_NONCE: Final = 256
SIGNATURES: Final = ("x-plivo-signature-v3", "x-plivo-signature-ma-v3")
NONCES: Final = ("x-plivo-signature-v3-nonce", "x-plivo-signature-ma-v3-nonce")
_MOST_SIGNATURES: Final = 8
_MOST_PARAMETERS: Final = 64
_SCHEMES: Final = ("wss", "https", "ws", "http")

Verdict = Literal["absent", "right", "wrong", "replayed"]


class Signatures:
    """Checks signatures against auth tokens. ``public_url`` is scheme and host, and if it has a path, the path too."""

    def __init__(self, auth_tokens: Sequence[str], public_url: str | None) -> None:
        self._tokens = [token.encode() for token in auth_tokens]
        self._public = urlsplit(public_url) if public_url else None
        self._seen: dict[bytes, None] = {}

    def __bool__(self) -> bool:
        return bool(self._tokens)

    def check(self, handshake: Handshake) -> Verdict:
        """Whether the handshake is signed; a right one is remembered, so that it is right only once."""
        given = [value for name in SIGNATURES for value in (handshake.header(name) or "").split(",") if value.strip()]
        nonce = next((value for name in NONCES if (value := handshake.header(name))), None)
        if not given and nonce is None:
            return "absent"
        if not given or not nonce or len(nonce) > LONGEST_NONCE or len(given) > _MOST_SIGNATURES:
            return "wrong"
        if not self._is_signed(handshake, nonce, [value.strip().encode("utf-8", "replace") for value in given]):
            return "wrong"
        return "right" if self._is_new(nonce) else "replayed"

    def _is_signed(self, handshake: Handshake, nonce: str, given: list[bytes]) -> bool:
        found = False
        for url in self._urls(handshake):
            message = f"{url}.{nonce}".encode("utf-8", "surrogateescape")
            for token in self._tokens:
                expected = b64encode(hmac.new(token, message, sha256).digest())
                for value in given:
                    found |= hmac.compare_digest(expected, value)
        return found

    def _urls(self, handshake: Handshake) -> Iterator[str]:
        """Every URL the platform may have signed."""
        public = self._public
        host = public.netloc if public else handshake.header("host") or ""
        path = public.path if public and public.path not in ("", "/") else handshake.path
        queries = dict.fromkeys(_written(handshake.query))
        for scheme in _SCHEMES:
            for query in queries:
                yield f"{scheme}://{host}{path}{query and '?'}{query}"

    def _is_new(self, nonce: str) -> bool:
        digest = sha256(nonce.encode("utf-8", "surrogateescape")).digest()[:16]
        if digest in self._seen:
            return False
        self._seen[digest] = None
        if len(self._seen) > MOST_NONCES:
            del self._seen[next(iter(self._seen))]
        return True


def _written(query: str) -> Iterator[str]:
    """A query as it came, as plivo-python writes it (sorted, decoded), and as plivo-agentstack-node does (sorted, encoded)."""
    yield query
    if not query:
        return
    try:
        found = sorted(parse_qsl(query, keep_blank_values=True, max_num_fields=_MOST_PARAMETERS))
    except ValueError:
        return
    yield "&".join(f"{key}={value}" for key, value in found)
    yield "&".join(f"{quote(key, safe=_AS_IS)}={quote(value, safe=_AS_IS)}" for key, value in found)


_AS_IS: Final = "!~*'()"
"""Characters that JavaScript's encodeURIComponent leaves as they are, besides letters, digits and ``_.-``."""
