"""The format and the compression for each header."""

import pytest

from exporter.exporters.prometheus.negotiation import MAX_HEADER, accepts_gzip, negotiate

TEXT = "text/plain; version=0.0.4; charset=utf-8"
TEXT_1 = "text/plain; version=1.0.0; charset=utf-8; escaping=underscores"
TEXT_1_UTF8 = "text/plain; version=1.0.0; charset=utf-8; escaping=allow-utf-8"
OPENMETRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8; escaping=underscores"
OPENMETRICS_UTF8 = "application/openmetrics-text; version=1.0.0; charset=utf-8; escaping=allow-utf-8"

PROTOBUF = "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited; escaping=underscores"
PROTOBUF_UTF8 = PROTOBUF.replace("underscores", "allow-utf-8")

PROMETHEUS_2_42 = (
    "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,"
    "text/plain;version=0.0.4;q=0.5,*/*;q=0.1"
)
PROMETHEUS_2_42_PROTOBUF = (
    "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited,"
    "application/openmetrics-text;version=1.0.0;q=0.8,application/openmetrics-text;version=0.0.1;q=0.75,"
    "text/plain;version=0.0.4;q=0.5,*/*;q=0.1"
)
PROMETHEUS_3 = (
    "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,application/openmetrics-text;version=0.0.1;q=0.5,"
    "text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2"
)
PROMETHEUS_2_55_PROTOBUF = (
    "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited;q=0.6,"
    "application/openmetrics-text;version=1.0.0;q=0.5,application/openmetrics-text;version=0.0.1;q=0.4,"
    "text/plain;version=0.0.4;q=0.3,*/*;q=0.2"
)
PROMETHEUS_3_0_PROTOBUF = (
    "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited;escaping=allow-utf-8;q=0.6,"
    "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,application/openmetrics-text;version=0.0.1;q=0.4,"
    "text/plain;version=0.0.4;escaping=allow-utf-8;q=0.3,*/*;q=0.2"
)
PROMETHEUS_3_PROTOBUF = (
    "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited;q=0.6,"
    "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,application/openmetrics-text;version=0.0.1;q=0.4,"
    "text/plain;version=1.0.0;escaping=allow-utf-8;q=0.3,text/plain;version=0.0.4;q=0.2,*/*;q=0.1"
)
PROMETHEUS_3_PROTOBUF_LAST = (
    "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,"
    "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited;q=0.5,*/*;q=0.1"
)
PROMETHEUS_3_UNDERSCORES = PROMETHEUS_3.replace("allow-utf-8", "underscores")
PROMETHEUS_3_TEXT_FIRST = (
    "text/plain;version=1.0.0;escaping=allow-utf-8;q=0.6,text/plain;version=0.0.4;q=0.5,"
    "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.4,*/*;q=0.3"
)
BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8"


