"""The OTLP exporter: from the ``OTEL_*`` settings to a sender of spans and a sender of metrics.

A signal without a target has no sender. Both signals share the resource and stop at the same time.
"""

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from exporter import __version__
from exporter.catalogue.genai import SCHEMA_URL
from exporter.config import Settings
from exporter.config.otel import OtelSettings
from exporter.exporters.otlp.metrics import SCOPE, MetricsEncoder
from exporter.exporters.otlp.metrics_source import SnapshotSource
from exporter.exporters.otlp.resource import encoded_resource, resource_attributes
from exporter.exporters.otlp.sender import (
    BackoffConfig,
    BatchConfig,
    DiskQueueConfig,
    MetricsSender,
    QueueLimits,
    SpanEnvelope,
    SpanSender,
    create_transport,
)
from exporter.exporters.otlp.sender.observer import DROP_REASONS, AttemptOutcome
from exporter.exporters.otlp.span_limits import SpanLimiter
from exporter.exporters.otlp.target import Signal
from exporter.metrics.self_metrics import SelfMetrics
from exporter.metrics.snapshot import Snapshot
from exporter.protobuf import AttributeValue, utf8
from exporter.tracing.sampling import SpanOptions

FLUSH_TIMEOUT: Final = 12.0
"""Seconds that a stop may take to deliver what is still queued."""
_CAPTURING: Final = ("span_only", "span_and_event")
_MAX_ATTRIBUTE_LENGTH: Final = 4096


class SelfMetricsObserver:
    """A :class:`exporter.exporters.otlp.sender.SenderObserver` that counts in the exporter's own metrics."""

    def __init__(self, metrics: SelfMetrics, signal: Signal) -> None:
        self._metrics = metrics
        self._signal = signal
        self._queued_items = metrics.otlp_queue_items.row(signal=signal)
        self._queued_bytes = metrics.otlp_queue.row(signal=signal)

    def start_at_zero(self) -> None:
        """Create the series of losses before the first loss: ``increase()`` does not see a series that begins at 1."""
        for reason in DROP_REASONS:
            self._metrics.otlp_dropped.add(0, signal=self._signal, reason=reason)
        self._metrics.otlp_foreign_answers.add(0, signal=self._signal)

    def delivered(self, items: int) -> None:
        """Count items that the receiver has accepted."""
        self._metrics.otlp_items.add(items, signal=self._signal, outcome="delivered")

    def rejected(self, items: int) -> None:
        """Count items that the receiver has rejected in an accepted request."""
        self._metrics.otlp_items.add(items, signal=self._signal, outcome="rejected")

    def dropped(self, reason: str, items: int) -> None:
        """Count lost items by reason."""
        self._metrics.otlp_items.add(items, signal=self._signal, outcome="dropped")
        self._metrics.otlp_dropped.add(items, signal=self._signal, reason=reason)

    def replaced(self, items: int) -> None:
        """Count data points that were replaced by newer ones."""
        self._metrics.otlp_items.add(items, signal=self._signal, outcome="replaced")

    def attempted(self, outcome: AttemptOutcome, reason: str) -> None:
        """Count a request by outcome, and by reason if it failed."""
        self._metrics.otlp_attempts.add(1, signal=self._signal, outcome=outcome)
        if outcome != "delivered":
            self._metrics.otlp_failures.add(1, signal=self._signal, reason=reason)

    def foreign_answer(self) -> None:
        """Count an accepted request whose answer is no OTLP response."""
        self._metrics.otlp_foreign_answers.add(1, signal=self._signal)

    def queued(self, items: int, size: int) -> None:
        """Set the size of the queue."""
        # Called with every turn, so the rows are kept; rows of the exporter's own metrics are never evicted.
        self._queued_items[0], self._queued_bytes[0] = items, size

    def disk_failed(self) -> None:
        """Count a failure of the queue's directory."""
        self._metrics.otlp_disk_errors.add(1, signal=self._signal)

    def disk_damaged(self, places: int) -> None:
        """Count damaged places in the queue's files."""
        self._metrics.otlp_disk_damaged.add(places, signal=self._signal)


