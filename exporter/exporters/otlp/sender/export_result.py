"""What came of an attempt to send, read from what the receiver answered. Source: the OTLP specification, ``docs/specification.md``."""

import contextlib
import math
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final

from google.protobuf.message import DecodeError
from google.rpc.error_details_pb2 import RetryInfo
from google.rpc.status_pb2 import Status
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

MAX_RETRY_AFTER: Final = 300.0
"""The longest pause a receiver can ask for, in seconds: a mistaken header must not silence us for days."""
_DETAIL: Final = 300


@dataclass(frozen=True, slots=True)
class Delivered:
    """The receiver has the request, save for ``rejected`` of its items; ``message`` says why, or warns."""

    rejected: int = 0
    message: str = ""


@dataclass(frozen=True, slots=True)
class Failed:
    """Worth another try, not before ``retry_after`` seconds if the receiver has said so."""

    reason: str
    detail: str
    retry_after: float | None = None


@dataclass(frozen=True, slots=True)
class Refused:
    """Not to be sent again."""

    reason: str
    detail: str


Answer = Delivered | Failed | Refused


def delivered(body: bytes) -> Delivered:
    """Read an export response; one that is no such message still means that the request was taken.

    The responses for spans and metrics differ in names only, so one message type reads both.
    """
    try:
        partial = ExportTraceServiceResponse.FromString(body).partial_success
    except DecodeError:
        return Delivered()
    return Delivered(max(0, partial.rejected_spans), partial.error_message[:_DETAIL])


_HTTP_RETRYABLE = frozenset({429, 502, 503, 504})
_HTTP_STATUSES = _HTTP_RETRYABLE | {400, 401, 403, 404, 405, 413, 415, 500}


def from_http(status: int, retry_after: str, content_type: str, body: bytes) -> Answer:
    """Read an HTTP response."""
    if 200 <= status < 300:
        return delivered(body)
    # Reasons become label values, so the receiver must not make them up.
    reason = f"http_{status}" if status in _HTTP_STATUSES else f"http_{status // 100}xx"
    detail = f"the receiver answered {status}"
    if message := _http_message(content_type, body):
        detail += f": {message}"
    if status in _HTTP_RETRYABLE:
        return Failed(reason, detail, read_retry_after(retry_after, datetime.now(UTC)))
    return Refused(reason, detail)


def read_retry_after(text: str, now: datetime) -> float | None:
    """Seconds from a ``Retry-After`` header, which holds seconds or a date; ``None`` if it holds neither."""
    text = text.strip()
    if text.isascii() and text.isdigit():
        return min(float(text[:9]), MAX_RETRY_AFTER)
    try:
        at = parsedate_to_datetime(text)
    except (ValueError, IndexError):
        return None
    at = at if at.tzinfo else at.replace(tzinfo=UTC)
    return min(max(0.0, (at - now).total_seconds()), MAX_RETRY_AFTER)


def _http_message(content_type: str, body: bytes) -> str:
    if "protobuf" in content_type:
        with contextlib.suppress(DecodeError):
            return Status.FromString(body).message[:_DETAIL]
        return ""
    return body[:_DETAIL].decode("utf-8", "replace").strip()


_GRPC_RETRYABLE = frozenset({"CANCELLED", "DEADLINE_EXCEEDED", "ABORTED", "OUT_OF_RANGE", "UNAVAILABLE", "DATA_LOSS"})
_TLS_SIGNS = ("ssl handshake failed", "certificate_verify_failed", "tls handshake", "peer name", "ssl_error", "wrong_version_number")


def from_grpc(code: str, details: str, status: bytes | None) -> Answer:
    """Read a gRPC failure; ``status`` is what ``grpc-status-details-bin`` holds."""
    reason, detail = f"grpc_{code.lower()}", f"{code}: {details[:_DETAIL]}"
    pause = _retry_info(status)
    if code in _GRPC_RETRYABLE:
        if code == "UNAVAILABLE" and any(sign in details.lower() for sign in _TLS_SIGNS):
            reason = "tls"
        return Failed(reason, detail, pause)
    # A receiver that is out of room for good says so without RetryInfo.
    if code == "RESOURCE_EXHAUSTED" and pause is not None:
        return Failed(reason, detail, pause)
    return Refused(reason, detail)


def _retry_info(status: bytes | None) -> float | None:
    if status is None:
        return None
    with contextlib.suppress(DecodeError):
        for detail in Status.FromString(status).details:
            info = RetryInfo()
            if detail.Unpack(info):
                seconds = info.retry_delay.seconds + info.retry_delay.nanos / 1e9
                return min(max(0.0, seconds), MAX_RETRY_AFTER) if math.isfinite(seconds) else None
    return None
