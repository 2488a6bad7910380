"""Which exporters run. A new one is created here and its settings are read here; nothing else in the daemon knows it."""

import asyncio
from collections.abc import Callable, Sequence

from exporter.config import Settings
from exporter.config.otel import OtelSettings
from exporter.daemon.otlp import OtlpExporter
from exporter.exporters.exporter import Exporter
from exporter.exporters.otlp.sender import BackoffConfig
from exporter.metrics.self_metrics import SelfMetrics
from exporter.metrics.snapshot import Snapshot


class Exporters:
    """All exporters as one :class:`exporter.exporters.exporter.Exporter`."""

    def __init__(self, exporters: Sequence[Exporter]) -> None:
        self._exporters = tuple(exporters)

    def offer(self, spans: Sequence[bytes]) -> None:
        """Offer the spans to every exporter."""
        for exporter in self._exporters:
            exporter.offer(spans)

    def start(self) -> None:
        """Start every exporter."""
        for exporter in self._exporters:
            exporter.start()

    async def stop(self) -> None:
        """Stop all exporters at the same time."""
        await asyncio.gather(*(exporter.stop() for exporter in self._exporters))


def create_exporters(
    settings: Settings,
    otel: OtelSettings,
    metrics: SelfMetrics,
    snapshot: Callable[[], Snapshot],
    backoff: BackoffConfig | None = None,
) -> Exporters:
    """The exporters that the settings ask for. ``backoff`` applies to failed attempts to send; tests use short pauses."""
    return Exporters([OtlpExporter(settings, otel, metrics, snapshot, backoff)])


def exports_spans(otel: OtelSettings) -> bool:
    """Whether an exporter wants spans; otherwise none are made."""
    return otel.traces is not None
