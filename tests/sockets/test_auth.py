"""Authentication of a running exporter: each refusal has its status and is counted, and secrets are never shown."""

import asyncio
import contextlib
import json
import re
import shutil
import socket
import ssl
import struct
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import bcrypt
import httpx
import pytest
from websockets.exceptions import InvalidMessage, InvalidStatus

from exporter.auth import basic_auth
from exporter.auth.peer import ignore_refusal, peer_name
from exporter.config.setting_types import Secret
from exporter.config.web_config import read_web_config
from exporter.daemon.app import Daemon
from exporter.server import listeners
from tests.support.app import app
from tests.support.daemon import (
    Endpoints,
    call,
    daemon_process,
    program,
    running_daemon,
    samples_of,
    send_all,
    settings,
    total,
)
from tests.support.pki import Pki, make_pki
from tests.support.raw_websocket import CLOSE, CONTINUATION, PING, frame, raw_connection, raw_websocket
from tests.support.waiting import eventually, patience, seconds
from tests.unit.test_auth_policy import signed

TOKEN, NEXT_TOKEN = "t0ken-t0ken-t0ken", "the-next-t0ken-now"
SECRET = "path-secret-path-secret"
AUTH_TOKEN = "MjQ3ZDk0OTk5YmU3NzM4"
STARTED = {"type": "session.started", "agent_session_id": "as-1", "agent_id": "agent-1"}
REFUSED = "agentstack_exporter_connections_refused_total"
ACCEPTED = "agentstack_exporter_connections_total"
EVENTS = "agentstack_exporter_events_total"
REJECTED = "agentstack_exporter_frames_rejected_total"
TURNED_AWAY = (ssl.SSLError, ConnectionError, EOFError, InvalidMessage)
"""Errors of a client whose protocol or certificate the listener does not accept."""


async def basic_auth_only(*_: object) -> None:
    """An application that is never reached."""


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Pki:
    return make_pki(tmp_path_factory.mktemp("pki"))


def trusting(certificate: Path, own: tuple[Path, Path] | None = None) -> ssl.SSLContext:
    """The TLS context of a client that trusts this certificate and may present its own."""
    context = ssl.create_default_context(cafile=certificate)
    if own is not None:
        context.load_cert_chain(*own)
    return context


async def status(url: str, **options: Any) -> int:
    """The status of a refused WebSocket handshake, or 101."""
    try:
        async with call(url, **options):
            return 101
    except InvalidStatus as refusal:
        return refusal.response.status_code


def bearer(token: str) -> dict[str, Any]:
    return {"additional_headers": {"Authorization": f"Bearer {token}"}}


SIGNED = {name.replace("_", "-"): value for name, value in signed("wss://public.example/ws").items()}
MATRIX = [
    ("missing", "", {}, 401, "no_credentials"),
    ("right token", "", {"Authorization": f"Bearer {TOKEN}"}, 101, ""),
    ("wrong token", "", {"Authorization": "Bearer wr0ng-wr0ng-wr0ng"}, 401, "wrong_token"),
    ("right secret", f"/{SECRET}", {}, 101, ""),
    ("wrong secret", "/wr0ng-wr0ng-wr0ng", {}, 401, "wrong_path_secret"),
    ("signed for the public URL", "", SIGNED, 101, ""),
    ("replayed", "", SIGNED, 403, "replayed"),
    ("wrong signature", "", {**SIGNED, "x-plivo-signature-v3": "d3Jvbmc="}, 403, "wrong_signature"),
    ("foreign origin", "", {"Authorization": f"Bearer {TOKEN}", "Origin": "https://evil.example"}, 403, "origin"),
    ("allowed origin", "", {"Authorization": f"Bearer {TOKEN}", "Origin": "https://good.example"}, 101, ""),
    ("wrong path", "/x/y", {}, 404, "wrong_path"),
]