class OtlpExporter:
    """An :class:`exporter.exporters.interface.Exporter` with one sender for each signal that has a target.

    Raises ``ValueError`` if the queue's directory is a file.
    """

    def __init__(
        self,
        settings: Settings,
        otel: OtelSettings,
        metrics: SelfMetrics,
        snapshot: Callable[[], Snapshot],
        backoff: BackoffConfig | None = None,
    ) -> None:
        if settings.otlp_queue_dir is not None:
            _check_directory(settings.otlp_queue_dir)
        backoff = backoff or BackoffConfig()
        resource = resource_attributes(dict(otel.resource_attributes), service_name=otel.service_name)
        self._limiter = SpanLimiter(otel.limits)
        self._spans = _span_sender(otel, resource, SelfMetricsObserver(metrics, "traces"), settings.otlp_queue_dir, backoff)
        self._metrics = _metrics_sender(otel, resource, SelfMetricsObserver(metrics, "metrics"), snapshot, backoff)

    def offer(self, spans: Sequence[bytes]) -> None:
        """Queue serialised spans of one turn or session; never waits."""
        if self._spans is not None:
            self._spans.offer(self._limiter.apply(spans))

    def start(self) -> None:
        """Start sending."""
        for sender in (self._spans, self._metrics):
            if sender is not None:
                sender.start()

    async def stop(self) -> None:
        """Deliver what is queued, or write it to disk, or count it as lost, within :data:`FLUSH_TIMEOUT` seconds."""
        await asyncio.gather(*(sender.stop(FLUSH_TIMEOUT) for sender in (self._spans, self._metrics) if sender is not None))


def described_target(otel: OtelSettings, signal: Signal) -> str:
    """Where a signal is sent, and how; without credentials."""
    target = otel.traces if signal == "traces" else otel.metrics
    if target is None:
        return "none"
    return f"{target.protocol} {target.address}"


def _check_directory(path: Path) -> None:
    """Check that the queue's directory is one, or can be made. Raises ``ValueError``."""
    for place in (path, *path.parents):
        if place.exists():
            if not place.is_dir():
                raise ValueError(f"--otlp-queue-dir: {place} is a file; expected a directory")
            return


def span_options(settings: Settings, otel: OtelSettings) -> SpanOptions:
    """What is written into spans, and which turns have spans."""
    return SpanOptions(
        capture=otel.capture_content in _CAPTURING,
        proposals=settings.proposed_attributes,
        per_turn=settings.trace_per_turn,
        sampler=otel.sampler,
        ratio=otel.sampler_ratio,
        keep_slow_above=settings.slow_turn if settings.keep_slow_turns else None,
        keep_interrupted=settings.keep_interrupted_turns,
        keep_failed=settings.keep_failed_turns,
        attribute_length=otel.limits.value_length if otel.limits.value_length is not None else _MAX_ATTRIBUTE_LENGTH,
    )


def _span_sender(
    otel: OtelSettings,
    resource: dict[str, AttributeValue],
    observer: SelfMetricsObserver,
    queue_dir: Path | None,
    backoff: BackoffConfig,
) -> SpanSender | None:
    if otel.traces is None:
        return None
    observer.start_at_zero()
    scope = utf8(1, SCOPE) + utf8(2, __version__)
    return SpanSender(
        create_transport(otel.traces),
        SpanEnvelope(encoded_resource(resource), scope, SCHEMA_URL),
        observer,
        batch=BatchConfig(delay=otel.schedule_delay, max_items=otel.max_batch_size),
        limits=QueueLimits(max_items=otel.max_queue_size),
        disk=DiskQueueConfig(queue_dir) if queue_dir is not None else None,
        backoff=backoff,
    )


def _metrics_sender(
    otel: OtelSettings,
    resource: dict[str, AttributeValue],
    observer: SelfMetricsObserver,
    snapshot: Callable[[], Snapshot],
    backoff: BackoffConfig,
) -> MetricsSender | None:
    if otel.metrics is None:
        return None
    observer.start_at_zero()
    encoder = MetricsEncoder(resource, otel.temporality, exponential=otel.exponential_histograms)
    return MetricsSender(
        create_transport(otel.metrics),
        SnapshotSource(snapshot, encoder),
        observer,
        interval=otel.metric_interval,
        timeout=otel.metric_timeout,
        backoff=backoff,
    )
