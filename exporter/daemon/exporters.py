"""Which exporters run. A new one is created here, and its settings are read here; nothing else in the daemon knows it."""

from collections.abc import Callable

from exporter.config import Settings
from exporter.config.otel import OtelSettings
from exporter.daemon.export_context import ExportContext
from exporter.daemon.otlp import OtlpExporter
from exporter.daemon.resource import resource_of
from exporter.daemon.sdk_parts import exporter_classes
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
    resource = resource_of(otel if _exports(otel) else OtelSettings())
    context = ExportContext(otel, resource, metrics, snapshot, backoff or BackoffConfig())
    exporters: list[Exporter] = [OtlpExporter(settings, context)]
    for name, signal, create in exporter_classes(otel):
        from exporter.daemon.sdk_exporter import SdkExporter  # noqa: PLC0415 - it imports the SDK

        exporters.append(SdkExporter(name, signal, create, context))
    return tuple(exporters)


def exports_spans(_settings: Settings, otel: OtelSettings) -> bool:
    """Whether an exporter wants spans. If none does, no spans are made."""
    return otel.traces is not None or any(signal == "traces" for _, signal, _ in exporter_classes(otel))


def _exports(otel: OtelSettings) -> bool:
    return otel.traces is not None or otel.metrics is not None or bool(otel.span_exporters or otel.metric_exporters)
