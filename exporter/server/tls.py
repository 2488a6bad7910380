"""TLS of a listener. Certificates can be rotated while it runs: each handshake uses the present content of the files."""

import ssl

from exporter.auth.tls_files import ServerTlsFiles
from exporter.server.reloading_file import ReloadingFile


def load_tls(files: ServerTlsFiles) -> ssl.SSLContext:
    """The TLS context of a server. Raises ``ValueError`` that names the unusable file."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version, context.maximum_version = files.minimum, files.maximum
    try:
        context.load_cert_chain(files.certificate, files.key)
    except (OSError, ssl.SSLError) as error:
        raise ValueError(f"certificate {files.certificate} with key {files.key} cannot be used: {_reason(error)}") from None
    if files.client_ca is not None:
        try:
            context.load_verify_locations(files.client_ca)
        except (OSError, ssl.SSLError) as error:
            raise ValueError(f"client CA {files.client_ca} cannot be used: {_reason(error)}") from None
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def reloading_tls(files: ServerTlsFiles) -> ssl.SSLContext:
    """As :func:`load_tls`, but each handshake uses the present content of the files."""
    paths = [files.certificate, files.key, *([files.client_ca] if files.client_ca else [])]
    contexts = ReloadingFile(paths, lambda: load_tls(files))
    first = load_tls(files)

    def choose(connection: ssl.SSLObject | ssl.SSLSocket, _name: str | None, _context: ssl.SSLContext) -> None:
        connection.context = contexts.current()

    first.sni_callback = choose
    return first


def _reason(error: OSError | ssl.SSLError) -> str:
    if isinstance(error, ssl.SSLError):
        not_pem = "expected a file in PEM format"
        return not_pem if error.reason in (None, "", "PEM") else error.reason
    return error.strerror or str(error)
