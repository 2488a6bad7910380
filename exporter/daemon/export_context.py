"""What every exporter of the daemon is given."""

from collections.abc import Callable
from dataclasses import dataclass, field

from exporter.config.otel import OtelSettings
from exporter.exporters.otlp.sender import BackoffConfig
from exporter.metrics.self_metrics import SelfMetrics
from exporter.metrics.snapshot import Snapshot
from exporter.protobuf import AttributeValue


@dataclass(frozen=True, slots=True)
class ExportContext:
    """The ``OTEL_*`` settings, the resource, the exporter's own metrics, and the function that returns the current snapshot.

    ``backoff`` applies to failed attempts to send.
    """

    otel: OtelSettings
    resource: dict[str, AttributeValue]
    metrics: SelfMetrics
    snapshot: Callable[[], Snapshot]
    backoff: BackoffConfig = field(default_factory=BackoffConfig)
