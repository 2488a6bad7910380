"""The result of an export from a receiver's response, and the pause before a retry."""

from datetime import UTC, datetime

import pytest
from google.protobuf.duration_pb2 import Duration
from google.rpc.error_details_pb2 import DebugInfo, RetryInfo
from google.rpc.status_pb2 import Status
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceResponse
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest, ExportTraceServiceResponse
from opentelemetry.proto.common.v1.common_pb2 import InstrumentationScope
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from exporter.exporters.otlp.sender import BackoffConfig, SpanEnvelope, response
from exporter.exporters.otlp.sender.export_result import Delivered, ExportResult, PermanentFailure, RetryableFailure
from exporter.exporters.otlp.sender.requests import SHORT, join
from exporter.exporters.otlp.sender.response import MAX_RETRY_AFTER, delivered, from_grpc, from_http, read_retry_after

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("7", 7.0),
        (" 0 ", 0.0),
        ("99999999999999999999", MAX_RETRY_AFTER),
        ("Fri, 02 Jan 2026 03:04:25 GMT", 20.0),
        ("Fri, 02 Jan 2026 03:04:25 -0000", 20.0),
        ("Fri, 02 Jan 2026 03:00:00 GMT", 0.0),
        ("Sat, 03 Jan 2026 03:00:00 GMT", MAX_RETRY_AFTER),
        ("", None),
        ("-1", None),
        ("soon", None),
        ("²", None),
        ("Fri, 99 Jan 2026 03:04:25 GMT", None),
        ("Fri, 02 Jan 2026 99:04:25 GMT", None),
        ("Fri, 01 Jan 99999999999 00:00:00 GMT", None),
        ("Fri, 01 Jan 2026 99999999999999999999:00:00 GMT", None),
        ("Fri, 01 Jan 2026 00:00:00 +999999999999999", None),
        ("Fri, 31 Dec 9999 23:59:59 -2359", MAX_RETRY_AFTER),
        ("Mon, 01 Jan 0001 00:00:00 +2359", 0.0),
    ],
)
def test_retry_after(text: str, seconds: float | None) -> None:
    """Retry-After holds seconds or a date; any other text is ignored."""
    assert read_retry_after(text, NOW) == seconds


@given(st.text(max_size=40))
def test_retry_after_never_raises(text: str) -> None:
    """No text in Retry-After raises."""
    seconds = read_retry_after(text, NOW)
    assert seconds is None or 0.0 <= seconds <= MAX_RETRY_AFTER


def test_partial_success() -> None:
    """The responses of both signals are read alike, and a body that cannot be parsed means that the request was accepted."""
    traces, metrics = ExportTraceServiceResponse(), ExportMetricsServiceResponse()
    traces.partial_success.rejected_spans = metrics.partial_success.rejected_data_points = 4
    traces.partial_success.error_message = metrics.partial_success.error_message = "why"
    assert delivered(traces.SerializeToString()) == delivered(metrics.SerializeToString()) == Delivered(4, "why")
    assert delivered(b"") == delivered(b"", "text/html") == Delivered()


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b"{}", Delivered()),
        (b' {"partialSuccess": {}}', Delivered()),
        (b'{"partialSuccess": null}', Delivered()),
        (b'{"partialSuccess": {"rejectedSpans": "4", "errorMessage": "why"}}', Delivered(4, "why")),
        (b'{"partialSuccess": {"rejectedDataPoints": 4, "errorMessage": "why"}}', Delivered(4, "why")),
        (b'{"partialSuccess": {"rejectedSpans": -4}, "more": 1}', Delivered()),
    ],
)
def test_partial_success_in_json(body: bytes, expected: Delivered) -> None:
    """A response in JSON is read as one in protobuf, whatever its content type."""
    assert delivered(body, "application/json") == delivered(body, "text/plain") == delivered(body) == expected


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("text/html", b"<html>sign in</html>"),
        ("text/plain", b"ok"),
        ("application/x-protobuf", b"\xff"),
        ("", b"<html>"),
        ("application/json", b'{"error": "sign in"}'),
        ("application/json", b'{"partialSuccess": {"rejectedSpans": "many"}}'),
        ("application/json", b'{"partialSuccess": {"rejectedSpans": Infinity}}'),
        ("application/json", b'{"partialSuccess": [1]}'),
        ("application/json", b'{"partialSuccess": ' + b"[" * 60_000),
        ("application/json", b"{"),
    ],
)
def test_accepted_by_something_else(content_type: str, body: bytes) -> None:
    """An accepted request whose answer is no OTLP response is delivered, and the result says what the answer was."""
    result = from_http(200, retry_after="", content_type=content_type, body=body)
    assert result == Delivered(not_otlp=f"{len(body)} bytes with the content type {content_type!r}")


