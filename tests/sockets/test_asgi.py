"""The exporter as an ASGI application: the tests of the endpoint over other servers, its lifespan, and within another application.

The servers are uvicorn with its own protocols, hypercorn, and our own listener as it falls back for an untested uvicorn. The oldest
uvicorn that the exporter runs on serves as a process.
"""

import asyncio
import base64
import contextlib
import os
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import bcrypt
import hypercorn
import hypercorn.asyncio
import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.routing import Mount
from websockets.exceptions import InvalidStatus

from exporter.asgi import ExporterApp, create_app
from exporter.config.otel import OtelSettings
from exporter.server.listeners import Listener
from exporter.server.tested_versions import TESTED, untested
from tests.sockets import test_endpoint, test_live
from tests.sockets.test_endpoint import EVENTS, STARTED
from tests.support import asgi
from tests.support.daemon import Endpoints, call, daemon_process, program, send_all, settings
from tests.support.house_rules import ROOT
from tests.support.peers import require_folder
from tests.support.simulation import subdirectory
from tests.support.waiting import eventually

OLDEST = {"uvicorn": "0.35.0", "websockets": "15.0"}
"""The oldest versions that ``pyproject.toml`` allows; ``.ci/oldest-server.lock`` pins them."""


@asynccontextmanager
async def over_uvicorn(app: Any, bound: socket.socket) -> AsyncIterator[None]:
    """uvicorn as its users run it."""
    server = uvicorn.Server(uvicorn.Config(app, lifespan="on", log_config=None, timeout_graceful_shutdown=1))
    server.capture_signals = contextlib.nullcontext  # type: ignore[method-assign, assignment] # the test's own signals stay
    serving = asyncio.create_task(server.serve(sockets=[bound]))
    await eventually(lambda: server.started, because="uvicorn")
    yield
    server.should_exit = True
    await serving


@asynccontextmanager
async def over_hypercorn(app: Any, bound: socket.socket) -> AsyncIterator[None]:
    """hypercorn as its users run it."""
    config, stop = hypercorn.Config(), asyncio.Event()
    config.bind, config.graceful_timeout, config.shutdown_timeout = [f"fd://{os.dup(bound.fileno())}"], 1, 5
    serving = asyncio.create_task(hypercorn.asyncio.serve(app, config, shutdown_trigger=stop.wait, mode="asgi"))
    yield
    stop.set()
    await serving


@asynccontextmanager
async def over_our_fallback(app: ExporterApp, _: socket.socket) -> AsyncIterator[int]:
    """Our listener with uvicorn's own protocols."""
    listener = Listener(app, "127.0.0.1", 0, hardened=False)
    async with app.lifespan():
        await listener.start()
        yield listener.bound[1]
        await listener.stop()


SERVERS = {"uvicorn": over_uvicorn, "hypercorn": over_hypercorn, "fallback": over_our_fallback}


@asynccontextmanager
async def running(server: str, app: Any, path: str = "/ws") -> AsyncIterator[Endpoints]:
    """The application behind that server."""
    with socket.create_server(("127.0.0.1", 0)) as bound:
        async with SERVERS[server](app, bound) as port:
            address = f"127.0.0.1:{port or bound.getsockname()[1]}"
            yield Endpoints(address, address, path)


