"""Asks a running exporter how it is, for container health checks: one request, one line when it is not well."""

import http.client
import ssl
from urllib.parse import SplitResult, urlsplit

from exporter.config import Address
from exporter.logs import clean

TIMEOUT = 3.0
_ANSWER_LIMIT = 200


def probe_url(telemetry: Address, *, ready: bool, tls: bool = False) -> str:
    """Where the exporter that listens on ``telemetry`` is asked from this machine."""
    return f"{'https' if tls else 'http'}://{telemetry.reachable()}/-/{'ready' if ready else 'healthy'}"


def failure(url: str, timeout: float = TIMEOUT) -> str | None:
    """Get ``url``; ``None`` on status 200, else why not, as one line. ``timeout`` in seconds bounds each step."""
    parts = urlsplit(url)
    connection = _connection(parts, timeout)
    try:
        connection.request("GET", (parts.path or "/") + (f"?{parts.query}" if parts.query else ""))
        answer = connection.getresponse()
        body = answer.read(_ANSWER_LIMIT)
    except (OSError, http.client.HTTPException) as error:
        return f"{_asked(url)}: {_reason(error, timeout)}"
    finally:
        connection.close()
    if answer.status == http.client.OK:
        return None
    said = clean(body.decode("utf-8", "replace").strip(), _ANSWER_LIMIT)
    return f"{_asked(url)}: status {answer.status}" + (f", {said}" if said else "")


def _connection(parts: SplitResult, timeout: float) -> http.client.HTTPConnection:
    host = parts.hostname or ""
    if parts.scheme == "http":
        return http.client.HTTPConnection(host, parts.port or 80, timeout=timeout)
    trusting = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    trusting.check_hostname, trusting.verify_mode = False, ssl.CERT_NONE  # nothing secret is sent, and the answer opens nothing
    return http.client.HTTPSConnection(host, parts.port or 443, timeout=timeout, context=trusting)


def _asked(url: str) -> str:
    return clean(url, _ANSWER_LIMIT)


def _reason(error: Exception, timeout: float) -> str:
    if isinstance(error, TimeoutError):
        return f"no answer within {timeout:g} s"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return clean(str(error), _ANSWER_LIMIT) or type(error).__name__
