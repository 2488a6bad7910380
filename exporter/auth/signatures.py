"""Plivo's V3 signatures: the caller proves that it knows an auth token by signing the URL it was given together with a nonce.

The signature is ``base64(HMAC-SHA256(auth token, URL + "." + nonce))``. It stands in ``X-Plivo-Signature-V3`` (``-Ma-V3`` for the main
account); the header may hold several, separated by commas. The nonce stands in ``X-Plivo-Signature-V3-Nonce``. The signed URL is the
one that the platform was given, so behind a proxy it must be configured. Plivo's own libraries differ in the scheme and in how they
write the query. Every variant of theirs is accepted: all of them require the token. Sources:
docs.plivo.com/docs/voice/xml/request/validation; plivo-python, ``plivo/utils/signature_v3.py``; plivo-agentstack-node,
``src/webhook.ts``.
"""

import hmac
from base64 import b64encode
from collections.abc import Iterator, Sequence
from hashlib import sha256
from typing import Final, Literal
from urllib.parse import parse_qsl, quote, urlsplit

from exporter.auth.handshake import Handshake
from exporter.bounded_dict import BoundedDict

MAX_NONCES: Final = 50_000
"""Nonces remembered. A signature has no timestamp, so a replay is detected only while its nonce is remembered."""
MAX_NONCE_LENGTH: Final = 256
SIGNATURES: Final = ("x-plivo-signature-v3", "x-plivo-signature-ma-v3")
NONCES: Final = ("x-plivo-signature-v3-nonce", "x-plivo-signature-ma-v3-nonce")
_MAX_SIGNATURES: Final = 8
_MAX_PARAMETERS: Final = 64
_SCHEMES: Final = ("wss", "https", "ws", "http")
_UNESCAPED: Final = "!~*'()"
"""Characters that JavaScript's ``encodeURIComponent`` does not escape, besides letters, digits and ``_.-``."""

Verdict = Literal["absent", "valid", "invalid", "replayed"]


class Signatures:
    """Checks signatures against auth tokens.

    ``public_url`` replaces scheme and host of the request, and also its path if the URL has one.
    """

    def __init__(self, auth_tokens: Sequence[str], public_url: str | None) -> None:
        self._tokens = [token.encode() for token in auth_tokens]
        self._public = urlsplit(public_url) if public_url else None
        self._seen: BoundedDict[bytes, None] = BoundedDict(MAX_NONCES)

    def __bool__(self) -> bool:
        return bool(self._tokens)

    def check(self, handshake: Handshake) -> Verdict:
        """Check the signature of a handshake. A nonce is valid once."""
        presented = [value for name in SIGNATURES for value in (handshake.header(name) or "").split(",") if value.strip()]
        nonce = next((value for name in NONCES if (value := handshake.header(name))), None)
        if not presented and nonce is None:
            return "absent"
        if not presented or not nonce or len(nonce) > MAX_NONCE_LENGTH or len(presented) > _MAX_SIGNATURES:
            return "invalid"
        if not self._is_signed(handshake, nonce, [value.strip().encode("utf-8", "replace") for value in presented]):
            return "invalid"
        return "valid" if self._is_new(nonce) else "replayed"

    def _is_signed(self, handshake: Handshake, nonce: str, presented: list[bytes]) -> bool:
        found = False
        for url in self._urls(handshake):
            message = f"{url}.{nonce}".encode("utf-8", "surrogateescape")
            for token in self._tokens:
                expected = b64encode(hmac.new(token, message, sha256).digest())
                for value in presented:
                    found |= hmac.compare_digest(expected, value)
        return found

    def _urls(self, handshake: Handshake) -> Iterator[str]:
        """Every URL that the platform may have signed."""
        public = self._public
        host = public.netloc if public else handshake.header("host") or ""
        path = public.path if public and public.path not in ("", "/") else handshake.path
        queries = dict.fromkeys(_query_variants(handshake.query))
        for scheme in _SCHEMES:
            for query in queries:
                yield f"{scheme}://{host}{path}{query and '?'}{query}"

    def _is_new(self, nonce: str) -> bool:
        digest = sha256(nonce.encode("utf-8", "surrogateescape")).digest()[:16]
        if digest in self._seen:
            return False
        self._seen[digest] = None
        return True


def _query_variants(query: str) -> Iterator[str]:
    """The query as received, as plivo-python writes it (sorted, decoded), and as plivo-agentstack-node does (sorted, encoded)."""
    yield query
    if not query:
        return
    try:
        found = sorted(parse_qsl(query, keep_blank_values=True, max_num_fields=_MAX_PARAMETERS))
    except ValueError:
        return
    yield "&".join(f"{key}={value}" for key, value in found)
    yield "&".join(f"{quote(key, safe=_UNESCAPED)}={quote(value, safe=_UNESCAPED)}" for key, value in found)
