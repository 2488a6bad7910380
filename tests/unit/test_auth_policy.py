"""Who may connect: every credential missing, wrong, rotated and replayed."""

import base64
import hashlib
import hmac
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from plivo.utils.signature_v3 import validate_v3_signature

from exporter.auth import AccessRules, AuthPolicy, ConnectionLoad, Handshake, SecretSet, Signatures
from exporter.auth.signatures import MAX_NONCE_LENGTH, MAX_NONCES

TOKEN, OTHER_TOKEN = "t0ken-t0ken-t0ken", "another-t0ken-now"
SECRET = "path-secret-path-secret"
AUTH_TOKEN = "MjQ3ZDk0OTk5YmU3NzM4"
HOST = "calls.example.com"


def handshake(path: str = "/ws", query: str = "", **headers: str) -> Handshake:
    """A request with these headers, their names written with underscores."""
    named = tuple((name.replace("_", "-"), value) for name, value in headers.items())
    return Handshake(path, query, (("host", HOST), *named))


def policy(
    *,
    tokens: tuple[str, ...] = (),
    secrets: tuple[str, ...] = (),
    auth_tokens: tuple[str, ...] = (),
    public_url: str | None = None,
    path: str | None = "/ws",
    **rules: Any,
) -> AuthPolicy:
    """A policy with these credentials."""
    known = SecretSet(tokens)
    return AuthPolicy(
        AccessRules(path, rules.pop("most", 10), **rules), lambda: known, SecretSet(secrets), Signatures(auth_tokens, public_url)
    )


def reason(auth_policy: AuthPolicy, request: Handshake, load: ConnectionLoad | None = None) -> str | None:
    """Status and reason of the refusal, or ``None`` if the peer is accepted."""
    refusal = auth_policy.decide(request, load or ConnectionLoad())
    return refusal and f"{refusal.status} {refusal.reason}"


def signed(url: str, nonce: str = "n1", token: str = AUTH_TOKEN) -> dict[str, str]:
    """The headers with which the platform signs ``url``."""
    signature = base64.b64encode(hmac.new(token.encode(), f"{url}.{nonce}".encode(), hashlib.sha256).digest()).decode()
    return {"x_plivo_signature_v3": signature, "x_plivo_signature_v3_nonce": nonce}


def test_without_credentials_anyone_may_connect() -> None:
    """If no credentials are configured, none are required."""
    assert reason(policy(), handshake()) is None


@pytest.mark.parametrize("path", ["/", "/ws/", "/WS", "/%77s", "/ws/x"])
def test_another_path_is_refused(path: str) -> None:
    """Paths are compared as the peer sent them, without decoding."""
    assert reason(policy(), handshake(path)) == "404 wrong_path"


def test_a_stopping_or_full_exporter_accepts_nobody() -> None:
    """Both answer 503, so that the platform retries."""
    assert reason(policy(), handshake(), ConnectionLoad(stopping=True)) == "503 stopping"
    assert reason(policy(most=3), handshake(), ConnectionLoad(connections=3)) == "503 too_many"
    assert reason(policy(most=3), handshake(), ConnectionLoad(connections=2)) is None


def test_browsers_are_refused() -> None:
    """An Origin that is not on the list is refused, whatever credentials the peer presents; the platform sends none."""
    strict = policy(tokens=(TOKEN,), origins=frozenset({"https://app.example.com"}))
    shown = {"authorization": f"Bearer {TOKEN}"}
    assert reason(strict, handshake(**shown)) is None
    assert reason(strict, handshake(origin="https://app.example.com", **shown)) is None
    for origin in ("https://evil.example", "null", "", "https://app.example.com.evil.example", "HTTPS://APP.EXAMPLE.COM"):
        assert reason(strict, handshake(origin=origin, **shown)) == "403 origin"


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (None, "401 no_credentials"),
        (f"Bearer {TOKEN}", None),
        (f"bearer  {TOKEN} ", None),
        (f"Bearer {OTHER_TOKEN}", None),
        (f"Bearer {TOKEN}x", "401 wrong_token"),
        (f"Bearer {TOKEN[:-1]}", "401 wrong_token"),
        ("Bearer", "401 no_credentials"),
        ("Bearer ", "401 wrong_token"),
        (f"Basic {TOKEN}", "401 no_credentials"),
        (TOKEN, "401 no_credentials"),
        ("Bearer \udcff", "401 wrong_token"),
    ],
)
def test_bearer_tokens(header: str | None, expected: str | None) -> None:
    """Each configured token is accepted, and nothing that resembles one."""
    headers = {} if header is None else {"authorization": header}
    assert reason(policy(tokens=(TOKEN, OTHER_TOKEN)), handshake(**headers)) == expected