async def test_the_matrix_of_credentials(tmp_path: Path) -> None:
    """Each handshake gets its status and is counted, and no log line or metric contains a secret, a query or a path with a secret."""
    env = {
        "AGENTSTACK_EXPORTER_AUTH_TOKENS": TOKEN,
        "AGENTSTACK_EXPORTER_PATH_SECRETS": SECRET,
        "AGENTSTACK_EXPORTER_PLIVO_AUTH_TOKENS": AUTH_TOKEN,
        "AGENTSTACK_EXPORTER_PUBLIC_URL": "wss://public.example",
        "AGENTSTACK_EXPORTER_ALLOW_ORIGIN": "https://good.example",
    }
    async with daemon_process(tmp_path, "--log-level", "debug", env=env) as running:
        endpoints, expected = running.endpoints, dict[str, int]()
        for name, path, headers, wanted, why in MATRIX:
            query = "" if headers is SIGNED or "x-plivo-signature-v3" in headers else "?caller=%2B15551234567"
            assert await status(endpoints.ws + path + query, additional_headers=headers) == wanted, name
            if why:
                expected[why] = expected.get(why, 0) + 1
        for why, count in expected.items():
            assert await endpoints.total(REFUSED, reason=why) == count, why
        assert await endpoints.total(REFUSED) == sum(expected.values())
        assert await endpoints.total(ACCEPTED) == len(MATRIX) - sum(expected.values())
        shown = running.log + running.output + await endpoints.text() + (await endpoints.get("/")).text
    assert " error " not in shown, "who is turned away is no error of ours"
    for secret in (TOKEN, SECRET, AUTH_TOKEN, "wr0ng", "5551234567", SIGNED["x-plivo-signature-v3"]):
        assert secret not in shown


async def test_settings_show_no_secret(tmp_path: Path) -> None:
    """check-config masks secrets, and refuses a bad one without repeating it."""
    env = {"AGENTSTACK_EXPORTER_AUTH_TOKENS": f"{TOKEN},{NEXT_TOKEN}", "AGENTSTACK_EXPORTER_PATH_SECRETS": SECRET}
    async with program(tmp_path, "check-config", env=env) as printing:
        assert await printing.ended() == 0
        assert '# auth-tokens = ["***", "***"]' in printing.output
        assert TOKEN not in printing.output
        assert SECRET not in printing.output
    async with program(tmp_path, "check-config", "--auth-tokens", "hunter2") as refusing:
        assert await refusing.ended() == 2
        assert "the value (not shown) is not a token" in refusing.log
        assert "hunter2" not in refusing.log


async def answers(url: str, *wanted: int) -> bool:
    """Whether both tokens get these answers."""
    return [await status(url, **bearer(token)) for token in (TOKEN, NEXT_TOKEN)] == list(wanted)


