"""Reads the result of one attempt to export from the receiver's response. Source: the OTLP specification, ``docs/specification.md``."""

import contextlib
import json
import logging
import math
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Final, TypeVar
from urllib.parse import urlsplit

from google.protobuf.message import DecodeError
from google.rpc.error_details_pb2 import RetryInfo
from google.rpc.status_pb2 import Status
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

from exporter.exporters.otlp.sender.export_result import Delivered, ExportResult, PermanentFailure, RetryableFailure

MAX_RETRY_AFTER: Final = 300.0
"""The longest pause a receiver can ask for, in seconds. A wrong header must not stop the exports for days."""
_MAX_DETAIL: Final = 300
_MAX_TYPE: Final = 80
_REJECTED: Final = ("rejectedSpans", "rejectedDataPoints")
T = TypeVar("T")

log = logging.getLogger(__name__)


def delivered(body: bytes, content_type: str = "") -> Delivered:
    """Read the answer to an accepted request, in protobuf or JSON. A body that is neither still means that the request was accepted.

    The responses for spans and metrics differ in names only, so one message type reads both.
    """
    is_json = body.lstrip().startswith(b"{")
    if body and content_type.lower().lstrip().startswith("text/") and not is_json:
        return Delivered(not_otlp=_described(body, content_type))
    try:
        rejected, message = _json_partial_success(body) if is_json else _partial_success(body)
    except (DecodeError, ValueError, TypeError, OverflowError, RecursionError):
        return Delivered(not_otlp=_described(body, content_type))
    return Delivered(max(0, rejected), message[:_MAX_DETAIL])


def _partial_success(body: bytes) -> tuple[int, str]:
    partial = ExportTraceServiceResponse.FromString(body).partial_success
    return partial.rejected_spans, partial.error_message


def _json_partial_success(body: bytes) -> tuple[int, str]:
    """Rejected items and message of a response in JSON, where a number of 64 bits may be a text. Raises ``ValueError`` and others."""
    answer: dict[str, Any] = json.loads(body)
    if answer and "partialSuccess" not in answer:
        raise ValueError("not an export response")
    partial = answer.get("partialSuccess") or {}
    if not isinstance(partial, dict):
        raise TypeError("partialSuccess is not an object")
    rejected = next((partial[name] for name in _REJECTED if partial.get(name)), 0)
    return int(rejected), str(partial.get("errorMessage") or "")


def _described(body: bytes, content_type: str) -> str:
    return f"{len(body)} bytes with the content type {content_type[:_MAX_TYPE]!r}"


def guarded(read: Callable[[], T], otherwise: T) -> T:
    """What ``read`` finds in an answer, or ``otherwise`` if the exporter fails at it. The status alone decides about the request."""
    try:
        return read()
    # Whatever the receiver answered, it must not cost the data in hand.
    except Exception:
        log.exception("internal error; a part of the receiver's answer was not read, its status counts all the same")
        return otherwise


_HTTP_RETRYABLE = frozenset({429, 502, 503, 504})
_PROXY_AUTHENTICATION: Final = 407
_TOO_LONG: Final = 413
_HTTP_STATUSES = _HTTP_RETRYABLE | {400, 401, 403, 404, 405, 413, 415, 500}


def from_http(status: int, *, retry_after: str, content_type: str, body: bytes) -> ExportResult:
    """Read an HTTP response; ``retry_after`` and ``content_type`` are header values, empty if there is no such header."""
    if 200 <= status < 300:
        return guarded(lambda: delivered(body, content_type), Delivered())
    # The reason becomes a label value, so the receiver must not be able to choose it freely.
    reason = f"http_{status}" if status in _HTTP_STATUSES else f"http_{status // 100}xx"
    detail = f"the receiver answered {status}"
    if message := guarded(lambda: _http_message(content_type, body), ""):
        detail += f": {message}"
    if status in _HTTP_RETRYABLE:
        return RetryableFailure(reason, detail, guarded(lambda: read_retry_after(retry_after, datetime.now(UTC)), None))
    return PermanentFailure(reason, detail, too_long=status == _TOO_LONG)


_PROXY_ADVICE: Final = "the proxy answered 407: it wants a user and a password, as in http://USER:PASSWORD@HOST:PORT"


def from_proxy(status: int, headers: Mapping[str, str]) -> RetryableFailure | None:
    """The failure of a proxy that forwards requests; ``None`` if the answer is the receiver's. A proxy refuses no data for good.

    Squid marks its own errors, and others do so as RFC 9209 says. Header names are lower case.
    """
    if status == _PROXY_AUTHENTICATION:
        return RetryableFailure("proxy", _PROXY_ADVICE)
    error = headers.get("x-squid-error") or ("error=" in headers.get("proxy-status", "") and headers["proxy-status"])
    if not error or 200 <= status < 300:
        return None
    retry_after = guarded(lambda: read_retry_after(headers.get("retry-after", ""), datetime.now(UTC)), None)
    return RetryableFailure("proxy", f"the proxy answered {status}: {error[:_MAX_DETAIL]}", retry_after)


