"""Export requests as bytes: spans that are encoded already are put together without being read again.

A protobuf message is the concatenation of its fields, and a repeated field may stand in any number of places, so a request is
prefix and spans, each with its length in front. Source: protobuf's encoding guide and ``opentelemetry/proto/trace/v1/trace.proto``.
"""

from collections.abc import Callable, Iterable
from typing import Final, NamedTuple

from exporter import compiled

REQUEST_OVERHEAD: Final = 32
"""As above, of the messages around the spans, without resource and scope."""

SHORT: Final = 1 << 14
"""Spans shorter than this, in bytes, have a length of one or two bytes: nearly all."""
_FIELD_1: Final = b"\x0a"
_FIELD_2: Final = b"\x12"
_FIELD_3: Final = b"\x1a"


class ExportRequest(NamedTuple):
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

    def wrap(self, bodies: Iterable[bytes]) -> bytes:
        """An ``ExportTraceServiceRequest`` of spans that :func:`together` has put into bodies; they are copied only once."""
        bodies = tuple(bodies)
        scope_spans = len(self._scope) + sum(map(len, bodies))
        before_spans = self._resource + _FIELD_2 + _varint(scope_spans)
        request = _FIELD_1 + _varint(len(before_spans) + scope_spans) + before_spans
        return b"".join((request, self._scope, *bodies))


class _Heads(dict[int, bytes]):
    """What stands before a span in a request, by the span's length in bytes."""

    def __missing__(self, length: int) -> bytes:
        head = _FIELD_2 + _varint(length)
        if length < SHORT:
            self[length] = head
        return head


_HEADS: Final = _Heads()


def in_python(spans: Iterable[bytes]) -> bytes:
    """Serialised ``Span`` messages as they stand in a request, one behind the other."""
    pieces: list[bytes] = []
    for span in spans:
        pieces += (_HEADS[len(span)], span)
    return b"".join(pieces)


together: Final[Callable[[Iterable[bytes]], bytes]] = compiled.together or in_python
"""As :func:`in_python`, by way of C where that is compiled."""


def _field(tag: bytes, content: bytes) -> bytes:
    return b"%b%b%b" % (tag, _varint(len(content)), content)


def _varint(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)
