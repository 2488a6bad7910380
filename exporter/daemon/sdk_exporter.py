"""An exporter of another package as one of ours: the same queue, retries and counts, with the SDK's types at the end."""

import logging
from collections.abc import Callable, Sequence
from typing import Any, Final

from exporter.config.otel import DEFAULT_BATCH_SIZE
from exporter.daemon.export_context import ExportContext
from exporter.daemon.otlp import FLUSH_TIMEOUT, span_envelope
from exporter.daemon.sender_observer import SdkObserver
from exporter.exporters.otlp.metrics import MetricsEncoder
from exporter.exporters.otlp.metrics_source import SnapshotSource
from exporter.exporters.otlp.sender import BatchConfig, MetricsSender, QueueLimits, SpanSender
from exporter.exporters.otlp.span_limits import SpanLimiter
from exporter.exporters.otlp.target import Signal
from exporter.exporters.sdk.metrics_data import metrics_data
from exporter.exporters.sdk.preferences import preferred_temporality
from exporter.exporters.sdk.readable_spans import readable_spans
from exporter.exporters.sdk.transport import SdkDestination, SdkTransport

NOT_CREATED: Final = "not_created"
"""The reason of spans that are lost because the exporter could not be created."""

log = logging.getLogger(__name__)


class SdkExporter:
    """An :class:`exporter.exporters.interface.Exporter` of one signal. The exporter's own object is created at the start."""

    def __init__(self, name: str, signal: Signal, create: Callable[[], Any], context: ExportContext) -> None:
        self._destination = SdkDestination(signal, name)
        self._create = create
        self._context = context
        self._observer = SdkObserver(context.metrics.sdk, exporter=name, signal=signal)
        self._observer.start_at_zero()
        self._limiter = SpanLimiter(context.otel.limits)
        self._spans: SpanSender | None = None
        self._metrics: MetricsSender | None = None

    def offer(self, spans: Sequence[bytes]) -> None:
        """Queue serialised spans; never waits."""
        if self._destination.signal != "traces":
            return
        if self._spans is None:
            self._observer.dropped(NOT_CREATED, len(spans))
        else:
            self._spans.offer(self._limiter.apply(spans))

    def start(self) -> None:
        """Create the exporter and start sending. If it cannot be created, its data is counted as dropped."""
        try:
            exporter = self._create()
        except Exception as error:  # noqa: BLE001 - it is of another package, and the other exporters work without it
            log.error("%s cannot be created, nothing is sent there: %s: %s", self._destination.address, type(error).__name__, error)  # noqa: TRY400 - the reason says all
            return
        if self._destination.signal == "traces":
            self._spans = self._span_sender(exporter)
            self._spans.start()
        else:
            self._metrics = self._metrics_sender(exporter)
            self._metrics.start()

    async def stop(self) -> None:
        """Deliver what is queued, or count it as lost, within :data:`exporter.daemon.otlp.FLUSH_TIMEOUT` seconds."""
        for sender in (self._spans, self._metrics):
            if sender is not None:
                await sender.stop(FLUSH_TIMEOUT)

    def _span_sender(self, exporter: Any) -> SpanSender:  # noqa: ANN401 - of another package
        context, otel = self._context, self._context.otel
        return SpanSender(
            SdkTransport(self._destination, exporter, readable_spans),
            span_envelope(context.resource),
            self._observer,
            batch=BatchConfig(otel.schedule_delay, otel.max_batch_size or DEFAULT_BATCH_SIZE),
            limits=QueueLimits(max_items=otel.max_queue_size),
            backoff=context.backoff,
        )

    def _metrics_sender(self, exporter: Any) -> MetricsSender:  # noqa: ANN401 - as above
        context, otel = self._context, self._context.otel
        temporality = preferred_temporality(exporter)
        encoder = MetricsEncoder(context.resource, temporality, exponential=otel.exponential_histograms)
        return MetricsSender(
            SdkTransport(self._destination, exporter, metrics_data),
            SnapshotSource(context.snapshot, encoder),
            self._observer,
            interval=otel.metric_interval,
            timeout=otel.metric_timeout,
            backoff=context.backoff,
        )