def redirect(location: str) -> RetryableFailure:
    """A redirect that was not followed. The data is kept, because another endpoint would take it."""
    try:
        parts = urlsplit(location)
    except ValueError:
        parts = urlsplit("")
    host = parts.netloc.rpartition("@")[2]
    place = f"{parts.scheme}://{host}{parts.path}"[:_MAX_DETAIL] if host else "elsewhere"
    return RetryableFailure("redirect", f"the receiver redirects to {place}; set the endpoint to the address that is to be used")


def read_retry_after(text: str, now: datetime) -> float | None:
    """Seconds from a ``Retry-After`` header, which holds seconds or a date; ``None`` if it holds neither."""
    text = text.strip()
    if text.isascii() and text.isdigit():
        return min(float(text[:9]), MAX_RETRY_AFTER)
    try:
        at = parsedate_to_datetime(text)
        pause = ((at if at.tzinfo else at.replace(tzinfo=UTC)) - now).total_seconds()
    except (ValueError, IndexError, OverflowError, TypeError):
        return None
    return min(max(0.0, pause), MAX_RETRY_AFTER)


def _http_message(content_type: str, body: bytes) -> str:
    if "protobuf" in content_type:
        with contextlib.suppress(DecodeError):
            return Status.FromString(body).message[:_MAX_DETAIL]
        return ""
    return body[:_MAX_DETAIL].decode("utf-8", "replace").strip()


_GRPC_RETRYABLE = frozenset({"CANCELLED", "DEADLINE_EXCEEDED", "ABORTED", "OUT_OF_RANGE", "UNAVAILABLE", "DATA_LOSS"})
_TLS_SIGNS = (
    *("ssl handshake failed", "certificate_verify_failed", "tls handshake", "peer name", "ssl_error", "wrong_version_number"),
    "hostname verification",
)
_NOT_TRUSTED = re.compile(r"CERTIFICATE_VERIFY_FAILED: ([^:]+)")
_OTHER_NAME: Final = "hostname verification check failed"
_PROXY_SIGN: Final = "http proxy returned response code"
_TOO_LONG_SIGNS: Final = ("larger than max", "exceeds maximum", "http status code 413")
"""What servers of gRPC in Go, C++, Python and Java, and proxies before them, say of a request that is too long."""
_SPEAKS_HTTP1: Final = "trying to connect an http1.x server"
"""What gRPC says of an answer in HTTP/1.1."""
_HTTP1_ADVICE: Final = (
    "the receiver speaks HTTP/1.1 and not gRPC: "
    "set OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf, or use the receiver's gRPC port (mostly 4317): "
)


def from_grpc(code: str, message: str, status_details: bytes | None) -> ExportResult:
    """Read a gRPC failure: status code, status message, and the value of ``grpc-status-details-bin``, ``None`` if it is missing."""
    advice = _grpc_advice(message)
    reason, detail = f"grpc_{code.lower()}", f"{advice}{code}: {message[:_MAX_DETAIL]}"
    retry_after = guarded(lambda: _retry_delay(status_details), None)
    if code in _GRPC_RETRYABLE:
        if code == "UNAVAILABLE" and any(sign in message.lower() for sign in _TLS_SIGNS):
            reason = "tls"
        if _PROXY_SIGN in message.lower():
            reason = "proxy"
        return RetryableFailure(reason, detail, retry_after)
    # Without RetryInfo the receiver does not expect to have room again.
    if code == "RESOURCE_EXHAUSTED" and retry_after is not None:
        return RetryableFailure(reason, detail, retry_after)
    return PermanentFailure(reason, detail, too_long=any(sign in message.lower() for sign in _TOO_LONG_SIGNS))


def _grpc_advice(message: str) -> str:
    """What gRPC's own words mean, to be said before them."""
    lower = message.lower()
    if _SPEAKS_HTTP1 in lower:
        return _HTTP1_ADVICE
    if (found := _NOT_TRUSTED.search(message)) is not None:
        return f"TLS: the receiver's certificate is not trusted: {found[1]}: "
    if _OTHER_NAME in lower:
        return "TLS: the receiver's certificate is not valid for the host name or address of the endpoint: "
    return f"{_PROXY_ADVICE}: " if f"{_PROXY_SIGN} {_PROXY_AUTHENTICATION}" in lower else ""


def _retry_delay(status_details: bytes | None) -> float | None:
    """The delay of the RetryInfo in the details, in seconds."""
    if status_details is None:
        return None
    with contextlib.suppress(DecodeError):
        for detail in Status.FromString(status_details).details:
            info = RetryInfo()
            if detail.Unpack(info):
                seconds = info.retry_delay.seconds + info.retry_delay.nanos / 1e9
                return min(max(0.0, seconds), MAX_RETRY_AFTER) if math.isfinite(seconds) else None
    return None
