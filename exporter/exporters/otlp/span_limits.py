"""The limits of the OpenTelemetry specification on what a span holds, for those who set tighter ones than spans keep to anyway.

Such a span is read and written again by protobuf's own library: few ask for it, so it may cost what it costs.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from opentelemetry.proto.trace.v1.trace_pb2 import Span

DEFAULT: Final = 128
"""The limit unless another is set, which no span of ours reaches."""


@dataclass(frozen=True, slots=True)
class AttributeLimits:
    """How much a span may hold; ``None`` is without limit. ``value_length`` is in characters."""

    value_length: int | None = None
    per_span: int = DEFAULT
    events: int = DEFAULT
    links: int = DEFAULT
    per_event: int = DEFAULT
    per_link: int = DEFAULT


UNLESS_SET: Final = AttributeLimits()


class SpanLimits:
    """Takes what is beyond the limits off spans, and says in them how much that was."""

    def __init__(self, limits: AttributeLimits) -> None:
        self._limits = limits
        self._binding = min(limits.per_span, limits.events, limits.links, limits.per_event) < DEFAULT

    def applied(self, spans: Sequence[bytes]) -> Sequence[bytes]:
        """The serialised spans within the limits: what comes first stays. Links of ours have no attributes."""
        return [self._applied(span) for span in spans] if self._binding else spans

    def _applied(self, raw: bytes) -> bytes:
        limits, span = self._limits, Span.FromString(raw)
        span.dropped_attributes_count += _cut(span.attributes, limits.per_span)
        span.dropped_events_count += _cut(span.events, limits.events)
        span.dropped_links_count += _cut(span.links, limits.links)
        for event in span.events:
            event.dropped_attributes_count += _cut(event.attributes, limits.per_event)
        return span.SerializeToString()


def _cut(items: Any, most: int) -> int:  # noqa: ANN401 - protobuf's repeated fields have no common type
    """Keep the first ``most`` of them; returns how many are gone."""
    beyond = max(0, len(items) - most)
    del items[len(items) - beyond :]
    return beyond
