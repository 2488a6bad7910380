"""Export requests as bytes: spans that are encoded already are joined without being read again.

A protobuf message is the concatenation of its fields, and the items of a repeated field need not be adjacent. So a request is a prefix,
and each span with its length in front. Source: protobuf's encoding guide and ``opentelemetry/proto/trace/v1/trace.proto``.
"""

from collections.abc import Iterable
from typing import Final, NamedTuple

from exporter.protobuf import delimited, delimited_head, delimited_parts, utf8

REQUEST_OVERHEAD: Final = 32
"""Bytes of tags and lengths around the spans of a request, at most; resource and scope are not included."""

SHORT: Final = 1 << 14
"""Spans shorter than this, in bytes, have a length of one or two bytes: nearly all."""


class ExportRequest(NamedTuple):
    """The bytes of an export request, and how many spans or data points it holds."""

    body: bytes
    items: int


class SpanEnvelope:
    """What stands around the spans of every request.

    ``resource`` and ``scope`` are serialised ``Resource`` and ``InstrumentationScope`` messages; ``schema_url`` is that of both.
    """

    def __init__(self, resource: bytes = b"", scope: bytes = b"", schema_url: str = "") -> None:
        url = utf8(3, schema_url) if schema_url else b""
        self._resource = delimited(1, resource) + url
        self._scope = delimited(1, scope) + url
        self.size = len(self._resource) + len(self._scope) + REQUEST_OVERHEAD

    def wrap(self, bodies: Iterable[bytes]) -> bytes:
        """An ``ExportTraceServiceRequest`` of spans that :func:`join` has put into bodies; they are copied only once."""
        scope_spans = delimited_parts(2, [self._scope, *bodies])
        return b"".join(delimited_parts(1, [self._resource, *scope_spans]))


class _SpanHeadCache(dict[int, bytes]):
    """Length of a span in bytes → what stands before it in a request. Only short spans are kept."""

    def __missing__(self, length: int) -> bytes:
        head = delimited_head(2, length)
        if length < SHORT:
            self[length] = head
        return head


_HEADS: Final = _SpanHeadCache()


def join(spans: Iterable[bytes]) -> bytes:
    """Join serialised ``Span`` messages as they stand in a request, each with tag and length in front."""
    pieces: list[bytes] = []
    for span in spans:
        pieces += (_HEADS[len(span)], span)
    return b"".join(pieces)