def test_a_removed_token_is_wrong() -> None:
    """Tokens are read for each handshake, so a removed one is refused at once."""
    known = [TOKEN, OTHER_TOKEN]
    rotating = AuthPolicy(AccessRules("/ws", 10), lambda: SecretSet(known))
    request = handshake(authorization=f"Bearer {TOKEN}")
    assert reason(rotating, request) is None
    known.remove(TOKEN)
    assert reason(rotating, request) == "401 wrong_token"


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        (f"/ws/{SECRET}", None),
        ("/ws", "401 no_credentials"),
        ("/ws/wrong", "401 wrong_path_secret"),
        ("/ws/", "404 wrong_path"),
        (f"/ws/{SECRET}/", "404 wrong_path"),
        (f"/ws/{SECRET}/x", "404 wrong_path"),
        (f"/{SECRET}", "404 wrong_path"),
        (f"/ws/x/{SECRET}", "404 wrong_path"),
    ],
)
def test_secret_paths(path: str, expected: str | None) -> None:
    """The secret is the last segment, directly behind the path."""
    assert reason(policy(secrets=(SECRET,)), handshake(path)) == expected


def test_the_public_path_has_no_secret() -> None:
    """In front of an app with its own paths every path is accepted, and the secret is removed from it."""
    relaying = policy(path=None, secrets=(SECRET,))
    assert reason(relaying, handshake(f"/agents/7/{SECRET}")) is None
    assert relaying.public_path(f"/agents/7/{SECRET}") == "/agents/7"
    assert relaying.public_path(f"/{SECRET}") == "/"
    assert reason(relaying, handshake("/agents/7/guess")) == "401 no_credentials"
    assert relaying.public_path("/agents/7") == "/agents/7"


@pytest.mark.parametrize("scheme", ["wss", "https", "ws", "http"])
def test_the_url_may_be_signed_with_any_of_its_schemes(scheme: str) -> None:
    """Plivo's libraries differ in the scheme with which they sign the URL of a WebSocket."""
    assert reason(policy(auth_tokens=(AUTH_TOKEN,)), handshake(**signed(f"{scheme}://{HOST}/ws"))) is None


@pytest.mark.parametrize(
    ("public_url", "arrives_at", "signed_url", "expected"),
    [
        ("wss://public.example", "/ws", "wss://public.example/ws", None),
        ("wss://public.example:8443/", "/ws", "wss://public.example:8443/ws", None),
        ("wss://public.example/voice/events", "/ws", "wss://public.example/voice/events", None),
        ("wss://public.example", "/ws", f"wss://{HOST}/ws", "403 wrong_signature"),
        (None, "/ws", "wss://public.example/ws", "403 wrong_signature"),
    ],
)
def test_behind_a_proxy_the_public_url_is_what_was_signed(
    public_url: str | None, arrives_at: str, signed_url: str, expected: str | None
) -> None:
    """The platform signed another URL than the one that arrives; with a public URL the Host header is ignored."""
    assert reason(policy(auth_tokens=(AUTH_TOKEN,), public_url=public_url), handshake(arrives_at, **signed(signed_url))) == expected


def test_signatures_of_any_token_in_any_header() -> None:
    """Several auth tokens, several signatures in one header, and the main account's header are accepted."""
    several = policy(auth_tokens=("some-other-account", AUTH_TOKEN))
    right = signed(f"wss://{HOST}/ws")["x_plivo_signature_v3"]
    listed = {"x_plivo_signature_v3": f"d3Jvbmc=, {right}", "x_plivo_signature_v3_nonce": "n1"}
    assert reason(several, handshake(**listed)) is None
    main = {"x_plivo_signature_ma_v3": signed(f"wss://{HOST}/ws", "n2")["x_plivo_signature_v3"], "x_plivo_signature_v3_nonce": "n2"}
    assert reason(several, handshake(**main)) is None


@pytest.mark.parametrize(
    "headers",
    [
        {"x_plivo_signature_v3": "d3Jvbmc=", "x_plivo_signature_v3_nonce": "n1"},
        {"x_plivo_signature_v3": signed(f"wss://{HOST}/ws")["x_plivo_signature_v3"]},
        {"x_plivo_signature_v3_nonce": "n1"},
        {**signed(f"wss://{HOST}/ws"), "x_plivo_signature_v3_nonce": "n2"},
        signed(f"wss://{HOST}/ws", token="not the token"),
        signed(f"wss://{HOST}/other"),
        signed(f"wss://{HOST}/ws", "n" * (MAX_NONCE_LENGTH + 1)),
        {**signed(f"wss://{HOST}/ws"), "x_plivo_signature_v3": ",".join(["d3Jvbmc="] * 9)},
        {"x_plivo_signature_v3": "\udcff", "x_plivo_signature_v3_nonce": "\udcff"},
    ],
)
def test_an_invalid_signature(headers: dict[str, str]) -> None:
    """A signature of another URL, with another token or without its nonce is refused."""
    assert reason(policy(auth_tokens=(AUTH_TOKEN,)), handshake(**headers)) == "403 wrong_signature"


