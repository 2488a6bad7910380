"""The spans of an OTLP request as the SDK's ``ReadableSpan``, which is what its span exporters take."""

from collections.abc import Iterator, Sequence
from typing import TypeVar

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.sdk.util import BoundedList
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import Link, SpanContext, SpanKind, TraceFlags
from opentelemetry.trace.status import Status, StatusCode

from exporter.exporters.sdk.attribute_values import attributes_of, resource_of, scope_of

T = TypeVar("T")
_SAMPLED = TraceFlags(TraceFlags.SAMPLED)


def readable_spans(request: bytes) -> list[ReadableSpan]:
    """All spans of a serialised ``ExportTraceServiceRequest``, in order."""
    return list(_spans(ExportTraceServiceRequest.FromString(request)))


def _spans(request: ExportTraceServiceRequest) -> Iterator[ReadableSpan]:
    for resource_spans in request.resource_spans:
        resource = resource_of(resource_spans.resource, resource_spans.schema_url)
        for scope_spans in resource_spans.scope_spans:
            scope = scope_of(scope_spans.scope, scope_spans.schema_url)
            for span in scope_spans.spans:
                yield _span(span, resource, scope)


def _span(span: Span, resource: Resource, scope: InstrumentationScope) -> ReadableSpan:
    return ReadableSpan(
        name=span.name,
        context=_context(span.trace_id, span.span_id),
        parent=_context(span.trace_id, span.parent_span_id) if span.parent_span_id else None,
        resource=resource,
        attributes=attributes_of(span.attributes, span.dropped_attributes_count),
        events=_bounded([_event(event) for event in span.events], span.dropped_events_count),
        links=_bounded([_link(link) for link in span.links], span.dropped_links_count),
        kind=SpanKind(max(0, span.kind - 1)),  # OTLP counts from 1
        status=Status(StatusCode(span.status.code), span.status.message or None),
        start_time=span.start_time_unix_nano,
        end_time=span.end_time_unix_nano,
        instrumentation_scope=scope,
    )


def _event(event: Span.Event) -> Event:
    return Event(event.name, attributes_of(event.attributes, event.dropped_attributes_count), event.time_unix_nano)


def _link(link: Span.Link) -> Link:
    return Link(_context(link.trace_id, link.span_id), attributes_of(link.attributes, link.dropped_attributes_count))


def _context(trace_id: bytes, span_id: bytes) -> SpanContext:
    return SpanContext(int.from_bytes(trace_id), int.from_bytes(span_id), is_remote=False, trace_flags=_SAMPLED)


def _bounded(items: Sequence[T], dropped: int) -> Sequence[T]:
    found: BoundedList[T] = BoundedList.from_seq(None, items)
    found.dropped = dropped
    return found
