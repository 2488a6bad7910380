"""Auth wiring: from the settings and their files to the auth policy of the ingest listener and the guard of the telemetry pages."""

import ssl
from collections.abc import Callable, Mapping
from pathlib import Path

from starlette.types import ASGIApp

from exporter.auth import AccessRules, AuthPolicy, SecretSet, Signatures
from exporter.auth.basic_auth import BasicAuth
from exporter.auth.tls_files import ServerTlsFiles
from exporter.config import Settings
from exporter.config.token_file import read_token_file
from exporter.config.web_config import WebConfig, read_web_config
from exporter.server.reloading_file import ReloadingFile
from exporter.server.tls import reloading_tls


def ingest_auth_policy(settings: Settings, path: str | None) -> AuthPolicy:
    """The auth policy for WebSockets on ``path``, or on every path if it is ``None``. Raises ``ValueError`` for a bad file."""
    rules = AccessRules(path, settings.max_connections, frozenset(settings.allow_origin))
    signatures = Signatures([token.value for token in settings.plivo_auth_tokens], settings.public_url)
    return AuthPolicy(rules, _tokens(settings), SecretSet(secret.value for secret in settings.path_secrets), signatures)


def ingest_tls(settings: Settings) -> ssl.SSLContext | None:
    """TLS of the ingest listener, or ``None``. Raises ``ValueError`` for a bad file."""
    if settings.tls_cert is None or settings.tls_key is None:
        return None
    return reloading_tls(ServerTlsFiles(settings.tls_cert, settings.tls_key, settings.tls_client_ca))


class TelemetryGuard:
    """TLS and users of the telemetry listener, from the web configuration file. Raises ``ValueError`` for a bad file."""

    def __init__(self, settings: Settings) -> None:
        path = settings.web_config
        self._file = None if path is None else ReloadingFile([path], _guarded_reader(path))
        config = self._current()
        self.tls = None if config.tls is None else reloading_tls(config.tls)

    def protect(self, app: ASGIApp, refused: Callable[[str], None]) -> ASGIApp:
        """The application behind authentication, or the application itself if there is no file."""
        return app if self._file is None else BasicAuth(app, self._users, refused, self._current().headers)

    def _users(self) -> Mapping[str, str]:
        return self._current().users

    def _current(self) -> WebConfig:
        return WebConfig() if self._file is None else self._file.current()


def _guarded_reader(path: Path) -> Callable[[], WebConfig]:
    """A function that reads the file, and rejects a reload that would disable authentication: the file may be half written."""
    authenticated = False

    def read() -> WebConfig:
        nonlocal authenticated
        config = read_web_config(path)
        if authenticated and not config.authenticates:
            raise ValueError(f"{path}: would disable authentication; restart the exporter to open the telemetry pages")
        authenticated = config.authenticates
        return config

    return read


def _tokens(settings: Settings) -> Callable[[], SecretSet]:
    configured = [token.value for token in settings.auth_tokens]
    path = settings.auth_token_file
    if path is None:
        fixed = SecretSet(configured)
        return lambda: fixed
    return ReloadingFile([path], lambda: SecretSet([*configured, *read_token_file(path)])).current