async def test_tokens_are_exchanged_without_a_restart(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A token file is reloaded when it changes; if the reload fails, the previous tokens stay valid."""
    tokens = tmp_path / "tokens"
    tokens.write_text(f"# this year's\n{TOKEN}\n")
    async with running_daemon(auth_token_file=tokens) as endpoints:
        assert await status(endpoints.ws, **bearer(TOKEN)) == 101
        assert await status(endpoints.ws, **bearer(NEXT_TOKEN)) == 401
        tokens.write_text(f"{TOKEN}\n{NEXT_TOKEN}\n")
        await eventually(lambda: answers(endpoints.ws, 101, 101), because="both tokens to be valid")
        tokens.write_text(f"{NEXT_TOKEN}\n\n")
        await eventually(lambda: answers(endpoints.ws, 401, 101), because="only the next token to be valid")
        tokens.write_text("short\n")
        await eventually(lambda: "reload failed" in caplog.text, because="the reload")
        assert await status(endpoints.ws, **bearer(NEXT_TOKEN)) == 101
        caplog.clear()
        tokens.unlink()
        await eventually(lambda: "reload failed" in caplog.text, because="the reload")
        assert await status(endpoints.ws, **bearer(NEXT_TOKEN)) == 101


async def test_a_token_file_that_cannot_be_used(tmp_path: Path) -> None:
    """The exporter does not start with a bad token file, and names the line."""
    (tmp_path / "tokens").write_text(f"{TOKEN}\nsp ace\n")
    for file, message in (("tokens", "tokens, line 2: expected a token"), ("nowhere", "nowhere: cannot be read: No such file")):
        async with program(tmp_path, "serve", "--auth-token-file", file) as refused:
            assert await refused.ended() == 2
            assert message in refused.log
            assert "sp ace" not in refused.log


class TestTls:
    async def test_the_platform_may_speak_tls(self, pki: Pki) -> None:
        """With a certificate the ingest listener speaks TLS, and plain connections are not served."""
        async with running_daemon(tls_cert=pki.certificate, tls_key=pki.key) as endpoints:
            async with call(endpoints.ws.replace("ws:", "wss:"), ssl=trusting(pki.certificate)) as socket:
                await send_all(socket, [STARTED])
                await endpoints.reaches(EVENTS, 1)
            with pytest.raises((OSError, EOFError, Exception)):
                async with call(endpoints.ws):
                    pass

    async def test_a_stop_while_a_connection_closes(self, pki: Pki) -> None:
        """A client that has closed its WebSocket, and has not yet ended its TLS, does not make the exporter's stop fail."""
        daemon = Daemon(settings(tls_cert=pki.certificate, tls_key=pki.key, session_resume=0.0, drain_timeout=0.0))
        await daemon.start()
        endpoints = Endpoints(str(daemon.listen), str(daemon.telemetry_listen))
        async with raw_websocket(endpoints.listen, tls=trusting(pki.certificate)) as socket:
            socket.writer.transport.pause_reading()  # type: ignore[attr-defined] # a socket's transport
            await socket.send(json.dumps(STARTED).encode())
            await socket.send(b"", CLOSE)
            await endpoints.reaches("agentstack_sessions_ended_total", 1)
            await daemon.stop()

    async def test_clients_show_a_certificate(self, pki: Pki) -> None:
        """With a client CA only clients with a certificate that it signed may connect."""
        files = {"tls_cert": pki.certificate, "tls_key": pki.key, "tls_client_ca": pki.certificate}
        async with running_daemon(**files) as endpoints:
            url = endpoints.ws.replace("ws:", "wss:")
            assert await status(url, ssl=trusting(pki.certificate, (pki.certificate, pki.key))) == 101
            for own in (None, (pki.other, pki.other_key)):
                with pytest.raises(TURNED_AWAY):
                    await status(url, ssl=trusting(pki.certificate, own))
            assert await endpoints.total(ACCEPTED) == 1

    async def test_certificates_are_exchanged_without_a_restart(
        self, pki: Pki, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        """New handshakes use the new files, open connections go on; if the reload fails, the previous certificate stays."""
        certificate, key, authority = tmp_path / "c.pem", tmp_path / "k.pem", tmp_path / "ca.pem"

        def install(from_certificate: Path, from_key: Path) -> None:
            for source, target in ((from_certificate, certificate), (from_key, key), (from_certificate, authority)):
                shutil.copy(source, target)

        install(pki.certificate, pki.key)
        async with running_daemon(tls_cert=certificate, tls_key=key, tls_client_ca=authority) as endpoints:
            url = endpoints.ws.replace("ws:", "wss:")
            first, second = (pki.certificate, pki.key), (pki.other, pki.other_key)
            async with call(url, ssl=trusting(pki.certificate, first)) as old:
                install(*second)

                async def new_certificate() -> bool:
                    with contextlib.suppress(*TURNED_AWAY):
                        return await status(url, ssl=trusting(pki.other, second)) == 101
                    return False

                await eventually(new_certificate, because="the new certificate")
                with pytest.raises(TURNED_AWAY):
                    await status(url, ssl=trusting(pki.other, first))
                await send_all(old, [STARTED])
                await endpoints.reaches(EVENTS, 1)
            certificate.write_text("broken")
            await eventually(lambda: "reload failed" in caplog.text, because="the reload")
            assert await status(url, ssl=trusting(pki.other, second)) == 101

    async def test_a_tls_handshake_that_never_ends(self, pki: Pki) -> None:
        """A connection that does not speak TLS is closed within the handshake timeout."""
        files = {"tls_cert": pki.certificate, "tls_key": pki.key}
        async with running_daemon(**files, handshake_timeout=0.2) as endpoints, raw_connection(endpoints.listen) as socket:
            assert await asyncio.wait_for(socket.reader.read(), patience(5)) == b""
            await endpoints.reaches(REFUSED, 1, reason="tls_handshake")

    @pytest.mark.parametrize("way", ["endpoint", "relay"])
    async def test_failed_tls_handshakes_are_counted(self, pki: Pki, way: str, caplog: pytest.LogCaptureFixture) -> None:
        """A connection without TLS is counted and logged with its address, at the endpoint and at the relay; one with TLS is not."""
        caplog.set_level("INFO")
        files: dict[str, Any] = {"tls_cert": pki.certificate, "tls_key": pki.key}
        async with app() as upstream:
            more = {"upstream": upstream.url} if way == "relay" else {}
            async with running_daemon(**files, **more, handshake_timeout=0.3) as endpoints, raw_connection(endpoints.listen) as plain:
                plain.writer.write(b"GET / HTTP/1.1\r\n\r\n")
                async with call(endpoints.ws.replace("ws:", "wss:"), ssl=trusting(pki.certificate)):
                    assert await endpoints.reaches(REFUSED, 1, reason="tls_handshake") == 1
                    async with raw_connection(endpoints.listen) as silent:
                        assert await endpoints.reaches(REFUSED, 2, reason="tls_handshake") == 2
                assert await endpoints.total(REFUSED) == 2
                peers = [peer_name(socket.writer.get_extra_info("sockname")) for socket in (plain, silent)]
        lines = [vars(record) for record in caplog.records if record.getMessage() == "connection refused"]
        assert [(line["reason"], line["peer"], line["problem"]) for line in lines] == [
            ("tls_handshake", peers[0], "http request"),
            ("tls_handshake", peers[1], "timeout"),
        ]

    async def test_a_probe_of_the_port_is_no_failed_handshake(self, pki: Pki, caplog: pytest.LogCaptureFixture) -> None:
        """A connection closed without a byte, as load balancers probe a port, is neither counted nor logged; half a greeting is."""
        caplog.set_level("INFO")
        files: dict[str, Any] = {"tls_cert": pki.certificate, "tls_key": pki.key}
        async with running_daemon(**files) as endpoints:
            host, port = endpoints.listen.rsplit(":", 1)
            for linger in (b"", struct.pack("ii", 1, 0)):  # one is closed, one reset
                with socket.create_connection((host, int(port))) as probe:
                    if linger:
                        probe.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            async with raw_connection(endpoints.listen) as half:
                half.writer.write(b"\x16\x03\x01")
                await half.writer.drain()
            await endpoints.reaches(REFUSED, 1, reason="tls_handshake")
            assert await endpoints.total(REFUSED) == 1
        lines = [vars(record) for record in caplog.records if record.getMessage() == "connection refused"]
        assert [(line["reason"], line["problem"]) for line in lines] == [("tls_handshake", "connection closed")]

    async def test_files_that_do_not_fit(self, pki: Pki, tmp_path: Path) -> None:
        """A key that does not match the certificate is an error at the start, with both file names and exit code 2."""
        async with program(tmp_path, "serve", "--tls-cert", str(pki.certificate), "--tls-key", str(pki.other_key)) as refused:
            assert await refused.ended() == 2
            files = f"{pki.other_key} with certificate {pki.certificate}"
            assert f"--tls-key: {files}: the key does not belong to the certificate" in refused.log


@asynccontextmanager
async def guarded(folder: Path, config: str, **changes: Any) -> AsyncIterator[Endpoints]:
    (folder / "web.yml").write_text(config)
    async with running_daemon(web_config=folder / "web.yml", **changes) as endpoints:
        yield endpoints


def users(**passwords: str) -> str:
    lines = [f"  {user}: {bcrypt.hashpw(password.encode(), bcrypt.gensalt(4)).decode()}" for user, password in passwords.items()]
    return "\n".join(["basic_auth_users:", *lines]) + "\n"


class TestTelemetry:
    async def test_users(self, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
        """With users in the web configuration every page but the probes requires one; refusals are counted and logged with the peer."""
        caplog.set_level("INFO")
        async with (
            guarded(tmp_path, users(prometheus="s3cret", grafana="pässword")) as endpoints,
            httpx.AsyncClient(trust_env=False) as http,
        ):

            async def get(path: str, auth: tuple[str, str] | None = None) -> int:
                return (await http.get(endpoints.url(path), auth=auth)).status_code

            assert [await get(path) for path in ("/-/healthy", "/-/ready", "/metrics", "/", "/nowhere")] == [200, 200, 401, 401, 401]
            assert await get("/metrics", ("prometheus", "s3cret")) == 200
            assert await get("/metrics", ("grafana", "pässword")) == 200
            for wrong in (("prometheus", "wrong"), ("nobody", "s3cret"), ("prometheus", ""), ("prometheus", "s" * 100)):
                assert await get("/metrics", wrong) == 401
            challenge = await http.get(endpoints.url("/metrics"), headers={"Authorization": "Basic !!!"})
            assert (challenge.status_code, challenge.headers["www-authenticate"]) == (401, "Basic")
            text = (await http.get(endpoints.url("/metrics"), auth=("prometheus", "s3cret"))).text
            assert f'{REFUSED}{{reason="wrong_user"}} 4' in text
            assert f'{REFUSED}{{reason="no_user"}} 4' in text
        lines = [vars(record) for record in caplog.records if record.getMessage() == "connection refused"]
        assert Counter((line["reason"], line["status"]) for line in lines) == {("no_user", 401): 4, ("wrong_user", 401): 4}
        assert all(re.fullmatch(r"127\.0\.0\.1:\d+", line["peer"]) for line in lines)

    async def test_a_flood_of_wrong_passwords(self, tmp_path: Path) -> None:
        """A peer with many wrong passwords is refused beyond a few, and another peer is answered soon."""
        flood = [("prometheus", f"wrong {number}") for number in range(60)]
        slow = bcrypt.hashpw(b"s3cret", bcrypt.gensalt(10)).decode()
        web = f"basic_auth_users:\n  prometheus: {slow}\n"
        limits = httpx.Limits(max_connections=len(flood))
        async with (
            guarded(tmp_path, web) as endpoints,
            httpx.AsyncClient(trust_env=False, timeout=patience(60), limits=limits) as http,
            httpx.AsyncClient(transport=httpx.AsyncHTTPTransport(local_address="127.0.0.2"), timeout=patience(30)) as other,
        ):
            begun = [asyncio.create_task(http.get(endpoints.url("/metrics"), auth=credentials)) for credentials in flood]
            await eventually(lambda: sum(task.done() for task in begun) >= len(begun) // 2)
            assert (await other.get(endpoints.url("/metrics"), auth=("prometheus", "s3cret"))).status_code == 200
            statuses = [answer.status_code for answer in await asyncio.gather(*begun)]
            scrape = await other.get(endpoints.url("/metrics"), auth=("prometheus", "s3cret"))
        assert set(statuses) == {401, 429}
        refused = total(samples_of(scrape.text), REFUSED, reason="too_many_attempts")
        assert refused == statuses.count(429) > len(flood) // 2

    async def test_a_client_that_left(self, tmp_path: Path) -> None:
        """The checks of clients that have left are not done."""
        slow = bcrypt.hashpw(b"s3cret", bcrypt.gensalt(12)).decode()
        checked: list[bytes] = []
        matches = basic_auth._matches

        def counting(password: bytes, hashed: str) -> bool:
            checked.append(password)
            return matches(password, hashed)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(basic_auth, "_matches", counting)
            async with guarded(tmp_path, f"basic_auth_users:\n  prometheus: {slow}\n") as endpoints:
                async with httpx.AsyncClient(trust_env=False, timeout=patience(30)) as http:
                    begun = [
                        asyncio.create_task(http.get(endpoints.url("/metrics"), auth=("prometheus", str(number))))
                        for number in range(4)
                    ]
                    await eventually(lambda: checked)
                    for task in begun:
                        task.cancel()
                    await asyncio.gather(*begun, return_exceptions=True)
                async with httpx.AsyncClient(trust_env=False, timeout=patience(30)) as http:
                    assert (await http.get(endpoints.url("/metrics"), auth=("prometheus", "s3cret"))).status_code == 200
        assert len(checked) <= 3

    @pytest.mark.parametrize("cost", [4, 5, 12])
    async def test_unknown_users_cost_what_users_cost(self, cost: int) -> None:
        """The check of an unknown user has the cost of a user's, whatever that is, so that its time tells nothing."""
        users = {name: bcrypt.hashpw(b"s3cret", bcrypt.gensalt(4)).decode()[:4] + f"{cost:02d}$" + "." * 53 for name in "ab"}
        guard = basic_auth.BasicAuth(basic_auth_only, lambda: users, ignore_refusal, {})
        likenesses = {guard._like_a_user(users, name) for name in ("", "x", "prometheus")}
        assert {likeness[:7] for likeness in likenesses} == {f"$2b${cost:02d}$"}
        assert not any(bcrypt.checkpw(b"s3cret", likeness.encode()) for likeness in likenesses if cost < 10)

    async def test_users_are_exchanged_without_a_restart(self, tmp_path: Path) -> None:
        """A password that was changed in the file is valid once the file was read again, and the old one is not."""
        async with guarded(tmp_path, users(prometheus="old-one")) as endpoints, httpx.AsyncClient(trust_env=False) as http:
            assert (await http.get(endpoints.url("/metrics"), auth=("prometheus", "old-one"))).status_code == 200
            (tmp_path / "web.yml").write_text(users(prometheus="the-new-one"))

            async def refuses_the_old_one() -> bool:
                return (await http.get(endpoints.url("/metrics"), auth=("prometheus", "old-one"))).status_code == 401

            await eventually(refuses_the_old_one, because="the reload")
            assert (await http.get(endpoints.url("/metrics"), auth=("prometheus", "the-new-one"))).status_code == 200

    @pytest.mark.parametrize("content", ["", "basic_auth_users: {}\n", "http_server_config: {headers: {X-Frame-Options: deny}}\n"])
    async def test_a_change_never_opens_the_pages(self, tmp_path: Path, content: str, caplog: pytest.LogCaptureFixture) -> None:
        """A reload that would disable authentication is rejected: the previous users stay valid."""
        async with guarded(tmp_path, users(prometheus="s3cret")) as endpoints, httpx.AsyncClient(trust_env=False) as http:
            (tmp_path / "web.yml").write_text(content)
            await eventually(lambda: "would disable authentication" in caplog.text, because="the reload to be rejected")
            assert (await http.get(endpoints.url("/metrics"))).status_code == 401
            assert (await http.get(endpoints.url("/metrics"), auth=("prometheus", "s3cret"))).status_code == 200

    async def test_tls_and_headers(self, pki: Pki, tmp_path: Path) -> None:
        """The listener uses TLS with files relative to the configuration, and adds its headers; healthcheck uses TLS too."""
        shutil.copy(pki.certificate, tmp_path / "c.pem")
        shutil.copy(pki.key, tmp_path / "k.pem")
        config = "tls_server_config: {cert_file: c.pem, key_file: k.pem, min_version: TLS13}\n"
        config += "http_server_config: {headers: {X-Frame-Options: deny}}\n"
        async with guarded(tmp_path, config) as endpoints:
            async with httpx.AsyncClient(trust_env=False, verify=trusting(pki.certificate)) as http:
                answer = await http.get(f"https://{endpoints.telemetry}/metrics")
                assert (answer.status_code, answer.headers["x-frame-options"]) == (200, "deny")
            args = ("--telemetry-listen", endpoints.telemetry, "--web-config", "web.yml")
            async with program(tmp_path, "healthcheck", "--ready", *args) as asking:
                assert await asking.ended() == 0, asking.log

    @pytest.mark.parametrize("cost", ["04", "31"])
    def test_every_cost_of_bcrypt_is_accepted(self, tmp_path: Path, cost: str) -> None:
        """The lowest and the highest cost are no error."""
        (tmp_path / "web.yml").write_text(f"basic_auth_users: {{a: $2b${cost}${'.' * 53}}}")
        assert read_web_config(tmp_path / "web.yml").users.keys() == {"a"}

    @pytest.mark.parametrize(
        ("config", "message"),
        [
            ("basic_auth_user: {a: b}", "web.yml: basic_auth_user: unknown key; did you mean 'basic_auth_users'?"),
            ("basic_auth_users: {a: hunter2}", "web.yml: basic_auth_users.a: the value (not shown) is not a bcrypt hash"),
            *(
                (
                    f"basic_auth_users: {{a: $2b${cost}${'.' * 53}}}",
                    f"web.yml: basic_auth_users.a: the bcrypt hash (not shown) has the cost {cost}, which is not from 04 to 31",
                )
                for cost in ("00", "03", "32", "99")
            ),
            (f"basic_auth_users: {{a: $2b$10${'a' * 53}}}", "web.yml: basic_auth_users.a: the value (not shown) is not a bcrypt hash"),
            ("rate_limit: {interval: 1s}", "web.yml: rate_limit: is not supported by this exporter"),
            ("tls_server_config: {cert_file: c}", "web.yml: tls_server_config.key_file: is missing"),
            ("tls_server_config: {cert_file: c, key_file: k, min_version: SSL3}", "'SSL3' is not one of TLS12, TLS13"),
            ("a: [", "web.yml: is not YAML, see line 1"),
            ("[]", "web.yml: [] is not a mapping"),
        ],
    )
    async def test_what_is_wrong_in_the_file(self, tmp_path: Path, config: str, message: str) -> None:
        """An error in the web configuration is reported with its place, and the exporter does not start."""
        (tmp_path / "web.yml").write_text(config)
        async with program(tmp_path, "serve", "--web-config", "web.yml") as refused:
            assert await refused.ended() == 2
            assert message in refused.log
            assert "hunter2" not in refused.log
            assert "$2b$" not in refused.log


class TestLimits:
    @pytest.mark.alone
    async def test_at_the_cap_metrics_still_answer(self) -> None:
        """A connection above the limit gets 503, while metrics and health answer within a tenth of a second."""
        async with (
            running_daemon(max_connections=50) as endpoints,
            asyncio.TaskGroup() as tasks,
            httpx.AsyncClient(trust_env=False) as http,
        ):
            release = asyncio.Event()

            async def hold() -> None:
                async with call(endpoints.ws):
                    await release.wait()

            for _ in range(50):
                tasks.create_task(hold())
            await endpoints.reaches(ACCEPTED, 50)
            attempts = [asyncio.create_task(status(endpoints.ws)) for _ in range(50)]
            took = []
            for path in ("/-/healthy", "/metrics", "/-/ready") * 5:
                before = time.perf_counter()
                assert (await http.get(endpoints.url(path))).status_code == 200
                took.append(time.perf_counter() - before)
            assert set(await asyncio.gather(*attempts)) == {503}
            assert await endpoints.total(REFUSED, reason="too_many") == 50
            assert max(took) < seconds(0.1)
            release.set()

    async def test_messages_that_come_too_fast(self) -> None:
        """Messages above the rate are counted and skipped, and the connection stays open."""
        async with running_daemon(max_message_rate=20) as endpoints, call(endpoints.ws) as socket:
            await send_all(socket, [STARTED, *[{"type": "play.completed"}] * 199])
            await endpoints.reaches("agentstack_exporter_frames_received_total", 200)
            assert 20 <= await endpoints.total(EVENTS) < 100
            assert await endpoints.total(REJECTED, reason="too_fast") == 200 - await endpoints.total(EVENTS)

            async def heard() -> bool:
                before = await endpoints.total(EVENTS, event="user.dtmf")
                await send_all(socket, [{"type": "user.dtmf", "digit": "1"}])
                return await endpoints.total(EVENTS, event="user.dtmf") > before

            await eventually(heard)

    @pytest.mark.parametrize("flood", [frame(b"", PING), frame(b"", CONTINUATION, fin=False)], ids=["pings", "fragments"])
    async def test_frames_that_come_too_fast(self, flood: bytes) -> None:
        """Pings and fragments above the message rate wait, and the messages behind them are counted."""
        async with running_daemon(max_message_rate=20) as endpoints, raw_websocket(endpoints.listen) as socket:
            played, started = b'{"type":"play.completed"}', time.monotonic()
            socket.writer.write(frame(played[:5], fin=False) + flood * 40 + frame(played[5:], CONTINUATION))
            await endpoints.reaches(EVENTS, 1, within=20)
            assert time.monotonic() - started > 0.9
            assert await endpoints.total(REJECTED) == 0

    async def test_silent_connections_are_closed(self) -> None:
        """A connection that sends nothing for too long is closed with 1001 and counted; one that sends stays open."""
        async with (
            running_daemon(max_silence=0.3) as endpoints,
            raw_websocket(endpoints.listen) as silent,
            call(endpoints.ws) as talking,
        ):
            closing = asyncio.create_task(silent.close_code())

            async def closed() -> bool:
                await send_all(talking, [{"type": "play.completed"}])
                return closing.done()

            await eventually(closed, within=10)
            assert closing.result() == 1001
            assert await endpoints.total(REFUSED, reason="silent") == 1
            await send_all(talking, [STARTED])
            await endpoints.reaches(EVENTS, 1, event="session.started")

    async def test_half_open_connections_are_given_up(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A peer that does not answer pings is closed: 20 s until the ping, and 20 s for the answer."""
        assert (listeners.PING_INTERVAL, listeners.PONG_TIMEOUT) == (20.0, 20.0)
        monkeypatch.setitem(listeners._COMMON, "ws_ping_interval", 0.1)
        monkeypatch.setitem(listeners._COMMON, "ws_ping_timeout", 0.1)
        async with running_daemon() as endpoints, raw_websocket(endpoints.listen) as deaf, call(endpoints.ws) as answering:
            assert await deaf.close_code() == 1011
            await send_all(answering, [STARTED])
            await endpoints.reaches(EVENTS, 1)


@pytest.mark.parametrize(
    ("args", "code"),
    [
        (("--listen", "0.0.0.0:0"), 2),
        (("--listen", "0.0.0.0:0", "--auth-tokens", TOKEN), 0),
        (("--listen", "0.0.0.0:0", "--path-secrets", SECRET), 0),
        (("--listen", "0.0.0.0:0", "--insecure"), 0),
        (("--telemetry-listen", "0.0.0.0:0"), 2),
        (("--telemetry-listen", "0.0.0.0:0", "--auth-tokens", TOKEN), 2),
        (("--telemetry-listen", "0.0.0.0:0", "--insecure-telemetry"), 0),
        (("--telemetry-listen", "0.0.0.0:0", "--web-config", "web.yml"), 0),
    ],
)
async def test_listening_beyond_this_machine_requires_authentication(tmp_path: Path, args: tuple[str, ...], code: int) -> None:
    """Each listener that other machines can reach requires authentication, or its own switch."""
    (tmp_path / "web.yml").write_text(users(prometheus="s3cret"))
    async with program(tmp_path, "check-config", *args) as checking:
        assert await checking.ended() == code, checking.log


def test_secrets_do_not_show_in_settings() -> None:
    """Printed settings show no secret."""
    assert repr((Secret(TOKEN),)) == "(***,)"
    assert f"{Secret(TOKEN)}" == "***"
