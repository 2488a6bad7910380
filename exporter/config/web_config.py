"""The web configuration file of Prometheus and its exporters: TLS and users of the telemetry listener.

Format: https://github.com/prometheus/exporter-toolkit/blob/master/docs/web-configuration.md. Supported keys have the same meaning as
there. Keys of that format that are not supported are errors, as are unknown keys.
"""

import re
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, NoReturn

from exporter.auth.tls_files import ServerTlsFiles
from exporter.config.setting_types import nearest, shown

MAX_FILE_BYTES: Final = 1 << 20
_BCRYPT: Final = re.compile(r"\$2[abxy]\$([0-9]{2})\$[./A-Za-z0-9]{21}[.Oeu][./A-Za-z0-9]{31}")
"""Version, cost, salt and digest. The last character of the salt holds two bits."""
_COSTS: Final = (4, 31)
"""The lowest and the highest cost that bcrypt knows."""
_VERSIONS: Final = {"TLS12": ssl.TLSVersion.TLSv1_2, "TLS13": ssl.TLSVersion.TLSv1_3}
_CLIENT_AUTH: Final = ("NoClientCert", "RequireAndVerifyClientCert")
_TOP: Final = ("tls_server_config", "http_server_config", "basic_auth_users")
_TLS: Final = ("cert_file", "key_file", "client_ca_file", "client_auth_type", "min_version", "max_version")
_UNSUPPORTED: Final = (
    *("rate_limit", "cert", "key", "client_ca", "client_allowed_sans", "cipher_suites", "curve_preferences"),
    *("prefer_server_cipher_suites", "http2"),
)
_HEADERS: Final = (
    *("Strict-Transport-Security", "Content-Security-Policy", "X-Frame-Options", "X-Content-Type-Options", "X-XSS-Protection"),
)


class WebConfigError(ValueError):
    """The file cannot be used. The message says what was expected and where, and shows no secret."""


@dataclass(frozen=True, slots=True)
class WebConfig:
    """The content of the file. ``users`` has the bcrypt hash of each user's password."""

    tls: ServerTlsFiles | None = None
    users: Mapping[str, str] = field(default_factory=dict, repr=False)
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def authenticates(self) -> bool:
        """Whether it requires users or client certificates."""
        return bool(self.users) or (self.tls is not None and self.tls.client_ca is not None)


def read_web_config(path: Path) -> WebConfig:
    """Read the file. Raises :class:`WebConfigError`. Files that it names are relative to it, as in Prometheus."""
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise WebConfigError(f"{path}: cannot be read: {error.strerror}") from None
    if len(raw) > MAX_FILE_BYTES:
        raise WebConfigError(f"{path}: is larger than {MAX_FILE_BYTES} bytes")
    import yaml  # noqa: PLC0415 - it takes 20 ms to load, and many starts have no such file

    try:
        document = yaml.safe_load(raw)
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError, ValueError) as error:
        mark = getattr(error, "problem_mark", None)
        raise WebConfigError(f"{path}: is not YAML" + (f", see line {mark.line + 1}" if mark else "")) from None
    reader = _Reader(path)
    return reader.read({} if document is None else document)


class _Reader:
    def __init__(self, path: Path) -> None:
        self._path = path

    def read(self, document: object) -> WebConfig:
        top = self._mapping(document, "", _TOP)
        http = self._mapping(top.get("http_server_config") or {}, "http_server_config", ("headers",))
        headers = self._mapping(http.get("headers") or {}, "http_server_config.headers", _HEADERS)
        tls = top.get("tls_server_config")
        return WebConfig(
            tls=None if tls is None else self._tls(self._mapping(tls, "tls_server_config", _TLS)),
            users=self._users(top.get("basic_auth_users") or {}),
            headers={name: self._text(headers, name, f"http_server_config.headers.{name}") for name in headers},
        )

    def _tls(self, tls: Mapping[str, Any]) -> ServerTlsFiles:
        place = "tls_server_config"
        for needed in ("cert_file", "key_file"):
            if needed not in tls:
                self._fail(f"{place}.{needed}", "is missing")
        kind = tls.get("client_auth_type", "NoClientCert" if "client_ca_file" not in tls else "RequireAndVerifyClientCert")
        if kind not in _CLIENT_AUTH:
            self._fail(f"{place}.client_auth_type", f"{shown(kind)} is not one of {', '.join(_CLIENT_AUTH)}")
        wanted = kind != "NoClientCert"
        if wanted and "client_ca_file" not in tls:
            self._fail(f"{place}.client_ca_file", f"is missing; client_auth_type {kind} needs it")
        return ServerTlsFiles(
            certificate=self._file(tls, "cert_file"),
            key=self._file(tls, "key_file"),
            client_ca=self._file(tls, "client_ca_file") if wanted else None,
            minimum=self._version(tls, "min_version", ssl.TLSVersion.TLSv1_2),
            maximum=self._version(tls, "max_version", ssl.TLSVersion.MAXIMUM_SUPPORTED),
        )

    def _users(self, users: object) -> dict[str, str]:
        if not isinstance(users, dict):
            self._fail("basic_auth_users", "expected a mapping of users to bcrypt hashes")
        for user, hashed in users.items():
            if not isinstance(user, str) or not user or ":" in user:
                self._fail("basic_auth_users", f"{shown(user)} is not a user name; expected a text without a colon")
            found = _BCRYPT.fullmatch(hashed) if isinstance(hashed, str) else None
            if found is None:
                self._fail(f"basic_auth_users.{user}", "the value (not shown) is not a bcrypt hash; `htpasswd -nBC 10 ''` makes one")
            if not _COSTS[0] <= int(found[1]) <= _COSTS[1]:
                problem = f"the bcrypt hash (not shown) has the cost {found[1]}, which is not from 04 to 31"
                self._fail(f"basic_auth_users.{user}", f"{problem}; `htpasswd -nBC 10 ''` makes one with 10")
        return dict(users)

    def _version(self, tls: Mapping[str, Any], key: str, default: ssl.TLSVersion) -> ssl.TLSVersion:
        if key not in tls:
            return default
        found = _VERSIONS.get(str(tls[key]))
        if found is None:
            self._fail(f"tls_server_config.{key}", f"{shown(tls[key])} is not one of {', '.join(_VERSIONS)}")
        return found

    def _file(self, tls: Mapping[str, Any], key: str) -> Path:
        return self._path.parent / self._text(tls, key, f"tls_server_config.{key}")

    def _text(self, mapping: Mapping[str, Any], key: str, place: str) -> str:
        value = mapping[key]
        if not isinstance(value, str) or not value or not value.isprintable():
            self._fail(place, f"{shown(value)} is not a text")
        return str(value)

    def _mapping(self, value: object, place: str, known: tuple[str, ...]) -> Mapping[str, Any]:
        if not isinstance(value, dict):
            self._fail(place, f"{shown(value)} is not a mapping")
        for key in value:
            at = f"{place}.{key}" if place else str(key)
            if key in _UNSUPPORTED:
                self._fail(at, "is not supported by this exporter")
            if key not in known:
                near = nearest(str(key), known)
                self._fail(at, "unknown key" + (f"; did you mean {near!r}?" if near else f"; expected one of {', '.join(known)}"))
        return value

    def _fail(self, place: str, what: str) -> NoReturn:
        raise WebConfigError(f"{self._path}: {place}: {what}" if place else f"{self._path}: {what}")
