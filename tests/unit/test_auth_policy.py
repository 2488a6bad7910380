"""Who is let in: every credential missing, wrong, exchanged and replayed."""

import base64
import hashlib
import hmac
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from plivo.utils.signature_v3 import validate_v3_signature

from exporter.auth import Door, Handshake, Load, Rules, SecretSet, Signatures
from exporter.auth.signatures import LONGEST_NONCE, MOST_NONCES

TOKEN, OTHER_TOKEN = "t0ken-t0ken-t0ken", "another-t0ken-now"
SECRET = "path-secret-path-secret"
AUTH_TOKEN = "MjQ3ZDk0OTk5YmU3NzM4"
HOST = "calls.example.com"


def handshake(path: str = "/ws", query: str = "", **headers: str) -> Handshake:
    """A request with these headers, their names written with underscores."""
    named = tuple((name.replace("_", "-"), value) for name, value in headers.items())
    return Handshake(path, query, (("host", HOST), *named))


def door(
    *,
    tokens: tuple[str, ...] = (),
    secrets: tuple[str, ...] = (),
    auth_tokens: tuple[str, ...] = (),
    public_url: str | None = None,
    path: str | None = "/ws",
    **rules: Any,
) -> Door:
    """A door with such credentials."""
    known = SecretSet(tokens)
    return Door(Rules(path, rules.pop("most", 10), **rules), lambda: known, SecretSet(secrets), Signatures(auth_tokens, public_url))


def reason(of: Door, knock: Handshake, load: Load | None = None) -> str | None:
    """Why it is refused."""
    refusal = of.decide(knock, load or Load())
    return refusal and f"{refusal.status} {refusal.reason}"


def signed(url: str, nonce: str = "n1", token: str = AUTH_TOKEN) -> dict[str, str]:
    """The headers with which the platform signs ``url``."""
    signature = base64.b64encode(hmac.new(token.encode(), f"{url}.{nonce}".encode(), hashlib.sha256).digest()).decode()
    return {"x_plivo_signature_v3": signature, "x_plivo_signature_v3_nonce": nonce}


def test_without_credentials_anyone_comes_in() -> None:
    """Where nothing is configured nothing is asked for."""
    assert reason(door(), handshake()) is None


@pytest.mark.parametrize("path", ["/", "/ws/", "/WS", "/%77s", "/ws/x"])
def test_another_path_is_another_place(path: str) -> None:
    """Paths are compared as they were sent."""
    assert reason(door(), handshake(path)) == "404 wrong_path"


def test_a_stopping_or_full_exporter_takes_nobody() -> None:
    """Both are 503, so that the platform may come back."""
    assert reason(door(), handshake(), Load(stopping=True)) == "503 stopping"
    assert reason(door(most=3), handshake(), Load(connections=3)) == "503 too_many"
    assert reason(door(most=3), handshake(), Load(connections=2)) is None


def test_browsers_are_kept_out() -> None:
    """Any Origin that is not on the list is refused, whatever else is shown; the platform sends none."""
    strict = door(tokens=(TOKEN,), origins=frozenset({"https://app.example.com"}))
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
    """Any of the tokens opens, and nothing that is near one."""
    headers = {} if header is None else {"authorization": header}
    assert reason(door(tokens=(TOKEN, OTHER_TOKEN)), handshake(**headers)) == expected


def test_a_token_that_was_taken_away_is_wrong() -> None:
    """Tokens are asked for at each knock, so that one that has expired opens no more."""
    known = [TOKEN, OTHER_TOKEN]
    rotating = Door(Rules("/ws", 10), lambda: SecretSet(known))
    knock = handshake(authorization=f"Bearer {TOKEN}")
    assert reason(rotating, knock) is None
    known.remove(TOKEN)
    assert reason(rotating, knock) == "401 wrong_token"


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
    """The secret is the last segment, behind the path and nowhere else."""
    assert reason(door(secrets=(SECRET,)), handshake(path)) == expected


def test_a_secret_is_no_part_of_the_public_path() -> None:
    """Before an app with paths of its own any path will do, and the secret is taken off it."""
    relaying = door(path=None, secrets=(SECRET,))
    assert reason(relaying, handshake(f"/agents/7/{SECRET}")) is None
    assert relaying.public_path(f"/agents/7/{SECRET}") == "/agents/7"
    assert relaying.public_path(f"/{SECRET}") == "/"
    assert reason(relaying, handshake("/agents/7/guess")) == "401 no_credentials"
    assert relaying.public_path("/agents/7") == "/agents/7"


