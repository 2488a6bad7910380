"""Sending spans and metrics over OTLP, so that none is lost in an outage and every loss is counted.

A sender takes what is encoded already: :class:`SpanSender` queues spans, :class:`MetricsSender` fetches totals at intervals. What it
is told of (:class:`SenderCounts`) adds up.
"""

from exporter.exporters.otlp.sender.disk_queue import DiskQueue
from exporter.exporters.otlp.sender.metrics import Collect, MetricsSender
from exporter.exporters.otlp.sender.observer import SenderCounts
from exporter.exporters.otlp.sender.queue import Bounds
from exporter.exporters.otlp.sender.requests import Request, SpanEnvelope
from exporter.exporters.otlp.sender.retry_sender import BackoffConfig
from exporter.exporters.otlp.sender.spans import Batching, SpanSender
from exporter.exporters.otlp.sender.transport import Transport
from exporter.exporters.otlp.sender.transport_factory import open_transport
from exporter.exporters.otlp.target import Target, TlsFiles

__all__ = [
    "BackoffConfig",
    "Batching",
    "Bounds",
    "Collect",
    "DiskQueue",
    "MetricsSender",
    "Request",
    "SenderCounts",
    "SpanEnvelope",
    "SpanSender",
    "Target",
    "TlsFiles",
    "Transport",
    "open_transport",
]
