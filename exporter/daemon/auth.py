"""Auth wiring: from the settings and their files to the auth policy of the ingest listener and the guard of the telemetry pages."""

import ssl
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Final

from starlette.types import ASGIApp

from exporter.auth import AccessRules, AuthPolicy, SecretSet, Signatures
from exporter.auth.basic_auth import BasicAuth
from exporter.auth.peer import OnRefused
from exporter.auth.tls_files import ServerTlsFiles
from exporter.config import Settings
from exporter.config.setting_types import Secret
from exporter.config.token_file import read_token_file
from exporter.config.web_config import WebConfig, read_web_config
from exporter.server.reloading_file import FileWatcher
from exporter.server.tls import TlsFile, TlsFileError, reloading_tls

_FLAGS: Final[Mapping[TlsFile, str]] = {"certificate": "--tls-cert", "key": "--tls-key", "client_ca": "--tls-client-ca"}
_KEYS: Final[Mapping[TlsFile, str]] = {"certificate": "cert_file", "key": "key_file", "client_ca": "client_ca_file"}


class IngestTokens:
    """The bearer tokens of the ingest listener: those of the settings, and those of the file."""

    def __init__(self, settings: Settings, watcher: FileWatcher) -> None:
        self._configured = settings.auth_tokens
        path = settings.auth_token_file
        self._in_file: tuple[str, ...] = ()
        if path is not None:
            self._in_file = watcher.watch([path], lambda: read_token_file(path), self._replace_file).current()
        self._tokens = self._all()

    def current(self) -> SecretSet:
        """The tokens that are valid now."""
        return self._tokens

    def configure(self, tokens: tuple[Secret, ...]) -> None:
        """Replace the tokens of the settings."""
        self._configured = tokens
        self._tokens = self._all()

    def _replace_file(self, tokens: tuple[str, ...]) -> None:
        self._in_file = tokens
        self._tokens = self._all()

    def _all(self) -> SecretSet:
        return SecretSet([*(token.value for token in self._configured), *self._in_file])


def ingest_auth_policy(settings: Settings, path: str | None, tokens: IngestTokens) -> AuthPolicy:
    """The auth policy for WebSockets on ``path``, or on every path if it is ``None``."""
    rules = AccessRules(path, settings.max_connections, frozenset(settings.allow_origin))
    signatures = Signatures([token.value for token in settings.plivo_auth_tokens], settings.public_url)
    return AuthPolicy(rules, tokens.current, SecretSet(secret.value for secret in settings.path_secrets), signatures)


def ingest_tls(settings: Settings, watcher: FileWatcher) -> ssl.SSLContext | None:
    """TLS of the ingest listener, or ``None``. Raises ``ValueError`` that names the flag of a bad file."""
    if settings.tls_cert is None or settings.tls_key is None:
        return None
    try:
        return reloading_tls(ServerTlsFiles(settings.tls_cert, settings.tls_key, settings.tls_client_ca), watcher)
    except TlsFileError as error:
        raise ValueError(f"{_FLAGS[error.file]}: {error}") from None


class TelemetryGuard:
    """TLS and users of the telemetry listener, from the web configuration file. Raises ``ValueError`` for a bad file.

    Without ``own_tls`` TLS is somebody else's, so only users authenticate.
    """

    def __init__(self, settings: Settings, watcher: FileWatcher, *, own_tls: bool = True) -> None:
        path = settings.web_config
        self._file = None if path is None else watcher.watch([path], _guarded_reader(path, own_tls=own_tls))
        config = self._current()
        try:
            self.tls = None if config.tls is None else reloading_tls(config.tls, watcher)
        except TlsFileError as error:
            raise ValueError(f"--web-config: {path}: tls_server_config.{_KEYS[error.file]}: {error}") from None

    @property
    def authenticates(self) -> bool:
        """Whether it requires users or client certificates."""
        return self._current().authenticates

    def protect(self, app: ASGIApp, refused: OnRefused) -> ASGIApp:
        """The application behind authentication, or the application itself if there is no file."""
        return app if self._file is None else BasicAuth(app, self._users, refused, self._current().headers)

    def _users(self) -> Mapping[str, str]:
        return self._current().users

    def _current(self) -> WebConfig:
        return WebConfig() if self._file is None else self._file.current()


def _guarded_reader(path: Path, *, own_tls: bool) -> Callable[[], WebConfig]:
    """A function that reads the file, and rejects a reload that would disable authentication: the file may be half written."""
    authenticated = False

    def read() -> WebConfig:
        nonlocal authenticated
        config = read_web_config(path)
        if not own_tls:
            config = replace(config, tls=None)
        if authenticated and not config.authenticates:
            raise ValueError(f"{path}: would disable authentication; restart the exporter to open the telemetry pages")
        authenticated = config.authenticates
        return config

    return read
