"""What the daemon and the ASGI application share: the pipeline that the settings ask for."""

import time
from collections.abc import Iterator
from typing import Final

from exporter import __version__
from exporter.catalogue.declarations import PREFIX
from exporter.config import Settings
from exporter.config.otel import OtelSettings
from exporter.config.price_file import read_prices
from exporter.config.setting_types import nearest
from exporter.daemon.logging_diagnostics import LoggingDiagnostics
from exporter.daemon.otlp import span_options
from exporter.daemon.ticker import Ticker
from exporter.exporters.landing_page import Product, StatusLine
from exporter.exporters.prometheus.endpoint import Scrape
from exporter.exporters.prometheus.protobuf_exposition import ProtobufRenderer
from exporter.logs import lines_dropped
from exporter.metrics import inventory
from exporter.metrics.label_limits import LabelLimits
from exporter.metrics.snapshot import Snapshot
from exporter.pipeline.pipeline import Journals, Pipeline, Tracing
from exporter.receivers.steady_clock import CLOCK
from exporter.server.reloading_file import FileWatcher
from exporter.sessions.registry import SessionTimeouts
from exporter.tracing.span_handlers import Emit

PRODUCT: Final = Product(
    name="agentstack-exporter",
    version=__version__,
    description="Prometheus and OpenTelemetry metrics of Plivo AgentStack voice agents, while the calls are going on.",
)


def create_pipeline(
    settings: Settings, otel: OtelSettings, watcher: FileWatcher, emit: Emit | None, journals: Journals | None = None
) -> Pipeline:
    """The pipeline. Finished spans go to ``emit``; without it none are made. ``journals`` keep calls for /live.

    Raises ``ValueError`` for a label that no metric has.
    """
    pipeline = Pipeline(
        label_limits(settings),
        SessionTimeouts(resume=settings.session_resume, turn=settings.turn_wait, idle=settings.idle_timeout),
        LoggingDiagnostics(subscribes=settings.subscribe),
        CLOCK.time(),
        settings.max_frame_bytes,
        exponential=settings.histograms != "classic" or otel.exponential_histograms,
        slow_turn=settings.slow_turn,
        genai=None if settings.genai_metrics == "none" else settings.genai_metrics,
        exemplars=otel.exemplar_filter != "always_off",
        tracing=None if emit is None else Tracing(span_options(settings, otel), emit),
        journals=journals,
    )
    if settings.prices is not None:
        path, cost = settings.prices, pipeline.trackers.cost
        cost.replace_prices(watcher.watch([path], lambda: read_prices(path), cost.replace_prices).current())
    return pipeline


def status_lines(pipeline: Pipeline) -> Iterator[StatusLine]:
    """What the landing page says of the exporter."""
    metrics = pipeline.metrics
    yield StatusLine("Active calls", str(pipeline.sessions.active))
    yield StatusLine("Events processed", f"{metrics.processed[0]:.0f}")
    yield StatusLine("Frames rejected", f"{metrics.rejected[0]:.0f}")


def take_snapshot(pipeline: Pipeline, ticker: Ticker) -> Snapshot:
    """All metrics as they are now, with those of the process and of the log."""
    ticker.measure_process()
    pipeline.metrics.log_lines_dropped.set(lines_dropped())
    return pipeline.snapshot(time.time())


def note_scrape(pipeline: Pipeline, scrape: Scrape) -> None:
    """Keep what a scrape took, for the next one to tell."""
    pipeline.metrics.render_duration.set(scrape.duration)
    pipeline.metrics.scrape_size.set(scrape.size)


def protobuf_renderer(settings: Settings) -> ProtobufRenderer:
    """What answers a Prometheus that asks for protobuf."""
    return ProtobufRenderer(settings.histograms, most_buckets=settings.native_histogram_buckets)


def label_limits(settings: Settings) -> LabelLimits:
    """The limits of labels. Raises ``ValueError`` for a label that no metric has."""
    allow: dict[str, set[str]] = {}
    own = (spec for spec in inventory.metrics().values() if spec.otel_name.startswith(PREFIX))
    labels = {label for spec in own for label in spec.labels} if settings.label_allow else set()
    for item in settings.label_allow:
        if item.label not in labels:
            near = nearest(item.label, labels)
            raise ValueError(f"--label-allow: no metric has the label {item.label!r}" + (f"; did you mean {near!r}?" if near else ""))
        allow.setdefault(item.label, set()).add(item.value)
    return LabelLimits(
        agents=settings.max_agents,
        pairs=settings.max_pairs,
        values=settings.max_label_values,
        series=settings.max_series,
        allow={label: frozenset(values) for label, values in allow.items()},
    )