@pytest.fixture(params=SERVERS)
def server(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Let the tests of the endpoint run their exporter behind another server."""
    name: str = request.param

    @asynccontextmanager
    async def running_app(**changes: Any) -> AsyncIterator[Endpoints]:
        app = create_app(settings(**{"drain_timeout": 0.0, **changes}), OtelSettings())
        async with running(name, app, changes.get("path", "/ws")) as endpoints:
            yield endpoints

    monkeypatch.setattr(test_endpoint, "running_daemon", running_app)
    return name


@pytest.mark.usefixtures("server")
class TestSubscription(test_endpoint.TestSubscription):
    """As over the daemon's own protocols."""


@pytest.mark.usefixtures("server")
class TestEndOfACall(test_endpoint.TestEndOfACall):
    """As over the daemon's own protocols."""


@pytest.mark.usefixtures("server")
class TestFrames:
    """What any server passes on. What only the daemon's own protocols do is not here."""

    of_the_daemon = test_endpoint.TestFrames()
    refusals = test_endpoint.TestRefusals()
    hostile = test_endpoint.TestHostilePeers()

    async def test_binary_frames(self) -> None:
        """Events in binary frames count like those in text frames."""
        await self.of_the_daemon.test_binary_frames()

    async def test_fragments(self) -> None:
        """A message in many fragments, with a ping between them, counts as one frame."""
        await self.of_the_daemon.test_fragments()

    async def test_hostile_frames(self) -> None:
        """Each hostile frame has exactly one outcome, and none ends the call."""
        await self.hostile.test_every_hostile_frame_is_counted_and_none_ends_the_call()

    async def test_a_path_of_ones_own(self) -> None:
        """The endpoint is on the path of the settings only."""
        await self.refusals.test_a_path_of_ones_own()

    async def test_plain_http(self) -> None:
        """A plain request on the path of the endpoint gets 426."""
        await self.refusals.test_plain_http("GET", "/ws", 426)


async def test_a_refusal_has_its_status(server: str) -> None:
    """A server that can sends our own answer to a handshake that is refused, and the pages are beside the endpoint."""
    async with running(server, create_app(settings(), OtelSettings())) as endpoints:
        with pytest.raises(InvalidStatus) as refusal:
            async with call(f"ws://{endpoints.listen}/elsewhere"):
                pass
        assert refusal.value.response.status_code == 404
        assert (await endpoints.get("/-/ready")).status_code == 200
        assert "agentstack_exporter_build_info" in await endpoints.text()


async def test_a_server_that_cannot_answer_a_handshake() -> None:
    """Without the extension for answers a refused handshake is closed, which the server answers by itself."""
    sent: list[Any] = []

    async def receive() -> Any:
        return {"type": "websocket.connect"}

    async def send(message: Any) -> None:
        sent.append(message)

    app = create_app(settings(), OtelSettings())
    async with app.lifespan():
        await app({"type": "websocket", "path": "/no", "query_string": b"", "headers": []}, receive, send)
    assert sent == [{"type": "websocket.close"}]


@pytest.mark.parametrize("name", ["uvicorn", "hypercorn"])
async def test_within_another_application(name: str) -> None:
    """Mounted below a path, and started by the lifespan of the application around it, endpoint and pages are below that path."""
    exporter = create_app(settings(), OtelSettings())
    around = Starlette(routes=[Mount("/voice", exporter)], lifespan=exporter.lifespan)
    async with running(name, around) as endpoints:
        async with call(f"ws://{endpoints.listen}/voice/ws") as connection:
            await send_all(connection, [STARTED])
            await connection.recv()
        text = (await endpoints.get("/voice/metrics")).text
    assert f'{EVENTS}{{event="session.started"}} 1.0' in text


async def test_without_its_lifespan_it_says_what_is_missing(caplog: pytest.LogCaptureFixture) -> None:
    """Mounted without a lifespan nothing is served, and the log says why."""
    around = Starlette(routes=[Mount("/voice", create_app(settings(), OtelSettings()))])
    async with running("uvicorn", around) as endpoints:
        assert (await endpoints.get("/voice/metrics")).status_code == 503
        with pytest.raises(InvalidStatus):
            async with call(f"ws://{endpoints.listen}/voice/ws"):
                pass
    assert "the exporter is not started" in caplog.text


def web_config(tmp_path: Path, text: str = "") -> Path:
    """A web configuration file with a user, or with another text."""
    path = tmp_path / "web.yml"
    path.write_text(text or f"basic_auth_users: {{a: {bcrypt.hashpw(b's3cret', bcrypt.gensalt(4)).decode()}}}\n")
    return path


async def test_live_for_users(tmp_path: Path) -> None:
    """With users, /live is on stock uvicorn as on the daemon, also below a path: page, files, API and streams, for users only."""
    shown = {"web_config": web_config(tmp_path), "live_content": True, "trace_url": "https://t.example/{trace_id}"}
    exporter = create_app(settings(**shown), OtelSettings())
    around = Starlette(routes=[Mount("/voice", exporter)], lifespan=exporter.lifespan)
    user = {"authorization": "Basic " + base64.b64encode(b"a:s3cret").decode()}
    async with running("uvicorn", around) as endpoints, call(f"ws://{endpoints.listen}/voice/ws") as connection:
        for path in test_live.PATHS:
            assert (await endpoints.get(f"/voice{path}")).status_code == 401
        async with test_live.stream(endpoints, "/voice/api/v1/stream", **user) as listed:
            await test_live.until(listed, lambda event: event.kind == "state")
            await send_all(connection, [test_live.STARTED, {**test_live.TURN, "user_text": "where is it"}])
            seen = await test_live.until(listed, lambda event: event.data.get("calls"))
        assert (await endpoints.get("/voice/live", **user)).text.startswith("<!doctype html>")
        assert (await endpoints.get("/voice/live/app.js", **user)).status_code == 200
        assert 'href="live"' in (await endpoints.get("/voice/", **user)).text
        [row] = seen.data["calls"]
        assert (await endpoints.get("/voice/metrics", **user)).status_code == 200
        summary = (await endpoints.get("/voice/api/v1/summary", **user)).json()["summary"]
        assert (summary["calls"], summary["last_scrape"] is None) == (1, False)

        async def has_its_turn() -> bool:
            detail = (await endpoints.get(f"/voice/api/v1/calls/{row['id']}", **user)).json()
            return [turn["user_text"] for turn in detail["turns"]] == ["where is it"]

        await eventually(has_its_turn)


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        pytest.param({}, 404, id="nobody authenticates"),
        pytest.param({"insecure_telemetry": True}, 200, id="open pages are allowed"),
        pytest.param({"insecure_telemetry": True, "live": False}, 404, id="turned off"),
    ],
)
async def test_live_without_users(changes: dict[str, Any], status: int, caplog: pytest.LogCaptureFixture) -> None:
    """Without users, /live is missing unless open pages are allowed: the application does not know who reaches its port."""
    caplog.set_level("INFO", "exporter")
    app = create_app(settings(**changes), OtelSettings())
    async with app.lifespan():
        for path in ("/live", "/api/v1/calls", "/api/v1/summary"):
            assert (await asgi.call(app, path)).status == status
        assert ('href="live"' in (await asgi.call(app, "/")).text) == (status == 200)
    assert ("/live is off" in caplog.text) == (changes == {})


