"""The limits of the OpenTelemetry specification on what a span holds, for users who set tighter limits than the exporter's spans reach.

A span under such a limit is parsed and serialised again by protobuf's own library. That is slow, but few users need it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

DEFAULT_COUNT: Final = 128
"""The limit of each count unless it is set. No span of the exporter reaches it."""


@dataclass(frozen=True, slots=True)
class SpanLimits:
    """How much a span may hold. ``value_length`` is in characters; ``None`` means no limit."""

    value_length: int | None = None
    per_span: int = DEFAULT_COUNT
    events: int = DEFAULT_COUNT
    links: int = DEFAULT_COUNT
    per_event: int = DEFAULT_COUNT
    per_link: int = DEFAULT_COUNT


DEFAULT_SPAN_LIMITS: Final = SpanLimits()


class SpanLimiter:
    """Removes from spans what exceeds the count limits, and writes into each span how much was removed.

    ``active`` says whether any span can exceed them.
    """

    def __init__(self, limits: SpanLimits) -> None:
        self._limits = limits
        self.active = min(limits.per_span, limits.events, limits.links, limits.per_event) < DEFAULT_COUNT

    def apply(self, spans: Sequence[bytes]) -> Sequence[bytes]:
        """The serialised spans within the limits; what comes first is kept. The exporter's links have no attributes."""
        return [self._limited(span) for span in spans] if self.active else spans

    def _limited(self, serialised: bytes) -> bytes:
        from opentelemetry.proto.trace.v1.trace_pb2 import Span  # noqa: PLC0415 - megabytes that few need

        limits, span = self._limits, Span.FromString(serialised)
        span.dropped_attributes_count += _truncate(span.attributes, limits.per_span)
        span.dropped_events_count += _truncate(span.events, limits.events)
        span.dropped_links_count += _truncate(span.links, limits.links)
        for event in span.events:
            event.dropped_attributes_count += _truncate(event.attributes, limits.per_event)
        return span.SerializeToString()


def _truncate(items: Any, most: int) -> int:  # noqa: ANN401 - protobuf's repeated fields have no common type
    """Keep the first ``most`` items; returns how many were removed."""
    removed = max(0, len(items) - most)
    del items[len(items) - removed :]
    return removed
