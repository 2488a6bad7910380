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
from exporter.config.otel import DEFAULT_BATCH_SIZE, OtelSettings
from exporter.daemon.export_context import ExportContext
from exporter.daemon.sdk_parts import other_sampler
from exporter.daemon.sender_observer import OtlpObserver
from exporter.exporters.otlp.metrics import SCOPE, MetricsEncoder
from exporter.exporters.otlp.metrics_source import SnapshotSource
from exporter.exporters.otlp.resource import encoded_resource
from exporter.exporters.otlp.sender import (
    BatchConfig,
    DiskQueueConfig,
    MetricsSender,
    QueueLimits,
    SpanEnvelope,
    SpanSender,
    create_transport,
)
from exporter.exporters.otlp.span_limits import SpanLimiter
from exporter.exporters.otlp.target import Signal, Target
from exporter.protobuf import AttributeValue, utf8
from exporter.tracing.sampling import SpanOptions

FLUSH_TIMEOUT: Final = 12.0
"""Seconds that a stop may take to deliver what is still queued."""
_CAPTURING: Final = ("span_only", "span_and_event")
_MAX_ATTRIBUTE_LENGTH: Final = 4096


class OtlpExporter:
    """An :class:`exporter.exporters.interface.Exporter` with one sender for each signal that has a target.

    Raises ``ValueError`` if the queue's directory is a file.
    """

    def __init__(self, settings: Settings, context: ExportContext) -> None:
        if settings.otlp_queue_dir is not None:
            _check_directory(settings.otlp_queue_dir)
        self._limiter = SpanLimiter(context.otel.limits)
        self._spans = _span_sender(context, settings.otlp_queue_dir)
        self._metrics = _metrics_sender(context)
        self.offer: Final = self._taker()
        """Queues serialised spans; never waits."""

    def _taker(self) -> Callable[[Sequence[bytes]], object]:
        """What takes spans. There is no call in between that does nothing."""
        sender, limiter = self._spans, self._limiter
        if sender is None:
            return len
        return (lambda spans: sender.offer(limiter.apply(spans))) if limiter.active else sender.offer

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
    target = target_of(otel, signal)
    if target is None:
        return "none"
    return f"{target.protocol} {target.address}" + (f" (proxy {target.proxy.address})" if target.proxy else "")


def target_of(otel: OtelSettings, signal: Signal) -> Target | None:
    """The OTLP receiver of a signal, if it has one."""
    return otel.traces if signal == "traces" else otel.metrics


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
        decide=other_sampler(otel),
        keep_slow_above=settings.slow_turn if settings.keep_slow_turns else None,
        keep_interrupted=settings.keep_interrupted_turns,
        keep_failed=settings.keep_failed_turns,
        attribute_length=otel.limits.value_length if otel.limits.value_length is not None else _MAX_ATTRIBUTE_LENGTH,
    )


def span_envelope(resource: dict[str, AttributeValue]) -> SpanEnvelope:
    """What stands around the spans of a request."""
    return SpanEnvelope(encoded_resource(resource), utf8(1, SCOPE) + utf8(2, __version__), SCHEMA_URL)


def _span_sender(context: ExportContext, queue_dir: Path | None) -> SpanSender | None:
    otel = context.otel
    if otel.traces is None:
        return None
    observer = OtlpObserver(context.metrics, "traces")
    observer.start_at_zero()
    return SpanSender(
        create_transport(otel.traces),
        span_envelope(context.resource),
        observer,
        batch=BatchConfig(otel.schedule_delay, otel.max_batch_size or DEFAULT_BATCH_SIZE, grows=otel.max_batch_size is None),
        limits=QueueLimits(max_items=otel.max_queue_size),
        disk=DiskQueueConfig(queue_dir) if queue_dir is not None else None,
        backoff=context.backoff,
    )


def _metrics_sender(context: ExportContext) -> MetricsSender | None:
    otel = context.otel
    if otel.metrics is None:
        return None
    observer = OtlpObserver(context.metrics, "metrics")
    observer.start_at_zero()
    encoder = MetricsEncoder(context.resource, otel.temporality, exponential=otel.exponential_histograms)
    return MetricsSender(
        create_transport(otel.metrics),
        SnapshotSource(context.snapshot, encoder),
        observer,
        interval=otel.metric_interval,
        timeout=otel.metric_timeout,
        backoff=context.backoff,
    )
