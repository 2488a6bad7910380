"""The exporter as an ASGI application, for a server of one's own or within a Starlette or FastAPI application.

    uvicorn --factory exporter.asgi:create_app --port 8790 --ws-max-size 16777216

It receives events on ``/ws`` (the setting ``path``) and serves ``/metrics``, the health pages and the landing page; also ``/live``, if
the pages require users. Settings come from the environment and the settings file. One process has all metrics, so run one worker.
Mounted in another application, whose framework does not pass on the lifespan of what is mounted, it is started by that application's
lifespan:

    exporter = create_app()
    app = Starlette(routes=[Mount("/voice", exporter)], lifespan=exporter.lifespan)

``agentstack-exporter serve`` stays the better choice where it can be: its listeners limit what peers can send, hold and leave unread,
and it stops without losing what was sent to it.
"""

import logging
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from starlette.responses import PlainTextResponse
from starlette.types import Receive, Scope, Send

from exporter.config import Settings, SettingsCommand
from exporter.config.otel import OtelSettings, read_otel
from exporter.daemon.embedded import Embedded
from exporter.daemon.sdk_parts import problems

__all__ = ["ExporterApp", "create_app"]

log = logging.getLogger(__name__)


class ExporterApp:
    """The application. :meth:`lifespan` starts and stops it; a server does so by itself."""

    def __init__(self, exporter: Embedded, path: str) -> None:
        self._exporter = exporter
        self._path = path
        self._running = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection, request, or lifespan."""
        if scope["type"] == "lifespan":
            await self._serve_lifespan(receive, send)
        elif not self._running:
            await _refuse_before_start(scope, receive, send)
        elif scope["type"] == "websocket" or self._is_endpoint(scope):
            await self._exporter.endpoint(scope, receive, send)
        else:
            await self._exporter.pages(scope, receive, send)

    @asynccontextmanager
    async def lifespan(self, _app: object = None) -> AsyncIterator[None]:
        """Run the exporter during the block; the argument is the application that it is mounted in."""
        await self._exporter.start()
        self._running = True
        try:
            yield
        finally:
            await self._exporter.stop()
            self._running = False

    def _is_endpoint(self, scope: Scope) -> bool:
        path: str = scope["path"]
        return path.removeprefix(scope.get("root_path", "").rstrip("/")) == self._path

    async def _serve_lifespan(self, receive: Receive, send: Send) -> None:
        await receive()
        async with self.lifespan():
            await send({"type": "lifespan.startup.complete"})
            await receive()
        await send({"type": "lifespan.shutdown.complete"})


def create_app(settings: Settings | None = None, otel: OtelSettings | None = None) -> ExporterApp:
    """The application with these settings, or with those of the environment and the settings file.

    Raises ``ValueError`` for settings that make no sense, and ``click.ClickException`` for wrong ones in environment and file.
    """
    settings = _settings_from_environment() if settings is None else settings
    if otel is None:
        otel, warnings = read_otel(os.environ, use_proxies=settings.otlp_proxy)
        for warning in dict.fromkeys((*warnings, *problems(otel))):
            log.warning(warning)
    return ExporterApp(Embedded(settings, otel), settings.path)


def _settings_from_environment() -> Settings:
    with SettingsCommand("asgi").make_context("asgi", []) as context:
        loaded: Any = context.params["loaded"]
    for warning in loaded.warnings:
        log.warning(warning)
    settings: Settings = loaded.settings
    return settings


async def _refuse_before_start(scope: Scope, receive: Receive, send: Send) -> None:
    log.error("request refused: the exporter is not started; give its lifespan to the application that it is mounted in")
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.close", "code": 1013})
    else:
        await PlainTextResponse("the exporter is not started\n", status_code=503)(scope, receive, send)
