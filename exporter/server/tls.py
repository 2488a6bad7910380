"""TLS of a listener. Certificates can be rotated while it runs: each handshake uses the content that was read last."""

import ssl
from pathlib import Path
from typing import Final, Literal, NoReturn

from exporter.auth.tls_files import ServerTlsFiles
from exporter.server.reloading_file import FileWatcher

TlsFile = Literal["certificate", "key", "client_ca"]
_NOT_PEM: Final = "expected a file in PEM format"
_REASONS: Final = {
    "KEY_VALUES_MISMATCH": "the key does not belong to the certificate",
    "NO_START_LINE": _NOT_PEM,
    "PEM": _NOT_PEM,
    "BAD_BASE64_DECODE": "the PEM file is damaged",
    "BAD_END_LINE": "the PEM file is damaged",
    "EE_KEY_TOO_SMALL": "the key of the certificate is too short to be accepted by TLS",
    "CA_KEY_TOO_SMALL": "the key of the certificate's authority is too short to be accepted by TLS",
    "CA_MD_TOO_WEAK": "the certificate is signed with a method that is too weak to be accepted by TLS",
    "NO_CERTIFICATE_OR_CRL_FOUND": "the file holds no certificate",
}


class TlsFileError(ValueError):
    """A file cannot be used. ``file`` says which one, and the message names it and says what is wrong."""

    def __init__(self, file: TlsFile, message: str) -> None:
        super().__init__(message)
        self.file = file


class _EncryptedKeyError(Exception):
    """The key asks for a passphrase."""


def load_tls(files: ServerTlsFiles) -> ssl.SSLContext:
    """The TLS context of a server. Raises :class:`TlsFileError`."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version, context.maximum_version = files.minimum, files.maximum
    _check_certificates("certificate", files.certificate)
    _check_readable("key", files.key)
    try:
        # Without a callback OpenSSL would ask for a passphrase at the terminal, and wait.
        context.load_cert_chain(files.certificate, files.key, _refuse_passphrase)
    except _EncryptedKeyError:
        raise TlsFileError("key", f"{files.key}: the key is encrypted; expected a key without a passphrase") from None
    except (OSError, ssl.SSLError) as error:
        raise TlsFileError("key", f"{files.key} with certificate {files.certificate}: {_reason(error)}") from None
    if files.client_ca is not None:
        _check_certificates("client_ca", files.client_ca)
        context.load_verify_locations(files.client_ca)
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def reloading_tls(files: ServerTlsFiles, watcher: FileWatcher) -> ssl.SSLContext:
    """As :func:`load_tls`, but each handshake uses the content of the files that ``watcher`` read last."""
    paths = [files.certificate, files.key, *([files.client_ca] if files.client_ca else [])]
    contexts = watcher.watch(paths, lambda: load_tls(files))
    first = load_tls(files)

    def choose(connection: ssl.SSLObject | ssl.SSLSocket, _name: str | None, _context: ssl.SSLContext) -> None:
        connection.context = contexts.current()

    first.sni_callback = choose
    return first


def _refuse_passphrase() -> NoReturn:
    raise _EncryptedKeyError


def _check_readable(file: TlsFile, path: Path) -> None:
    try:
        with path.open("rb") as opened:
            opened.read(1)
    except OSError as error:
        raise TlsFileError(file, f"{path}: cannot be read: {error.strerror}") from None


def _check_certificates(file: TlsFile, path: Path) -> None:
    """Check that the file holds certificates."""
    _check_readable(file, path)
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_verify_locations(path)
    except (OSError, ssl.SSLError) as error:
        raise TlsFileError(file, f"{path}: cannot be used as a certificate: {_reason(error)}") from None


def _reason(error: OSError | ssl.SSLError) -> str:
    if isinstance(error, ssl.SSLError):
        return _REASONS.get(error.reason or "PEM", error.reason or _NOT_PEM)
    return error.strerror or str(error)