def test_an_error_of_ours_does_not_change_the_verdict(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """If the exporter fails at a part of an answer, the status still decides, and the log names the error as the exporter's."""
    for name in ("read_retry_after", "_http_message", "delivered", "_retry_delay"):
        monkeypatch.setattr(response, name, lambda *_: 1 // 0)
    busy = from_http(503, retry_after="1", content_type="", body=b"x")
    assert busy == RetryableFailure("http_503", "the receiver answered 503")
    assert from_http(200, retry_after="", content_type="", body=b"") == Delivered()
    assert from_grpc("UNAVAILABLE", "x", b"") == RetryableFailure("grpc_unavailable", "UNAVAILABLE: x")
    assert caplog.text.count("internal error") == 4


@pytest.mark.parametrize(
    ("content_type", "body", "end"),
    [
        ("application/x-protobuf", Status(message="no").SerializeToString(), ": no"),
        ("application/x-protobuf", b"\xff", ""),
        ("text/plain", b" no \n", ": no"),
        ("text/html", b"x" * 10_000, ": " + "x" * 300),
        ("", b"\xff", ": \N{REPLACEMENT CHARACTER}"),
        ("", b"", ""),
    ],
)
def test_message(content_type: str, body: bytes, end: str) -> None:
    """The detail of a failure is the status message or the beginning of a text."""
    assert from_http(400, retry_after="", content_type=content_type, body=body) == PermanentFailure(
        "http_400", f"the receiver answered 400{end}"
    )


def status(*details: RetryInfo | DebugInfo) -> bytes:
    message = Status()
    for detail in details:
        message.details.add().Pack(detail)
    return message.SerializeToString()


HALF = RetryInfo(retry_delay=Duration(nanos=500_000_000))
DAY = RetryInfo(retry_delay=Duration(seconds=86_400))


@pytest.mark.parametrize(
    ("code", "details", "retry_after"),
    [
        ("UNAVAILABLE", None, None),
        ("UNAVAILABLE", b"\xff", None),
        ("UNAVAILABLE", status(DebugInfo(), HALF), 0.5),
        ("RESOURCE_EXHAUSTED", status(HALF), 0.5),
        ("RESOURCE_EXHAUSTED", status(DAY), MAX_RETRY_AFTER),
    ],
)
def test_grpc_retry_info(code: str, details: bytes | None, retry_after: float | None) -> None:
    """The delay of RetryInfo is found among the details, and limited."""
    assert from_grpc(code, "x", details) == RetryableFailure(f"grpc_{code.lower()}", f"{code}: x", retry_after)


@pytest.mark.parametrize(
    ("message", "reason", "said"),
    [
        (
            (
                "failed to connect to all addresses; last error: UNKNOWN: 127.0.0.1:1: Custom verification check failed with error: "
                "UNAUTHENTICATED: Hostname Verification Check failed."
            ),
            "tls",
            "TLS: the receiver's certificate is not valid for the host name or address of the endpoint: UNAVAILABLE: ",
        ),
        (
            (
                "Tls handshake failed (TSI_PROTOCOL_FAILURE): SSL_ERROR_SSL: error:1000007d:SSL routines:OPENSSL_internal:"
                "CERTIFICATE_VERIFY_FAILED: certificate has expired: OK"
            ),
            "tls",
            "TLS: the receiver's certificate is not trusted: certificate has expired: UNAVAILABLE: ",
        ),
        (
            "last error: UNKNOWN: ipv4:127.0.0.1:1: HTTP proxy returned response code 407",
            "proxy",
            "the proxy answered 407: it wants a user and a password, as in http://USER:PASSWORD@HOST:PORT: UNAVAILABLE: ",
        ),
    ],
)
def test_grpc_failures_in_plain_words(message: str, reason: str, said: str) -> None:
    """What gRPC says of certificates and proxies is classified, and said plainly before its own words."""
    found = from_grpc("UNAVAILABLE", message, None)
    assert isinstance(found, RetryableFailure)
    assert found.reason == reason
    assert found.detail.startswith(said)


@pytest.mark.parametrize(
    ("result", "too_long"),
    [
        (from_http(413, retry_after="", content_type="", body=b""), True),
        (from_http(400, retry_after="", content_type="", body=b""), False),
        (from_grpc("RESOURCE_EXHAUSTED", "SERVER: Received message larger than max (5000000 vs. 4194304)", None), True),
        (from_grpc("RESOURCE_EXHAUSTED", "gRPC message exceeds maximum size 4194304: 5000000", None), True),
        (from_grpc("RESOURCE_EXHAUSTED", "quota", None), False),
    ],
)
def test_what_was_too_long(result: ExportResult, too_long: bool) -> None:
    """A refusal says whether shorter requests may be accepted."""
    assert isinstance(result, PermanentFailure)
    assert result.too_long is too_long


def test_grpc_exhausted() -> None:
    """RESOURCE_EXHAUSTED without RetryInfo is permanent."""
    assert isinstance(from_grpc("RESOURCE_EXHAUSTED", "x", status(DebugInfo())), PermanentFailure)


@given(st.integers(1, 1000), st.floats(0.0, 1.0))
def test_pause_is_bounded(failures: int, chance: float) -> None:
    """A pause grows up to the maximum and never exceeds it, whatever the jitter and the number of failures."""
    pause = BackoffConfig().pause(failures, None, chance)
    assert 0.4 <= pause <= 5.0
    assert failures < 5 or pause >= 4.0


def test_pause_of_the_receiver() -> None:
    """A receiver can ask for a longer pause, even beyond the maximum, but not for a shorter one."""
    assert BackoffConfig().pause(1, 60.0, 0.5) == 60.0
    assert BackoffConfig().pause(10, 0.1, 0.5) == 5.0


def test_jitter() -> None:
    """Pauses have jitter."""
    assert BackoffConfig().pause(1, None, 0.0) < BackoffConfig().pause(1, None, 1.0)


@given(
    st.lists(st.builds(lambda name, state: Span(name=name, trace_state=state), st.text(), st.text(max_size=300)), max_size=20),
    st.text(max_size=200),
    st.text(max_size=200),
    st.text(max_size=50),
)
def test_envelope(spans: list[Span], service: str, scope: str, schema_url: str) -> None:
    """A request joined from bytes is the message that protobuf's own library would make."""
    resource = Resource()
    resource.attributes.add(key="service.name").value.string_value = service
    instrumentation = InstrumentationScope(name=scope)
    expected = ExportTraceServiceRequest()
    resource_spans = expected.resource_spans.add(resource=resource, schema_url=schema_url)
    resource_spans.scope_spans.add(scope=instrumentation, spans=spans, schema_url=schema_url)
    envelope = SpanEnvelope(resource.SerializeToString(), instrumentation.SerializeToString(), schema_url)
    raw = [span.SerializeToString() for span in spans]
    for bodies in ([join(raw)], [join([each]) for each in raw]):
        request = envelope.wrap(bodies)
        assert ExportTraceServiceRequest.FromString(request) == expected
        assert len(request) <= envelope.size + sum(map(len, bodies))


def test_empty_envelope() -> None:
    """Without resource and scope a request contains only the spans."""
    names = ["x" * length for length in (0, 1, 126, 127, 128, SHORT - 10, SHORT, 70_000)]
    body = join(Span(name=name).SerializeToString() for name in names)
    request = ExportTraceServiceRequest.FromString(SpanEnvelope().wrap([body]))
    assert [span.name for span in request.resource_spans[0].scope_spans[0].spans] == names
