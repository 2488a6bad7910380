"""What a metric exporter of the SDK wants to be given."""

from typing import Any

from opentelemetry.sdk.metrics import Counter, ObservableCounter
from opentelemetry.sdk.metrics.export import AggregationTemporality

from exporter.exporters.otlp.delta import Temporality


def preferred_temporality(exporter: Any) -> Temporality:  # noqa: ANN401 - of another package
    """The temporality that the exporter prefers, in the words of the specification. The SDK's reader asks in the same way."""
    preferred = getattr(exporter, "_preferred_temporality", None) or {}
    if preferred.get(Counter) is not AggregationTemporality.DELTA:
        return "cumulative"
    return "delta" if preferred.get(ObservableCounter) is AggregationTemporality.DELTA else "lowmemory"