@pytest.mark.parametrize("scheme", ["wss", "https", "ws", "http"])
def test_the_url_may_be_signed_with_any_of_its_schemes(scheme: str) -> None:
    """Plivo's libraries do not agree on whether a WebSocket's URL is signed as such."""
    assert reason(door(auth_tokens=(AUTH_TOKEN,)), handshake(**signed(f"{scheme}://{HOST}/ws"))) is None


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
    """What arrives is not what the platform was given; with a public URL the Host header counts for nothing."""
    assert reason(door(auth_tokens=(AUTH_TOKEN,), public_url=public_url), handshake(arrives_at, **signed(signed_url))) == expected


def test_signatures_of_any_token_in_any_header() -> None:
    """Several auth tokens, several signatures in a header, and the main account's header."""
    several = door(auth_tokens=("some-other-account", AUTH_TOKEN))
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
        signed(f"wss://{HOST}/ws", "n" * (LONGEST_NONCE + 1)),
        {**signed(f"wss://{HOST}/ws"), "x_plivo_signature_v3": ",".join(["d3Jvbmc="] * 9)},
        {"x_plivo_signature_v3": "\udcff", "x_plivo_signature_v3_nonce": "\udcff"},
    ],
)
def test_what_is_not_signed_right(headers: dict[str, str]) -> None:
    """A signature of something else, by somebody else, or without its nonce."""
    assert reason(door(auth_tokens=(AUTH_TOKEN,)), handshake(**headers)) == "403 wrong_signature"


def test_a_signature_opens_once() -> None:
    """Whoever recorded a handshake cannot use it again; a fresh nonce opens."""
    once = door(auth_tokens=(AUTH_TOKEN,))
    knock = handshake(**signed(f"wss://{HOST}/ws"))
    assert [reason(once, knock) for _ in range(3)] == [None, "403 replayed", "403 replayed"]
    assert reason(once, handshake(**signed(f"wss://{HOST}/ws", "n2"))) is None


def test_nonces_are_remembered_within_a_bound() -> None:
    """The oldest is forgotten first, and wrong signatures push none out."""
    signatures = Signatures((AUTH_TOKEN,), None)
    first = handshake(**signed(f"wss://{HOST}/ws", "first"))
    assert signatures.check(first) == "right"
    for number in range(50):
        wrong = {**signed(f"wss://{HOST}/ws", str(number)), "x_plivo_signature_v3": "d3Jvbmc="}
        assert signatures.check(handshake(**wrong)) == "wrong"
    assert len(signatures._seen) == 1
    signatures._seen.update(dict.fromkeys(number.to_bytes(16, "big") for number in range(MOST_NONCES - 1)))
    assert signatures.check(handshake(**signed(f"wss://{HOST}/ws", "last"))) == "right"
    assert len(signatures._seen) == MOST_NONCES
    assert signatures.check(first) == "right"


def test_any_one_credential_is_enough() -> None:
    """With all three configured each opens alone, and the reason tells what was tried last."""
    every = door(tokens=(TOKEN,), secrets=(SECRET,), auth_tokens=(AUTH_TOKEN,))
    assert reason(every, handshake(authorization=f"Bearer {TOKEN}")) is None
    assert reason(every, handshake(f"/ws/{SECRET}")) is None
    assert reason(every, handshake(**signed(f"wss://{HOST}/ws"))) is None
    assert reason(every, handshake()) == "401 no_credentials"
    assert reason(every, handshake("/ws/guess", authorization="Bearer guess")) == "401 wrong_token"


def test_a_full_exporter_does_not_use_a_signature_up() -> None:
    """Whoever is turned away for lack of room may come back with the same handshake."""
    full = door(auth_tokens=(AUTH_TOKEN,), most=1)
    knock = handshake(**signed(f"wss://{HOST}/ws"))
    assert reason(full, knock, Load(connections=1)) == "503 too_many"
    assert reason(full, knock) is None


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
    """Whatever Plivo's own check of a GET accepts, ours does, and whatever was changed on the way neither does."""
    text = "&".join(f"{key}={value}" for key, value in query.items())
    ordered = "&".join(f"{key}={query[key]}" for key in sorted(query))
    url = f"{scheme}://{HOST}{path}"
    headers = signed(f"{url}{ordered and '?'}{ordered}", nonce, token)
    seen = f"{url}{text and '?'}{text}"
    arrived = nonce + "x" if tampered else nonce
    theirs = validate_v3_signature("GET", seen, arrived, token, headers["x_plivo_signature_v3"])
    ours = Signatures((token,), None).check(handshake(path, text, **{**headers, "x_plivo_signature_v3_nonce": arrived}))
    assert (ours == "right") == theirs == (not tampered)


@given(secrets=st.lists(_text, max_size=4), presented=_text)
def test_secrets_are_held_or_not(secrets: list[str], presented: str) -> None:
    """A set of secrets holds what is in it, whatever the texts are."""
    assert SecretSet(secrets).holds(presented) == (presented in secrets)
