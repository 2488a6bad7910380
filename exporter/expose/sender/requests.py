"""Export requests as bytes: spans that are encoded already are put together without being read again.

A protobuf message is the concatenation of its fields, and a repeated field may stand in any number of places, so a request is
prefix and spans, each with its length in front. Source: protobuf's encoding guide and ``opentelemetry/proto/trace/v1/trace.proto``.
"""

from collections.abc import Iterable
from typing import Final, NamedTuple

SPAN_OVERHEAD: Final = 6
"""Most bytes that a span in a request takes beside its own: field number, and a length of up to five bytes."""
REQUEST_OVERHEAD: Final = 32
"""As above, of the messages around the spans, without resource and scope."""

_FIELD_1: Final = b"\x0a"
_FIELD_2: Final = b"\x12"
_FIELD_3: Final = b"\x1a"


class Request(NamedTuple):
    """The bytes of an export request, and how many spans or data points it holds."""

    body: bytes
    items: int


class SpanEnvelope:
    """What stands around the spans of every request.

    ``resource`` and ``scope`` are serialised ``Resource`` and ``InstrumentationScope`` messages; ``schema_url`` is that of both.
    """

    def __init__(self, resource: bytes = b"", scope: bytes = b"", schema_url: str = "") -> None:
        url = schema_url.encode()
        end = _field(_FIELD_3, url) if url else b""
        self._resource = _field(_FIELD_1, resource) + end
        self._scope = _field(_FIELD_1, scope) + end
        self.size = len(self._resource) + len(self._scope) + REQUEST_OVERHEAD

    def wrap(self, spans: Iterable[bytes]) -> bytes:
        """An ``ExportTraceServiceRequest`` of serialised ``Span`` messages."""
        scope_spans = self._scope + b"".join(_field(_FIELD_2, span) for span in spans)
        resource_spans = self._resource + _field(_FIELD_2, scope_spans)
        return _field(_FIELD_1, resource_spans)


def _field(tag: bytes, content: bytes) -> bytes:
    return b"%b%b%b" % (tag, _varint(len(content)), content)


def _varint(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)