@pytest.mark.parametrize(
    ("accept", "content_type"),
    [
        # Real scrapers and browsers.
        (PROMETHEUS_2_42, OPENMETRICS),
        (PROMETHEUS_2_42_PROTOBUF, PROTOBUF),
        (PROMETHEUS_2_55_PROTOBUF, PROTOBUF),
        (PROMETHEUS_3_0_PROTOBUF, PROTOBUF_UTF8),
        (PROMETHEUS_3_PROTOBUF, PROTOBUF),
        (PROMETHEUS_3_PROTOBUF_LAST, OPENMETRICS_UTF8),
        (PROMETHEUS_3, OPENMETRICS_UTF8),
        (PROMETHEUS_3_UNDERSCORES, OPENMETRICS),
        (PROMETHEUS_3_TEXT_FIRST, TEXT_1_UTF8),
        (BROWSER, TEXT),
        ("*/*", TEXT),
        ("", TEXT),
        # By weight.
        ("text/plain;version=0.0.4;q=0.9,application/openmetrics-text;version=1.0.0;q=0.8", TEXT),
        ("text/plain;version=0.0.4;q=0.8,text/plain;version=1.0.0;q=0.9", TEXT_1),
        ("application/openmetrics-text;version=1.0.0;q=0.001", OPENMETRICS),
        ("application/openmetrics-text;q=0.5,*/*;q=0.9", TEXT),
        # At equal weight by name, then the newest; the order in the header does not matter.
        ("text/plain;version=0.0.4,text/plain;version=1.0.0,application/openmetrics-text", OPENMETRICS),
        ("text/plain;version=0.0.4,text/plain;version=1.0.0", TEXT_1),
        ("*/*,text/plain;version=1.0.0", TEXT_1),
        # Protobuf only by its message and encoding, never because of a wildcard.
        ('application/vnd.google.protobuf; proto="io.prometheus.client.MetricFamily"; encoding=delimited', PROTOBUF),
        (f"{PROTOBUF},application/openmetrics-text,text/plain;version=1.0.0", PROTOBUF),
        (f"{PROTOBUF};q=0,*/*", TEXT),
        ("application/vnd.google.protobuf", TEXT),
        ("application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=text", TEXT),
        ("application/vnd.google.protobuf;proto=other.Message;encoding=delimited,text/plain;version=1.0.0;q=0.1", TEXT_1),
        ("text/plain;q=0,application/openmetrics-text;q=0,*/*", TEXT),
        # Versions.
        ("application/openmetrics-text", OPENMETRICS),
        ("application/openmetrics-text;version=0.0.1", TEXT),
        ("application/openmetrics-text;version=0.0.1,text/plain;version=1.0.0;q=0.1", TEXT_1),
        ("application/openmetrics-text;version=2.0.0", TEXT),
        ("application/openmetrics-text;version=abc", TEXT),
        ("text/plain;version=abc,text/plain;version=1.0.0;q=0.1", TEXT_1),
        ("text/plain;version=9.9.9", TEXT),
        ("text/plain", TEXT),
        # Wildcards, and the most specific range.
        ("text/*", TEXT),
        ("application/*", OPENMETRICS),
        ("text/*;q=0.5,*/*;q=0.1", TEXT),
        ("text/plain;q=0.9,text/plain;version=1.0.0;q=0.5", TEXT),
        ("*/*;q=0.9,text/*;q=0.1", OPENMETRICS),
        # Weight 0.
        ("text/plain;version=0.0.4;q=0,*/*", TEXT_1),
        ("text/plain;q=0,*/*", OPENMETRICS),
        ("application/openmetrics-text;version=1.0.0;q=0,text/plain;version=1.0.0;q=0.1", TEXT_1),
        ("application/openmetrics-text;q=0", TEXT),
        ("application/openmetrics-text;q=0.000", TEXT),
        ("*/*;q=0", TEXT),
        # Escaping schemes.
        ("text/plain;version=1.0.0;escaping=values", "text/plain; version=1.0.0; charset=utf-8; escaping=values"),
        ("text/plain;version=1.0.0;escaping=dots", TEXT_1),
        ("text/plain;version=1.0.0;escaping=a\r\nb", TEXT_1),
        ("text/plain;version=0.0.4;escaping=allow-utf-8", TEXT),
        # Odd but allowed.
        ('APPLICATION/OpenMetrics-Text ; Version="1.0.0" ; Q=1.000', OPENMETRICS),
        (",, ,application/openmetrics-text,,", OPENMETRICS),
        # Not parsable or not supported.
        ("application/openmetrics-text;q=abc", TEXT),
        ("application/openmetrics-text;q=nan,text/plain;version=1.0.0;q=0.1", TEXT_1),
        ("application/openmetrics-text;q=-1", TEXT),
        ("application/openmetrics-text;q=1.5", TEXT),
        ("application/openmetrics-text;q=", TEXT),
        ("application/json", TEXT),
        ("openmetrics", TEXT),
        (";;;===,,,", TEXT),
        ("\xff\xfe²", TEXT),
    ],
)
def test_content_type(accept: str, content_type: str) -> None:
    """The highest weight wins, then named formats, then the newest; any other header gets text 0.0.4."""
    assert negotiate(accept).content_type == content_type


def test_only_the_beginning_of_a_header_is_read() -> None:
    """The entry at the limit is ignored instead of being misread."""
    start = "application/openmetrics-text;q=0.5,"
    cut = start + "text/plain;version=1.0.0;q=0." + "0" * MAX_HEADER
    assert negotiate(cut).content_type == OPENMETRICS


@pytest.mark.parametrize(
    ("accept_encoding", "gzip"),
    [
        ("gzip", True),
        ("x-gzip", True),
        ("GZIP", True),
        ("gzip, deflate, br, zstd", True),
        ("deflate;q=1.0, gzip;q=0.5", True),
        ("*", True),
        ("*;q=0.1", True),
        ("identity;q=0.5, gzip", True),
        ("identity;q=0, gzip;q=0.1", True),
        ("gzip;q=0.001", True),
        ("", False),
        ("identity", False),
        ("deflate, br", False),
        ("gzip;q=0", False),
        ("gzip;q=0.000", False),
        ("gzip;q=0, *", False),
        ("*;q=0", False),
        ("identity, gzip;q=0.5", False),
        ("gzip;q=abc", False),
        ("gzipped", False),
        ("\xff", False),
    ],
)
def test_gzip(accept_encoding: str, gzip: bool) -> None:
    """The body is compressed if the scraper accepts gzip and does not prefer an uncompressed body."""
    assert accepts_gzip(accept_encoding) is gzip
