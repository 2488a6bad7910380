"""Sending spans and metrics over OTLP, so that an outage loses none, and every loss is counted.

Both senders take encoded data: :class:`SpanSender` queues spans, :class:`MetricsSender` collects totals at intervals. What they report
to a :class:`SenderObserver` adds up.
"""

from exporter.exporters.otlp.sender.batch_size import BatchConfig
from exporter.exporters.otlp.sender.disk_queue import DiskQueueConfig
from exporter.exporters.otlp.sender.metrics_sender import MetricsSender, MetricsSource
from exporter.exporters.otlp.sender.observer import SenderObserver
from exporter.exporters.otlp.sender.requests import ExportRequest, SpanEnvelope
from exporter.exporters.otlp.sender.retry_sender import BackoffConfig
from exporter.exporters.otlp.sender.sending_queue import QueueLimits
from exporter.exporters.otlp.sender.span_sender import SpanSender
from exporter.exporters.otlp.sender.transport import Transport
from exporter.exporters.otlp.sender.transport_factory import create_transport
from exporter.exporters.otlp.target import ClientTlsFiles, Target

__all__ = [
    "BackoffConfig",
    "BatchConfig",
    "ClientTlsFiles",
    "DiskQueueConfig",
    "ExportRequest",
    "MetricsSender",
    "MetricsSource",
    "QueueLimits",
    "SenderObserver",
    "SpanEnvelope",
    "SpanSender",
    "Target",
    "Transport",
    "create_transport",
]
