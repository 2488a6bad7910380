"""Whatever a client sends as headers and query, it gets metrics of the declared Content-Type."""

import gzip

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from exporter.exporters.prometheus.endpoint import MetricsEndpoint
from exporter.exporters.prometheus.negotiation import Format, accepts_gzip, negotiate
from tests.support.asgi import call
from tests.support.prometheus_messages import decoded, expected
from tests.support.small_snapshot import SMALL

_WORDS = (
    *("application/openmetrics-text", "text/plain", "text/*", "*/*", "*", "gzip", "x-gzip", "identity", "application/*"),
    *(
        "version=1.0.0",
        "version=0.0.4",
        "version=0.0.1",
        "version=abc",
        'version="1.0.0',
        "q=0",
        "q=1",
        "q=0.5",
        "q=abc",
        "q=nan",
    ),
    *("application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited", "encoding=text"),
    *("q=1e9", "q=", "q", "escaping=allow-utf-8", "escaping=dots", "escaping=\xff", ";", ",", "=", " ", '"', "\\", "²"),
)
_headers = st.lists(st.sampled_from(_WORDS) | st.sampled_from(";,"), max_size=20).map("".join).map(lambda text: text.encode("latin-1"))
_hostile = _headers | st.binary(max_size=60) | st.binary(min_size=1, max_size=3).map(lambda piece: piece * 20_000)


@given(accept=st.lists(_hostile, max_size=3), encoding=st.lists(_hostile, max_size=2), query=st.binary(max_size=30))
async def test_every_request_gets_metrics(accept: list[bytes], encoding: list[bytes], query: bytes) -> None:
    """Any Accept, Accept-Encoding and query string is answered 200 with a body of the declared type and coding."""
    headers = [*((b"accept", one) for one in accept), *((b"accept-encoding", one) for one in encoding)]
    answer = await call(MetricsEndpoint(lambda: SMALL), headers=headers, query=query)
    assert answer.status == 200
    assert int(answer.headers["content-length"]) == len(answer.body)
    openmetrics = answer.headers["content-type"].startswith("application/openmetrics-text; version=1.0.0; ")
    if answer.headers["content-type"].startswith(Format.PROTOBUF.media_type):
        assert decoded(gzip.decompress(answer.body) if "content-encoding" in answer.headers else answer.body) == expected(SMALL)
        return
    families = list((parse_openmetrics if openmetrics else parse_text)(answer.text))
    assert len(families) == len(SMALL.families)


@given(header=_hostile.map(lambda raw: raw.decode("latin-1")))
def test_negotiation_never_raises(header: str) -> None:
    """Neither function raises, and the content type is one that fits into a header."""
    assert negotiate(header).content_type.isascii()
    assert accepts_gzip(header) in (True, False)


@pytest.mark.parametrize("character", ["q", ",", ";", "=", '"', "\xff"])
def test_negotiation_of_a_huge_header(character: str) -> None:
    """A header of a megabyte is answered too."""
    assert negotiate(character * 1_000_000).content_type == "text/plain; version=0.0.4; charset=utf-8"
    assert not accepts_gzip(character * 1_000_000)
