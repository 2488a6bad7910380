"""Spans as text that people can compare: a tree with offsets, lengths and attributes."""

from collections.abc import Iterable, Iterator
from typing import Any

from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from tests.support.traced import values


def tree(spans: Iterable[Span]) -> str:
    """The spans as an indented tree, with times in milliseconds since the first span began."""
    spans = sorted(spans, key=lambda span: (span.start_time_unix_nano, span.name))
    known = {span.span_id for span in spans}
    first = min((span.start_time_unix_nano for span in spans), default=0)
    roots = [span for span in spans if span.parent_span_id not in known]
    return "".join(f"{line}\n" for root in roots for line in _lines(root, spans, first, 0))


def _lines(span: Span, spans: list[Span], first: int, depth: int) -> Iterator[str]:
    margin = "    " * depth
    failed = " FAILED" if span.status.code == Status.STATUS_CODE_ERROR else ""
    kind = Span.SpanKind.Name(span.kind).removeprefix("SPAN_KIND_").lower()
    start, length = span.start_time_unix_nano - first, span.end_time_unix_nano - span.start_time_unix_nano
    yield f"{margin}{span.name}  [{_ms(start)} +{_ms(length)}] {kind}{failed}"
    yield from (f"{margin}  {key} = {value!r}" for key, value in sorted(values(span.attributes).items()))
    for event in span.events:
        text = "".join(f" {key}={value!r}" for key, value in sorted(values(event.attributes).items()))
        yield f"{margin}  * {event.name} [{_ms(event.time_unix_nano - first)}]{text}"
    for link in span.links:
        yield f"{margin}  -> {link.trace_id.hex()}/{link.span_id.hex()}"
    for child in spans:
        if child.parent_span_id == span.span_id and child is not span:
            yield from _lines(child, spans, first, depth + 1)


def _ms(nanoseconds: int) -> Any:
    return f"{nanoseconds / 1e6:g}"
