"""Settings → the door of the ingest listener and the guard of the telemetry pages, with the files they are read from."""

import logging
import ssl
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from exporter.auth import Door, Rules, SecretSet, Signatures
from exporter.auth.basic_auth import BasicAuth
from exporter.config import Settings
from exporter.config.token_file import read_token_file
from exporter.config.web_config import WebConfig, WebTls, read_web_config
from exporter.server.reloading_file import ReloadingFile
from exporter.server.tls import TlsFiles, rotating_tls

log = logging.getLogger(__name__)


def ingest_door(settings: Settings, path: str | None) -> Door:
    """The door that the settings describe, before WebSockets on ``path`` (any, if ``None``); raises ``ValueError`` for a bad file."""
    rules = Rules(path, settings.max_connections, frozenset(settings.allow_origin))
    signatures = Signatures([token.value for token in settings.plivo_auth_tokens], settings.public_url)
    return Door(rules, _tokens(settings), SecretSet(secret.value for secret in settings.path_secrets), signatures)


def ingest_tls(settings: Settings) -> ssl.SSLContext | None:
    """TLS of the ingest listener, or ``None``; raises ``ValueError`` for a bad file."""
    if settings.tls_cert is None or settings.tls_key is None:
        return None
    return rotating_tls(TlsFiles(settings.tls_cert, settings.tls_key, settings.tls_client_ca))


class TelemetryGuard:
    """What the web configuration file says of the telemetry listener; raises ``ValueError`` for a bad file."""

    def __init__(self, settings: Settings) -> None:
        path = settings.web_config
        self._watched = None if path is None else ReloadingFile([path], _guarding(path))
        now = self._current()
        self.tls = None if now.tls is None else rotating_tls(_files(now.tls))

    def before(self, app: Any, refused: Callable[[str], None]) -> Any:  # noqa: ANN401 - ASGI applications have no common type
        """The application behind the file's users, or itself where there is no file."""
        return app if self._watched is None else BasicAuth(app, self._users, refused, self._current().headers)

    def _users(self) -> Mapping[str, str]:
        return self._current().users

    def _current(self) -> WebConfig:
        return WebConfig() if self._watched is None else self._watched.current()


def _guarding(path: Path) -> Callable[[], WebConfig]:
    """Reads the file; once it asked who is there, a change after which it would not is an error, as half a file may be one."""
    asked = False

    def read() -> WebConfig:
        nonlocal asked
        found = read_web_config(path)
        if asked and not found.authenticates:
            raise ValueError(f"{path}: asks nobody any more who they are; to open the telemetry pages, restart")
        asked = found.authenticates
        return found

    return read


def _files(tls: WebTls) -> TlsFiles:
    return TlsFiles(tls.certificate, tls.key, tls.client_ca, tls.minimum, tls.maximum)


def _tokens(settings: Settings) -> Callable[[], SecretSet]:
    given = [token.value for token in settings.auth_tokens]
    path = settings.auth_token_file
    if path is None:
        fixed = SecretSet(given)
        return lambda: fixed
    return ReloadingFile([path], lambda: SecretSet([*given, *read_token_file(path)])).current