def test_a_signature_is_accepted_once() -> None:
    """A recorded handshake cannot be used again; a fresh nonce is accepted."""
    once = policy(auth_tokens=(AUTH_TOKEN,))
    request = handshake(**signed(f"wss://{HOST}/ws"))
    assert [reason(once, request) for _ in range(3)] == [None, "403 replayed", "403 replayed"]
    assert reason(once, handshake(**signed(f"wss://{HOST}/ws", "n2"))) is None


def test_nonces_are_remembered_within_a_bound() -> None:
    """The oldest nonce is evicted first, and invalid signatures evict none."""
    signatures = Signatures((AUTH_TOKEN,), None)
    first = handshake(**signed(f"wss://{HOST}/ws", "first"))
    assert signatures.check(first) == "valid"
    for number in range(50):
        wrong = {**signed(f"wss://{HOST}/ws", str(number)), "x_plivo_signature_v3": "d3Jvbmc="}
        assert signatures.check(handshake(**wrong)) == "invalid"
    assert len(signatures._seen) == 1
    for number in range(MAX_NONCES - 1):
        signatures._seen[number.to_bytes(16, "big")] = None
    assert signatures.check(handshake(**signed(f"wss://{HOST}/ws", "last"))) == "valid"
    assert len(signatures._seen) == MAX_NONCES
    assert signatures.check(first) == "valid"


def test_any_one_credential_is_enough() -> None:
    """With all three kinds configured each one is accepted alone, and the reason names the last one that was tried."""
    every = policy(tokens=(TOKEN,), secrets=(SECRET,), auth_tokens=(AUTH_TOKEN,))
    assert reason(every, handshake(authorization=f"Bearer {TOKEN}")) is None
    assert reason(every, handshake(f"/ws/{SECRET}")) is None
    assert reason(every, handshake(**signed(f"wss://{HOST}/ws"))) is None
    assert reason(every, handshake()) == "401 no_credentials"
    assert reason(every, handshake("/ws/guess", authorization="Bearer guess")) == "401 wrong_token"


def test_a_full_exporter_does_not_consume_a_signature() -> None:
    """A peer that was refused because of the connection limit can retry with the same handshake."""
    full = policy(auth_tokens=(AUTH_TOKEN,), most=1)
    request = handshake(**signed(f"wss://{HOST}/ws"))
    assert reason(full, request, ConnectionLoad(connections=1)) == "503 too_many"
    assert reason(full, request) is None


_text = st.text(st.characters(codec="utf-8", exclude_categories=["Cs", "Cc"]), max_size=8)
_simple = st.text("abcXYZ019._~-", min_size=1, max_size=8)


@given(
    path=st.lists(_simple, max_size=3).map(lambda parts: "/" + "/".join(parts)),
    query=st.dictionaries(_simple, _simple, max_size=3),
    nonce=st.text("0123456789abcdef", min_size=1, max_size=32),
    token=_simple,
    scheme=st.sampled_from(["https", "http"]),
    tampered=st.booleans(),
)
def test_as_plivos_own_library(path: str, query: dict[str, str], nonce: str, token: str, scheme: str, tampered: bool) -> None:
    """Plivo's own check of a GET and ours accept the same requests, and both refuse a tampered one."""
    text = "&".join(f"{key}={value}" for key, value in query.items())
    ordered = "&".join(f"{key}={query[key]}" for key in sorted(query))
    url = f"{scheme}://{HOST}{path}"
    headers = signed(f"{url}{ordered and '?'}{ordered}", nonce, token)
    seen = f"{url}{text and '?'}{text}"
    arrived = nonce + "x" if tampered else nonce
    theirs = validate_v3_signature("GET", seen, arrived, token, headers["x_plivo_signature_v3"])
    ours = Signatures((token,), None).check(handshake(path, text, **{**headers, "x_plivo_signature_v3_nonce": arrived}))
    assert (ours == "valid") == theirs == (not tampered)


@given(secrets=st.lists(_text, max_size=4), presented=_text)
def test_secrets_are_held_or_not(secrets: list[str], presented: str) -> None:
    """A set of secrets holds exactly its members, whatever the texts are."""
    assert SecretSet(secrets).holds(presented) == (presented in secrets)
