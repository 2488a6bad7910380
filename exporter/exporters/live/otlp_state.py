"""The state of the signals that are sent over OTLP, read from the exporter's own metrics."""

from collections import deque
from typing import Final

from exporter.catalogue.declarations import MetricSpec
from exporter.exporters.live.messages import OtlpState
from exporter.metrics import self_metrics
from exporter.metrics.store import Store

_WINDOW: Final = 300.0
_MOST_SAMPLES: Final = 61
_FAILED: Final = ("failed", "refused")


class OtlpWatch:
    """Samples the counters of each signal, and says how they grew in the last five minutes."""

    def __init__(self, store: Store, signals: tuple[str, ...]) -> None:
        self._store = store
        self._signals = signals
        self._samples: deque[tuple[float, dict[str, tuple[float, float]]]] = deque(maxlen=_MOST_SAMPLES)

    def sample(self, now: float) -> None:
        """Read the counters. To be called every five seconds."""
        self._samples.append((now, {signal: self._counts(signal) for signal in self._signals}))

    def states(self, now: float) -> list[OtlpState]:
        """The state of each signal."""
        return [self._state(signal, now) for signal in self._signals]

    def _state(self, signal: str, now: float) -> OtlpState:
        failures, dropped = self._counts(signal)
        before = next((counts[signal] for at, counts in self._samples if now - at <= _WINDOW), (failures, dropped))
        return OtlpState(
            signal=signal,
            queue_bytes=self._sum(self_metrics.OTLP_QUEUE, signal),
            queue_items=self._sum(self_metrics.OTLP_QUEUE_ITEMS, signal),
            failures=int(failures - before[0]),
            dropped=int(dropped - before[1]),
        )

    def _counts(self, signal: str) -> tuple[float, float]:
        return self._sum(self_metrics.OTLP_ATTEMPTS, signal, _FAILED), self._sum(self_metrics.OTLP_DROPPED, signal)

    def _sum(self, spec: MetricSpec, signal: str, outcomes: tuple[str, ...] | None = None) -> float:
        layout, index = self._store.place(spec)
        return float(
            sum(
                row[index] or 0.0
                for labels, row in layout.rows.items()
                if labels[0] == signal and (outcomes is None or labels[1] in outcomes)
            )
        )