def test_certificates_of_another_server_are_no_users(tmp_path: Path) -> None:
    """Client certificates in the web configuration protect nothing here, so what was said is not shown for them."""
    tls = "tls_server_config: {cert_file: c.pem, key_file: k.pem, client_ca_file: a.pem}\n"
    with pytest.raises(ValueError, match="--live-content: requires users"):
        create_app(settings(web_config=web_config(tmp_path, tls), live_content=True), OtelSettings())


def test_the_relay_needs_a_listener() -> None:
    """A setting that only a listener of our own can serve is refused."""
    with pytest.raises(ValueError, match="--upstream"):
        create_app(settings(upstream="ws://127.0.0.1:9"), OtelSettings())


def test_settings_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without arguments the application has the settings of the environment."""
    monkeypatch.setenv("AGENTSTACK_EXPORTER_UPSTREAM", "ws://127.0.0.1:9")
    with pytest.raises(ValueError, match="--upstream"):
        create_app()


def test_only_tested_versions_are_hardened() -> None:
    """What is installed was tested; a newer or older version of either library is named."""
    assert not untested()
    beyond = {name: last for name, (_, last) in TESTED.items()}
    assert untested(beyond.__getitem__).startswith("uvicorn 0.55 was not tested")
    assert untested({**beyond, "uvicorn": TESTED["uvicorn"][0]}.__getitem__).startswith("websockets 18 was not tested")
    assert untested(OLDEST.__getitem__)


async def test_the_oldest_uvicorn(tmp_path: Path) -> None:
    """On the oldest uvicorn and websockets the application works, and the daemon too, which says that it falls back."""
    paths = os.pathsep.join((str(require_folder("oldest-server")), str(ROOT)))
    arguments = ("--factory", "exporter.asgi:create_app", "--port", "0", "--log-level", "info")
    async with program(tmp_path, *arguments, module="uvicorn", env={"PYTHONPATH": paths}) as started:

        def listening() -> str:
            assert started.running, started.log
            assert "running on http://" in started.log
            return started.log.split("running on http://")[1].split()[0]

        address = await eventually(listening, within=20, because="uvicorn")
        endpoints = Endpoints(address, address)
        async with call(endpoints.ws) as connection:
            await send_all(connection, [STARTED])
            await connection.recv()
        await endpoints.reaches(EVENTS, 1)
    async with daemon_process(subdirectory(tmp_path, "daemon"), env={"PYTHONPATH": paths}) as daemon:
        async with call(daemon.endpoints.ws) as connection:
            await send_all(connection, [STARTED])
            await connection.recv()
        await daemon.endpoints.reaches(EVENTS, 1)
        assert "uvicorn 0.35.0 was not tested" in daemon.log
