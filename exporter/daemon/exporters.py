"""Which exporters run. A new one is created here, and its settings are read here; nothing else in the daemon knows it."""

from collections.abc import Callable

from exporter.config import Settings
from exporter.config.otel import OtelSettings
from exporter.daemon.otlp import OtlpExporter
from exporter.exporters.interface import Exporter
from exporter.exporters.otlp.sender import BackoffConfig
from exporter.metrics.self_metrics import SelfMetrics
from exporter.metrics.snapshot import Snapshot


def create_exporters(
    settings: Settings,
    otel: OtelSettings,
    metrics: SelfMetrics,
    snapshot: Callable[[], Snapshot],
    backoff: BackoffConfig | None = None,
) -> tuple[Exporter, ...]:
    """The exporters that the settings ask for. ``backoff`` applies to failed attempts to send; tests use short pauses."""
    return (OtlpExporter(settings, otel, metrics, snapshot, backoff),)


def exports_spans(_settings: Settings, otel: OtelSettings) -> bool:
    """Whether an exporter wants spans. If none does, no spans are made."""
    return otel.traces is not None
