"""Checks the health of a running exporter, for container health checks: one request, and one line if it is not healthy."""

import http.client
import ssl
from urllib.parse import SplitResult, urlsplit

from exporter.config import Address
from exporter.logs import clean

TIMEOUT = 3.0
_ANSWER_LIMIT = 200


def probe_url(telemetry: Address, *, ready: bool, tls: bool = False) -> str:
    """The URL to request on this machine for an exporter that listens on ``telemetry``."""
    return f"{'https' if tls else 'http'}://{telemetry.reachable()}/-/{'ready' if ready else 'healthy'}"


def failure(url: str, timeout: float = TIMEOUT) -> str | None:
    """Request ``url``. Returns ``None`` for status 200, else the reason as one line. ``timeout`` is in seconds, for each step."""
    parts = urlsplit(url)
    connection = _connection(parts, timeout)
    try:
        connection.request("GET", (parts.path or "/") + (f"?{parts.query}" if parts.query else ""))
        answer = connection.getresponse()
        body = answer.read(_ANSWER_LIMIT)
    except (OSError, http.client.HTTPException) as error:
        return f"{_shown_url(url)}: {_reason(error, timeout)}"
    finally:
        connection.close()
    if answer.status == http.client.OK:
        return None
    answer_text = clean(body.decode("utf-8", "replace").strip(), _ANSWER_LIMIT)
    return f"{_shown_url(url)}: status {answer.status}" + (f", {answer_text}" if answer_text else "")


def _connection(parts: SplitResult, timeout: float) -> http.client.HTTPConnection:
    host = parts.hostname or ""
    if parts.scheme == "http":
        return http.client.HTTPConnection(host, parts.port or 80, timeout=timeout)
    unverified = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    unverified.check_hostname, unverified.verify_mode = False, ssl.CERT_NONE  # no secret is sent, and the answer grants nothing
    return http.client.HTTPSConnection(host, parts.port or 443, timeout=timeout, context=unverified)


def _shown_url(url: str) -> str:
    return clean(url, _ANSWER_LIMIT)


def _reason(error: Exception, timeout: float) -> str:
    if isinstance(error, TimeoutError):
        return f"no answer within {timeout:g} s"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return clean(str(error), _ANSWER_LIMIT) or type(error).__name__
