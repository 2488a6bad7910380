"""Sending spans and metrics over OTLP, so that none is lost in an outage and every loss is counted.

A sender takes what is encoded already: :class:`SpanSender` queues spans, :class:`MetricsSender` fetches totals at intervals. What it
is told of (:class:`SenderCounts`) adds up.
"""

from exporter.expose.otlp_target import Target, TlsFiles
from exporter.expose.sender.counts import SenderCounts
from exporter.expose.sender.courier import Pace
from exporter.expose.sender.disk import DiskQueue
from exporter.expose.sender.metrics import Collect, MetricsSender
from exporter.expose.sender.opening import open_transport
from exporter.expose.sender.queue import Bounds
from exporter.expose.sender.requests import Request, SpanEnvelope
from exporter.expose.sender.spans import Batching, SpanSender
from exporter.expose.sender.transport import Transport

__all__ = [
    "Batching",
    "Bounds",
    "Collect",
    "DiskQueue",
    "MetricsSender",
    "Pace",
    "Request",
    "SenderCounts",
    "SpanEnvelope",
    "SpanSender",
    "Target",
    "TlsFiles",
    "Transport",
    "open_transport",
]
