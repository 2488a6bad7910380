"""The OTLP way out, joined: from the ``OTEL_*`` settings to senders that take spans and fetch metrics.

A signal without a target has no sender. Both signals share the resource, and stop at the same time.
"""

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from exporter import __version__
from exporter.catalogue.genai import SCHEMA_URL
from exporter.config import Settings
from exporter.config.otel import OtelSettings
from exporter.exporters.otlp.metrics import SCOPE, Batch, MetricsEncoder
from exporter.exporters.otlp.resource import encoded_resource, resource_attributes
from exporter.exporters.otlp.sender import (
    BackoffConfig,
    Batching,
    Bounds,
    DiskQueue,
    MetricsSender,
    Request,
    SpanEnvelope,
    SpanSender,
    open_transport,
)
from exporter.exporters.otlp.sender.observer import DROP_REASONS, AttemptOutcome
from exporter.exporters.otlp.span_limits import SpanLimits
from exporter.exporters.otlp.target import Signal
from exporter.metrics.self_metrics import SelfMetrics
from exporter.metrics.snapshot import Snapshot
from exporter.protobuf import AttributeValue, utf8
from exporter.tracing.sampling import SpanOptions

FLUSH_WITHIN: Final = 12.0
"""Seconds that a stop may take for what still waits to be delivered."""
_CAPTURING: Final = ("span_only", "span_and_event")
_LONGEST_ATTRIBUTE: Final = 4096


class Counts:
    """What a sender tells of itself, put into the exporter's own metrics."""

    def __init__(self, metrics: SelfMetrics, signal: Signal) -> None:
        self._metrics = metrics
        self._signal = signal
        self._waiting_items = metrics.otlp_queue_items.row(signal=signal)
        self._waiting = metrics.otlp_queue.row(signal=signal)

    def begin(self) -> None:
        """Show what may be lost here before it is, so that the first loss is an increase."""
        for reason in DROP_REASONS:
            self._metrics.otlp_dropped.add(0, signal=self._signal, reason=reason)

    def delivered(self, items: int) -> None:
        """The receiver has taken so many items."""
        self._metrics.otlp_items.add(items, signal=self._signal, outcome="delivered")

    def rejected(self, items: int) -> None:
        """The receiver has refused so many items of a request it took."""
        self._metrics.otlp_items.add(items, signal=self._signal, outcome="rejected")

    def dropped(self, reason: str, items: int) -> None:
        """So many items are lost."""
        self._metrics.otlp_items.add(items, signal=self._signal, outcome="dropped")
        self._metrics.otlp_dropped.add(items, signal=self._signal, reason=reason)

    def replaced(self, items: int) -> None:
        """So many data points gave way to newer ones."""
        self._metrics.otlp_items.add(items, signal=self._signal, outcome="replaced")

    def attempted(self, outcome: AttemptOutcome, reason: str) -> None:
        """A request was made."""
        self._metrics.otlp_attempts.add(1, signal=self._signal, outcome=outcome)
        if outcome != "delivered":
            self._metrics.otlp_failures.add(1, signal=self._signal, reason=reason)

    def queued(self, items: int, size: int) -> None:
        """The queue now holds so much."""
        self._waiting_items[0], self._waiting[0] = items, size  # with every turn: rows of the exporter's own stay

    def disk_failed(self) -> None:
        """The queue's directory could not be used."""
        self._metrics.otlp_disk_errors.add(1, signal=self._signal)

    def disk_damaged(self, places: int) -> None:
        """So many places in the queue's files were lost."""
        self._metrics.otlp_disk_damaged.add(places, signal=self._signal)


class Otlp:
    """Both senders, as far as they are wanted."""

    def __init__(
        self,
        settings: Settings,
        otel: OtelSettings,
        metrics: SelfMetrics,
        snapshot: Callable[[], Snapshot],
        backoff: BackoffConfig | None = None,
    ) -> None:
        backoff = backoff or BackoffConfig()
        resource = resource_attributes(dict(otel.resource_attributes), service_name=otel.service_name)
        self._limits = SpanLimits(otel.limits)
        self._spans = _span_sender(settings.otlp_queue_dir, otel, resource, Counts(metrics, "traces"), backoff)
        self._metrics = _metrics_sender(otel, resource, Counts(metrics, "metrics"), snapshot, backoff)

    def offer(self, spans: Sequence[bytes]) -> None:
        """Take serialised spans on that belong together; never waits."""
        if self._spans is not None:
            self._spans.offer(self._limits.applied(spans))

    def start(self) -> None:
        """Begin to send."""
        for sender in (self._spans, self._metrics):
            if sender is not None:
                sender.start()

    async def stop(self) -> None:
        """Deliver what waits, or put it on disk, or count it as lost; in at most :data:`FLUSH_WITHIN` seconds."""
        await asyncio.gather(*(sender.stop(FLUSH_WITHIN) for sender in (self._spans, self._metrics) if sender is not None))


def span_options(settings: Settings, otel: OtelSettings) -> SpanOptions:
    """What is written into spans, and of which turns."""
    return SpanOptions(
        capture=otel.capture_content in _CAPTURING,
        proposals=settings.proposed_attributes,
        per_turn=settings.trace_per_turn,
        sampler=otel.sampler,
        ratio=otel.sampler_ratio,
        keep_slow_above=settings.slow_turn if settings.keep_slow_turns else None,
        keep_interrupted=settings.keep_interrupted_turns,
        keep_failed=settings.keep_failed_turns,
        attribute_length=otel.limits.value_length if otel.limits.value_length is not None else _LONGEST_ATTRIBUTE,
    )


def _span_sender(
    queue_dir: Path | None, otel: OtelSettings, resource: dict[str, AttributeValue], counts: Counts, backoff: BackoffConfig
) -> SpanSender | None:
    if otel.traces is None:
        return None
    counts.begin()
    scope = utf8(1, SCOPE) + utf8(2, __version__)
    return SpanSender(
        open_transport(otel.traces),
        SpanEnvelope(encoded_resource(resource), scope, SCHEMA_URL),
        counts,
        batching=Batching(delay=otel.schedule_delay, items=otel.max_batch_size),
        bounds=Bounds(items=otel.max_queue_size),
        disk=DiskQueue(queue_dir) if queue_dir is not None else None,
        backoff=backoff,
    )


def _metrics_sender(
    otel: OtelSettings, resource: dict[str, AttributeValue], counts: Counts, snapshot: Callable[[], Snapshot], backoff: BackoffConfig
) -> MetricsSender | None:
    if otel.metrics is None:
        return None
    counts.begin()
    encoder = MetricsEncoder(resource, otel.temporality)
    collected: list[Batch] = []

    async def collect() -> Sequence[Request]:
        batch = await encoder.prepare_in_slices(snapshot())
        collected[:] = [batch]
        return [Request(batch.body, batch.points)] if batch.points else []

    def delivered() -> None:
        for batch in collected:
            encoder.commit(batch)

    return MetricsSender(
        open_transport(otel.metrics),
        collect,
        counts,
        interval=otel.metric_interval,
        timeout=otel.metric_timeout,
        backoff=backoff,
        delivered=delivered,
    )
